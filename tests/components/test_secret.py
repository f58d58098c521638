"""RotatingSecret: no value in the clear, nobody from outside, and what is refused first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import InvalidArgumentsError, RotatingSecret
from pavedpath.secret import access_policy

from tests.mocks import SECRET, Graph, run

LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:rotate"


def build(**arguments: Any) -> Graph:
    given: Any = {"name": "dev/shop/database", **arguments}
    return run(lambda: RotatingSecret("it", given))


def problems(**arguments: Any) -> set[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        build(**arguments)
    return {problem.argument for problem in caught.value.problems}


def test_a_first_value_is_marked_secret() -> None:
    version = build(initial_value="hunter2").one("aws:secretsmanager/secretVersion:SecretVersion")
    assert version.inputs["secretString"] == SECRET


def test_without_a_value_or_a_function_there_is_the_closed_secret_alone() -> None:
    graph = build()
    made = {node.type_.rpartition(":")[2] for node in graph.nodes.values() if node.custom}
    assert made == {"Secret", "SecretPolicy"}
    secret = graph.one("aws:secretsmanager/secret:Secret")
    assert secret.inputs["recoveryWindowInDays"] == 30
    assert graph.one("aws:secretsmanager/secretPolicy:SecretPolicy").inputs["blockPublicPolicy"] is True


def test_rotation_waits_for_the_first_value() -> None:
    graph = build(initial_value="hunter2", rotation_lambda_arn=LAMBDA, rotate_every_days=7)
    rotation = graph.one("aws:secretsmanager/secretRotation:SecretRotation")
    assert rotation.inputs["rotationRules"] == {"automaticallyAfterDays": 7}
    assert graph.one("aws:secretsmanager/secretVersion:SecretVersion").urn in rotation.depends_on
    monthly = build(rotation_lambda_arn=LAMBDA).one("aws:secretsmanager/secretRotation:SecretRotation")
    assert monthly.inputs["rotationRules"] == {"automaticallyAfterDays": 30}


def test_nobody_without_tls_and_nobody_of_another_account() -> None:
    policy = access_policy("arn:aws:secretsmanager:us-east-1:123456789012:secret:a-AbCdEf")
    tls, others = json.loads(policy)["Statement"]
    assert tls["Effect"] == others["Effect"] == "Deny"
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert others["Condition"]["StringNotEquals"] == {"aws:PrincipalAccount": "123456789012"}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "a b"}, {"name"}),
        ({"name": "database-AbCdEf"}, {"name"}),
        ({"recovery_window_days": 3}, {"recovery_window_days"}),
        ({"rotate_every_days": 7}, {"rotate_every_days"}),
        ({"rotate_every_days": 0, "rotation_lambda_arn": "rotate"}, {"rotate_every_days", "rotation_lambda_arn"}),
        ({"recovery_window_days": "long"}, {"recovery_window_days"}),
    ],
)
def test_every_mistake_is_named(arguments: dict[str, Any], named: set[str]) -> None:
    assert problems(**arguments) == named


@given(st.dictionaries(st.sampled_from(["name", "recovery_window_days", "rotation_lambda_arn"]), st.text() | st.none()))
def test_rubbish_is_an_error_that_names_it(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentsError):
        build(**{"name": "", **arguments, "rotate_every_days": -1})
