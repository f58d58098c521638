"""dev and prod beside each other for real: each in its own account and cluster, and neither in the other's."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.conftest import World, make_world

pytestmark = pytest.mark.integration

KEY = "alias/pavedpath-{}-sops"
NAMESPACE = "/api/v1/namespaces/storefront"


@pytest.fixture(scope="module")
def dev(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("environments") / "project", ("dev", "prod"))
    with made.sandbox:
        made.stack("up", "shared", "dev")
        yield made


@pytest.fixture(scope="module")
def prod(dev: World) -> World:
    seen = dev.seen_from("prod")
    seen.stack("up", "prod")
    return seen


def aliases(world: World) -> set[str]:
    return {each["AliasName"] for each in world.aws("kms").list_aliases()["Aliases"]}


def resources(world: World, stack: str) -> list[dict[str, Any]]:
    found = json.loads(world.export(stack))["deployment"]["resources"]
    return [each for each in found if each.get("custom") and not each["type"].startswith("pulumi:")]


def test_each_is_in_its_own_account_and_cluster(dev: World, prod: World) -> None:
    assert KEY.format("dev") in aliases(dev)
    assert KEY.format("prod") not in aliases(dev)
    assert KEY.format("prod") in aliases(prod)
    assert KEY.format("dev") not in aliases(prod)
    for world, replicas in ((dev, 2), (prod, 4)):
        with world.kubernetes() as cluster:
            deployment = cluster.get("/apis/apps/v1/namespaces/storefront/deployments/storefront").json()
        assert deployment["status"]["readyReplicas"] == replicas


def test_neither_differs_from_what_is_there(dev: World, prod: World) -> None:
    assert dev.preview("shared", "dev") == {"shared": [], "dev": []}
    assert prod.preview("prod") == {"prod": []}


def test_a_stack_with_the_others_variables_changes_nothing(dev: World, prod: World) -> None:
    before = dev.export("prod")
    printed = " ".join(dev.stack("up", "prod", expect=1).split())
    for part in (
        "stack prod belongs to account '210987654321', but was run with account '123456789012', which is dev's.",
        "stack prod belongs to cluster 'pavedpath-prod', but was run with cluster 'pavedpath-dev', which is dev's.",
        "Nothing was changed.",
    ):
        assert part in printed
    assert dev.export("prod") == before

    only_the_account = {**prod.environment, "AWS_ACCESS_KEY_ID": dev.variables["AWS_ACCESS_KEY_ID"]}
    done = subprocess.run(
        ["pulumi", "up", "--yes", "--stack", "prod"],
        cwd=prod.directory,
        env=only_the_account,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode != 0
    assert "with account '123456789012', which is dev's" in " ".join((done.stdout + done.stderr).split())
    assert prod.export("prod") == before


def test_prod_deploys_from_a_branch_that_two_approve(prod: World) -> None:
    with prod.github() as github:
        base = "repos/acme/storefront"
        policies = github.get(f"{base}/environments/prod/deployment-branch-policies").json()["branch_policies"]
        (guard,) = [each for each in github.get(f"{base}/rulesets").json() if each["name"] == "deploy/prod"]
        rules = {each["type"]: each for each in github.get(f"{base}/rulesets/{guard['id']}").json()["rules"]}
    assert [policy["name"] for policy in policies] == ["deploy/prod"]
    assert rules["pull_request"]["parameters"]["required_approving_review_count"] == 2


def test_what_holds_data_is_protected_in_prod_and_not_in_dev(dev: World, prod: World) -> None:
    held = [each for each in resources(prod, "prod") if each.get("protect")]
    assert {each["type"] for each in held} == {
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:ecr/repository:Repository",
        "aws:kms/alias:Alias",
        "aws:kms/key:Key",
        "kubernetes:core/v1:Namespace",
    }
    assert all(each.get("retainOnDelete") for each in held)
    assert not [each for each in resources(dev, "dev") if each.get("protect") or each.get("retainOnDelete")]


def test_what_holds_no_data_changes_under_protection(prod: World) -> None:
    images = yaml.safe_load((prod.directory / "Pulumi.prod.yaml").read_text())["config"]["pavedpath:images"]
    document = yaml.safe_load((prod.directory / "Pulumi.prod.yaml").read_text())
    document["config"]["pavedpath:images"] = {**images, "keep_images": images["keep_images"] + 1}
    (prod.directory / "Pulumi.prod.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    prod.stack("up", "prod")
    assert prod.preview("prod") == {"prod": []}


def test_what_is_protected_survives_a_destroy(prod: World) -> None:
    printed = prod.run("pulumi", "destroy", "--yes", "--stack", "prod", expect=1)
    assert "protect" in printed
    assert KEY.format("prod") in aliases(prod)
    with prod.kubernetes() as cluster:
        assert cluster.get(NAMESPACE).status_code == 200
