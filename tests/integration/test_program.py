"""The dev stack for real: engine, providers, cluster; one story, in the order in which a person meets it."""

import base64
import json
import re
import subprocess
import time
from typing import Any

import pytest
import yaml

from tests.integration.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("deployed")]

REPOSITORY = "repos/acme/storefront"
# Without a chart in the stack: its own repository's workflows deploy it.
SERVICE = "repos/acme/orders"
DEPLOYMENTS = "/apis/apps/v1/namespaces/storefront/deployments"
VALUES = "etc/helm_values/storefront/dev.yaml"


@pytest.fixture(scope="module")
def deployed(world: World) -> str:
    """The printed output of the first `up`."""
    return world.stack("up", "shared", "dev")


def ruleset(world: World) -> dict[str, Any]:
    with world.github() as github:
        (listed,) = [each for each in github.get(f"{REPOSITORY}/rulesets").json() if each["name"] == "default-branch"]
        return github.get(f"{REPOSITORY}/rulesets/{listed['id']}").json()


def rule(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(each["parameters"] for each in found["rules"] if each["type"] == kind)


def secrets_of(world: World) -> dict[str, str]:
    path = "etc/helm_values/storefront/dev.secrets.yaml"
    return world.json("sops", "decrypt", "--output-type", "json", path)["secrets"]


def kubeconfig_secret(world: World, application: str = "storefront") -> str:
    with world.github() as github:
        name = f"KUBECONFIG_{application.upper()}"
        wanted = {"repository": application, "environment": "dev", "name": name}
        answer = github.post("/_sandbox/secrets/decrypt", json=wanted)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]


class TestUp:
    def test_ends_with_a_summary_that_fits_a_screen(self, world: World, deployed: str) -> None:
        summary = world.stack("summary", "shared", "dev")
        assert len(summary.splitlines()) <= 24
        for part in ("network", "10.10.0.0/16", "alias/pavedpath-dev-sops", "storefront", "deployed"):
            assert part in summary
        everything = world.stack("summary", "--all", "shared", "dev")
        for part in ("vpc-", "arn:aws:kms:us-east-1", "dev-DeploymentFailed", "oci://"):
            assert part in everything
        assert "using pulumi-" not in deployed

    def test_the_network_spans_three_zones(self, world: World) -> None:
        ec2 = world.aws("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["dev"]}])["Vpcs"]
        subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
        assert len(subnets) == 9
        assert {subnet["AvailabilityZone"] for subnet in subnets} == {"us-east-1a", "us-east-1b", "us-east-1c"}

    def test_the_key_rotates_and_the_registry_scans_and_fixes_tags(self, world: World) -> None:
        kms = world.aws("kms")
        key = kms.describe_key(KeyId="alias/pavedpath-dev-sops")["KeyMetadata"]["KeyId"]
        assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
        repositories = world.aws("ecr").describe_repositories()["repositories"]
        assert {each["repositoryName"] for each in repositories} == {
            *("storefront/api", "orders/api", "orders/worker"),
            *("charts/web-service", "charts/orders"),
        }
        assert {each["imageTagMutability"] for each in repositories} == {"IMMUTABLE"}
        assert all(each["imageScanningConfiguration"] == {"scanOnPush": True} for each in repositories)

    def test_the_deploy_role_trusts_the_environment_by_both_subjects(self, world: World) -> None:
        (role,) = [r for r in world.aws("iam").list_roles()["Roles"] if "storefront" in r["RoleName"]]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        with world.github() as github:
            ids = github.get(REPOSITORY).json()
        assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
            "repo:acme/storefront:environment:dev",
            f"repo:acme@{ids['owner']['id']}/storefront@{ids['id']}:environment:dev",
        ]

    def test_main_is_protected_and_carries_its_workflow(self, world: World) -> None:
        found = ruleset(world)
        assert found["enforcement"] == "active"
        assert rule(found, "pull_request")["required_approving_review_count"] == 1
        checks = rule(found, "required_status_checks")
        assert checks["strict_required_status_checks_policy"] is True
        with world.github() as github:
            answer = github.get(f"{REPOSITORY}/contents/.github/workflows/checks.yml").json()
        workflow = yaml.safe_load(base64.b64decode(answer["content"]))
        assert {check["context"] for check in checks["required_status_checks"]} <= set(workflow["jobs"])

    def test_the_environment_has_its_policy_variables_and_secret(self, world: World) -> None:
        with world.github() as github:
            base = f"{REPOSITORY}/environments/dev"
            policies = github.get(f"{base}/deployment-branch-policies").json()["branch_policies"]
            variables = {v["name"]: v["value"] for v in github.get(f"{base}/variables").json()["variables"]}
            names = [secret["name"] for secret in github.get(f"{base}/secrets").json()["secrets"]]
        assert [policy["name"] for policy in policies] == ["main"]
        assert json.loads(variables["RUNNER_LABELS"]) == ["self-hosted", "linux", "arm64", "dev"]
        assert variables["AWS_DEPLOY_ROLE"].startswith("arn:aws:iam::")
        assert names == ["KUBECONFIG_STOREFRONT"]

    def test_the_secret_is_a_kubeconfig_that_deploys_here_and_nowhere_else(self, world: World) -> None:
        with world.kubernetes(kubeconfig_secret(world)) as deployer:
            assert deployer.get(DEPLOYMENTS).status_code == 200
            assert deployer.get("/apis/apps/v1/namespaces/kube-system/deployments").status_code == 403
            assert deployer.get("/apis/rbac.authorization.k8s.io/v1/namespaces/storefront/roles").status_code == 403
            assert deployer.post("/api/v1/namespaces/storefront/pods/any/exec").status_code in (403, 404)

    def test_a_services_repository_carries_what_delivers_it(self, world: World) -> None:
        with world.github() as github:
            listed = github.get(f"{SERVICE}/contents/.github/workflows").json()
            workflows = {
                each["name"]: yaml.safe_load(
                    base64.b64decode(github.get(f"{SERVICE}/contents/{each['path']}").json()["content"])
                )
                for each in listed
            }
            (ruleset,) = [each for each in github.get(f"{SERVICE}/rulesets").json() if each["name"] == "default-branch"]
            found = github.get(f"{SERVICE}/rulesets/{ruleset['id']}").json()
            base = f"{SERVICE}/environments/dev"
            variables = {v["name"]: v["value"] for v in github.get(f"{base}/variables").json()["variables"]}
            secrets = [secret["name"] for secret in github.get(f"{base}/secrets").json()["secrets"]]
        jobs = {name for workflow in workflows.values() for name in workflow["jobs"]}
        required = {check["context"] for check in rule(found, "required_status_checks")["required_status_checks"]}
        assert required
        assert required <= jobs
        assert {"dev_deploy", "prod_deploy"} <= jobs
        assert variables["AWS_REGION"] == "us-east-1"
        assert variables["INGRESS_HOST"] == "orders.dev.example.com"
        assert secrets == ["KUBECONFIG_ORDERS"]

    def test_a_services_namespace_waits_for_what_its_repository_deploys(self, world: World) -> None:
        path = "/apis/apps/v1/namespaces/{}/deployments"
        with world.kubernetes(kubeconfig_secret(world, "orders")) as deployer:
            answer = deployer.get(path.format("orders"))
            assert answer.status_code == 200
            assert answer.json()["items"] == []
            assert deployer.get(path.format("storefront")).status_code == 403
            assert deployer.get("/api/v1/nodes").status_code == 403

    def test_the_application_runs_with_its_secrets(self, world: World) -> None:
        expected = secrets_of(world)
        with world.kubernetes() as cluster:
            deployment = cluster.get(f"{DEPLOYMENTS}/storefront").json()
            secret = cluster.get("/api/v1/namespaces/storefront/secrets/storefront").json()["data"]
        assert deployment["status"]["readyReplicas"] == 2
        assert {key: base64.b64decode(value).decode() for key, value in secret.items()} == expected

    def test_no_secret_is_in_plain_text_in_state_or_output(self, world: World, deployed: str) -> None:
        tokens = [
            yaml.safe_load(kubeconfig_secret(world, name))["users"][0]["user"]["token"]
            for name in ("storefront", "orders")
        ]
        kept = "\n".join(
            path.read_text(errors="replace")
            for path in (world.directory / ".sandbox" / "pulumi").rglob("*")
            if path.is_file()
        )
        logs = "\n".join(
            path.read_text(errors="replace") for path in (world.directory / ".sandbox" / "logs").rglob("*.log")
        )
        assert '"storefront"' in kept
        for value in [*secrets_of(world).values(), *tokens, *world.sandbox.environment()["GITHUB_TOKEN"].split()]:
            for form in (value, base64.b64encode(value.encode()).decode()):
                assert form not in kept
                assert form not in deployed
                assert form not in logs


class TestAgain:
    def test_a_preview_shows_no_difference(self, world: World) -> None:
        assert world.preview("shared", "dev") == {"shared": [], "dev": []}

    def test_a_second_up_changes_nothing(self, world: World) -> None:
        before = [_identities(world.export(stack)) for stack in ("shared", "dev")]
        printed = world.stack("up", "shared", "dev")
        assert printed.count("nothing changed") == 2
        assert [_identities(world.export(stack)) for stack in ("shared", "dev")] == before

    def test_the_plain_commands_do_the_same(self, world: World) -> None:
        printed = world.run("pulumi", "preview", "--stack", "dev", "--expect-no-changes", "--non-interactive")
        assert "warning" not in printed


def _identities(export: str) -> list[tuple[str, str]]:
    """Return each resource's URN and id; encrypted values differ in every export and are left out."""
    resources = json.loads(export)["deployment"]["resources"]
    return sorted((each["urn"], each.get("id", "")) for each in resources)


class TestDrift:
    def test_a_ruleset_changed_behind_our_back_is_seen_and_restored(self, world: World) -> None:
        found = ruleset(world)
        rule(found, "pull_request")["required_approving_review_count"] = 0
        sent = {key: found[key] for key in ("name", "target", "enforcement", "conditions", "rules", "bypass_actors")}
        with world.github() as github:
            assert github.put(f"{REPOSITORY}/rulesets/{found['id']}", json=sent).status_code == 200
        drift = world.stack("refresh", "shared", "--preview-only")
        assert "requiredApprovingReviewCount" in drift
        assert rule(ruleset(world), "pull_request")["required_approving_review_count"] == 0
        world.stack("refresh", "shared")
        world.stack("up", "shared")
        assert rule(ruleset(world), "pull_request")["required_approving_review_count"] == 1


class TestChange:
    def test_a_preview_shows_the_edited_value_and_nothing_else(self, world: World) -> None:
        world.edit(VALUES, env={"LOG_LEVEL": "warning"})
        changes = world.preview("shared", "dev")
        assert changes["shared"] == []
        (change,) = changes["dev"]
        assert "helm.sh/v3:Release" in change["urn"]
        printed = world.stack("preview", "dev")
        assert "LOG_LEVEL" in printed
        assert "DATABASE_URL" not in printed

    def test_up_rolls_it_out(self, world: World) -> None:
        world.edit(VALUES, env={"LOG_LEVEL": "warning"})
        world.stack("up", "dev")
        with world.kubernetes() as cluster:
            (container,) = cluster.get(f"{DEPLOYMENTS}/storefront").json()["spec"]["template"]["spec"]["containers"]
        assert container["env"] == [{"name": "LOG_LEVEL", "value": "warning"}]

    def test_a_broken_image_is_rolled_back_and_named(self, world: World) -> None:
        config = yaml.safe_load((world.directory / "Pulumi.dev.yaml").read_text())
        config["config"]["pavedpath:applications"]["storefront"]["timeout_seconds"] = 15
        (world.directory / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config))
        world.edit(VALUES, image={"tag": "broken"})
        try:
            printed = world.stack("up", "dev", expect=1)
        finally:
            world.edit(VALUES, image={"tag": "v1.0.0"})
        with world.kubernetes() as cluster:
            deployment = cluster.get(f"{DEPLOYMENTS}/storefront").json()
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert re.search(r"release storefront in namespace storefront: \d+ pod", printed), printed
        assert re.search(r"pod storefront-\S+: (ImagePullBackOff|ErrImagePull)", printed), printed
        assert container["image"].endswith(":v1.0.0")
        world.stack("up", "dev")
        assert world.preview("dev") == {"dev": []}

    def test_settings_that_cannot_be_used_stop_it_before_anything_changes(self, world: World) -> None:
        path = world.directory / "Pulumi.dev.yaml"
        good = path.read_text()
        path.write_text(good.replace("10.10.0.0/16", "10.10.0.0/8").replace("chart: charts/web-service", "chrt: x"))
        try:
            printed = world.stack("up", "dev", expect=1)
        finally:
            path.write_text(good)
        assert "2 mistakes in the settings" in printed
        assert "Traceback" not in printed


class TestSandboxPart:
    @pytest.mark.parametrize("part", ["aws", "github", "kube-apiserver"])
    def test_a_killed_part_comes_back_with_its_state(self, world: World, part: str) -> None:
        (pid,) = [each.pid for each in world.sandbox.status() if each.part == part]
        subprocess.run(["kill", "-9", str(pid)], check=True)
        world.sandbox.up()
        assert world.preview("shared", "dev") == {"shared": [], "dev": []}


class TestDown:
    def test_nothing_is_left(self, world: World) -> None:
        world.stack("down", "--yes", "dev", "shared")
        assert world.json("pulumi", "stack", "ls", "--json") == []
        ec2 = world.aws("ec2")
        assert all(vpc["IsDefault"] for vpc in ec2.describe_vpcs()["Vpcs"])
        assert ec2.describe_addresses()["Addresses"] == []
        assert world.aws("ecr").describe_repositories()["repositories"] == []
        assert world.aws("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"] == []
        with world.github() as github:
            for repository in (REPOSITORY, SERVICE):
                assert github.get(repository).status_code == 404
        with world.kubernetes() as cluster:
            deadline = time.monotonic() + 240
            for namespace in ("storefront", "orders"):
                path = f"/api/v1/namespaces/{namespace}"
                while cluster.get(path).status_code != 404 and time.monotonic() < deadline:
                    time.sleep(1)
                assert cluster.get(path).status_code == 404
