"""Components in a cluster, and those whose content comes from a registry, against the real engine."""

import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from typing import Any

import httpx
import pytest
from pavedpath.charts import Chart, ChartError

from tests.integration.conftest import ROOT, World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

DIGEST = "sha256:" + "a" * 64
SECRET = "first-and-never-shown"


def test_the_cluster_knows_the_resources_of_operators_as_they_were_pinned(world: World) -> None:
    with world.kubernetes() as api:
        for path in ("external-secrets.io/v1/secretstores", "monitoring.coreos.com/v1/prometheusrules"):
            assert api.get(f"/apis/{path}").json()["items"] == []
    packages = tomllib.loads((ROOT / "toolchain/toolchain.toml").read_text())["package"]
    for package in (each for each in packages.values() if each["kind"] == "manifests"):
        for name, pinned in package["download"]["sha256"].items():
            assert hashlib.sha256((ROOT / ".toolchain/crds" / name).read_bytes()).hexdigest() == pinned


NAMESPACE = f"""\
import pulumi
from pavedpath import ExternalSecrets, Namespace, RotatingSecret

namespace = Namespace("shop", {{
    "name": "shop",
    "server": "https://127.0.0.1:6443",
    "quota": {{"cpu": "1000m", "memory": "2Gi", "pods": PODS}},
    "ingress_namespaces": ["ingress-nginx"],
    "deny_egress": True,
    "egress_cidrs": ["10.0.0.0/16"],
}})
secret = RotatingSecret("database", {{
    "name": "dev/shop/database",
    "initial_value": "{SECRET}",
    "recovery_window_days": DAYS,
}})
RotatingSecret("cache", {{
    "name": "dev/shop/cache",
    "initial_value": "{SECRET}",
    "rotation_lambda_arn": "arn:aws:lambda:us-east-1:123456789012:function:rotate",
    "rotate_every_days": DAYS,
}})
secrets = ExternalSecrets("shop", {{
    "namespace": namespace.namespace,
    "secrets": {{"shop": {{"DATABASE_URL": {{"key": secret.secret_name, "property": "url"}}}}}},
    "refresh_minutes": MINUTES,
    "aws": {{
        "region": "us-east-1",
        "secret_arns": [secret.arn],
        "cluster_provider_arn": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123ABCD",
    }},
}})
pulumi.export("arn", secret.arn)
pulumi.export("role", secrets.role_arn)
"""


def namespace(pods: int = 10, days: int = 30, minutes: int = 60) -> str:
    return NAMESPACE.replace("PODS", str(pods)).replace("DAYS", str(days)).replace("MINUTES", str(minutes))


@pytest.fixture(scope="module")
def shop(world: World) -> Lifecycle:
    _function(world)
    made = Lifecycle.begin(world, "shop")
    made.up(namespace())
    return made


def _function(world: World) -> None:
    """Make a Lambda function that can be asked for the next value."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = world.aws("iam").create_role(RoleName="rotate", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archived:
        archived.writestr("main.py", "def handler(event, context): pass\n")
    world.aws("lambda").create_function(
        FunctionName="rotate",
        Runtime="python3.12",
        Role=role,
        Handler="main.handler",
        Code={"ZipFile": code.getvalue()},
    )


class TestNamespace:
    def test_nothing_differs_after_it_was_made(self, shop: Lifecycle) -> None:
        assert shop.preview(namespace()) == {}
        assert shop.drift() == {}

    def test_its_quota_holds_and_a_container_gets_what_it_does_not_state(self, shop: Lifecycle) -> None:
        container = {"name": "it", "image": "registry.example/it"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it"}, "spec": {"containers": [container]}}
        with shop.world.kubernetes() as api:
            made = api.post("/api/v1/namespaces/shop/pods", json=pod)
            assert made.status_code == 201, made.text
            resources = made.json()["spec"]["containers"][0]["resources"]
            assert resources == {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}
            large = {**container, "resources": {"requests": {"cpu": "2"}}}
            refused = api.post(
                "/api/v1/namespaces/shop/pods", json={**pod, "metadata": {"name": "b"}, "spec": {"containers": [large]}}
            )
            assert refused.status_code == 403
            assert "exceeded quota: quota" in refused.json()["message"]
            api.delete("/api/v1/namespaces/shop/pods/it", params={"gracePeriodSeconds": 0})

    def test_its_network_is_closed(self, shop: Lifecycle) -> None:
        with shop.world.kubernetes() as api:
            policies = api.get("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies").json()["items"]
        found = {each["metadata"]["name"]: each["spec"] for each in policies}
        assert found["default-deny-ingress"]["policyTypes"] == ["Ingress"]
        assert found["default-deny-ingress"]["podSelector"] == {}
        assert {"ipBlock": {"cidr": "10.0.0.0/16"}} in found["default-deny-egress"]["egress"][1]["to"]

    def test_the_operator_finds_its_resources_and_its_role_reads_this_secret_alone(self, shop: Lifecycle) -> None:
        outputs = shop.outputs()
        with shop.world.kubernetes() as api:
            store = api.get("/apis/external-secrets.io/v1/namespaces/shop/secretstores/external-secrets").json()
            secret = api.get("/apis/external-secrets.io/v1/namespaces/shop/externalsecrets/shop").json()
            account = api.get("/api/v1/namespaces/shop/serviceaccounts/external-secrets").json()
        assert store["spec"]["provider"]["aws"]["auth"]["jwt"]["serviceAccountRef"]["name"] == "external-secrets"
        assert secret["spec"]["data"][0]["remoteRef"]["key"] == "dev/shop/database"
        assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] == outputs["role"]
        iam, role = shop.world.aws("iam"), outputs["role"].rpartition("/")[2]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        (statement,) = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        assert statement["Resource"] == [outputs["arn"]]
        (trust,) = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        assert "system:serviceaccount:shop:external-secrets" in trust["Condition"]["StringEquals"].values()

    def test_the_secret_is_closed_and_its_value_is_in_no_plain_state(self, shop: Lifecycle) -> None:
        manager, arn = shop.world.aws("secretsmanager"), shop.outputs()["arn"]
        assert manager.get_secret_value(SecretId=arn)["SecretString"] == SECRET
        denied = json.loads(manager.get_resource_policy(SecretId=arn)["ResourcePolicy"])["Statement"]
        assert {each["Sid"]: each["Effect"] for each in denied} == {
            "DenyWithoutTls": "Deny",
            "DenyOtherAccounts": "Deny",
        }
        assert SECRET not in shop.pulumi("stack", "export")

    def test_a_rotated_value_is_not_put_back(self, shop: Lifecycle) -> None:
        manager, arn = shop.world.aws("secretsmanager"), shop.outputs()["arn"]
        manager.put_secret_value(SecretId=arn, SecretString="the-second")
        other = namespace().replace(SECRET, "another-first")
        assert shop.preview(other) == {}
        assert manager.get_secret_value(SecretId=arn)["SecretString"] == "the-second"

    def test_another_name_replaces_the_secret_or_the_account_and_nothing_else(self, shop: Lifecycle) -> None:
        renamed = shop.preview(namespace().replace('"dev/shop/cache"', '"dev/shop/session"'))
        assert renamed == {
            "replace": {"Secret cache", "SecretPolicy cache", "SecretRotation cache", "SecretVersion cache"}
        }
        account = shop.preview(
            namespace().replace('"refresh_minutes"', '"service_account": "reader", "refresh_minutes"')
        )
        assert account["replace"] == {"ServiceAccount shop", "SecretStore shop"}
        assert set(account["update"]) == {"Role shop", "ExternalSecret shop-shop"}

    def test_sizes_and_intervals_change_in_place_and_all_can_be_deleted(self, shop: Lifecycle) -> None:
        assert shop.up(namespace(pods=20, days=7, minutes=5)) == {
            "update": {"ResourceQuota shop", "Secret database", "SecretRotation cache", "ExternalSecret shop-shop"}
        }
        described = shop.world.aws("secretsmanager").describe_secret(SecretId="dev/shop/cache")
        assert described["RotationRules"] == {"AutomaticallyAfterDays": 7}
        shop.destroy()
        with shop.world.kubernetes() as api:
            assert api.get("/apis/external-secrets.io/v1/secretstores").json()["items"] == []


APPLICATION = f"""\
import os
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes
from pavedpath import Chart, HelmApplication

chart = Chart.fetch("REGISTRY/charts", "web-service", "0.1.0", "PINNED", cache=Path(".charts"))
namespace = kubernetes.core.v1.Namespace("web", metadata={{"name": "web"}})
application = HelmApplication("web", {{
    **chart.arguments(),
    "release": "web",
    "namespace": "web",
    "require_image_digest": True,
    "values": {{"image": {{"repository": "registry.example/web", "digest": "{DIGEST}"}}, "replicas": REPLICAS}},
}}, pulumi.ResourceOptions(depends_on=[namespace]))
pulumi.export("revision", application.revision)
"""


def archive(notes: str = "") -> bytes:
    """Package charts/web-service as Helm does, with a file of its own; the same bytes each time."""
    buffer = io.BytesIO()
    source = ROOT / "charts/web-service"
    files = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    if notes:
        files["templates/NOTES.txt"] = notes.encode()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(f"web-service/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


class Registry:
    """The sandbox's registry, spoken to as `helm push` does."""

    def __init__(self, world: World) -> None:
        ports = json.loads(world.sandbox.layout.state_file.read_text())["ports"]
        self.host = f"127.0.0.1:{ports['registry']}"

    def push(self, content: bytes) -> str:
        """Push a chart as web-service 0.1.0 and return its manifest's digest."""
        with httpx.Client(base_url=f"http://{self.host}", timeout=120) as client:
            config = self._blob(client, b"{}")
            layer = self._blob(client, content)
            manifest = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", **layer}],
            }
            put = client.put(
                "/v2/charts/web-service/manifests/0.1.0",
                content=json.dumps(manifest),
                headers={"Content-Type": str(manifest["mediaType"])},
            )
            assert put.status_code == 201, put.text
            return put.headers["Docker-Content-Digest"]

    def _blob(self, client: httpx.Client, content: bytes) -> dict[str, str | int]:
        begun = client.post("/v2/charts/web-service/blobs/uploads/")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        done = client.put(httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest}), content=content)
        assert done.status_code == 201, done.text
        return {"digest": digest, "size": len(content)}


def application(registry: Registry, pinned: str, replicas: int = 2) -> str:
    program = APPLICATION.replace("REGISTRY", f"oci://{registry.host}").replace("PINNED", pinned)
    return program.replace("REPLICAS", str(replicas))


@pytest.fixture(scope="module")
def registry(world: World) -> Registry:
    return Registry(world)


@pytest.fixture(scope="module")
def pinned(registry: Registry) -> str:
    return registry.push(archive())


@pytest.fixture(scope="module")
def web(world: World, registry: Registry, pinned: str) -> Lifecycle:
    made = Lifecycle.begin(world, "web")
    made.up(application(registry, pinned))
    return made


class TestHelmApplication:
    def test_it_is_deployed_from_the_verified_archive(self, web: Lifecycle, registry: Registry, pinned: str) -> None:
        (release,) = (each for each in _resources(web) if each["type"] == "kubernetes:helm.sh/v3:Release")
        assert release["inputs"]["chart"] == f"./.charts/{pinned.replace(':', '-')}/web-service-0.1.0.tgz"
        assert release["inputs"]["description"] == f"chart {pinned}"
        with web.world.kubernetes() as api:
            deployment = api.get("/apis/apps/v1/namespaces/web/deployments/web").json()
        assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"registry.example/web@{DIGEST}"
        assert web.preview(application(registry, pinned)) == {}
        assert web.drift() == {}

    def test_another_digest_is_refused_before_anything_changes(self, web: Lifecycle, registry: Registry) -> None:
        told = web.refused(application(registry, "sha256:" + "0" * 64))
        assert "404" in told
        assert "Traceback" not in told
        local = archive("local")
        path = web.directory / "local.tgz"
        path.write_bytes(local)
        with pytest.raises(
            ChartError, match=rf"(?s)expected {DIGEST}.*found +sha256:{hashlib.sha256(local).hexdigest()}"
        ):
            Chart.read(path, DIGEST)

    def test_all_values_are_refused_before_anything_changes(
        self, web: Lifecycle, registry: Registry, pinned: str
    ) -> None:
        program = application(registry, pinned).replace('"digest": "', '"tag": "v1", "digets": "')
        told = web.refused(program.replace('"replicas": 2', '"replicas": "two"'))
        for offender in ("values.image", "values.image.digest", "values.replicas"):
            assert re.search(rf"- {re.escape(offender)}[ :]", told), told
        assert "Traceback" not in told

    def test_what_is_changed_by_hand_through_helm_is_seen_and_what_is_changed_past_it_is_not(
        self, web: Lifecycle, registry: Registry, pinned: str
    ) -> None:
        web.up(application(registry, pinned, replicas=3))
        with web.world.kubernetes() as api:
            scaled = api.patch(
                "/apis/apps/v1/namespaces/web/deployments/web",
                content=json.dumps({"spec": {"replicas": 5}}),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            assert scaled.status_code == 200
        assert web.drift() == {}  # Helm's record still says what was deployed; docs/components/helm-application.md
        _helm(web, "rollback", "web", "1", "--namespace", "web")
        assert web.drift() == {"update": {"Release web"}}
        web.pulumi("up", "--yes", "--skip-preview", "--refresh")
        with web.world.kubernetes() as api:
            assert api.get("/apis/apps/v1/namespaces/web/deployments/web").json()["spec"]["replicas"] == 3

    def test_a_template_that_changed_under_the_same_version_is_an_upgrade(
        self, web: Lifecycle, registry: Registry
    ) -> None:
        other = registry.push(archive("changed"))
        assert web.up(application(registry, other, replicas=3)) == {"update": {"Release web"}}
        assert f"chart {other}" in _helm(web, "history", "web", "--namespace", "web")
        web.destroy()


def _resources(made: Lifecycle) -> list[dict[str, Any]]:
    exported = made.pulumi("stack", "export")
    return json.loads(exported[exported.index("{") :])["deployment"]["resources"]


def _helm(made: Lifecycle, *arguments: str) -> str:
    program = ROOT / ".toolchain/bin/helm"
    if not program.exists():
        pytest.skip("no helm. Fix: python -m toolchain ensure --with helm")
    environment = {**made.world.environment, "HELM_CACHE_HOME": str(made.directory / "helm")}
    done = subprocess.run([str(program), *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
