"""What workflow files refer to."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.drift.workflows import Reference, read

from tests.unit.delivery.drift.repository import WORKFLOW


def test_secrets_are_found_with_the_environment_of_their_job() -> None:
    found = read("cd.yml", WORKFLOW)
    assert found.references == {Reference("cd.yml", "TOKEN", "prod"), Reference("cd.yml", "KUBECONFIG", "prod")}
    assert not found.opaque
    assert found.unpinned == ()


def test_what_callers_hand_in_and_what_every_run_has_is_no_reference() -> None:
    text = """
on: {workflow_call: {secrets: {given: {required: true}}}}
env: {A: "${{ secrets.GITHUB_TOKEN }}"}
jobs:
  a:
    if: secrets.CONDITION != ''
    environment: {name: "${{ inputs.environment }}"}
    steps: [{run: "${{ secrets.GIVEN || 'secrets' }}"}]
"""
    found = read("x.yml", text)
    assert found.references == {Reference("x.yml", "CONDITION", "*")}
    assert not found.opaque


@pytest.mark.parametrize("text", ["${{ toJSON(secrets) }}", "${{ secrets[matrix.name] }}"])
def test_a_secret_without_its_name_is_noticed(text: str) -> None:
    assert read("x.yml", f'jobs: {{a: {{steps: [{{run: "{text}"}}]}}}}').opaque


@pytest.mark.parametrize(
    ("uses", "pinned"),
    [
        ("./local", True),
        (f"a/b@{'0' * 40}", True),
        (f"docker://image@sha256:{'0' * 64}", True),
        ("a/b@v4", False),
        ("a/b@main", False),
        ("a/b", False),
        (f"a/b@{'0' * 39}", False),
        ("docker://image:1", False),
    ],
)
def test_only_a_whole_hash_pins(uses: str, pinned: bool) -> None:
    assert (read("x.yml", f"jobs: {{a: {{steps: [{{uses: '{uses}'}}]}}}}").unpinned == ()) is pinned


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):  # any other error is a failure
        read("x.yml", text)
