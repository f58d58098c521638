"""A model of what runs on a machine: it boots, polls for its configuration, runs one job and shuts itself down."""

from dataclasses import dataclass

from .ec2 import EC2, Machine
from .engine import Engine
from .github import GitHub, Registered, WorkflowJob
from .ssm import SSM

_POLL = 5.0
"""Seconds between two looks for the configuration."""


@dataclass(frozen=True)
class Wear:
    """How machines boot and fail."""

    boot: tuple[float, float] = (20.0, 60.0)
    """Seconds from launch until the agent polls, least and most."""
    slow: float = 0.0
    """Probability of a boot that takes three to twelve times as long."""
    never: float = 0.0
    """Probability of a boot after which no runner ever comes."""
    hangs: float = 0.0
    """Probability that the instance stays on after its job."""
    interruptions: float = 0.0
    """Spot interruptions an hour and machine."""
    patience: float = 1800.0
    """Seconds without a configuration after which the machine shuts itself down."""


@dataclass(eq=False, slots=True)
class Agent:
    """The agent of one machine."""

    machine: Machine
    polls_since: float = 0.0
    """0: it does not poll."""
    runner: Registered | None = None
    job: WorkflowJob | None = None
    boots: int = 0


class Machines:
    """The agents of all machines, and what befalls the machines themselves."""

    def __init__(self, engine: Engine, ec2: EC2, ssm: SSM, github: GitHub, wear: Wear, arns: str) -> None:
        self._engine = engine
        self._ec2 = ec2
        self._ssm = ssm
        self._github = github
        self._arns = arns
        self.wear = wear
        self.faulty = True
        self.refuses_forks = False
        """Whether a fork's job ends when it starts, by the hook that runs before it."""
        self.agents: dict[str, Agent] = {}
        """By instance id, of machines that have not ended."""
        self._by_runner: dict[int, Agent] = {}
        self.interrupted: set[str] = set()
        """Instances that EC2 took away or is about to."""
        self.broken: set[str] = set()
        """Instances whose runner never comes or hangs."""
        self.warn = self._nobody
        """Gets a machine whose end EC2 announces."""
        ssm.on_put = self._put

    @staticmethod
    def _nobody(machine: Machine) -> None:
        """No interruption is announced to anyone."""

    def booting(self, machine: Machine) -> None:
        """A machine starts."""
        random, wear = self._engine.random, self.wear
        agent = self.agents.setdefault(machine.id, Agent(machine))
        agent.boots += 1
        agent.polls_since = 0.0
        seconds = random.uniform(*wear.boot)
        if self.faulty and random.random() < wear.slow:
            seconds *= random.uniform(3, 12)
        if machine.market.value == "spot" and wear.interruptions and self.faulty:
            self._engine.after(random.expovariate(wear.interruptions / 3600), self.interrupt, machine)
        self._engine.after(min(seconds, random.uniform(8, 20)), self._runs, machine, agent.boots)
        if self.faulty and random.random() < wear.never:
            self.broken.add(machine.id)
            self._engine.say("machine", "will never register", machine=machine.id)
            return
        self._engine.after(seconds, self._boot, agent, agent.boots)

    def _runs(self, machine: Machine, boots: int) -> None:
        agent = self.agents.get(machine.id)
        if agent and agent.boots == boots and machine.state == "pending":
            self._ec2.change(machine, "running")

    def interrupt(self, machine: Machine) -> None:
        """EC2 takes a spot machine away in two minutes."""
        if machine.state not in ("pending", "running") or machine.id in self.interrupted or not self.faulty:
            return
        self.interrupted.add(machine.id)
        self._engine.say("ec2", "interruption announced", machine=machine.id)
        self.warn(machine)
        self._engine.after(120, self._ec2.change, machine, "terminated", "EC2")

    def halted(self, machine: Machine) -> None:
        """A machine has stopped or ended, whatever ran on it."""
        agent = self.agents.get(machine.id)
        if agent is None:
            return
        agent.boots += 1
        agent.polls_since = 0.0
        if agent.runner is not None:
            self._by_runner.pop(agent.runner.id, None)
            self._github.disconnect(agent.runner)
        agent.runner = agent.job = None
        if machine.state == "terminated":
            del self.agents[machine.id]

    def _boot(self, agent: Agent, boots: int) -> None:
        if agent.boots != boots or not agent.machine.live:
            return
        agent.polls_since = self._engine.time
        self._engine.say("machine", "polls for its configuration", machine=agent.machine.id)
        self._engine.after(0, self._poll, agent, boots)
        self._engine.after(self.wear.patience, self._give_up, agent, boots)

    def _put(self, name: str) -> None:
        agent = self.agents.get(name.rpartition("/")[2])
        if agent is not None and agent.polls_since:
            self._engine.after(self._engine.random.uniform(0, _POLL), self._poll, agent, agent.boots)

    def _poll(self, agent: Agent, boots: int) -> None:
        if agent.boots != boots or not agent.polls_since:
            return
        found = self._ssm.claim(agent.machine.id, self._arns + agent.machine.id)
        if found is None:
            return
        agent.polls_since = 0.0
        self._engine.after(self._engine.random.uniform(2, 8), self._connect, agent, boots, found)

    def _give_up(self, agent: Agent, boots: int) -> None:
        if agent.boots == boots and agent.polls_since:
            self._off(agent, "no configuration came")

    def _connect(self, agent: Agent, boots: int, configuration: str) -> None:
        if agent.boots != boots:
            return
        runner = self._github.connect(configuration)
        if runner is None:
            self._engine.say("machine", "its configuration is no longer good", machine=agent.machine.id)
            self._off(agent, "its configuration is no longer good")
            return
        agent.runner = runner
        self._by_runner[runner.id] = agent
        self._engine.say("machine", "runner online", machine=agent.machine.id, detail=runner.name)

    def assigned(self, runner: Registered, job: WorkflowJob) -> None:
        """A runner got a job."""
        agent = self._by_runner[runner.id]
        agent.job = job
        self._engine.say("machine", "job starts", job.id, agent.machine.id)
        if self.refuses_forks and not job.own:
            self._engine.after(self._engine.random.uniform(0.5, 2), self._finish, agent, agent.boots, "failure")
            return
        self._engine.after(job.seconds, self._finish, agent, agent.boots, "success")

    def stopped(self, job: WorkflowJob) -> None:
        """The user cancels a running job."""
        agent = self._by_runner.get(job.registration)
        if agent is not None and agent.job is job:
            self._engine.after(self._engine.random.uniform(3, 20), self._finish, agent, agent.boots, "cancelled")

    def _finish(self, agent: Agent, boots: int, conclusion: str) -> None:
        job, runner = agent.job, agent.runner
        if agent.boots != boots or job is None or runner is None or job.status != "in_progress":
            return
        self._engine.say("machine", "job ends", job.id, agent.machine.id, conclusion)
        agent.job = agent.runner = None
        self._by_runner.pop(runner.id, None)
        self._github.end(job, conclusion)
        self._off(agent, "its job has ended")

    def removed(self, runner: Registered) -> None:
        """A registration was removed: an idle agent exits, one that runs a job ends it first."""
        agent = self._by_runner.get(runner.id)
        if agent is not None and agent.job is None:
            agent.runner = None
            del self._by_runner[runner.id]
            self._engine.after(self._engine.random.uniform(1, 40), self._off, agent, "its registration was removed")

    def _off(self, agent: Agent, why: str) -> None:
        if not agent.machine.live:
            return
        if self.faulty and self._engine.random.random() < self.wear.hangs:
            self.broken.add(agent.machine.id)
            self._engine.say("machine", "hangs instead of shutting down", machine=agent.machine.id, detail=why)
            return
        self._engine.say("machine", "shuts down", machine=agent.machine.id, detail=why)
        self._engine.after(self._engine.random.uniform(1, 8), self._ec2.change, agent.machine, "terminated", "itself")

    def with_runner(self, registration: int) -> Machine | None:
        """The machine whose agent is online with a registration."""
        agent = self._by_runner.get(registration)
        return agent.machine if agent else None

    def busy(self, machine: Machine) -> WorkflowJob | None:
        """The job that runs on a machine now."""
        agent = self.agents.get(machine.id)
        return agent.job if agent else None
