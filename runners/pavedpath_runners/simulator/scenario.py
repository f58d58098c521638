"""Scenarios: what is asked of a fleet, and how badly the world behaves meanwhile."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pavedpath_runners.configuration import Fleet, LabelMatch, Level, Market, Pool, WarmPool

from .ec2 import Drought
from .engine import Rates
from .github import Habits
from .machines import Wear

ZONES: Mapping[str, str] = {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}
START = 1767592200.0
"""2026-01-05 05:50:00 UTC, a Monday: schedules of the warm pool that end at six end within the run."""
_TYPES = ("m7g.large", "m6g.large", "c7g.xlarge")
_USD: Mapping[str, float] = {"m7g.large": 0.0816, "m6g.large": 0.077, "c7g.xlarge": 0.145}
LONGEST_HOLD = 3 * 3600.0
"""Most seconds that a drawn job is held back. GitHub waits for 30 days; a fleet sees no difference by then."""
_QUEUED_FIRST = 0.5
"""Share of held jobs of which GitHub first says that they are queued. Which it is of, nobody has told."""
SPOT_SHARE = 0.35
"""What spot costs of the on-demand price, for the estimate of spend."""


class Shape(StrEnum):
    """How jobs arrive over `Scenario.span`."""

    STEADY = "steady"
    """At times that are drawn evenly."""
    BURST = "burst"
    """All within two seconds, as a matrix does."""
    WAVES = "waves"
    """In three bursts."""


@dataclass(frozen=True)
class Scenario:
    """One world. Times are seconds from its start."""

    name: str
    fleet: Fleet
    jobs: int = 10
    arrival: Shape = Shape.STEADY
    span: float = 900.0
    """Over which jobs arrive."""
    durations: tuple[float, float] = (30.0, 600.0)
    """Shortest and longest job."""
    forks: float = 0.0
    """Share of jobs whose code is a fork's."""
    foreign: float = 0.0
    """Share of jobs whose labels no pool has."""
    cancelled: float = 0.0
    """Share of jobs that their users cancel."""
    approvals: float = 0.0
    """Share of jobs that their environment's rules hold back first."""
    together: int = 1
    """Most jobs of one workflow run."""
    faults_until: float = 1800.0
    """When all that is a matter of rates ceases."""
    rates: Mapping[str, Rates] = field(default_factory=dict[str, Rates])
    """By service."""
    habits: Habits = field(default_factory=Habits)
    wear: Wear = field(default_factory=Wear)
    droughts: Sequence[Drought] = ()
    twice: float = 0.0
    """Probability that a message, a tick or an event comes twice."""
    notices_lost: float = 0.0
    """Probability that an interruption is not announced."""
    index_lag: float = 0.3
    """Mean seconds by which the ledger's index lags."""
    contention: float = 0.0
    """Probability that DynamoDB refuses a transaction for another's sake."""
    ec2_lag: float = 2.0
    """Most seconds by which EC2's reads lag."""
    page: int = 100
    """Most items of one page of DynamoDB and EC2."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job to come."""

    at: float
    repository: str
    run: int
    labels: Sequence[str]
    pool: str
    """Empty: none has its labels."""
    seconds: float
    own: bool
    held: float
    """Behind the rules of its environment; 0: it has none."""
    cancel_after: float
    """0: its user does not cancel it."""
    queued_first: bool = False
    """Whether GitHub says that it is queued before it says that it is held back."""


def arrivals(scenario: Scenario, seed: int) -> Sequence[Arrival]:
    """The jobs of a scenario, in the order of their coming; the same for every policy."""
    draw = random.Random(f"arrivals {seed}")  # noqa: S311 - a simulation is to be repeatable, not secret
    times = sorted(_time(draw, scenario, number) for number in range(scenario.jobs))
    found: list[Arrival] = []
    run, left, repository = 0, 0, ""
    for at in times:
        if left == 0:
            run, left = run + 1, draw.randint(1, scenario.together)
            names = scenario.fleet.repositories or ("app", "web")
            repository = f"{scenario.fleet.organization}/{draw.choice(list(names))}"
        left -= 1
        pool = draw.choice(list(scenario.fleet.pools))
        foreign = draw.random() < scenario.foreign
        found.append(
            Arrival(
                at=at,
                repository=repository,
                run=run,
                labels=("self-hosted", "elsewhere") if foreign else tuple(pool.labels),
                pool="" if foreign else pool.name,
                seconds=draw.uniform(*scenario.durations),
                own=draw.random() >= scenario.forks,
                held=_hold(draw) if draw.random() < scenario.approvals else 0.0,
                cancel_after=draw.uniform(1, 900) if draw.random() < scenario.cancelled else 0.0,
                queued_first=scenario.approvals > 0 and draw.random() < _QUEUED_FIRST,
            )
        )
    return found


def _hold(draw: random.Random) -> float:
    """Seconds behind an environment's rules: next to none where they demand nothing of this run, minutes where somebody
    is there to approve it, hours where nobody is."""
    return draw.uniform(*draw.choice(((0.2, 5.0), (30.0, 600.0), (30.0, 600.0), (1800.0, LONGEST_HOLD))))


def _time(draw: random.Random, scenario: Scenario, number: int) -> float:
    if scenario.arrival is Shape.BURST:
        return draw.uniform(0, 2)
    if scenario.arrival is Shape.WAVES:
        return (number % 3) * scenario.span / 2 + draw.uniform(0, 2)
    return draw.uniform(0, scenario.span)


def fleet(pools: Sequence[Pool], **more: object) -> Fleet:
    """A fleet of the simulated organisation."""
    return replace(
        Fleet(
            name="sim",
            organization="acme",
            pools=pools,
            repositories=("app", "web"),
            hook_id=7,
            repository_hooks={"app": 7, "web": 8},
            zones=ZONES,
        ),
        **more,  # pyright: ignore[reportArgumentType] - replace() checks the names, not the types
    )


def pool(name: str = "default", maximum: int = 10, **more: object) -> Pool:
    """A pool of the simulated fleet."""
    return replace(
        Pool(
            name=name,
            labels=("self-hosted", "linux", "arm64", "sim", name),
            instance_types=_TYPES[:2],
            subnet_ids=tuple(ZONES),
            launch_template_id="lt-1",
            maximum=maximum,
            hourly_usd=_USD,
        ),
        **more,  # pyright: ignore[reportArgumentType] - replace() checks the names, not the types
    )


def everywhere(rates: Rates) -> Mapping[str, Rates]:
    """The same rates for every service."""
    return dict.fromkeys(("dynamodb", "sqs", "ec2", "ssm", "github"), rates)


def _base(draw: random.Random, name: str) -> Scenario:
    """What all kinds begin with. Most are small, since ten thousand of them are run; one in 25 is not."""
    large = draw.random() < 1 / 25
    pools = [pool(maximum=draw.randint(3, 20 if large else 8), spot=draw.random() < 0.7)]
    if draw.random() < 0.3:
        pools.append(pool("large", draw.randint(2, 8), instance_types=_TYPES[2:], match=LabelMatch.EXACT))
    return Scenario(
        name=name,
        fleet=fleet(pools),
        jobs=draw.randint(12, 30) if large else draw.randint(3, 6),
        arrival=draw.choice(list(Shape)),
        span=draw.uniform(30, 1500 if large else 300),
        durations=(draw.uniform(5, 60), draw.uniform(60, 700 if large else 180)),
        together=draw.choice([1, 1, 3]),
        faults_until=draw.uniform(240, 1800 if large else 500),
        index_lag=draw.choice([0.0, 0.1, 0.5, 3.0]),
        page=draw.choice([3, 100, 100]),
    )


def _calm(_: random.Random, base: Scenario) -> Scenario:
    return base


def _storm(draw: random.Random, base: Scenario) -> Scenario:
    return replace(
        _spot_storm(draw, _webhooks(draw, _stale(draw, base))),
        rates=everywhere(Rates(crash=0.01, lost=0.01, throttle=0.03, stall=0.004)),
        wear=Wear(slow=0.1, never=0.1, hangs=0.1, interruptions=5.0),
        durations=(20.0, draw.choice([200.0, 200.0, 1200.0])),
        faults_until=draw.uniform(300, 1200),
        cancelled=0.1,
        approvals=0.1,
        twice=0.05,
        contention=0.02,
        notices_lost=0.2,
    )


def _no_capacity(draw: random.Random, base: Scenario) -> Scenario:
    droughts: list[Drought] = []
    for _ in range(draw.randint(1, 6)):
        start = draw.uniform(0, base.span)
        market = draw.choice([Market.SPOT, Market.SPOT, Market.ON_DEMAND, None])
        zone, kind = draw.choice(["", *ZONES.values()]), draw.choice(["", *_TYPES])
        droughts.append(Drought(start, start + draw.uniform(60, 900), kind, zone, market))
    return replace(base, droughts=droughts, rates=everywhere(Rates(crash=0.002, lost=0.002)))


def _spot_storm(draw: random.Random, base: Scenario) -> Scenario:
    pools = [replace(each, spot=True) for each in base.fleet.pools]
    changed = replace(base.fleet, pools=pools, interruptions=draw.randint(1, 5))
    wear = Wear(interruptions=draw.uniform(2, 30))
    lost = draw.choice([0.0, 0.0, 0.5])
    return replace(base, fleet=changed, wear=wear, notices_lost=lost, twice=0.1)


def _throttles(draw: random.Random, base: Scenario) -> Scenario:
    worst = draw.choice(["dynamodb", "ec2", "github", "sqs", "ssm", ""])
    rates = everywhere(Rates(throttle=draw.uniform(0.01, 0.15)))
    if worst:
        rates = {**rates, worst: Rates(throttle=draw.uniform(0.2, 0.6))}
    return replace(base, rates=rates, contention=draw.uniform(0, 0.1))


def _crashes(draw: random.Random, base: Scenario) -> Scenario:
    rate = draw.uniform(0.005, 0.08)
    return replace(base, rates=everywhere(Rates(crash=rate, lost=rate / 2, stall=rate / 8)), twice=0.05)


def _webhooks(draw: random.Random, base: Scenario) -> Scenario:
    habits = Habits(
        lost=draw.uniform(0, 0.5),
        unrecorded=draw.uniform(0, 0.2),
        duplicate=draw.uniform(0, 0.5),
        late=draw.uniform(0, 0.3),
    )
    return replace(base, habits=replace(habits, stale=base.habits.stale))


def _stale(draw: random.Random, base: Scenario) -> Scenario:
    habits = replace(base.habits, stale=draw.uniform(0.3, 1.0), lost=draw.choice([0.0, 0.3]))
    # Long jobs and short patience: machines that run a job look idle for longer than they may be.
    pools = [replace(each, idle_minutes=1) for each in base.fleet.pools]
    return replace(
        base,
        habits=habits,
        fleet=replace(base.fleet, pools=pools),
        jobs=min(base.jobs, 5),
        durations=(60.0, draw.choice([300.0, 300.0, 1500.0])),
        faults_until=draw.choice([600.0, 1500.0]),
        cancelled=0.2,
    )


def _tiny(draw: random.Random, base: Scenario) -> Scenario:
    pools = [replace(each, maximum=draw.randint(1, 2)) for each in base.fleet.pools]
    rates = everywhere(Rates(crash=0.003, throttle=0.01))
    return replace(base, fleet=replace(base.fleet, pools=pools), durations=(20.0, 120.0), rates=rates)


def _rate_limits(draw: random.Random, base: Scenario) -> Scenario:
    habits = Habits(
        requests=draw.randint(60, 600), window=draw.uniform(120, 900), registrations=draw.randint(2, 10), lost=0.05
    )
    return replace(base, habits=habits, jobs=draw.randint(5, 9), arrival=Shape.BURST)


def _people(draw: random.Random, base: Scenario) -> Scenario:
    changed = replace(base.fleet, allow_forks=draw.random() < 0.3)
    return replace(base, fleet=changed, forks=0.2, foreign=0.1, cancelled=0.3, approvals=0.3, habits=Habits(late=0.1))


def _boots(draw: random.Random, base: Scenario) -> Scenario:
    wear = Wear(slow=draw.uniform(0, 0.4), never=draw.uniform(0.1, 0.4), hangs=draw.uniform(0, 0.5))
    return replace(base, wear=wear, rates=everywhere(Rates(crash=0.002, throttle=0.01)))


def _repositories(draw: random.Random, base: Scenario) -> Scenario:
    changed = replace(base.fleet, level=Level.REPOSITORY)
    return replace(_crashes(draw, base), fleet=changed, habits=Habits(lost=0.1, duplicate=0.2, stale=0.2))


def _warm(draw: random.Random, base: Scenario) -> Scenario:
    warm = WarmPool(hot=draw.randint(0, 2), stopped=draw.randint(0, 2), from_hour=5, to_hour=6, days=(0,))
    pools = [replace(each, warm=warm, maximum=each.maximum + 4) for each in base.fleet.pools]
    rates = everywhere(Rates(crash=draw.choice([0.0, 0.01]), throttle=0.01))
    return replace(base, fleet=replace(base.fleet, pools=pools), rates=rates, twice=0.05)


KINDS: Mapping[str, Callable[[random.Random, Scenario], Scenario]] = {
    "calm": _calm,
    "storm": _storm,
    "no capacity": _no_capacity,
    "spot storm": _spot_storm,
    "throttle storm": _throttles,
    "crash storm": _crashes,
    "webhook loss": _webhooks,
    "stale busy": _stale,
    "tiny maximum": _tiny,
    "rate limits": _rate_limits,
    "people": _people,
    "bad boots": _boots,
    "repository level": _repositories,
    "warm pool": _warm,
}
"""Kinds of scenario by name; seeds take them in turn."""


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    source = random.Random(f"scenario {seed}")  # noqa: S311 - a simulation is to be repeatable, not secret
    names = list(KINDS)
    name = names[seed % len(names)]
    return KINDS[name](source, _base(source, name))
