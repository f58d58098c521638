import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.smoke.spec import SCHEMA_FILE, Endpoint, Spec, headers, load, schema, steps


def write(path: Path, document: Any) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def test_without_a_file_the_standard_endpoints_are_asked() -> None:
    assert [each.path for each in load(None).all] == ["/healthz", "/ready", "/metrics"]
    assert "http_requests_total" in load(None).all[2].matches


def test_an_endpoint_takes_the_place_of_its_standard_one(tmp_path: Path) -> None:
    own = {"endpoints": [{"path": "/ready", "status": [200, 204]}, {"path": "/api", "json": {"$.ok": True}}]}
    spec = load(write(tmp_path / "s.yaml", own))
    assert [(each.path, each.good) for each in spec.all] == [
        ("/healthz", (200,)),
        ("/metrics", (200,)),
        ("/ready", (200, 204)),
        ("/api", (200,)),
    ]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    wrong = [
        {"path": "healthz"},
        {"path": "/a", "matches": "("},
        {"path": "/b", "json": {"name": 1}},
        {"path": "/c", "method": "HEAD", "contains": "x"},
        {"path": "/d", "stauts": 200},
        {"path": "/e", "latency_ms": 0},
    ]
    with pytest.raises(DeliveryError) as caught:
        load(write(tmp_path / "s.yaml", {"endpoints": wrong}))
    assert caught.value.code is Exit.USAGE
    said = str(caught.value)
    for part in ("0.path", "regular expression", "no JSON path", "HEAD has no body", "4.stauts", "5.latency_ms"):
        assert part in said


@pytest.mark.parametrize("text", ["a: [", "standard: false"])
def test_a_file_that_says_nothing_is_a_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(DeliveryError) as caught:
        load(tmp_path / "s.yaml")
    assert caught.value.code is Exit.USAGE
    with pytest.raises(DeliveryError):
        load(tmp_path / "none.yaml")


names = st.from_regex(r"[A-Za-z_][\w-]{0,8}", fullmatch=True).filter(str.isascii)


@given(st.lists(st.one_of(names, st.integers(0, 99)), max_size=6))
def test_a_json_path_is_taken_apart_as_it_was_put_together(path: list[str | int]) -> None:
    text = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    assert steps(text) == path


@pytest.mark.parametrize("path", ["name", "$name", "$.a b", "$[x]", "$.", "$..a"])
def test_what_is_no_json_path(path: str) -> None:
    with pytest.raises(ValueError, match="no JSON path"):
        steps(path)


def test_headers_take_their_secrets_from_variables() -> None:
    endpoint = Endpoint.model_validate({"path": "/", "request": {"headers": {"Authorization": "Bearer ${TOKEN}"}}})
    assert headers(endpoint, {"TOKEN": "t"}) == {"Authorization": "Bearer t"}
    with pytest.raises(DeliveryError, match="not set: TOKEN"):
        headers(endpoint, {"TOKEN": ""})


def test_the_committed_schema_is_current() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == schema(), "run .venv/bin/python -m pavedpath_delivery.smoke.spec"


def test_the_example_of_the_page_is_a_smoke_test(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[4] / "docs/commands/smoke.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "smoke.yaml").write_text(example)
    assert len(load(tmp_path / "smoke.yaml").all) == 6


def test_a_title_says_no_query() -> None:
    assert Endpoint(path="/login?token=secret").title == "GET /login"
    assert Spec.model_validate({"endpoints": [{"path": "/", "name": "home"}]}).all[-1].title == "home"
