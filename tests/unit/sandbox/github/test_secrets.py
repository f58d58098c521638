from collections.abc import Callable, Mapping
from typing import Any

import pytest

Seal = Callable[[Mapping[str, str], str], dict[str, str]]


def scope(github: Any, level: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Path, body for decrypting, and the fields that only the organisation's have."""
    path = github.repository()
    if level == "repository":
        return f"{path}/actions", {"repository": "app"}, {}
    if level == "environment":
        github.put(f"{path}/environments/dev", status=200)
        return f"{path}/environments/dev", {"repository": "app", "environment": "dev"}, {}
    return "/orgs/acme/actions", {}, {"visibility": "all"}


@pytest.mark.parametrize("level", ["repository", "environment", "organization"])
def test_what_was_sealed_can_be_read_back(github: Any, seal: Seal, level: str) -> None:
    path, where, shared = scope(github, level)
    key = github.get(f"{path}/secrets/public-key")
    github.put(f"{path}/secrets/Deploy_Key", seal(key, "grüße") | shared, status=201)
    github.put(f"{path}/secrets/DEPLOY_KEY", seal(key, "hush") | shared)
    shown = github.send("GET", f"{path}/secrets/deploy_key")
    assert shown.json()["name"] == "DEPLOY_KEY"
    assert "encrypted" not in shown.text
    assert github.post("/_sandbox/secrets/decrypt", {**where, "name": "deploy_key"}, status=200) == {"value": "hush"}
    github.post("/_sandbox/secrets/decrypt", {**where, "name": "deploy_key"}, status=403, token="member-token")
    github.delete(f"{path}/secrets/DEPLOY_KEY")
    github.get(f"{path}/secrets/DEPLOY_KEY", status=404)


def test_what_is_not_sealed_for_the_key_is_refused(github: Any, seal: Seal) -> None:
    path, _, _ = scope(github, "repository")
    key = github.get(f"{path}/secrets/public-key")
    other = github.get("/orgs/acme/actions/secrets/public-key")
    good = seal(key, "hush")
    github.put(f"{path}/secrets/A", good | {"key_id": other["key_id"]}, status=422)
    github.put(f"{path}/secrets/A", seal(other, "hush") | {"key_id": key["key_id"]}, status=422)
    github.put(f"{path}/secrets/A", good | {"encrypted_value": "aHVzaA=="}, status=422)
    github.put(f"{path}/secrets/A", seal(key, "x" * (48 * 1024 + 1)), status=422)
    github.put(f"{path}/secrets/A", {"encrypted_value": "aHVzaA=="}, status=422)
    for name in ("GITHUB_TOKEN", "1A", "A-B"):
        github.put(f"{path}/secrets/{name}", good, status=422)
    assert github.get(f"{path}/secrets")["total_count"] == 0


@pytest.mark.parametrize("level", ["repository", "environment", "organization"])
def test_variables(github: Any, level: str) -> None:
    path, _, shared = scope(github, level)
    github.post(f"{path}/variables", {"name": "region", "value": "eu"} | shared)
    answer = github.post(f"{path}/variables", {"name": "REGION", "value": "eu"} | shared, status=409)
    assert answer["message"] == "Already exists - Variable already exists"
    github.patch(f"{path}/variables/REGION", {"name": "ZONE", "value": "us"}, status=204)
    assert github.get(f"{path}/variables/zone")["value"] == "us"
    github.get(f"{path}/variables/REGION", status=404)
    github.patch(f"{path}/variables/NONE", {"value": "x"}, status=404)
    github.post(f"{path}/variables", {"name": "BIG", "value": "x" * 49153} | shared, status=422)
    github.delete(f"{path}/variables/ZONE")
    github.delete(f"{path}/variables/ZONE", status=404)


def test_what_of_the_organization_a_repository_gets(github: Any) -> None:
    app, public = github.repository(), github.repository("open", private=False)
    identity = github.get(app)["id"]
    for name, more in (
        ("ALL", {"visibility": "all"}),
        ("PRIVATE", {"visibility": "private"}),
        ("SELECTED", {"visibility": "selected", "selected_repository_ids": [identity]}),
    ):
        github.post("/orgs/acme/actions/variables", {"name": name, "value": "1", **more})

    def names(path: str) -> list[str]:
        return [one["name"] for one in github.get(f"{path}/actions/organization-variables")["variables"]]

    assert names(app) == ["ALL", "PRIVATE", "SELECTED"]
    assert names(public) == ["ALL"]
    chosen = "/orgs/acme/actions/variables/SELECTED/repositories"
    github.put(chosen, {"selected_repository_ids": [7]}, status=422)
    github.put(f"/orgs/acme/actions/variables/ALL/repositories/{identity}", status=409)
    github.delete(f"{chosen}/{identity}")
    assert names(app) == ["ALL", "PRIVATE"]
