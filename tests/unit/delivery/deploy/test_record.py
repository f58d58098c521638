import json

import httpx
import pytest
from pavedpath_delivery.deploy import record
from pavedpath_delivery.deploy.flow import Outcome, State
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.kit.github import GitHub

JOB = {
    "GITHUB_REPOSITORY": "acme/orders",
    "GITHUB_SHA": "0123abc",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SERVER_URL": "https://github.example",
}
IMAGE = "r.example/orders/api@sha256:" + "d" * 64


def github(requests: list[tuple[str, str, object]]) -> GitHub:
    def answer(request: httpx.Request) -> httpx.Response:
        requests.append((request.method, request.url.path, json.loads(request.content or b"null")))
        listed: list[dict[str, object]] = [
            {"id": 5, "environment": "dev", "sha": "0123abc", "ref": "main", "created_at": "t", "creator": {}}
        ]
        if request.method == "POST":
            return httpx.Response(201, json={"id": 5})
        return httpx.Response(200, json=[{"state": "failure"}] if "statuses" in request.url.path else listed)

    client = httpx.Client(base_url="http://github.example/api/v3/", transport=httpx.MockTransport(answer))
    return GitHub(client, "acme")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State.DEPLOYED, "success"),
        (State.ROLLED_BACK, "failure"),
        (State.BROKEN, "error"),
        (State.OVERTAKEN, "failure"),
    ],
)
def test_a_deployment_and_how_it_went(state: State, told: str) -> None:
    requests: list[tuple[str, str, object]] = []
    assert record.record(github(requests), JOB, "dev", Outcome(state, 3, images=[IMAGE])) == 5
    (_, first, made), (_, second, status) = requests
    assert first == "/api/v3/repos/acme/orders/deployments"
    assert second == f"{first}/5/statuses"
    assert made == {
        "ref": "0123abc",
        "environment": "dev",
        "auto_merge": False,
        "required_contexts": [],
        "description": "pavedpath deploy",
        "payload": {"images": [IMAGE]},
    }
    assert status == {
        "state": told,
        "description": f"{state}, revision 3",
        "auto_inactive": True,
        "log_url": "https://github.example/acme/orders/actions/runs/7",
    }


@pytest.mark.parametrize("status", [403, 500])
def test_what_github_refuses_is_told_and_takes_nothing_from_the_deployment(status: int) -> None:
    client = httpx.Client(
        base_url="http://github.example/api/v3/",
        transport=httpx.MockTransport(lambda _request: httpx.Response(status, json={"message": "no"})),
    )
    lost = record.attempt(GitHub(client, "acme"), JOB, "dev", Outcome(State.DEPLOYED, 3, images=[IMAGE]))
    assert "not recorded on GitHub" in lost
    assert not record.attempt(github([]), JOB, "dev", Outcome(State.DEPLOYED, 3, images=[IMAGE]))


def test_the_deployments_of_a_repository() -> None:
    (row,) = record.deployments(github([]), "acme/orders")
    assert row == {"environment": "dev", "when": "t", "state": "failure", "commit": "0123abc", "ref": "main", "by": ""}


def test_a_repository_that_is_not_there_is_not_an_empty_one() -> None:
    client = httpx.Client(
        base_url="http://github.example/api/v3/",
        transport=httpx.MockTransport(lambda _request: httpx.Response(404, json={"message": "Not Found"})),
    )
    with pytest.raises(DeliveryError, match="no repository acme/none"):
        record.deployments(GitHub(client, "acme"), "acme/none")


def test_outside_of_a_job_it_says_what_is_missing() -> None:
    with pytest.raises(DeliveryError, match="set GITHUB_REPOSITORY and GITHUB_SHA"):
        record.where({"GITHUB_REPOSITORY": "acme/orders"})
