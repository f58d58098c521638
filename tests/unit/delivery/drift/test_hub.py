"""Reading a repository: what is refused or absent is told apart from what is empty."""

import base64
from typing import Any

import httpx
import pytest
from pavedpath_delivery.drift import hub
from pavedpath_delivery.kit.documents import objects
from pavedpath_delivery.kit.github import GitHub

ROOT = "/repos/acme/shop"


class Answers:
    """GitHub's answers by path; a number is a status."""

    def __init__(self) -> None:
        self.paths: dict[str, Any] = {ROOT: {"default_branch": "main", "permissions": {"admin": True}}}

    def api(self) -> GitHub:
        client = httpx.Client(base_url="https://api.test/", transport=httpx.MockTransport(self._answer))
        return GitHub(client, "acme")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        found = self.paths.get(request.url.path, 404)
        if isinstance(found, int):
            return httpx.Response(found)
        if not isinstance(found, list):
            return httpx.Response(200, json=found)
        page = int(request.url.params.get("page", "1"))
        return httpx.Response(200, json=found[page * 100 - 100 : page * 100])

    def read(self) -> hub.Snapshot:
        return hub.snapshot(self.api(), "acme/shop")


def test_every_page_of_a_list_is_read() -> None:
    answers = Answers()
    answers.paths[f"{ROOT}/keys"] = [{"id": number} for number in range(250)]
    keys = answers.read()["keys"]
    assert isinstance(keys, list)
    assert [each["id"] for each in objects(keys)] == list(range(250))


@pytest.mark.parametrize("status", [403, 404, 501])
def test_a_refused_list_is_not_an_empty_one(status: int) -> None:
    answers = Answers()
    answers.paths |= {f"{ROOT}/hooks": status, f"{ROOT}/keys": []}
    found = answers.read()
    assert isinstance(found["hooks"], hub.Unread)
    assert str(status) in found["hooks"].reason
    assert found["keys"] == []


def test_a_repository_that_may_not_be_seen_has_nothing_else() -> None:
    answers = Answers()
    answers.paths[ROOT] = 404
    assert set(answers.read()) == {"repository"}


@pytest.mark.parametrize(("admin", "known"), [(True, False), (False, None)])
def test_alerts_are_off_only_for_who_may_know(admin: bool, known: bool | None) -> None:
    answers = Answers()
    answers.paths[ROOT] = {"default_branch": "main", "permissions": {"admin": admin}}
    found = answers.read()["alerts"]
    assert isinstance(found, hub.Unread) if known is None else found is False
    answers.paths[f"{ROOT}/vulnerability-alerts"] = 204
    assert answers.read()["alerts"] is True


def test_workflows_are_read_or_known_to_be_none() -> None:
    answers = Answers()
    contents = f"{ROOT}/contents"
    assert isinstance(answers.read()["workflows"], hub.Unread)  # not even the root may be read
    answers.paths[contents] = [{"name": "README.md"}]
    assert answers.read()["workflows"] == {}
    folder = ".github/workflows"
    listed = [
        {"name": "ci.yml", "path": f"{folder}/ci.yml", "type": "file"},
        {"path": f"{folder}/x.md", "type": "file"},
    ]
    answers.paths |= {
        contents: [{"name": ".github"}],
        f"{contents}/.github": [{"name": "workflows"}],
        f"{contents}/.github/workflows": listed,
        f"{contents}/.github/workflows/ci.yml": {"content": base64.b64encode(b"on: push").decode()},
    }
    assert answers.read()["workflows"] == {f"{folder}/ci.yml": "on: push"}
    answers.paths[f"{contents}/.github/workflows/ci.yml"] = 403
    assert isinstance(answers.read()["workflows"], hub.Unread)


def test_branches_that_deploy_are_read_with_their_rules() -> None:
    answers = Answers()
    environment = {"name": "prod", "deployment_branch_policy": {"custom_branch_policies": True}}
    policies = [{"name": "deploy/prod", "type": "branch"}, {"name": "rel/*", "type": "branch"}]
    answers.paths |= {
        f"{ROOT}/environments": {"environments": [environment]},
        f"{ROOT}/environments/prod/deployment-branch-policies": {"branch_policies": policies},
        f"{ROOT}/rules/branches/deploy/prod": [{"type": "deletion"}],
    }
    found = answers.read()
    assert found["rules/deploy/prod"] == [{"type": "deletion"}]
    assert "rules/rel/*" not in found
