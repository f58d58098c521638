"""The simulated world, put together, and what is counted in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .dynamodb import DynamoDB
from .ec2 import EC2, Drought, Listeners
from .engine import Engine
from .github import Ears, GitHub, WorkflowJob
from .lambdas import Lambdas
from .machines import Machines
from .policy import Deployment, Policy, Services
from .scenario import START, ZONES, Arrival, Scenario
from .sqs import SQS
from .ssm import SSM

REGION, ACCOUNT = "us-east-1", "123456789012"
FIRST_JOB = 10_001
SECRET = b"the simulated webhook's secret"


@dataclass
class Telemetry:
    """Metrics and log of the control plane: counted, and written into the timeline."""

    engine: Engine
    counts: dict[str, float] = field(default_factory=dict[str, float])

    def count(self, metric: str, value: float = 1.0, **_: str) -> None:
        """Add to a metric that counts."""
        self.counts[metric] = self.counts.get(metric, 0.0) + value

    def seconds(self, metric: str, value: float, **dimensions: str) -> None:
        """Measured times are of no use here."""

    def say(self, event: str, **fields: object) -> None:
        """Write a line of the timeline."""
        if self.engine.journal is None:
            return
        job = fields.get("job")
        machine = fields.get("runner") or fields.get("instance") or ""
        rest = ", ".join(f"{key} {value}" for key, value in fields.items() if value not in (None, ""))
        self.engine.say(self.engine.actor, event, job if isinstance(job, int) else 0, str(machine), rest)


class SimulatedWorld:
    """Every service of one scenario, wired to one another and to a control plane."""

    def __init__(self, scenario: Scenario, seed: int, deployment: Deployment, journal: bool = True) -> None:
        self.scenario = scenario
        self.deployment = deployment
        self.engine = engine = Engine(seed, START, journal)
        self.telemetry = Telemetry(engine)
        self.dynamodb = DynamoDB(engine, scenario.index_lag, scenario.page, scenario.contention)
        self.queue = SQS(
            engine,
            deployment.fifo,
            deployment.visibility_seconds,
            deployment.receives,
            deployment.delay_seconds,
            scenario.twice,
        )
        self.ssm = SSM(engine)
        droughts = [_moved(each) for each in scenario.droughts]
        self.ec2 = EC2(engine, ZONES, droughts, scenario.ec2_lag, max(5, scenario.page))
        self.github = GitHub(engine, scenario.fleet.organization, SECRET, scenario.habits)
        arns = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/"
        self.machines = Machines(engine, self.ec2, self.ssm, self.github, scenario.wear, arns)
        self.machines.refuses_forks = deployment.guard and not scenario.fleet.allow_forks
        self.services = Services(
            fleet=scenario.fleet,
            table="ledger",
            queue_url="https://sqs.invalid/launch.fifo",
            secret=SECRET,
            dynamodb=self.dynamodb,
            sqs=self.queue,
            ec2=self.ec2,
            ssm=self.ssm,
            github=self.github,
            clock=engine,
            telemetry=self.telemetry,
            remaining=engine.remaining,
        )
        self.environments = 0
        self.lambdas = Lambdas(engine, deployment, self.queue, self._environment)
        self.lambdas.twice, self.lambdas.notices_lost = scenario.twice, scenario.notices_lost
        self.arrivals: dict[int, Arrival] = {}
        """By job; re-runs are not among them."""
        self.calm_at = START + scenario.faults_until

    def _environment(self) -> Policy:
        self.environments += 1
        return self.deployment.build(replace(self.services, environment=self.environments, defect=self.lambdas.defect))

    def connect(self, watched: Listeners, ears: Ears) -> None:
        """Wire the services; whoever watches hears of everything first."""
        machines, lambdas = self.machines, self.lambdas
        self.ec2.on = Listeners(
            launched=watched.launched,
            booting=_both(watched.booting, machines.booting),
            asked=watched.asked,
            halted=_both(watched.halted, machines.halted, lambdas.changed),
        )
        self.github.on = Ears(
            assigned=_both(ears.assigned, machines.assigned),
            removed=machines.removed,
            changed=ears.changed,
            stopped=machines.stopped,
        )
        self.github.send = lambdas.webhook
        machines.warn = lambdas.announced

    def begin(self, arrivals: Sequence[Arrival]) -> None:
        """Let jobs come, faults begin, and the schedule run."""
        engine = self.engine
        engine.rates = self.scenario.rates
        engine.at(self.calm_at, self.calm)
        for number, arrival in enumerate(arrivals):
            engine.at(START + arrival.at, self.arrive, FIRST_JOB + number, arrival)
        # Re-runs get ids after those of all jobs that are still to come.
        self.github.reserve(FIRST_JOB + len(arrivals))
        self.lambdas.start()

    def arrive(self, identity: int, arrival: Arrival) -> None:
        """A job comes."""
        self.arrivals[identity] = arrival
        job = WorkflowJob(identity, arrival.repository, arrival.run, arrival.labels, arrival.seconds, arrival.own)
        self.github.queue(job, arrival.held, queued_first=arrival.queued_first)
        if arrival.cancel_after:
            self.engine.after(arrival.cancel_after, self.github.cancel, job)

    def calm(self) -> None:
        """All that is a matter of rates ceases, now."""
        self.calm_at = self.engine.time
        self.engine.say("world", "faults cease")
        self.engine.rates = {}
        self.github.faulty = self.machines.faulty = False
        self.lambdas.twice = self.lambdas.notices_lost = 0.0
        self.queue.duplicates = 0.0


def _both(*heard: Callable[..., None]) -> Callable[..., None]:
    def all_of_them(*arguments: Any) -> None:
        for each in heard:
            each(*arguments)

    return all_of_them


def _moved(drought: Drought) -> Drought:
    return replace(drought, start=START + drought.start, end=START + drought.end)
