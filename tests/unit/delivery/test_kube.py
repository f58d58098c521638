import base64
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.kube import KubernetesApi, kubeconfig_path


def kubeconfig(path: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> dict[str, str]:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster or {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return {"KUBECONFIG": str(path)}


def authorization(api: KubernetesApi) -> str:
    client: httpx.Client = api._client  # pyright: ignore[reportPrivateUsage]  what it sends is what counts
    return client.headers.get("Authorization", "")


def test_a_token(tmp_path: Path) -> None:
    api = KubernetesApi.from_environment(kubeconfig(tmp_path / "k", {"token": "t"}))
    assert authorization(api) == "Bearer t"


def test_a_token_of_a_plugin(tmp_path: Path) -> None:
    answer = json.dumps({"status": {"token": "from-plugin"}})
    plugin = {"command": sys.executable, "args": ["-c", f"print('{answer}')"], "env": [{"name": "A", "value": "b"}]}
    api = KubernetesApi.from_environment(kubeconfig(tmp_path / "k", {"exec": plugin}))
    assert authorization(api) == "Bearer from-plugin"


def test_the_first_file_that_exists_is_used(tmp_path: Path) -> None:
    kubeconfig(tmp_path / "b", {})
    assert kubeconfig_path({"KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"}) == tmp_path / "b"


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"exec": {"command": "/nowhere/aws"}}, None),
        ({"tokenFile": "/nowhere/token"}, None),
        ({}, {"server": "https://k", "certificate-authority-data": base64.b64encode(b"no PEM").decode()}),
        ({}, {"server": ""}),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any] | None
) -> None:
    with pytest.raises(DeliveryError, match=str(tmp_path / "k")):
        KubernetesApi.from_environment(kubeconfig(tmp_path / "k", user, cluster))


@pytest.mark.parametrize(
    "text", ["a: b\nusers: [{token: s3cret-token", "a: b\ntoken: s3cret-token: c", "a: 's3cret-token"]
)
def test_a_broken_kubeconfig_is_not_quoted_for_it_holds_tokens(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(DeliveryError, match=r"it is no YAML \((Parser|Scanner)Error in line [12]\)") as error:
        KubernetesApi.from_environment({"KUBECONFIG": str(tmp_path / "k")})
    assert "s3cret" not in str(error.value)


def test_absence_is_an_answer_and_refusal_an_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response({"/gone": 404, "/no": 403}.get(request.url.path, 200), json={"items": [{"a": 1}]})

    api = KubernetesApi(httpx.Client(base_url="http://k", transport=httpx.MockTransport(answer)))
    assert api.get("/gone") is None
    assert api.items("/gone") == []
    assert api.items("/there") == [{"a": 1}]
    api.delete("/gone")
    with pytest.raises(httpx.HTTPStatusError):
        api.get("/no")
    with pytest.raises(httpx.HTTPStatusError):
        api.delete("/no")


def test_a_kubeconfig_that_is_named_and_missing_is_not_replaced_by_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("{}")
    missing = tmp_path / "missing"
    assert kubeconfig_path({"KUBECONFIG": str(missing)}) == missing
    assert kubeconfig_path({}) == tmp_path / ".kube" / "config"
    with pytest.raises(DeliveryError, match="let KUBECONFIG name one") as refused:
        KubernetesApi.from_environment({"KUBECONFIG": str(missing)})
    assert refused.value.code is Exit.USAGE


def test_without_a_kubeconfig_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        DeliveryError, match=r"KUBECONFIG is not set, and there is no file .*/\.kube/config\. Fix"
    ) as error:
        KubernetesApi.from_environment({})
    assert error.value.code is Exit.USAGE
    (tmp_path / "k").write_text("current-context: none")
    with pytest.raises(DeliveryError, match=r"names no cluster with a server\. Fix") as error:
        KubernetesApi.from_environment({"KUBECONFIG": str(tmp_path / "k")})
    assert error.value.code is Exit.USAGE


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout])
@pytest.mark.parametrize(("root", "place"), [("https://k.test", "k.test:443"), ("http://k.test:81", "k.test:81")])
def test_a_cluster_that_does_not_answer_is_named(kind: type[httpx.TransportError], root: str, place: str) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise kind("", request=request)

    api = KubernetesApi(httpx.Client(base_url=root, transport=httpx.MockTransport(silent)))
    for ask in (
        lambda: api.get("/x"),
        lambda: api.text("/x"),
        lambda: api.send("POST", "/x", {}),
        lambda: api.delete("/x"),
    ):
        with pytest.raises(kind, match=f"no answer from {place} .{kind.__name__}.*Fix: check") as error:
            ask()
        assert error.value.request.url.host == "k.test"
