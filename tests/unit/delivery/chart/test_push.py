import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from pavedpath_delivery.chart.archive import Archive
from pavedpath_delivery.chart.museum import Museum
from pavedpath_delivery.chart.push import Login, Present, Pushed, Repository, connect, push
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.virtual import VirtualClock

TO = "https://charts.example.com/team"
LOGIN = {"CHART_REGISTRY_USER": "u", "CHART_REGISTRY_PASSWORD": "hush"}


def archive(content: bytes = b"one", version: str = "0.1.0") -> Archive:
    return Archive("web", version, f"sha256:{hashlib.sha256(content).hexdigest()}", content)


class Shelf:
    """A repository whose next push can fail, after or without someone else's push."""

    def __init__(self, has: bytes | None = None) -> None:
        self.has = has
        self.pushes = 0
        self.meanwhile: bytes | None = None
        self.broken = False

    def find(self, archive: Archive) -> Present | None:
        if self.has is None:
            return None
        digest = f"sha256:{hashlib.sha256(self.has).hexdigest()}"
        return Present(digest, digest, "where")

    def push(self, archive: Archive) -> None:
        self.pushes += 1
        if self.meanwhile is not None:
            self.has = self.meanwhile
        if self.broken:
            raise DeliveryError("it fell over")
        self.has = self.has or archive.content


def test_new_bytes_are_pushed_once() -> None:
    shelf = Shelf()
    first, second = (push(archive(), TO, shelf) for _ in range(2))
    assert (first.changed, second.changed, shelf.pushes) == (True, False, 1)
    assert first.outputs() == second.outputs() == {**first.outputs(), "version": "0.1.0", "reference": "where"}


def test_other_bytes_are_refused_before_anything_is_pushed() -> None:
    shelf = Shelf(b"other")
    with pytest.raises(DeliveryError, match=r"never changes.*raise `version`") as caught:
        push(archive(), TO, shelf)
    assert (caught.value.code, shelf.pushes) == (Exit.POLICY, 0)


@pytest.mark.parametrize("broken", [False, True])
def test_of_two_at_the_same_time_the_same_bytes_are_fine_and_others_are_refused(broken: bool) -> None:
    for theirs, code in ((b"one", None), (b"other", Exit.POLICY)):
        shelf = Shelf()
        shelf.meanwhile, shelf.broken = theirs, broken
        if code is None:
            assert push(archive(), TO, shelf).changed is not broken
        else:
            with pytest.raises(DeliveryError) as caught:
                push(archive(), TO, shelf)
            assert caught.value.code is code


def test_a_failure_that_left_nothing_is_told() -> None:
    shelf = Shelf()
    shelf.broken = True
    with pytest.raises(DeliveryError, match="it fell over"):
        push(archive(), TO, shelf)


def test_a_dry_run_pushes_nothing_but_refuses_the_same() -> None:
    shelf = Shelf()
    done = push(archive(), TO, shelf, dry_run=True)
    assert (shelf.pushes, done.changed, done.outputs()["digest"]) == (0, False, "")
    assert "would be pushed" in done.summary()
    with pytest.raises(DeliveryError):
        push(archive(), TO, Shelf(b"other"), dry_run=True)


@pytest.mark.parametrize(
    ("environ", "user"),
    [
        ({}, None),
        ({"CHART_REGISTRY_USER": "", "CHART_REGISTRY_PASSWORD": ""}, None),
        (LOGIN, "u"),
        ({"CHART_REGISTRY_USERNAME": "v", "CHART_REGISTRY_PASSWORD": "hush"}, "v"),
        ({**LOGIN, "CHART_REGISTRY_URL": TO}, "u"),
        ({**LOGIN, "CHART_REGISTRY_URL": "oci://charts.example.com/x"}, "u"),
        ({**LOGIN, "CHART_REGISTRY_URL": "https://charts.example.org"}, None),
        ({**LOGIN, "CHART_REGISTRY_URL": "https://charts.example.com:8443"}, None),
    ],
)
def test_the_login_is_the_environments_and_for_its_own_host(environ: dict[str, str], user: str | None) -> None:
    login = Login.find(environ, TO)
    assert (login and login.user) == user
    assert "hush" not in repr(login)


@pytest.mark.parametrize(("there", "missing"), [("USER", "PASSWORD"), ("PASSWORD", "USER")])
def test_half_a_login_is_an_error(there: str, missing: str) -> None:
    with pytest.raises(DeliveryError, match=f"CHART_REGISTRY_{missing} is not") as caught:
        Login.find({f"CHART_REGISTRY_{there}": "hush"}, TO)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("charts.example.com", "neither oci://"),
        ("ftp://charts.example.com", "neither oci://"),
        ("https://u:hush@charts.example.com", "login.*belongs into"),
        ("https://charts.example.com/?token=hush", "neither oci://"),
        ("http://charts.example.com", "readable on the way"),
    ],
)
def test_an_address_that_cannot_be_used(to: str, message: str) -> None:
    with pytest.raises(DeliveryError, match=message) as caught, connect(to, None):
        pass
    assert caught.value.code is Exit.USAGE
    assert "hush" not in str(caught.value)


Answer = Callable[[httpx.Request], httpx.Response]


def museum(answer: Answer, clock: VirtualClock | None = None) -> Museum:
    client = httpx.Client(base_url=f"{TO}/", transport=httpx.MockTransport(answer))
    return Museum(TO, client, clock or VirtualClock())


class FakeMuseum:
    """Answers as ChartMuseum does; its index follows its storage `lag` requests late."""

    def __init__(self, lag: int = 0) -> None:
        self.stored: bytes | None = None
        self.lag = lag

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/team/api/charts":
            if self.stored is not None:
                return httpx.Response(409, json={"error": "chart already exists"})
            assert request.headers["Content-Type"].startswith("multipart/form-data")
            self.stored = request.read().partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
            return httpx.Response(201, json={"saved": True})
        if request.url.path == "/team/index.yaml":
            self.lag -= 1
            entries = {"web": [{"version": "0.1.0", "digest": hashlib.sha256(self.stored or b"").hexdigest()}]}
            return httpx.Response(200, text=yaml.safe_dump({"entries": entries if self.lag < 0 else {}}))
        assert request.url.path == "/team/charts/web-0.1.0.tgz"
        return httpx.Response(404) if self.stored is None else httpx.Response(200, content=self.stored)


def pushed(fake: Answer, clock: VirtualClock | None = None, content: bytes = b"one") -> Pushed:
    return push(archive(content), TO, museum(fake, clock))


def test_a_museum_gets_it_and_is_waited_for() -> None:
    clock, fake = VirtualClock(), FakeMuseum(lag=3)
    done = pushed(fake, clock)
    assert fake.stored == b"one"
    assert done.outputs()["reference"] == f"{TO}/charts/web-0.1.0.tgz"
    assert done.outputs()["digest"] == archive().digest
    assert clock.elapsed == 6
    with pytest.raises(DeliveryError, match="other bytes"):
        pushed(fake, content=b"two")


def test_a_museum_that_lists_it_late_is_told_of_and_the_next_run_is_content() -> None:
    clock, fake = VirtualClock(), FakeMuseum(lag=1000)
    repository: Repository = museum(fake, clock)
    with pytest.raises(DeliveryError, match=r"index\.yaml does not list it after 30 s"):
        repository.push(archive())
    assert clock.elapsed == 30
    assert pushed(fake).changed is False


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(401, json={"error": "unauthorized"}), r"login is refused \(401\).*CHART_REGISTRY_PASSWORD"),
        (httpx.Response(302, headers={"Location": "https://evil.example.com"}), r"\(302\)"),
        (httpx.Response(507, json={"error": "repo has reached storage limit"}), r"\(507\): repo has reached"),
        (httpx.Response(502, text="<html>"), r"\(502\): Bad Gateway"),
    ],
)
def test_what_a_museum_refuses_is_told_with_its_reason(response: httpx.Response, message: str) -> None:
    with pytest.raises(DeliveryError, match=message):
        pushed(lambda _request: response)


def test_a_museum_that_is_not_there() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(DeliveryError, match="cannot be reached: connection refused"):
        pushed(answer)


HELM = """#!{python}
import json, os, shutil, sys
home = os.environ["FAKE_HELM"]
stdin = sys.stdin.read() if "--password-stdin" in sys.argv else ""
with open(home + "/calls", "a") as file:
    file.write(json.dumps([sys.argv[1:], stdin]) + "\\n")
said = open(home + "/says").read() if os.path.exists(home + "/says") else ""
if sys.argv[1] == "pull":
    if said:
        sys.exit("Error: " + said)
    if not os.path.exists(home + "/chart"):
        sys.exit("Error: registry.example.com/charts/web:0.1.0: not found")
    shutil.copy(home + "/chart", sys.argv[sys.argv.index("--destination") + 1] + "/web-0.1.0.tgz")
    print("Digest: sha256:" + "a" * 64, file=sys.stderr)
if sys.argv[1] == "push":
    shutil.copy(sys.argv[2], home + "/chart")
"""


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "helm"
    program.parent.mkdir()
    program.write_text(HELM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_HELM", str(tmp_path))
    return tmp_path


def to_registry(to: str = "oci://registry.example.com/charts", login: Login | None = None) -> Pushed:
    with connect(to, login) as repository:
        return push(archive(), to, repository)


def calls(helm: Path) -> list[tuple[list[str], str]]:
    return [json.loads(line) for line in (helm / "calls").read_text().splitlines()]


def test_a_registrys_login_is_on_no_command_line_and_gone_afterwards(helm: Path) -> None:
    done = to_registry(login=Login("me", "hush"))
    assert done.outputs()["reference"] == f"oci://registry.example.com/charts/web@sha256:{'a' * 64}"
    made = calls(helm)
    assert [arguments[0] for arguments, _ in made] == ["registry", "pull", "push", "pull"]
    assert made[0][1] == "hush"
    assert "hush" not in json.dumps([arguments for arguments, _ in made])
    configs = {arguments[arguments.index("--registry-config") + 1] for arguments, _ in made}
    assert len(configs) == 1
    assert not Path(configs.pop()).parent.exists()
    assert not any("--plain-http" in arguments for arguments, _ in made)


def test_without_a_login_helms_own_is_used(helm: Path) -> None:
    to_registry("oci://127.0.0.1:5000/charts")
    assert [arguments[0] for arguments, _ in calls(helm)] == ["pull", "push", "pull"]
    assert all("--plain-http" in arguments and "--registry-config" not in arguments for arguments, _ in calls(helm))


def test_nothing_is_pushed_where_the_registry_cannot_be_asked(helm: Path) -> None:
    (helm / "says").write_text("response status code 503: Service Unavailable")
    with pytest.raises(DeliveryError, match="cannot be asked for web: response status code 503"):
        to_registry()
    assert [arguments[0] for arguments, _ in calls(helm)] == ["pull"]


@pytest.mark.parametrize(
    ("host", "verbs"),
    [("ghcr.io", ["pull", "push", "pull"]), ("registry.example.com", ["pull"]), ("ghcr.io.example.com", ["pull"])],
)
def test_github_denies_a_package_that_is_not_there_yet(helm: Path, host: str, verbs: list[str]) -> None:
    (helm / "says").write_text("response status code 403: denied: permission_denied: read_package")
    with pytest.raises(DeliveryError):  # the stand-in goes on denying it
        to_registry(f"oci://{host}/acme/charts")
    assert [arguments[0] for arguments, _ in calls(helm)] == verbs
