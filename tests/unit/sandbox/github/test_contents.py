import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from pavedpath_sandbox.github.settings import Settings


def blob_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def test_a_file_comes_back_as_written(github: Any) -> None:
    path = github.repository()
    text = "name: delivery\n" * 20
    written = github.write(path, ".github/workflows/delivery.yml", text)
    assert written["content"]["sha"] == blob_sha(text.encode())
    read = github.get(f"{path}/contents/.github/workflows/delivery.yml?ref=main")
    assert base64.b64decode(read["content"]).decode() == text
    assert max(map(len, read["content"].splitlines())) == 60
    assert read["url"].endswith("/contents/.github/workflows/delivery.yml?ref=main")
    raw = github.send(
        "GET", f"{path}/contents/.github/workflows/delivery.yml", headers={"accept": "application/vnd.github.raw+json"}
    )
    assert raw.text == text


def test_a_change_names_what_it_replaces(github: Any) -> None:
    path = github.repository()
    sha = github.write(path, "a.txt", "one")["content"]["sha"]
    missing = github.write(path, "a.txt", "two", status=422)
    assert missing["message"] == 'Invalid request.\n\n"sha" wasn\'t supplied.'
    stale = github.write(path, "a.txt", "two", status=409, sha=blob_sha(b"zero"))
    assert stale["message"] == f"a.txt does not match {blob_sha(b'zero')}"
    github.write(path, "a.txt", "two", status=200, sha=sha)
    github.delete(f"{path}/contents/a.txt", {"message": "m", "sha": sha}, status=409)
    github.delete(f"{path}/contents/none.txt", {"message": "m", "sha": sha}, status=404)


def test_what_a_path_cannot_be(github: Any) -> None:
    path = github.repository()
    for wrong in ("a/%2e%2e/b", ".git/config", "a//b"):
        github.write(path, wrong, "x", status=422)
    github.write(path, "src/main.py", "x")
    github.write(path, "src", "x", status=422)
    github.write(path, "src/main.py/deeper", "x", status=422)
    assert "Base64" in github.put(f"{path}/contents/b", {"message": "m", "content": "%%%"}, status=422)["message"]
    github.write(path, "a", "x", status=404, branch="none")


def test_an_empty_repository_takes_its_first_file(github: Any) -> None:
    github.post("/orgs/acme/repos", {"name": "empty"})
    github.get("/repos/acme/empty/commits", status=409)
    github.get("/repos/acme/empty/branches/main", status=404)
    github.get("/repos/acme/empty/contents/", status=404)
    commit = github.write("/repos/acme/empty", "a", "x")["commit"]
    assert commit["parents"] == []
    assert github.get("/repos/acme/empty/branches/main")["commit"]["sha"] == commit["sha"]


def test_history_of_a_path(github: Any) -> None:
    path = github.repository()
    first = github.write(path, "a.txt", "1\n")
    github.write(path, "b.txt", "1\n")
    second = github.write(path, "a.txt", "1\n2\n", status=200, sha=first["content"]["sha"])
    found = [one["sha"] for one in github.get(f"{path}/commits?path=a.txt&sha=main")]
    assert found == [second["commit"]["sha"], first["commit"]["sha"]]
    commit = github.get(f"{path}/commits/{found[0]}")
    assert [(one["filename"], one["status"], one["additions"]) for one in commit["files"]] == [("a.txt", "modified", 1)]
    assert commit["author"]["login"] == "acme-admin"
    assert commit["commit"]["committer"]["email"] == "noreply@github.com"


def test_branches_with_slashes(github: Any) -> None:
    path = github.repository()
    sha = github.get(f"{path}/git/ref/heads/main")["object"]["sha"]
    github.post(f"{path}/git/refs", {"ref": "refs/heads/feature/x", "sha": sha})
    assert github.get(f"{path}/branches/feature%2Fx")["name"] == "feature/x"
    github.write(path, "only-here", "x", branch="feature/x")
    github.get(f"{path}/contents/only-here", status=404)
    github.get(f"{path}/contents/only-here?ref={quote('feature/x', safe='')}")
    compared = github.get(f"{path}/compare/main...feature%2Fx")
    assert (compared["status"], compared["ahead_by"]) == ("ahead", 1)


def test_refs_move_forward_only(github: Any) -> None:
    path = github.repository()
    old = github.get(f"{path}/git/ref/heads/main")["object"]["sha"]
    new = github.write(path, "a", "x")["commit"]["sha"]
    github.post(f"{path}/git/refs", {"ref": "refs/heads/x", "sha": new})
    body = {"sha": old}
    assert "fast forward" in github.patch(f"{path}/git/refs/heads/x", body, status=422)["message"]
    github.patch(f"{path}/git/refs/heads/x", {"sha": old, "force": True})
    github.post(f"{path}/git/refs", {"ref": "refs/heads/x", "sha": new}, status=422)
    github.post(f"{path}/git/refs", {"ref": "refs/heads/y", "sha": "0" * 40}, status=422)
    github.delete(f"{path}/git/refs/heads/main", status=422)


PATHS = st.sampled_from(["a", "b", "d/a", "d/e/a", "ä b"])
TEXTS = st.text(max_size=8)
OPERATIONS = st.lists(st.tuples(st.sampled_from(["write", "stale", "delete"]), PATHS, TEXTS), max_size=12)


@with_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_any_sequence_of_changes_is_as_a_dictionary(
    operations: list[tuple[str, str, str]], settings: Settings, start: Callable[..., Any], tmp_path_factory: Any
) -> None:
    state = tmp_path_factory.mktemp("model") / "github.db"
    model: dict[str, str] = {"README.md": "# app\n"}
    with start(replace(settings, state=state)) as github:
        path = github.repository()
        for kind, name, text in operations:
            held = {"sha": blob_sha(model[name].encode())} if name in model else {}
            url = f"{path}/contents/{quote(name)}"
            if kind == "write":
                github.write(path, quote(name), text, status=200 if held else 201, **held)
                model[name] = text
            elif kind == "stale":
                github.write(path, quote(name), text, status=409, sha="f" * 40)
            else:
                github.delete(url, {"message": "m", "sha": held.get("sha", "f" * 40)}, status=200 if held else 404)
                model.pop(name, None)
        tree = github.get(f"{path}/git/trees/main?recursive=1")["tree"]
        found = {one["path"]: one["sha"] for one in tree if one["type"] == "blob"}
        assert found == {name: blob_sha(text.encode()) for name, text in model.items()}
