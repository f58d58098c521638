from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast
from unittest import mock

import moto.kms.models as kms_models
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.aws import determinism
from pavedpath_sandbox.aws.determinism import key_identity

Start = Callable[[Path | None], AbstractContextManager[Any]]
SOPS_KEY = "SOPS key of pavedpath dev"


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 5), st.integers(0, 5))
def test_keys_are_told_apart_by_description_and_occurrence(one: str, two: str, first: int, second: int) -> None:
    same = (one, first) == (two, second)
    identities = [key_identity("1", "r", description, n) for description, n in ((one, first), (two, second))]
    assert (identities[0][0] == identities[1][0]) is same
    assert (identities[0][1] == identities[1][1]) is same
    assert len(identities[0][1]) == 32


def test_the_derivation_never_changes() -> None:
    # Committed SOPS files depend on it.
    identity, material = key_identity("123456789012", "us-east-1", SOPS_KEY, 0)
    assert identity == "abcaf568-8c4e-40f2-803f-f6f2e5610913"
    assert material.hex()[:16] == MATERIAL_PREFIX


MATERIAL_PREFIX = "1f5b5cc2720f32b3"


def test_a_file_sealed_in_one_sandbox_opens_in_another(start_aws: Start) -> None:
    with start_aws(None) as aws:
        kms = aws.client("kms")
        key = kms.create_key(Description=SOPS_KEY)["KeyMetadata"]["Arn"]
        sealed = kms.encrypt(KeyId=key, Plaintext=b"value")["CiphertextBlob"]
    with start_aws(None) as aws:
        kms = aws.client("kms")
        kms.create_key(Description="another key first")
        assert kms.create_key(Description=SOPS_KEY)["KeyMetadata"]["Arn"] == key
        assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"value"


def test_a_deleted_key_gives_its_identity_to_the_next(aws: Any) -> None:
    kms = aws.client("kms")
    tags = [{"TagKey": "old", "TagValue": "1"}]
    first = kms.create_key(Description=SOPS_KEY, Tags=tags)["KeyMetadata"]["KeyId"]
    second = kms.create_key(Description=SOPS_KEY)["KeyMetadata"]["KeyId"]
    assert second != first
    kms.schedule_key_deletion(KeyId=first, PendingWindowInDays=7)
    third = kms.create_key(Description=SOPS_KEY)["KeyMetadata"]
    assert third["KeyId"] == first
    assert third["KeyState"] == "Enabled"
    assert kms.list_resource_tags(KeyId=first)["Tags"] == []
    assert kms.describe_key(KeyId=second)["KeyMetadata"]["KeyState"] == "Enabled"


def test_keys_differ_by_region_and_keep_the_multi_region_prefix(aws: Any) -> None:
    here, there = (aws.client("kms", region) for region in ("us-east-1", "eu-west-1"))
    ids = [client.create_key(Description="k")["KeyMetadata"]["KeyId"] for client in (here, there)]
    assert ids[0] != ids[1]
    assert here.create_key(Description="m", MultiRegion=True)["KeyMetadata"]["KeyId"].startswith("mrk-")


def test_what_a_backend_is_born_with_is_the_same_everywhere(start_aws: Start) -> None:
    found: list[str] = []
    for _ in range(2):
        with start_aws(None) as aws:
            found.append(aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"])
    assert found[0] == found[1]


def test_a_changed_moto_is_noticed() -> None:
    def generate_key_id() -> str:
        return ""

    models = cast("Any", kms_models)
    with (
        mock.patch.object(models, "generate_key_id", generate_key_id),
        mock.patch.object(determinism, "_installed", []),
        mock.patch.object(determinism, "_hook_backends"),
        pytest.raises(determinism.MotoChangedError, match="generate_key_id"),
    ):
        determinism.install()
