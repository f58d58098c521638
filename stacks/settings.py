"""The settings of a stack as frozen models; `stacks.parsing` reads them.

`python -m stacks.settings` writes the JSON Schemas that the head of each Pulumi.<stack>.yaml names.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pavedpath import Approval, NatMode, Permission, Plan, Updates, Visibility
from pavedpath.errors import Problem
from pavedpath.names import AWS_ACCOUNT, IMAGE_REPOSITORY, ORGANIZATION, RELEASE, REPOSITORY, NameRule
from pavedpath.subnets import check_cidr, check_zones
from pavedpath_runners import Architecture
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

PROJECT = "pavedpath"
Environment = Literal["dev", "prod"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)
ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "stacks" / "schema"


def _checked(problems_of: Callable[[Any], Iterable[Problem]]) -> AfterValidator:
    """Make a rule of the components a validator of one field, so that it is applied whatever the others hold."""

    def check(value: Any) -> Any:
        problems = list(problems_of(value))
        if problems:
            whys, fixes = (dict.fromkeys(getattr(problem, part) for problem in problems) for part in ("why", "fix"))
            raise PydanticCustomError("problem", "{why}", {"why": "; ".join(whys), "fix": "; ".join(fixes)})
        return value

    return AfterValidator(check)


def _named_by(rule: NameRule) -> AfterValidator:
    def problems(name: str) -> Iterator[Problem]:
        return rule.check("name", name)

    return _checked(problems)


OrganizationStr = Annotated[str, _named_by(ORGANIZATION)]
RepositoryStr = Annotated[str, _named_by(REPOSITORY)]
ImageStr = Annotated[str, _named_by(IMAGE_REPOSITORY)]
# An application's name is its namespace's and its release's, which allows the fewer characters.
ApplicationStr = Annotated[str, _named_by(RELEASE)]
SlugStr = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True)


class ImageSettings(_Model):
    """One image of a service."""

    context: str
    """Folder that it is built from, from the repository's root."""
    dockerfile: str = "Dockerfile"
    """Path in that folder."""


class TargetSettings(_Model):
    """One environment that a service is deployed to, as its workflows see it."""

    approval: Approval = Approval.NONE
    """Who must agree; as below `deployments` of the environment's stack."""
    tags: tuple[str, ...] = ()
    """Patterns of release tags that deploy to it, for example v*.*.*."""
    timeout_minutes: Annotated[int, Field(ge=1, le=60)] = 5
    """Minutes that a revision may take to become ready before it is rolled back."""


class ServiceSettings(_Model):
    """A service and how its repository delivers it: images, a chart, environments one after another."""

    images: Mapping[str, ImageSettings] = {}
    """Images by name, for example api."""
    chart: str = ""
    """Folder of its chart."""
    dbt: str = ""
    """Folder of a dbt project."""
    python: Annotated[tuple[str, ...], Field(min_length=1)] = ("3.12",)
    """Versions of Python that the checks run with."""
    coverage_minimum: Annotated[float, Field(ge=0, le=100)] | None = None
    """Per cent of lines that the tests must reach."""
    targets: Mapping[Environment, TargetSettings] = {}
    """Environments in the order in which it reaches them."""
    smoke: str = ""
    """File of what is asked after a deployment; without it /healthz, /ready and /metrics."""
    scan_exceptions: str = ""
    """File of the scan's findings that are lived with, each until a day."""
    dbt_private: bool = False
    """Whether the dbt project takes packages of private repositories, by the secret SECRET_GH_TOKEN."""
    hotfixes: bool = False
    """Whether branches hotfix/<name> from a release are built, and may be released."""
    notify: Literal["", "slack", "webhook"] = ""
    """Channel that hears of deployments, at the address in the repository's secret NOTIFY_URL; a webhook knows the
    sender by the key in NOTIFY_SECRET. Without it nobody hears."""


class RepositorySettings(_Model):
    """One GitHub repository, as the shared stack makes it."""

    description: str = ""
    """One line about the repository."""
    visibility: Visibility = Visibility.PRIVATE
    """Who sees it."""
    topics: tuple[str, ...] = ()
    """Topics."""
    approvals: int = 1
    """Approving reviews that a pull request needs."""
    approval_branches: Mapping[str, int] = {}
    """Approvals of a pull request into deploy/<environment>, by environment: what stands in for required reviewers."""
    linear_history: bool = False
    """Whether merge commits are refused on the default branch."""
    signed_commits: bool = False
    """Whether every commit of the default branch must have a verified signature."""
    protected_tags: tuple[str, ...] = ()
    """Patterns of tags that only owners of the organisation make, and nobody moves or deletes."""
    updates: Updates = Updates.NONE
    """Who keeps dependencies and the pins of actions fresh."""
    teams: Mapping[str, Permission] = {}
    """What teams may do, by the team's name below `teams`."""
    checks: Mapping[str, str] = {}
    """Shell command of each required check, by job id; with a service ruff and pytest, unless some are named."""
    service: ServiceSettings | None = None
    """The service in it, whose workflows are written; without it the checks are all that runs."""


class AddressesSettings(_Model):
    """Usable addresses that each subnet of a tier needs; a tier that is left out gets its usual share."""

    public: Annotated[int, Field(ge=1)] | None = None
    """In a public subnet."""
    private: Annotated[int, Field(ge=1)] | None = None
    """In a private subnet."""
    isolated: Annotated[int, Field(ge=1)] | None = None
    """In an isolated subnet."""


class NetworkSettings(_Model):
    """The environment's VPC."""

    cidr: Annotated[str, _checked(check_cidr)]
    """IPv4 range, /16 to /22, private; no other environment's."""
    zones: Annotated[tuple[str, ...], _checked(check_zones)]
    """Names of 1 to 6 availability zones."""
    nat: NatMode = NatMode.ONE
    """How private subnets reach the internet."""
    nat_zone: str | None = None
    """Zone of the one NAT gateway; name it before a zone is added in front of it. Without it the first by name."""
    addresses: AddressesSettings = AddressesSettings()
    """Sizes of the subnets by need."""
    interface_endpoints: tuple[str, ...] = ()
    """AWS services that private subnets reach without the internet, for example ecr.api; each costs by the hour."""
    flow_log_days: int = 30
    """Days that the network's flow logs are kept; 0 writes none."""
    ipv6: bool = False
    """Whether the subnets get IPv6 ranges, too."""


class SecretsSettings(_Model):
    """Who may do what with the key of the environment's SOPS files; nobody else can."""

    administrators: tuple[str, ...] = ()
    """ARNs of principals that manage the key and cannot decrypt. Without any, the account's administrators."""
    encrypters: tuple[str, ...] = ()
    """ARNs of principals that seal secrets and cannot read them."""
    decrypters: Annotated[tuple[str, ...], Field(min_length=1)]
    """ARNs of principals that read secrets: those that run `pulumi up`. Each repository's deploy role is added."""


class ImagesSettings(_Model):
    """The environment's registries of images and charts."""

    repositories: Annotated[tuple[ImageStr, ...], Field(min_length=1)]
    """Names of the image repositories, for example storefront/api."""
    charts: tuple[ImageStr, ...] = ()
    """Names of the charts that are kept as OCI artifacts."""
    keep_images: Annotated[int, Field(ge=1)] = 30
    """Tagged images that each keeps."""
    keep_untagged_days: Annotated[int, Field(ge=1)] = 7
    """Days until an untagged image goes."""
    pull_accounts: tuple[str, ...] = ()
    """Ids of other AWS accounts that may pull."""


class DeploymentSettings(_Model):
    """How one repository deploys to this environment."""

    pushes: tuple[ImageStr, ...] = ()
    """Names below `images` of the repositories and charts that its jobs push to, and pull from."""

    visibility: Visibility = Visibility.PRIVATE
    """Who sees the repository, which decides what the organisation's plan allows."""
    approval: Approval = Approval.NONE
    """Who must agree to a deployment, and what enforces it."""
    reviewer_teams: tuple[str, ...] = ()
    """Slugs of teams of which one member must agree, with approval: reviewers."""
    reviewer_users: tuple[str, ...] = ()
    """Logins of users of whom one must agree, with approval: reviewers."""
    approvers: tuple[str, ...] = ()
    """Logins of those who may start a deployment, with approval: dispatch."""
    branches: tuple[str, ...] | None = None
    """Patterns of the branches that may deploy; without them main, with approval: branch deploy/<environment>."""
    tags: tuple[str, ...] = ()
    """Patterns of the tags that may deploy, too."""
    wait_timer_minutes: int = 0
    """Minutes that a deployment waits before it starts."""
    variables: Mapping[str, str] = {}
    """Further variables of its environment, for example INGRESS_HOST, which smoke tests ask."""


class QuotaSettings(_Model):
    """What all pods of a namespace may ask for together."""

    cpu: str
    """Processors, for example 4 or 500m."""
    memory: str
    """Memory, for example 8Gi."""
    pods: Annotated[int, Field(ge=1)]
    """Number of pods."""


class ApplicationSettings(_Model):
    """One application, deployed as a Helm release into a namespace of its own name."""

    repository: str
    """Name of the GitHub repository whose jobs deploy it."""
    chart: str | None = None
    """Directory of the chart, from the project's root. Without it the stack makes the namespace and who may deploy into
    it, and the repository's own workflows deploy."""
    chart_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Digest that the chart must have, as `python -m pavedpath.charts <directory>` prints it."""
    secrets: bool = True
    """Whether etc/helm_values/<application>/<environment>.secrets.yaml belongs to it."""
    quota: QuotaSettings | None = None
    """Limit of the namespace."""
    ingress_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods may connect to it, such as the ingress controller's and Prometheus's; no other may."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
    """Seconds that a revision may take to become ready before it is rolled back."""


class WatchSettings(_Model):
    """Who hears of failures and costs."""

    emails: tuple[str, ...] = ()
    """Addresses that alarms and the budget's notices go to."""
    monthly_usd: Annotated[float, Field(gt=0)] | None = None
    """What the environment may cost in a month, in US dollars; no budget without it."""
    rule_namespace: str | None = None
    """Namespace that the Prometheus operator reads rules from; no rules without it."""
    rule_labels: Mapping[str, str] = {}
    """Labels by which the operator selects rules, for example release: kube-prometheus-stack."""
    cloudwatch: bool = True
    """Whether CloudWatch alarms are made, from the metrics that Container Insights sends."""
    runbook_url: str | None = None
    """Page with a section for each alert."""

    @property
    def alerting(self) -> bool:
        """Whether there is anything to alert with."""
        return self.cloudwatch or self.rule_namespace is not None


class WarmSettings(_Model):
    """Machines of a pool that stand ready before a job asks."""

    hot: Annotated[int, Field(ge=0)] = 0
    """Runners that are registered and idle."""
    stopped: Annotated[int, Field(ge=0)] = 0
    """Machines that have booted once and sleep: only their disks cost."""
    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4)
    """Days of the week, Monday is 0."""
    from_hour: Annotated[int, Field(ge=0, le=23)] = 6
    """Hour of the day, UTC, from which on."""
    to_hour: Annotated[int, Field(ge=0, le=24)] = 20
    """Hour of the day, UTC, up to which."""


class PoolSettings(_Model):
    """Machines of one kind, for the jobs whose labels fit."""

    labels: tuple[str, ...] | None = None
    """All labels of its runners; without them those of RUNNER_LABELS, which jobs of this environment ask for."""
    architecture: Architecture = Architecture.ARM64
    """Processor of its machines."""
    instance_types: tuple[str, ...] | None = None
    """EC2 types that serve alike, the most wanted first."""
    maximum: Annotated[int, Field(ge=1)] = 10
    """Most machines at once; jobs beyond it wait."""
    spot: bool = True
    """Whether spot machines are tried first."""
    on_demand: bool = True
    """Whether on-demand machines are taken where there is no spot."""
    disk_gb: Annotated[int, Field(ge=8)] = 30
    """Size of a machine's disk."""
    idle_minutes: Annotated[int, Field(ge=1)] = 5
    """How long a runner may be without a job before it is removed."""
    lifetime_minutes: Annotated[int, Field(ge=10)] = 720
    """How long a machine may live, busy or not."""
    warm: WarmSettings = WarmSettings()
    """What stands ready before a job asks."""
    hourly_usd: Mapping[str, float] = {}
    """Price of an hour by EC2 type, for the cost of a job."""


class RunnersSettings(_Model):
    """The runners inside the environment's network."""

    app_id: Annotated[int, Field(ge=1)]
    """Id of the GitHub App by which the fleet speaks with GitHub; its private key goes into Secrets Manager by hand."""
    installation_id: Annotated[int, Field(ge=1)]
    """Id of the App's installation in the organisation."""
    pools: Annotated[Mapping[SlugStr, PoolSettings], Field(min_length=1)]
    """Pools by name."""
    allow_forks: bool = False
    """Whether pull requests from forks may run here."""
    egress_cidrs: tuple[str, ...] | None = None
    """Ranges that machines may reach on port 443; without them all."""
    layer: str | None = None
    """Zip of the functions' compiled dependency from the project's root (`make runner-layer`), or a layer's ARN."""


class TeamSettings(_Model):
    """One team of the organisation."""

    description: str = ""
    """One line about the team."""
    maintainers: tuple[str, ...] = ()
    """Logins of those who add and remove members."""
    members: tuple[str, ...] = ()
    """Logins of the other members."""


class SharedSettings(_Model):
    """Settings of the stack shared: what all environments have in common."""

    owner: SlugStr
    """Team that answers for the stack; a tag of every resource."""
    organization: OrganizationStr
    """GitHub organisation."""
    plan: Plan
    """The organisation's GitHub plan: what it cannot do is a mistake here, not at deployment."""
    deploying_app: Annotated[int, Field(ge=1)] | None = None
    """Id of the GitHub App that runs `pulumi up`, where it is no owner of the organisation: rulesets let it write the
    managed files, and protected tags may be its own."""
    protect: bool = True
    """Whether repositories can be deleted only after this was set to false and deployed."""
    teams: Mapping[SlugStr, TeamSettings] = {}
    """Teams by name."""
    repositories: Annotated[Mapping[RepositoryStr, RepositorySettings], Field(min_length=1)]
    """Repositories by name."""


class EnvironmentSettings(_Model):
    """Settings of an environment's stack."""

    owner: SlugStr
    """Team that answers for the stack; a tag of every resource."""
    organization: OrganizationStr
    """GitHub organisation."""
    plan: Plan
    """The organisation's GitHub plan."""
    account: Annotated[str, _named_by(AWS_ACCOUNT)]
    """Id of the AWS account, no other environment's; credentials of another one stop the stack."""
    cluster: Annotated[str, Field(min_length=1)]
    """Name of the cluster in the kubeconfig, no other environment's; another one stops the stack."""
    github_oidc_provider: str | None = None
    """ARN of the account's OIDC provider for GitHub, if it has one already; an account can have only one."""
    protect: bool = True
    """Whether what holds data (keys, registries, namespaces) can be deleted only after this was set to false."""
    network: NetworkSettings
    secrets: SecretsSettings
    images: ImagesSettings
    deployments: Annotated[Mapping[RepositoryStr, DeploymentSettings], Field(min_length=1)]
    """Repositories that deploy to this environment, by name; the shared stack owns them."""
    applications: Mapping[ApplicationStr, ApplicationSettings]
    """Applications by name."""
    require_image_digests: bool = False
    """Whether every image must be named by its digest, so that what runs is what was tested."""
    watch: WatchSettings = WatchSettings()
    runners: RunnersSettings | None = None
    """The environment's own runners; without it there are none."""
    runner_webhook_secret: SecretStr | None = None
    """Signs what GitHub tells the runner fleet; needed with `runners`. Set it with `pulumi config set --secret`."""


MODELS: dict[str, type[SharedSettings] | type[EnvironmentSettings]] = {
    "shared": SharedSettings,
    **dict.fromkeys(ENVIRONMENTS, EnvironmentSettings),
}


def file_schema(model: type[SharedSettings] | type[EnvironmentSettings]) -> dict[str, Any]:
    """Return the JSON Schema of a whole Pulumi.<stack>.yaml whose settings are of this model."""
    schema = model.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    config: dict[str, Any] = {
        "type": "object",
        "properties": {f"{PROJECT}:{name}": _as_written(node) for name, node in schema["properties"].items()},
        "required": [f"{PROJECT}:{name}" for name in schema.get("required", [])],
        # Other namespaces are the providers' own; ours takes no unknown key.
        "patternProperties": {f"^(?!{re.escape(PROJECT)}:)": {}},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": model.__name__,
        "description": model.__doc__,
        "type": "object",
        "properties": {
            "config": config,
            "encryptionsalt": {"type": "string"},
            "secretsprovider": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "required": ["config"],
        "$defs": definitions,
    }


_ABOUT = ("title", "description", "default")
_WORDS: Mapping[str, dict[str, Any]] = {
    "boolean": {"enum": ["true", "false"]},
    "integer": {"type": "string", "pattern": "^[0-9]+$"},
}


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """Let a value at the top be text too: the CLI writes `"false"` for false when it rewrites a stack's file.

    A secret can only be what the CLI encrypted.
    """
    if any(kind.get("writeOnly") for kind in node.get("anyOf", [node])):
        sealed = {"type": "object", "properties": {"secure": {"type": "string"}}, "required": ["secure"]}
        return {**{key: value for key, value in node.items() if key in _ABOUT}, **sealed, "additionalProperties": False}
    kinds = node.get("anyOf", [{key: value for key, value in node.items() if key not in _ABOUT}])
    words = [_WORDS[kind["type"]] for kind in kinds if kind.get("type") in _WORDS]
    if not words:
        return node
    return {**{key: value for key, value in node.items() if key in _ABOUT}, "anyOf": [*kinds, *words]}


def schema_files() -> dict[Path, str]:
    """Return the text of each generated schema by its path."""
    return {
        SCHEMAS / f"{name}.json": json.dumps(file_schema(model), indent=2) + "\n"
        for name, model in {"shared": SharedSettings, "environment": EnvironmentSettings}.items()
    }


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in schema_files().items():
        path.write_text(text)
