"""Registries of images and charts against the real engine."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration

MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": f"sha256:{0:064}"},
    "layers": [],
}


def images(*repositories: str, protect: bool = False, retain: bool = False, **arguments: Any) -> str:
    return f"""\
import pulumi
from pavedpath import ImageRegistry
opts = pulumi.ResourceOptions(protect={protect}, retain_on_delete={retain})
registry = ImageRegistry("images", {{"repositories": {list(repositories)!r}, **{arguments!r}}}, opts)
pulumi.export("urls", registry.repository_urls)
"""


def charts(**arguments: Any) -> str:
    return f"""\
import pulumi
from pavedpath import ChartRegistry
registry = ChartRegistry("charts", {{"charts": ["web-service"], **{arguments!r}}})
pulumi.export("url", registry.url)
pulumi.export("variables", registry.workflow_variables())
"""


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: chartmuseum\nversion: 3.10.4\n",
    # What the real chart makes of the values that are given, as far as this test looks.
    "templates/all.yaml": """\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Values.serviceAccount.name }}
  annotations: {{ toYaml .Values.serviceAccount.annotations | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Values.fullnameOverride }}
spec:
  replicas: {{ .Values.replicaCount }}
  selector: {matchLabels: {app: museum}}
  template:
    metadata:
      labels: {app: museum}
    spec:
      serviceAccountName: {{ .Values.serviceAccount.name }}
      containers:
        - name: museum
          image: example.com/museum:1
          securityContext: {{ toYaml .Values.containerSecurityContext | nindent 12 }}
          env:
            - {name: STORAGE_AMAZON_BUCKET, value: {{ .Values.env.open.STORAGE_AMAZON_BUCKET | quote }}}
            {{- range $name, $key := .Values.env.existingSecretMappings }}
            - name: {{ $name }}
              valueFrom: {secretKeyRef: {name: {{ $.Values.env.existingSecret }}, key: {{ $key }}}}
            {{- end }}
""",
}
PASSWORD, NEXT_PASSWORD = "first-password-of-the-museum", "second-password-of-the-museum"


def museum(chart: Path, password: str, **arguments: Any) -> str:
    given = {
        "bucket": "acme-charts",
        "region": "us-east-1",
        "namespace": "charts",
        "cluster_provider_arn": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0123ABCD",
    }
    local = {"chart": str(chart), "chart_repository": "", "timeout_seconds": 60}
    return f"""\
import pulumi, pulumi_kubernetes as kubernetes
from pavedpath import ChartMuseum
namespace = kubernetes.core.v1.Namespace("charts", metadata={{"name": "charts"}})
museum = ChartMuseum(
    "charts",
    {{**{given!r}, **{local!r}, "password": pulumi.Output.secret({password!r}), **{arguments!r}}},
    pulumi.ResourceOptions(depends_on=[namespace]),
)
pulumi.export("variables", museum.workflow_variables())
pulumi.export("secrets", museum.workflow_secrets())
"""


def policy_of(world: World, repository: str) -> dict[str, Any]:
    return json.loads(world.aws("ecr").get_repository_policy(repositoryName=repository)["policyText"])


def test_an_image_registry_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "images")
    ecr = world.aws("ecr")
    assert stack.up(images("shop/api", "shop/worker")) == {
        "create": {f"{kind} shop/{name}" for kind in ("Repository", "LifecyclePolicy") for name in ("api", "worker")}
    }
    assert stack.drift() == {}
    assert stack.outputs()["urls"]["shop/api"] == "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop/api"

    # ECR replaces a lifecycle policy at every change, and the new one must outlive the old one's deletion.
    changed = stack.up(images("shop/api", "shop/worker", keep_images=5))
    assert changed == {"replace": {"LifecyclePolicy shop/api", "LifecyclePolicy shop/worker"}}
    assert stack.drift() == {}
    rules = json.loads(ecr.get_lifecycle_policy(repositoryName="shop/api")["lifecyclePolicyText"])["rules"]
    assert rules[-1]["selection"]["countNumber"] == 5

    shared: dict[str, Any] = {"keep_images": 5, "pull_accounts": ["210987654321"]}
    assert stack.up(images("shop/api", "shop/worker", **shared)) == {
        "create": {"RepositoryPolicy shop/api", "RepositoryPolicy shop/worker"}
    }
    shared |= {"pull_organization_id": "o-a1b2c3d4e5", "replicate_to": ["eu-west-1"]}
    assert stack.up(images("shop/api", "shop/worker", **shared)) == {
        "create": {"ReplicationConfiguration replication"},
        "update": {"RepositoryPolicy shop/api", "RepositoryPolicy shop/worker"},
    }
    assert stack.drift() == {}
    assert [one["Sid"] for one in policy_of(world, "shop/api")["Statement"]] == [
        "PullFromAccounts",
        "PullFromOrganization",
    ]
    replication = ecr.describe_registry()["replicationConfiguration"]["rules"]
    assert replication[0]["destinations"] == [{"region": "eu-west-1", "registryId": "123456789012"}]

    # One more name moves nothing that is there; what is taken out goes with its policies.
    shared |= {"replicate_to": []}
    assert stack.up(images("shop/api", "shop/web", **shared)) == {
        "create": {f"{kind} shop/web" for kind in ("Repository", "LifecyclePolicy", "RepositoryPolicy")},
        "delete": {
            *{f"{kind} shop/worker" for kind in ("Repository", "LifecyclePolicy", "RepositoryPolicy")},
            "ReplicationConfiguration replication",
        },
    }
    assert ecr.describe_registry()["replicationConfiguration"]["rules"] == []

    ecr.put_image(repositoryName="shop/api", imageManifest=json.dumps(MANIFEST), imageTag="v1.0.0")
    assert "RepositoryNotEmptyException" in stack.refused("")
    assert len(ecr.list_images(repositoryName="shop/api")["imageIds"]) == 1

    assert stack.up(images("shop/api", "shop/web", force_delete=True))["update"] >= {"Repository shop/api"}
    stack.destroy()
    assert ecr.describe_repositories()["repositories"] == []


def test_retained_repositories_outlive_their_stack(world: World) -> None:
    stack = Lifecycle.begin(world, "retained")
    stack.up(images("kept/api", retain=True))
    stack.destroy()
    ecr = world.aws("ecr")
    assert [each["repositoryName"] for each in ecr.describe_repositories()["repositories"]] == ["kept/api"]
    with pytest.raises(ecr.exceptions.LifecyclePolicyNotFoundException):
        ecr.get_lifecycle_policy(repositoryName="kept/api")
    ecr.delete_repository(repositoryName="kept/api")


def test_protection_holds_the_repositories_and_nothing_else(world: World) -> None:
    stack = Lifecycle.begin(world, "protected")
    stack.up(images("held/api", "held/web", protect=True, retain=True, pull_accounts=["210987654321"]))
    changed = stack.up(images("held/api", "held/web", protect=True, retain=True, keep_images=5))
    assert changed == {
        operation: {f"{kind} held/{name}" for name in ("api", "web")}
        for operation, kind in (("replace", "LifecyclePolicy"), ("delete", "RepositoryPolicy"))
    }
    assert stack.drift() == {}
    ecr = world.aws("ecr")
    rules = json.loads(ecr.get_lifecycle_policy(repositoryName="held/api")["lifecyclePolicyText"])["rules"]
    assert rules[-1]["selection"]["countNumber"] == 5
    with pytest.raises(ecr.exceptions.RepositoryPolicyNotFoundException):
        ecr.get_repository_policy(repositoryName="held/api")

    printed = stack.refused(images("held/api", protect=True, retain=True, keep_images=5))
    assert "ecr/repository:Repository::held/web" in printed
    assert "protected" in printed
    assert {each["repositoryName"] for each in ecr.describe_repositories()["repositories"]} == {"held/api", "held/web"}
    stack.up(images("held/api", "held/web"))
    stack.destroy()
    assert ecr.describe_repositories()["repositories"] == []


def test_a_second_replicating_registry_is_refused(world: World) -> None:
    stack = Lifecycle.begin(world, "replicating")
    two = """\
from pavedpath import ImageRegistry
for name in ("one", "two"):
    ImageRegistry(name, {"repositories": [f"{name}/api"], "replicate_to": ["eu-west-1"]})
"""
    assert "Duplicate resource URN" in stack.refused(two)
    stack.destroy()


def test_a_chart_registry_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "chart-registry")
    assert stack.up(charts()) == {
        "create": {"Repository charts/web-service", "LifecyclePolicy charts/web-service"},
    }
    assert stack.drift() == {}
    host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    assert stack.outputs() == {
        "url": f"oci://{host}/charts",
        "variables": {
            "CHART_REGISTRY_KIND": "ecr",
            "CHART_REGISTRY_HOST": host,
            "CHART_REGISTRY_URL": f"oci://{host}/charts",
        },
    }
    ecr = world.aws("ecr")
    repository = ecr.describe_repositories(repositoryNames=["charts/web-service"])["repositories"][0]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    rules = json.loads(ecr.get_lifecycle_policy(repositoryName="charts/web-service")["lifecyclePolicyText"])["rules"]
    assert [rule["selection"]["tagStatus"] for rule in rules] == ["untagged"]
    stack.destroy()


def test_a_chart_museum_lives_and_dies(world: World, tmp_path: Path) -> None:
    for name, content in CHART.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    stack = Lifecycle.begin(world, "museum")
    buckets = {
        f"Bucket{part} charts"
        for part in (
            "",
            "LifecycleConfiguration",
            "OwnershipControls",
            "Policy",
            "PublicAccessBlock",
            "ServerSideEncryptionConfiguration",
            "Versioning",
        )
    }
    access = {f"{kind} charts" for kind in ("Role", "RolePolicy")}
    assert stack.up(museum(tmp_path, PASSWORD)) == {
        "create": buckets | access | {"Namespace charts", "Secret charts", "Release charts"}
    }
    assert stack.drift() == {}
    assert stack.outputs() == {
        "variables": {
            "CHART_REGISTRY_KIND": "chartmuseum",
            "CHART_REGISTRY_URL": "http://chartmuseum.charts.svc.cluster.local:8080",
        },
        "secrets": {"CHART_REGISTRY_USERNAME": "charts", "CHART_REGISTRY_PASSWORD": PASSWORD},
    }
    exported = stack.pulumi("stack", "export")
    assert PASSWORD not in exported
    assert base64.b64encode(PASSWORD.encode()).decode() not in exported
    s3 = world.aws("s3")
    assert s3.get_bucket_versioning(Bucket="acme-charts")["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket="acme-charts")["PublicAccessBlockConfiguration"].values()) == {True}
    assert json.loads(s3.get_bucket_policy(Bucket="acme-charts")["Policy"])["Statement"][0]["Effect"] == "Deny"

    # Pods read the password when they start, so that another one has to reach the release.
    assert stack.up(museum(tmp_path, NEXT_PASSWORD)) == {"replace": {"Secret charts"}, "update": {"Release charts"}}
    with world.kubernetes() as cluster:
        deployment = cluster.get("/apis/apps/v1/namespaces/charts/deployments/chartmuseum").json()
        secrets = cluster.get("/api/v1/namespaces/charts/secrets?fieldSelector=type=Opaque").json()["items"]
    passwords = {each["metadata"]["name"]: base64.b64decode(each["data"]["password"]).decode() for each in secrets}
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    used = next(each["valueFrom"]["secretKeyRef"] for each in environment if each["name"] == "BASIC_AUTH_PASS")
    assert used["key"] == "password"
    assert passwords == {used["name"]: NEXT_PASSWORD}
    assert stack.drift() == {}

    s3.delete_bucket_policy(Bucket="acme-charts")  # the sandbox speaks no TLS
    s3.put_object(Bucket="acme-charts", Key="web-service-1.0.0.tgz", Body=b"chart")
    changed = stack.up(museum(tmp_path, NEXT_PASSWORD, force_destroy=True))
    assert changed == {"update": {"Bucket charts"}}
    stack.destroy()
    assert s3.list_buckets()["Buckets"] == []
