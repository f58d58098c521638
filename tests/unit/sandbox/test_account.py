from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from pavedpath_sandbox.account import fill_empty_secrets


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield cast(Any, boto3).client("secretsmanager", region_name="us-east-1")


def test_only_the_empty_secrets_of_that_name_are_filled(secrets_manager: Any) -> None:
    secrets_manager.create_secret(Name="pavedpath/dev/fleet/app-key-1")
    secrets_manager.create_secret(Name="pavedpath/dev/fleet/app-key-2", SecretString="a person's own")
    secrets_manager.create_secret(Name="pavedpath/dev/fleet/webhook")
    assert fill_empty_secrets(secrets_manager, "pavedpath/dev/fleet/app-key", "PEM") == [
        "pavedpath/dev/fleet/app-key-1"
    ]
    values = [
        secrets_manager.get_secret_value(SecretId=f"pavedpath/dev/fleet/app-key-{each}")["SecretString"]
        for each in (1, 2)
    ]
    assert values == ["PEM", "a person's own"]
    assert fill_empty_secrets(secrets_manager, "pavedpath/dev/fleet/app-key", "PEM") == []
