"""An AWS in this process (moto), and a fleet."""

from collections.abc import Generator
from functools import cache
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from pavedpath_runners.configuration import Fleet, Pool


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@cache
def client(service: str) -> Any:
    """Kept for all tests: reading a service's model takes longer than most of them."""
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    # boto3's function is typed for each service's literal name.
    return cast(Any, boto3).client(service, region_name="eu-west-1", **keys)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """Makes clients of an empty account: `aws("ec2")`."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # thousands, which take moto seconds
    with mock_aws():
        yield client


@pytest.fixture
def pool() -> Pool:
    return Pool(
        name="small",
        labels=("self-hosted", "linux", "arm64"),
        instance_types=("c7g.large", "m7g.large"),
        subnet_ids=("subnet-a", "subnet-b"),
        launch_template_id="lt-1",
        maximum=3,
    )


@pytest.fixture
def fleet(pool: Pool) -> Fleet:
    return Fleet(
        name="dev",
        organization="acme",
        pools=(pool,),
        repositories=("orders", "storefront"),
        zones={"subnet-a": "eu-west-1a", "subnet-b": "eu-west-1b"},
    )
