"""The arguments of a runner fleet: what they are, what is wrong with them, and what of them the functions are told."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from math import inf
from pathlib import Path
from typing import NotRequired, TypedDict

import pulumi
from pavedpath_runners import Architecture, RunnerLabels
from pavedpath_runners.configuration import DEFAULT_BUDGETS, Budget, Fleet, LabelMatch, Level, Pool, WarmPool
from pavedpath_runners.machine import RUNNER, RunnerRelease

from .errors import Problem
from .names import ORGANIZATION, REPOSITORY, NameRule
from .plans import Feature, Plan, Visibility, Wanted, unavailable
from .runner_fleet_machine import IMAGE_PARAMETERS, INSTANCE_TYPES, processor
from .vpc import RETENTION_DAYS

_ENVIRONMENT = NameRule(
    # The longest name that it becomes part of is a function's, pavedpath-…-fleet-interruption: 64 characters.
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,28}[A-Za-z0-9])?",
    "it becomes part of names in AWS, of a label and of runners' names",
    "use up to 30 letters, digits, _ and -, not _ or - at an end",
)
_POOL = NameRule(
    # GitHub takes 64 characters as a runner's name, which is made of the environment, the pool and a number.
    r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?",
    "it becomes part of names in AWS and of runners' names",
    "use up to 20 of a-z, 0-9 and -, not - at an end",
)
_INSTANCE_TYPE = NameRule(
    r"[a-z][a-z0-9-]*\.[a-z0-9-]+",  # AWS, API reference of EC2 CreateFleet, InstanceType
    "it is no instance type",
    "write it like m7g.large",
)
_PARAMETER = NameRule(
    r"/[A-Za-z0-9_./-]{1,1010}",  # AWS, API reference of SSM PutParameter, Name
    "it is no full name of a parameter",
    "give it with its path, for example /images/runner/arm64",
)
_LABEL = NameRule(
    r"(?!\s)[^,]{1,256}(?<!\s)",  # as RunnerLabels
    "it is blank or padded, holds a comma, or is longer than the 256 characters that GitHub takes",
    "name one label, without a comma, and without a space at an end",
)
_PACKAGE = NameRule(
    # They reach a root shell quoted (pavedpath_runners.machine); a - in front would still be an option of dnf.
    r"[A-Za-z0-9@][A-Za-z0-9+._:~@-]*",
    "it is no package's name, and is installed as root",
    "use letters, digits and + - . _ : ~ @, not - in front",
)
_DEVICE = NameRule(
    r"/dev/[a-z0-9]+",  # AWS, "Device names for volumes on Amazon EC2 instances"
    "it is no device's name",
    "give the root device of the image, for example /dev/xvda",
)
_POOL_RULES: Mapping[str, NameRule] = {
    "instance_types": _INSTANCE_TYPE,
    "labels": _LABEL,
    "disk_device": _DEVICE,
    "image_parameter": _PARAMETER,
    "packages": _PACKAGE,
}
_VPC = NameRule(r"vpc-[0-9a-z]+", "it is no VPC's id", "give the id, for example Vpc.vpc_id")
_SUBNET = NameRule(r"subnet-[0-9a-z]+", "it is no subnet's id", "give ids, for example Vpc.private_subnet_ids")
_PREFIX_LIST = NameRule(r"pl-[0-9a-f]{8,17}", "it is no prefix list's id", "write it like pl-63a5400a")
LAYER_ARN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]+:[0-9]+")
_SECRET_LENGTH = 20
_LEAST_CAPACITY = 10
MOST_POOLS = 20
"""Pools that a fleet takes: the policy of the functions that launch names the template of each."""
LEAST_BOOT_TO_SLEEP = 5
"""Least `boot_minutes` with machines that are put to sleep: after so long without a job a machine that is still awake
ends itself, and another is bought in its place."""
LIVES_A_BOOT = 2
"""Least `lifetime_minutes` for each of `boot_minutes`: a machine takes no job in the second half of its life."""
_MOST_BYTES = 8192
"""What the configuration's parameter holds. Source: AWS, "Managing parameter tiers", advanced."""


class WarmPoolArgs(TypedDict):
    """Machines that stand ready before a job asks, while the schedule holds. Times are UTC."""

    hot: NotRequired[int]
    """Runners that are registered and idle; at the level of repositories, stopped ones more. Default: 0."""
    stopped: NotRequired[int]
    """Machines that have booted once and were stopped: they cost their disk alone and are bought on demand.
    Default: 0."""
    days: NotRequired[Sequence[int]]
    """Days of the week, Monday is 0. Default: Monday to Friday."""
    from_hour: NotRequired[int]
    """Hour from which on. Default: 6."""
    to_hour: NotRequired[int]
    """Hour up to which; one that is not later than from_hour is on the next day. Default: 20."""


class RunnerPoolArgs(TypedDict):
    """Machines of one kind, for the jobs whose labels fit."""

    labels: NotRequired[Sequence[str]]
    """All labels of its runners. Default: self-hosted, linux, the architecture, the environment."""
    match: NotRequired[LabelMatch]
    """Which jobs it takes: subset, those that name some of its labels and no other, or exact, those that name all.
    Default: subset."""
    architecture: NotRequired[Architecture]
    """Processor of its machines. Default: arm64."""
    instance_types: NotRequired[Sequence[str]]
    """EC2 types that serve alike, the most wanted first; each is a spot market of its own. Default: five types with
    two processors and 8 GB or more."""
    maximum: NotRequired[int]
    """Most machines at once; jobs beyond it wait. Default: 10."""
    spot: NotRequired[bool]
    """Whether spot is tried first. Default: true."""
    on_demand: NotRequired[bool]
    """Whether on-demand is taken where spot has nothing, or is taken away too often. Default: true."""
    warm: NotRequired[WarmPoolArgs]
    """Machines that stand ready. Default: none."""
    boot_minutes: NotRequired[int]
    """Minutes until a machine whose runner is not online is replaced; 5 or more where warm ones are put to sleep.
    Default: 10."""
    idle_minutes: NotRequired[int]
    """Minutes until a runner without a job is removed. Default: 5."""
    lifetime_minutes: NotRequired[int]
    """Minutes that a machine may live, busy or not, twice boot_minutes or more: it takes a job in the first half of
    them alone. Default: 720."""
    disk_gb: NotRequired[int]
    """Size of the encrypted disk. Default: 30."""
    disk_device: NotRequired[str]
    """Name of the image's root device. Default: /dev/xvda, which is Amazon Linux's; Ubuntu's is /dev/sda1. With another
    name the image's disk would stay as it is, and if that is plain, AWS refuses every launch."""
    image_parameter: NotRequired[str]
    """Name of the SSM parameter that holds the image's id; it is read at each launch. An image that is not Amazon
    Linux's wants its disk_device, too. Default: the newest Amazon Linux 2023 of the architecture."""
    packages: NotRequired[Sequence[str]]
    """Packages that dnf installs at the first boot where they are missing. Default: git and libicu."""
    hourly_usd: NotRequired[Mapping[str, float]]
    """Price of an hour by one of instance_types, for the cost of a job. Default: none is reported."""


class RequestBudgetArgs(TypedDict):
    """A token bucket: how many requests one API is given. What is left out stays the budget's default."""

    capacity: NotRequired[float]
    """Most requests at once, 10 or more."""
    per_second: NotRequired[float]
    """Requests that a second adds, more than 0."""
    reserve: NotRequired[float]
    """Of capacity, what only launches may take and clean-up leaves; half of it at most."""


class GithubAppArgs(TypedDict):
    """The GitHub App that the fleet acts as; its private key is put into AWS by hand."""

    app_id: int
    """Number of the App."""
    installation_id: int
    """Number of its installation in the organisation."""


class RunnerReleaseArgs(TypedDict):
    """A release of actions/runner, pinned."""

    version: str
    """Without the v in front, for example 2.337.0."""
    sha256: Mapping[str, str]
    """SHA-256 of the archive for Linux by architecture (arm64, x64), from the release's page."""


class RunnerFleetArgs(TypedDict):
    """Arguments of `RunnerFleet`."""

    environment: str
    """Name of the environment; part of names, tags and labels."""
    organization: str
    """Login of the GitHub organisation."""
    vpc_id: pulumi.Input[str]
    """Id of the VPC that the machines live in."""
    subnet_ids: pulumi.Input[Sequence[str]]
    """Ids of private subnets, one or more a zone, from which GitHub can be reached."""
    zones: NotRequired[Sequence[str]]
    """Availability zone of each of these subnets, in their order; a zone with spot interruptions is then avoided.
    Default: not known."""
    repositories: Mapping[str, pulumi.Input[int]]
    """The repositories whose jobs run here, no others: numeric id by name; see `Repository.repository_id`."""
    pools: Mapping[str, RunnerPoolArgs]
    """The pools by name."""
    github_app: GithubAppArgs
    """The GitHub App that the fleet acts as."""
    webhook_secret: pulumi.Input[str]
    """What GitHub signs its webhooks with, at least 20 characters of chance; a secret in the state."""
    level: NotRequired[Level]
    """Where runners are registered: organization, in a runner group, or repository, each with one repository, for the
    plan that has no groups. Default: organization."""
    plan: NotRequired[Plan]
    """The organisation's plan, to refuse what it has not. Default: not checked."""
    allow_forks: NotRequired[bool]
    """Whether pull requests from forks may run here: their code is anybody's. Default: false."""
    attempts: NotRequired[int]
    """Machines that are launched for one job, one after another, until it is given up. Default: 10."""
    rerun_interrupted: NotRequired[bool]
    """Whether a job whose spot machine was taken away is run again, once. Default: true."""
    interruptions: NotRequired[int]
    """Spot interruptions within an hour that make a pool buy on demand alone for an hour. Default: 3."""
    grace_seconds: NotRequired[int]
    """Seconds that a runner must be seen idle, again and again, before it is removed, 60 to 3600: what GitHub says of
    it is a minute old and more. Default: 180."""
    orphan_minutes: NotRequired[int]
    """Minutes until a machine or a registration that no record claims is removed, 5 to 1440. Default: 15."""
    record_days: NotRequired[int]
    """Days that ended jobs and machines stay in the ledger, 7 to 365; older news of a job is refused. Default: 30."""
    delivery_days: NotRequired[int]
    """Days that webhooks are remembered, so that none counts twice, 3 to 90. Default: 7."""
    budgets: NotRequired[Mapping[str, RequestBudgetArgs]]
    """Requests that the fleet allows itself, by API: github, jit (configurations of runners) and ec2. Default: what
    GitHub and AWS give every account (`pavedpath_runners.configuration.DEFAULT_BUDGETS`)."""
    egress_cidrs: NotRequired[Sequence[str]]
    """Ranges that machines reach, on port 443 alone. Default: all of IPv4."""
    egress_prefix_list_ids: NotRequired[Sequence[str]]
    """Managed prefix lists that machines reach, on port 443 alone; with them the default of egress_cidrs is none.
    Default: none."""
    launch_concurrency: NotRequired[int]
    """How many jobs are launched for at the same time, 2 to 1000. Default: 10."""
    runner: NotRequired[RunnerReleaseArgs]
    """The agent that machines install. Default: the library's pinned one."""
    layer: NotRequired[str]
    """Path of the layer's archive that `python -m pavedpath.runner_fleet_layer` writes, or the ARN of a layer with
    cryptography for Python 3.13 on arm64. Default: none, which only serves where the runtime has it (a sandbox)."""
    api_url: NotRequired[str]
    """Address of GitHub's REST API. Default: github.com's."""
    log_days: NotRequired[int]
    """Days that CloudWatch keeps the functions' logs, one of the numbers that it takes; 0 is for ever. Default: 30."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """ARN of the topic that alarms are told to, for example `DeploymentAlerts.topic_arn`. Default: nobody is told."""
    waiting_minutes: NotRequired[int]
    """Minutes that the oldest waiting job may wait before it alarms. Default: 15."""
    target_seconds: NotRequired[int]
    """Seconds within which nineteen of twenty jobs shall have a runner; it alarms. Default: 180."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """ARN of the KMS key of table and secrets. Default: AWS's own keys."""
    tags: NotRequired[Mapping[str, str]]
    """Tags of machines and their disks, which the stack's own do not reach. Default: none."""


@dataclass(frozen=True)
class PoolInput:
    """`RunnerPoolArgs`, parsed."""

    labels: Sequence[str] | None = None
    match: LabelMatch = Pool.match
    architecture: Architecture = Architecture.ARM64
    instance_types: Sequence[str] | None = None
    maximum: int = 10
    spot: bool = Pool.spot
    on_demand: bool = Pool.on_demand
    warm: WarmPool = Pool.warm
    boot_minutes: int = Pool.boot_minutes
    idle_minutes: int = Pool.idle_minutes
    lifetime_minutes: int = Pool.lifetime_minutes
    disk_gb: int = 30
    disk_device: str = "/dev/xvda"
    image_parameter: str | None = None
    packages: Sequence[str] = ("git", "libicu")
    hourly_usd: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def image(self) -> str:
        """Name of the parameter with the image."""
        return self.image_parameter or IMAGE_PARAMETERS[self.architecture]

    @property
    def types(self) -> tuple[str, ...]:
        """EC2 types of its machines, the most wanted first."""
        return tuple(self.instance_types or INSTANCE_TYPES[self.architecture])

    def named(self, environment: str) -> tuple[str, ...]:
        """Return the labels of its runners."""
        return tuple(self.labels or RunnerLabels(environment, self.architecture))

    def problems(self, at: str, level: Level) -> Iterator[Problem]:
        """Yield every argument that cannot be used, `at` being where they stand and `level` the fleet's."""
        for name, rule in _POOL_RULES.items():
            given: Sequence[str] | str | None = getattr(self, name)
            for each in (given,) if isinstance(given, str) else given or ():
                yield from rule.check(f"{at}.{name}", each)
        for name in ("instance_types", "labels"):
            if getattr(self, name) == ():
                yield Problem(f"{at}.{name}", [], "it names none", "name some, or leave it out for the default")
        for kind in self.types:
            has = processor(kind)
            if has not in (None, self.architecture):
                why = f"its processor is {has}, and its pool is for {self.architecture}"
                yield Problem(
                    f"{at}.instance_types", kind, why, f"name types of {self.architecture}, or set architecture: {has}"
                )
        for kind, price in self.hourly_usd.items():
            if kind not in self.types:
                why, fix = "the pool has no such machines", "price its instance_types alone"
                yield Problem(f"{at}.hourly_usd.{kind}", price, why, fix)
            if not 0 <= price < inf:
                yield Problem(f"{at}.hourly_usd.{kind}", price, "it is no price", "give US dollars an hour, 0 or more")
        if not self.spot and not self.on_demand:
            yield Problem(f"{at}.on_demand", False, "nothing could be launched", "allow spot, on-demand or both")
        yield from self._label_problems(f"{at}.labels")
        yield from self._number_problems(at)
        yield from self._warm_problems(f"{at}.warm")
        yield from self._sleep_problems(at, level)

    def _label_problems(self, at: str) -> Iterator[Problem]:
        labels = [each.lower() for each in self.labels or ()]
        if labels and "self-hosted" not in labels:
            why = "GitHub gives it to every runner, so that jobs name it"
            yield Problem(at, list(self.labels or ()), why, "add self-hosted")
        for each in sorted({each for each in labels if labels.count(each) > 1}):
            yield Problem(at, each, "it is there more than once; GitHub ignores case", "leave one of them")

    def _number_problems(self, at: str) -> Iterator[Problem]:
        for name, least, most in (
            ("maximum", 1, 1000),
            ("boot_minutes", 2, 60),
            ("idle_minutes", 1, 1440),
            # GitHub ends a job that has run for five days.
            ("lifetime_minutes", 10, 7200),
            ("disk_gb", 8, 16384),
        ):
            yield from _within(f"{at}.{name}", getattr(self, name), least, most)
        least = LIVES_A_BOOT * self.boot_minutes
        if self.lifetime_minutes < least:
            why = f"a machine takes a job in the first half of it alone, and may boot for {self.boot_minutes} minutes"
            fix = f"raise it to {least} or more, or lower boot_minutes"
            yield Problem(f"{at}.lifetime_minutes", self.lifetime_minutes, why, fix)
        if self.idle_minutes > self.lifetime_minutes:
            why = f"no machine lives that long: its lifetime_minutes are {self.lifetime_minutes}"
            yield Problem(f"{at}.idle_minutes", self.idle_minutes, why, "lower it, or raise lifetime_minutes")

    def _warm_problems(self, at: str) -> Iterator[Problem]:
        warm = self.warm
        for name in ("from_hour", "to_hour"):
            yield from _within(f"{at}.{name}", getattr(warm, name), 0, 24)
        for day in warm.days:
            yield from _within(f"{at}.days", day, 0, 6)
        for name in ("hot", "stopped"):
            yield from _within(f"{at}.{name}", getattr(warm, name), 0, self.maximum)
        if warm.hot + warm.stopped > self.maximum:
            why = f"with {warm.hot} hot and {warm.stopped} stopped the pool is over its maximum of {self.maximum}"
            yield Problem(f"{at}.stopped", warm.stopped, why, "keep fewer ready, or raise maximum")

    def _sleep_problems(self, at: str, level: Level) -> Iterator[Problem]:
        """What keeps machines from being put to sleep, if any are to be."""
        sleepers = {"stopped": self.warm.stopped}
        spot, instead = "EC2 does not stop a spot machine that is to start again", "hot ones"
        if level is Level.REPOSITORY:
            # pavedpath_runners.decisions.warm: which repository the next job comes from, nobody knows.
            sleepers["hot"] = self.warm.hot
            spot, instead = f"{spot}, and at the level of repositories hot ones are stopped, too", "none ready"
        for name, number in sleepers.items():
            if number and not self.on_demand:
                yield Problem(f"{at}.warm.{name}", number, spot, f"allow on_demand, or keep {instead}")
        if any(sleepers.values()) and self.boot_minutes < LEAST_BOOT_TO_SLEEP:
            why = "the pool's warm machines would end themselves before they are put to sleep, and be bought anew"
            fix = f"give {LEAST_BOOT_TO_SLEEP} or more, or keep none asleep"
            yield Problem(f"{at}.boot_minutes", self.boot_minutes, why, fix)


@dataclass(frozen=True)
class RequestBudgetInput:
    """`RequestBudgetArgs`, parsed."""

    capacity: float | None = None
    per_second: float | None = None
    reserve: float | None = None

    def within(self, default: Budget) -> Budget:
        """Return the default with what is given."""
        given = {"capacity": self.capacity, "per_second": self.per_second, "reserve": self.reserve}
        return replace(default, **{name: value for name, value in given.items() if value is not None})

    def problems(self, at: str, default: Budget) -> Iterator[Problem]:
        """Yield every argument that cannot be used, `at` being where they stand."""
        budget = self.within(default)
        enough = _LEAST_CAPACITY <= budget.capacity < inf
        if not enough:
            why = f"it is no number of {_LEAST_CAPACITY} or more, and fewer do not last for one look at what is there"
            yield Problem(f"{at}.capacity", budget.capacity, why, f"give {_LEAST_CAPACITY} or more")
        if not 0 < budget.per_second < inf:
            why = "once it is used up nothing would be launched any more"
            yield Problem(f"{at}.per_second", budget.per_second, why, "give a number above 0")
        most = budget.capacity / 2 if enough else inf
        if not 0 <= budget.reserve <= most or budget.reserve == inf:
            by_default = "the default, and " if self.reserve is None else ""
            why = f"it is {by_default}not 0 to half of capacity ({budget.capacity:g}), of which clean-up needs the rest"
            half = f"{most:g}" if enough else "half of capacity"
            yield Problem(f"{at}.reserve", budget.reserve, why, f"set reserve, from 0 to {half}")


@dataclass(frozen=True)
class GithubAppInput:
    """`GithubAppArgs`, parsed."""

    app_id: int
    installation_id: int


@dataclass(frozen=True)
class RunnerFleetInput:
    """`RunnerFleetArgs`, parsed."""

    environment: str
    organization: str
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    repositories: Mapping[str, pulumi.Input[int]]
    pools: Mapping[str, PoolInput]
    github_app: GithubAppInput
    webhook_secret: pulumi.Input[str]
    zones: Sequence[str] = ()
    level: Level = Fleet.level
    plan: Plan | None = None
    allow_forks: bool = Fleet.allow_forks
    attempts: int = Fleet.attempts
    rerun_interrupted: bool = Fleet.rerun_interrupted
    interruptions: int = Fleet.interruptions
    grace_seconds: int = Fleet.grace_seconds
    orphan_minutes: int = Fleet.orphan_minutes
    record_days: int = Fleet.record_days
    delivery_days: int = Fleet.delivery_days
    budgets: Mapping[str, RequestBudgetInput] = field(default_factory=dict[str, RequestBudgetInput])
    egress_cidrs: Sequence[str] | None = None
    egress_prefix_list_ids: Sequence[str] = ()
    launch_concurrency: int = 10
    runner: RunnerRelease = field(default_factory=lambda: RUNNER)
    layer: str | None = None
    api_url: str = Fleet.api_url
    log_days: int = 30
    alarm_topic_arn: pulumi.Input[str] | None = None
    waiting_minutes: int = 15
    target_seconds: int = 180
    kms_key_arn: pulumi.Input[str] | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def egress(self) -> Sequence[str]:
        """Ranges that machines reach."""
        if self.egress_cidrs is not None:
            return self.egress_cidrs
        return () if self.egress_prefix_list_ids else ("0.0.0.0/0",)

    def problems(self) -> Iterator[Problem]:
        """Yield every argument that cannot be used."""
        yield from _ENVIRONMENT.check("environment", self.environment)
        yield from ORGANIZATION.check("organization", self.organization)
        yield from self._place_problems()
        yield from self._pool_problems()
        yield from self._github_problems()
        for name, least, most in (
            ("attempts", 1, 50),
            ("launch_concurrency", 2, 1000),
            ("waiting_minutes", 1, 1440),
            ("target_seconds", 10, 86400),
            ("interruptions", 1, 1000),
            ("grace_seconds", 60, 3600),
            ("orphan_minutes", 5, 1440),
            # GitHub ends a job that has run for five days, and sends a delivery again for three.
            ("record_days", 7, 365),
            ("delivery_days", 3, 90),
        ):
            yield from _within(name, getattr(self, name), least, most)
        yield from self._budget_problems()
        yield from self._size_problems()
        if self.log_days not in (0, *RETENTION_DAYS):
            fix = f"choose 0 (for ever) or {', '.join(map(str, RETENTION_DAYS))}"
            yield Problem("log_days", self.log_days, "CloudWatch does not take this number of days", fix)
        yield from self._layer_problems()
        for why in self.runner.problems():
            yield Problem("runner", self.runner.version, why, "copy version and checksums from the release's page")
        for architecture in sorted({pool.architecture for pool in self.pools.values()} - set(self.runner.sha256)):
            why = f"it has no checksum for {architecture}, which a pool needs"
            yield Problem("runner.sha256", None, why, f"add {architecture} from the release's page")

    def _layer_problems(self) -> Iterator[Problem]:
        if self.layer is None or LAYER_ARN.fullmatch(self.layer):
            return
        if self.layer.startswith("arn:"):
            fix = "write it with its version, like arn:aws:lambda:us-east-1:123456789012:layer:cryptography:3"
            yield Problem("layer", self.layer, "it is no ARN of a layer", fix)
        elif not Path(self.layer).is_file():
            fix = f"write it: `make runner-layer`, or `python -m {__package__}.runner_fleet_layer FILE`"
            yield Problem("layer", self.layer, "there is no such file", fix)

    def _size_problems(self) -> Iterator[Problem]:
        """What the functions are told has to fit into one parameter; AWS would refuse it when all else is there."""
        # The ids are not known before; these are as long as those that AWS and GitHub give.
        known = len(self.subnet_ids) if isinstance(self.subnet_ids, Sequence) else 1
        subnets = [f"subnet-{number:017}" for number in range(len(self.zones) or known)]
        hooks = dict.fromkeys(self.repositories if self.level is Level.REPOSITORY else [""], 100_000_000)
        try:
            told = configuration(self, subnets, dict.fromkeys(self.pools, f"lt-{0:017}"), hooks, 10)
        except ValueError:
            return  # the environment's name, which is a problem of its own
        size = len(told.to_json())
        if size > _MOST_BYTES:
            of_pools = len(replace(told, repositories=(), repository_hooks={}).to_json())
            why = f"the functions read it from a parameter, which holds {_MOST_BYTES:,} bytes, and it takes {size:,}"
            fix = "make a second fleet, with another environment's name, for some of them"
            yield Problem("pools" if 2 * of_pools > size else "repositories", None, why, fix)

    def _budget_problems(self) -> Iterator[Problem]:
        for api, budget in self.budgets.items():
            if api in DEFAULT_BUDGETS:
                yield from budget.problems(f"budgets.{api}", DEFAULT_BUDGETS[api])
            else:
                yield Problem("budgets", api, "nothing asks for it", f"choose {', '.join(DEFAULT_BUDGETS)}")

    def _place_problems(self) -> Iterator[Problem]:
        subnets = self.subnet_ids
        if isinstance(self.vpc_id, str):
            yield from _VPC.check("vpc_id", self.vpc_id)
        for subnet in subnets if isinstance(subnets, Sequence) else ():
            yield from _SUBNET.check("subnet_ids", subnet)
        if isinstance(subnets, Sequence) and not subnets:
            yield Problem("subnet_ids", [], "machines would have no place", "name a private subnet of each zone")
        if self.zones and isinstance(subnets, Sequence) and len(self.zones) != len(subnets):
            why = f"there are {len(subnets)} subnets and {len(self.zones)} zones"
            yield Problem("zones", list(self.zones), why, "give the zone of each subnet, in their order")
        for cidr in self.egress_cidrs or ():
            try:
                ip_network(cidr)
            except ValueError:
                yield Problem("egress_cidrs", cidr, "it is no range of addresses", "write it like 10.0.0.0/16")
        for prefix_list in self.egress_prefix_list_ids:
            yield from _PREFIX_LIST.check("egress_prefix_list_ids", prefix_list)
        if not self.egress and not self.egress_prefix_list_ids:
            yield Problem("egress_cidrs", [], "no machine could reach GitHub", "name ranges, or leave it out")
        if "Name" in self.tags or any(key.startswith(("pavedpath:", "aws:")) for key in self.tags):
            why = "the launch sets Name and pavedpath: itself, and AWS keeps aws:"
            yield Problem("tags", sorted(self.tags), why, "name them otherwise")

    def _pool_problems(self) -> Iterator[Problem]:
        if not self.pools:
            yield Problem("pools", {}, "no job could run", "name at least one")
        if len(self.pools) > MOST_POOLS:
            why = f"more than {MOST_POOLS} do not fit into one role's policy"
            yield Problem("pools", len(self.pools), why, "make a second fleet, with another environment's name")
        owners: dict[frozenset[str], str] = {}
        reserved = ""
        for name, pool in self.pools.items():
            yield from _POOL.check("pools", name)
            yield from pool.problems(f"pools.{name}", self.level)
            try:
                labels = frozenset(each.lower() for each in pool.named(self.environment))
            except ValueError as error:
                reserved = str(error).partition(". Fix:")[0]
                continue
            if labels in owners:
                why = f"its labels are those of pool {owners[labels]}: no job could choose"
                yield Problem(f"pools.{name}.labels", sorted(labels), why, "give one of them a label of its own")
            owners.setdefault(labels, name)
        if reserved:
            yield Problem("environment", self.environment, reserved, "choose another name")

    def _github_problems(self) -> Iterator[Problem]:
        if not self.repositories:
            yield Problem("repositories", {}, "no job could run", "name those whose jobs run here")
        for name, identity in self.repositories.items():
            yield from REPOSITORY.check("repositories", name)
            if isinstance(identity, int) and identity < 1:
                why, fix = "there is no such repository", "give its numeric id, for example Repository.repository_id"
                yield Problem(f"repositories.{name}", identity, why, fix)
        for argument in ("app_id", "installation_id"):
            if getattr(self.github_app, argument) < 1:
                value, fix = getattr(self.github_app, argument), "give its number, from the App's settings on GitHub"
                yield Problem(f"github_app.{argument}", value, "there is no such App", fix)
        if isinstance(self.webhook_secret, str):
            guessed = {
                f"it has fewer than {_SECRET_LENGTH} characters": len(self.webhook_secret) < _SECRET_LENGTH,
                "it is one character, again and again": len(set(self.webhook_secret)) == 1,
            }
            for why in (each for each, wrong in guessed.items() if wrong):
                fix = "make one by `openssl rand -hex 32`"
                yield Problem("webhook_secret", None, f"{why}, and whoever guesses it launches machines", fix)
        if not self.api_url.startswith("https://"):
            yield Problem(
                "api_url", self.api_url, "the App's key would sign for whoever listens", "give an https address"
            )
        if self.level is Level.ORGANIZATION:
            yield from unavailable(
                self.plan, Visibility.PRIVATE, Wanted("level", "organization", Feature.RUNNER_GROUPS)
            )


def _within(argument: str, value: int, least: int, most: int) -> Iterator[Problem]:
    if not least <= value <= most:
        yield Problem(argument, value, f"it is not {least} to {most}", f"choose {least} to {most}")


def configuration(
    stated: RunnerFleetInput, subnets: Sequence[str], templates: Mapping[str, str], hooks: Mapping[str, int], group: int
) -> Fleet:
    """Return what the functions are told: the arguments, with what deployment has made of them."""
    pools = [
        Pool(
            name=name,
            labels=pool.named(stated.environment),
            instance_types=pool.types,
            subnet_ids=tuple(subnets),
            launch_template_id=templates[name],
            maximum=pool.maximum,
            match=pool.match,
            spot=pool.spot,
            on_demand=pool.on_demand,
            boot_minutes=pool.boot_minutes,
            idle_minutes=pool.idle_minutes,
            lifetime_minutes=pool.lifetime_minutes,
            warm=pool.warm,
            hourly_usd=pool.hourly_usd,
        )
        for name, pool in stated.pools.items()
    ]
    return Fleet(
        name=stated.environment,
        organization=stated.organization,
        pools=tuple(pools),
        repositories=tuple(stated.repositories),
        level=stated.level,
        runner_group_id=group,
        app_id=stated.github_app.app_id,
        installation_id=stated.github_app.installation_id,
        api_url=stated.api_url,
        hook_id=hooks.get("", 0),
        repository_hooks={name: identity for name, identity in hooks.items() if name},
        zones=dict(zip(subnets, stated.zones, strict=True)) if stated.zones else {},
        allow_forks=stated.allow_forks,
        attempts=stated.attempts,
        rerun_interrupted=stated.rerun_interrupted,
        interruptions=stated.interruptions,
        grace_seconds=stated.grace_seconds,
        orphan_minutes=stated.orphan_minutes,
        record_days=stated.record_days,
        delivery_days=stated.delivery_days,
        budgets={
            api: stated.budgets[api].within(default) if api in stated.budgets else default
            for api, default in DEFAULT_BUDGETS.items()
        },
    )
