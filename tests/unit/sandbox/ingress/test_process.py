import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.ingress.process import ConfigError, Host, command, expand, sources, variables, wanted
from pavedpath_sandbox.ingress.unpack import Image

HOST = Host(Path("/python/bin/python3"), ["/python/bin", "/usr/bin"], {"MARK": "m"})
POD = {
    "metadata": {"name": "shop-1", "labels": {"app": "shop"}, "annotations": {"a.b/c": "d"}},
    "spec": {"nodeName": "node-a"},
    "status": {"podIP": "10.1.2.3"},
}


@pytest.fixture
def image(tmp_path: Path) -> Image:
    root = tmp_path / "root"
    (root / "app").mkdir(parents=True)
    (root / "app" / "main.py").write_text("")
    (root / "usr" / "bin").mkdir(parents=True)
    config = {
        "Entrypoint": ["python", "/app/main.py"],
        "Cmd": ["--serve"],
        "Env": ["PATH=/usr/bin:/bin", "PYTHONPATH=/app:/none", "A=1"],
        "WorkingDir": "/app",
    }
    return Image("sha256:x", root, config)


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ["python", "/app/main.py", "--serve"]),
        ({"args": ["--other"]}, ["python", "/app/main.py", "--other"]),
        ({"command": ["sh"]}, ["sh"]),
        ({"command": ["sh"], "args": ["-c", "x"]}, ["sh", "-c", "x"]),
    ],
)
def test_what_a_pod_says_goes_over_what_the_image_says(
    container: dict[str, Any], argv: list[str], image: Image
) -> None:
    assert wanted(container, image) == argv


def test_paths_of_the_image_become_those_of_its_files(image: Image) -> None:
    made = command({"args": ["$(NAME)", "/etc/hosts", "--file=/app"]}, image, {"NAME": "n", "DIR": "/app"}, HOST)
    root = image.root
    assert made.argv == ["/python/bin/python3", str(root / "app/main.py"), "n", "/etc/hosts", "--file=/app"]
    assert made.directory == root / "app"
    assert made.environment == {
        "PATH": f"{root}/usr/bin:/python/bin:/usr/bin",
        "PYTHONPATH": f"{root}/app:/none",
        "A": "1",
        "NAME": "n",
        "DIR": f"{root}/app",
        "MARK": "m",
    }


def test_nothing_to_run_is_the_kubelets_error(image: Image) -> None:
    with pytest.raises(ConfigError, match="no command specified"):
        command({}, Image("d", image.root, {}), {}, HOST)


CONTAINER = {
    "envFrom": [
        {"configMapRef": {"name": "c"}, "prefix": "C_"},
        {"secretRef": {"name": "s"}},
        {"secretRef": {"name": "gone", "optional": True}},
    ],
    "env": [
        {"name": "A", "value": "over"},
        {"name": "URL", "value": "http://$(A)/$(NONE)/$$(A)"},
        {"name": "ONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "A"}}},
        {"name": "OPTIONAL", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "none", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
    ],
}


def test_variables_of_all_kinds() -> None:
    values = {("configmaps", "c"): {"x": "1"}, ("secrets", "s"): {"A": "secret"}, ("secrets", "gone"): None}
    assert sources(CONTAINER) == set(values)
    assert variables(CONTAINER, POD, values) == {
        "C_x": "1",
        "A": "over",
        "URL": "http://over/$(NONE)/$(A)",
        "ONE": "secret",
        "POD": "shop-1",
        "IP": "10.1.2.3",
        "APP": "shop",
    }


MISSING: list[tuple[dict[str, Any], str]] = [
    ({"envFrom": [{"secretRef": {"name": "s"}}]}, 'secret "s" not found'),
    (
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}]},
        'configmap "s" not found',
    ),
    ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}, "resourceFieldRef"),
]


@pytest.mark.parametrize(("container", "said"), MISSING)
def test_what_is_missing_is_named(container: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        variables(container, POD, dict.fromkeys(sources(container)))


def test_a_key_that_is_missing_is_named() -> None:
    container = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}
    with pytest.raises(ConfigError, match="couldn't find key k in secret s"):
        variables(container, POD, {("secrets", "s"): {}})


@given(st.text(st.characters(exclude_characters="$", codec="utf-8")))
def test_a_text_without_dollars_stays(text: str) -> None:
    assert expand(text, {"A": base64.b64encode(text.encode()).decode()}) == text
