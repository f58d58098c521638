import json

import pytest

from services.api.app import Metrics, largest_prime_up_to, respond

READY = {"DATABASE_URL": "postgres://db", "SESSION_KEY": "key"}


@pytest.mark.parametrize(("limit", "prime"), [(1, None), (2, 2), (4, 3), (100, 97), (7919, 7919)])
def test_the_largest_prime(limit: int, prime: int | None) -> None:
    assert largest_prime_up_to(limit) == prime


def test_it_is_ready_only_with_its_secrets() -> None:
    assert respond("/ready", READY)[0] == 200
    status, _, body = respond("/ready", {"SESSION_KEY": "key"})
    assert (status, body) == (503, "not set: DATABASE_URL\n")


@pytest.mark.parametrize("path", ["/compute/prime", "/compute/prime?n=-1", "/compute/prime?n=99999999999"])
def test_a_number_that_cannot_be_is_refused(path: str) -> None:
    assert respond(path, READY)[0] == 400


def test_it_computes_and_names_its_version() -> None:
    assert json.loads(respond("/compute/prime?n=100", READY)[2]) == {"n": 100, "prime": 97}
    assert json.loads(respond("/version", {"APP_VERSION": "v1"})[2]) == {"version": "v1"}
    assert respond("/healthz", {})[0] == 200
    assert respond("/nowhere", {})[0] == 404


def test_requests_are_counted() -> None:
    metrics = Metrics()
    metrics.count("/healthz", 200)
    metrics.count("/healthz", 200)
    assert 'http_requests_total{path="/healthz",status="200"} 2' in metrics.render()
