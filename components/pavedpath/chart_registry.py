"""Where Helm charts are kept: an OCI registry in ECR, or ChartMuseum."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from .component import Component
from .errors import Problem
from .helm import HISTORY
from .iam import (
    Statement,
    deny_without_tls,
    identity_policy,
    pods_role_problems,
    resource_policy,
    service_account_trust,
)
from .names import AWS_REGION, BUCKET, NAMESPACE, RELEASE, NameRule
from .registry import RepositoryOptions, RepositoryOptionsArgs, make_repository, repository_names
from .shapes import read

OCI_VARIABLES = ("CHART_REGISTRY_KIND", "CHART_REGISTRY_HOST", "CHART_REGISTRY_URL")
MUSEUM_VARIABLES = ("CHART_REGISTRY_KIND", "CHART_REGISTRY_URL")
MUSEUM_SECRETS = ("CHART_REGISTRY_USERNAME", "CHART_REGISTRY_PASSWORD")

MUSEUM_REPOSITORY = "https://chartmuseum.github.io/charts"
MUSEUM_VERSION = "3.10.4"
"""Version of the chart `chartmuseum` in its own repository."""

_KEEP_OLD_DAYS = 90
_HOST = NameRule(
    # Source: RFC 1123, section 2.1; an ingress takes no address.
    r"(?=.{4,253}$)(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z](?:[-a-z0-9]{0,61}[a-z0-9])",
    "it is no host name",
    "give a name like charts.example.com, without https://",
)


def _pick(values: pulumi.Output[dict[str, str]], names: Sequence[str]) -> dict[str, pulumi.Output[str]]:
    return {name: values[name] for name in names}


class ChartRegistryArgs(RepositoryOptionsArgs):
    """Arguments of `ChartRegistry`."""

    charts: Sequence[str]
    """Names of the charts, as in Chart.yaml: `helm push` makes the repository's name of the prefix and that."""
    prefix: NotRequired[str]
    """What the repositories' names begin with, without a slash at the end. Default: charts."""


@dataclass(frozen=True, kw_only=True)
class _ChartRegistry(RepositoryOptions):
    charts: Sequence[str]
    prefix: str = "charts"

    def problems(self) -> Iterator[Problem]:
        yield from repository_names("charts", self.charts, [f"{self.prefix}/{chart}" for chart in self.charts])
        yield from super().problems()


class ChartRegistry(Component):
    """Helm charts as OCI artifacts in ECR: one repository a chart, one tag a version, and no version ever changes.

    Creates: for each chart, an ECR repository `<prefix>/<chart>` (immutable tags, scan on push, encrypted at rest),
    a lifecycle policy that deletes untagged artifacts only, and, if other accounts may pull, its repository policy.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    url: pulumi.Output[str]
    """What `helm push` takes: oci://<account>.dkr.ecr.<region>.amazonaws.com/<prefix>; `/<chart>` is what `helm pull`
    takes."""
    repository_arns: pulumi.Output[Sequence[str]]
    """ARNs of the repositories, in the order of the charts; `DeployRole` takes them."""
    variables: pulumi.Output[dict[str, str]]
    """What workflows need: CHART_REGISTRY_KIND (ecr), CHART_REGISTRY_HOST, CHART_REGISTRY_URL. There are no secrets:
    who pushes logs in with its role."""

    def __init__(self, name: str, args: ChartRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_ChartRegistry, args, "ChartRegistry", name)
        super().__init__(name, opts)
        made = [make_repository(self, f"{parsed.prefix}/{chart}", parsed, None) for chart in parsed.charts]
        host = made[0].repository_url.apply(lambda url: url.partition("/")[0])
        self.url = pulumi.Output.concat("oci://", host, "/", parsed.prefix)
        self.repository_arns = pulumi.Output.all(*[repository.arn for repository in made])
        self.variables = pulumi.Output.all(
            CHART_REGISTRY_KIND="ecr", CHART_REGISTRY_HOST=host, CHART_REGISTRY_URL=self.url
        )
        self.register_outputs({"url": self.url, "repository_arns": self.repository_arns, "variables": self.variables})

    def workflow_variables(self) -> dict[str, pulumi.Output[str]]:
        """Return `variables` one by one, as `RepositoryEnvironment` takes them."""
        return _pick(self.variables, OCI_VARIABLES)


class ChartMuseumArgs(TypedDict):
    """Arguments of `ChartMuseum`."""

    bucket: str
    """Name of the S3 bucket that keeps the charts; unique among all of AWS."""
    region: str
    """Region of the bucket, which is the stack's."""
    namespace: pulumi.Input[str]
    """Namespace that it is installed into; it must exist."""
    password: pulumi.Input[str]
    """Password of its one user, who may pull and push; kept secret."""
    username: NotRequired[str]
    """Name of that user. Default: charts."""
    cluster_provider_arn: NotRequired[pulumi.Input[str]]
    """ARN of the cluster's OIDC provider in IAM: the service account gets a role for the bucket alone. Default: none;
    one of cluster_provider_arn and role_arn is needed."""
    role_arn: NotRequired[pulumi.Input[str]]
    """ARN of a role of yours for the service account; `storage_policy` is what it must allow. Default: none."""
    host: NotRequired[str]
    """Host name that an ingress with TLS serves it at. Default: no ingress, reachable inside the cluster only."""
    ingress_class: NotRequired[str]
    """Class of the ingress. Default: the cluster's default."""
    tls_secret: NotRequired[str]
    """Secret with the host's certificate. Default: <release>-tls."""
    release: NotRequired[str]
    """Name of the Helm release. Default: chartmuseum."""
    chart: NotRequired[str]
    """Name of the chart in `chart_repository`, or a path to a chart, or oci://…. Default: chartmuseum."""
    chart_repository: NotRequired[str]
    """Address of the chart repository; empty for a path or oci://…. Default: ChartMuseum's own."""
    chart_version: NotRequired[str]
    """Version of the chart, which is exactly that one. Default: `MUSEUM_VERSION`."""
    timeout_seconds: NotRequired[int]
    """How long the release may take to become ready, in seconds, before it is rolled back. Default: 300."""
    force_destroy: NotRequired[bool]
    """Whether the bucket is deleted with the charts in it; otherwise AWS refuses while it holds any. Default: false."""


@dataclass(frozen=True)
class _ChartMuseum:
    bucket: str
    region: str
    namespace: pulumi.Input[str]
    password: pulumi.Input[str]
    username: str = "charts"
    cluster_provider_arn: pulumi.Input[str] | None = None
    role_arn: pulumi.Input[str] | None = None
    host: str | None = None
    ingress_class: str | None = None
    tls_secret: str | None = None
    release: str = "chartmuseum"
    chart: str = "chartmuseum"
    chart_repository: str = MUSEUM_REPOSITORY
    chart_version: str = MUSEUM_VERSION
    timeout_seconds: int = 300
    force_destroy: bool = False

    def problems(self) -> Iterator[Problem]:
        yield from BUCKET.check("bucket", self.bucket)
        yield from AWS_REGION.check("region", self.region)
        yield from RELEASE.check("release", self.release)
        if isinstance(self.namespace, str):
            yield from NAMESPACE.check("namespace", self.namespace)
        if isinstance(self.password, str) and len(self.password) < 16:
            yield Problem("password", None, "it is shorter than 16 characters", "generate one, for example of 32")
        if not self.username or ":" in self.username:
            yield Problem("username", self.username, "basic authentication takes no such name", "use letters")
        yield from pods_role_problems(self.cluster_provider_arn, self.role_arn)
        yield from self._host_problems()
        if not self.chart_version[:1].isdigit():
            fix = f"name one version, for example {MUSEUM_VERSION}"
            yield Problem("chart_version", self.chart_version, "it is no exact version", fix)
        if not self.timeout_seconds > 0:
            yield Problem("timeout_seconds", self.timeout_seconds, "it must be positive", "give seconds")

    def _host_problems(self) -> Iterator[Problem]:
        if self.host is not None:
            yield from _HOST.check("host", self.host)
            return
        for argument in ("ingress_class", "tls_secret"):
            if getattr(self, argument) is not None:
                yield Problem(argument, getattr(self, argument), "there is no ingress without host", "give host too")


def bucket_policy(bucket_arn: str) -> str:
    """Render the policy of a bucket that answers over TLS only."""
    return resource_policy([deny_without_tls(["s3:*"], [bucket_arn, f"{bucket_arn}/*"])])


def storage_policy(bucket_arn: str) -> str:
    """Render what ChartMuseum's role may do. Source: ChartMuseum, README, "Using with Amazon S3"."""
    return identity_policy(
        [
            Statement("ListCharts", ["s3:ListBucket"], [bucket_arn]),
            Statement("KeepCharts", ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], [f"{bucket_arn}/*"]),
        ]
    )


class ChartMuseum(Component):
    """ChartMuseum, a chart repository over HTTP, for those whose tools do not speak OCI.

    Creates: an S3 bucket (private, versioned, encrypted, TLS only; replaced objects are kept for 90 days); with
    `cluster_provider_arn`, a role for that bucket alone, which only the pods' service account may assume; a Secret with
    the user's password; the Helm release, one replica, whose chart versions cannot be overwritten and whose charts
    cannot be read without the password.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    url: pulumi.Output[str]
    """Where clients reach it, for `helm repo add`."""
    bucket_arn: pulumi.Output[str]
    """ARN of the bucket."""
    storage_policy: pulumi.Output[str]
    """JSON of the policy that a role of yours (`role_arn`) must have."""
    variables: pulumi.Output[dict[str, str]]
    """What workflows need: CHART_REGISTRY_KIND (chartmuseum), CHART_REGISTRY_URL."""
    secrets: pulumi.Output[dict[str, str]]
    """What workflows need and nobody may see: CHART_REGISTRY_USERNAME, CHART_REGISTRY_PASSWORD; secret."""

    def __init__(self, name: str, args: ChartMuseumArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_ChartMuseum, args, "ChartMuseum", name)
        super().__init__(name, opts)
        bucket = self._bucket(name, parsed)
        self.bucket_arn = bucket.arn
        self.storage_policy = bucket.arn.apply(storage_policy)
        role_arn = parsed.role_arn
        needs: list[pulumi.Resource] = [bucket]
        if parsed.cluster_provider_arn is not None:
            role, policy = self._role(name, parsed, parsed.cluster_provider_arn)
            role_arn = role.arn
            needs.append(policy)
        credentials = kubernetes.core.v1.Secret(
            name,
            # Without a name of its own: another password makes another Secret, and its name starts the pods anew, which
            # read the password when they start.
            metadata={"namespace": parsed.namespace},
            string_data={"username": parsed.username, "password": pulumi.Output.secret(parsed.password)},
            opts=self.child(),
        )
        kubernetes.helm.v3.Release(
            name,
            name=parsed.release,
            chart=parsed.chart,
            version=parsed.chart_version,
            repository_opts={"repo": parsed.chart_repository} if parsed.chart_repository else None,
            namespace=parsed.namespace,
            values=_values(parsed, role_arn, credentials.metadata.apply(lambda known: str(known.name))),
            atomic=True,
            timeout=parsed.timeout_seconds,
            max_history=HISTORY,
            opts=self.child(depends_on=[*needs, credentials]),
        )
        inside = pulumi.Output.concat("http://", parsed.release, ".", parsed.namespace, ".svc.cluster.local:8080")
        self.url = pulumi.Output.from_input(f"https://{parsed.host}") if parsed.host else inside
        self.variables = pulumi.Output.all(CHART_REGISTRY_KIND="chartmuseum", CHART_REGISTRY_URL=self.url)
        self.secrets = pulumi.Output.secret(
            pulumi.Output.all(CHART_REGISTRY_USERNAME=parsed.username, CHART_REGISTRY_PASSWORD=parsed.password)
        )
        self.register_outputs(
            {
                "url": self.url,
                "bucket_arn": self.bucket_arn,
                "storage_policy": self.storage_policy,
                "variables": self.variables,
                "secrets": self.secrets,
            }
        )

    def workflow_variables(self) -> dict[str, pulumi.Output[str]]:
        """Return `variables` one by one, as `RepositoryEnvironment` takes them."""
        return _pick(self.variables, MUSEUM_VARIABLES)

    def workflow_secrets(self) -> dict[str, pulumi.Output[str]]:
        """Return `secrets` one by one, as `RepositoryEnvironment` takes them."""
        return _pick(self.secrets, MUSEUM_SECRETS)

    # The type is quoted: the SDK's module of S3 takes a third of a second to load, and few programs need it.
    def _bucket(self, name: str, parsed: _ChartMuseum) -> "aws.s3.Bucket":
        bucket = aws.s3.Bucket(name, bucket=parsed.bucket, force_destroy=parsed.force_destroy, opts=self.keeper())
        aws.s3.BucketOwnershipControls(
            name, bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=self.child()
        )
        private = aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.child(),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=self.child(),
        )
        versioning = aws.s3.BucketVersioning(
            name, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=self.child()
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire-replaced",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": _KEEP_OLD_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                }
            ],
            opts=self.child(depends_on=[versioning]),
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=bucket.arn.apply(bucket_policy),
            opts=self.child(depends_on=[private]),  # S3 refuses one of two changes of a bucket's access at a time
        )
        return bucket

    def _role(
        self, name: str, parsed: _ChartMuseum, provider_arn: pulumi.Input[str]
    ) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        trust = pulumi.Output.all(provider_arn, parsed.namespace).apply(
            lambda known: service_account_trust(known[0], known[1], parsed.release)
        )
        role = aws.iam.Role(name, assume_role_policy=trust, opts=self.child())
        return role, aws.iam.RolePolicy(name, role=role.name, policy=self.storage_policy, opts=self.child())


def _values(
    parsed: _ChartMuseum, role_arn: pulumi.Input[str] | None, credentials: pulumi.Output[str]
) -> Mapping[str, Any]:
    """Return the chart's values. Source: the chart's values.yaml, and ChartMuseum's README for the variables."""
    values: dict[str, Any] = {
        "fullnameOverride": parsed.release,
        "replicaCount": 1,  # each keeps an index of its own: a second one would not see what the first one took
        "env": {
            "open": {
                "STORAGE": "amazon",
                "STORAGE_AMAZON_BUCKET": parsed.bucket,
                "STORAGE_AMAZON_PREFIX": "",
                "STORAGE_AMAZON_REGION": parsed.region,
                "DISABLE_API": False,
                "ALLOW_OVERWRITE": False,
                "AUTH_ANONYMOUS_GET": False,
            },
            "existingSecret": credentials,
            "existingSecretMappings": {"BASIC_AUTH_USER": "username", "BASIC_AUTH_PASS": "password"},
        },
        "serviceAccount": {
            "create": True,
            "name": parsed.release,
            "annotations": {"eks.amazonaws.com/role-arn": role_arn},
        },
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "containerSecurityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if parsed.host is not None:
        secret = parsed.tls_secret or f"{parsed.release}-tls"
        values["ingress"] = {
            "enabled": True,
            "hosts": [{"name": parsed.host, "path": "/", "tls": True, "tlsSecret": secret}],
            **({"ingressClassName": parsed.ingress_class} if parsed.ingress_class else {}),
        }
    return values
