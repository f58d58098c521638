"""A made-up history of deployments whose figures are known, because each episode was planned with its own."""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from pavedpath_delivery.dora.core import Change, Deployment, Incident, Outcome, Record, Window

START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class Plan:
    """Writes episodes one after the other and what each of them adds to the figures."""

    seed: int
    records: list[Record] = field(default_factory=list[Record])
    attempts: int = 0
    successes: int = 0
    failures: int = 0
    redeployments: int = 0
    rollbacks: int = 0
    lead_times: list[float] = field(default_factory=list[float])
    restores: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311  a made-up history, no secret
        self._now = START
        self._commits = 0
        self._runs = "none"

    @property
    def window(self) -> Window:
        return Window(START, self._now + timedelta(seconds=1))

    def fill(self, deployments: int) -> "Plan":
        episodes = [self.good] * 12 + [self.failing] * 2 + [self.bad] * 2 + [self.again, self.incident]
        while self._deployed < deployments:
            self._random.choice(episodes)()
        return self

    @property
    def _deployed(self) -> int:
        return self.attempts + self.redeployments + self.rollbacks

    def good(self) -> Deployment:
        """Bring one to three commits to run."""
        made = self._attempt(Outcome.SUCCESS)
        self._runs = made.commit
        changes: list[Change] = []
        for number in range(self._random.randint(1, 3)):
            seconds = self._random.randint(60, 400_000)
            self.lead_times.append(seconds)
            commit = made.commit if number == 0 else f"{made.commit}-{number}"
            changes.append(Change(commit, made.finished - timedelta(seconds=seconds)))
        made = replace(made, changes=tuple(changes))
        self.records[-1] = made
        self.successes += 1
        return made

    def failing(self) -> None:
        """Fail one to three times, then succeed: that many failures, one outage."""
        attempts = [self._attempt(Outcome.FAILURE) for _ in range(self._random.randint(1, 3))]
        began = attempts[0].finished
        self.failures += len(attempts)
        self.restores.append((self.good().finished - began).total_seconds())

    def bad(self) -> None:
        """Bring a change that is rolled back afterwards."""
        if self._runs == "none":
            return
        before = self._runs
        made = self.good()
        self.failures += 1
        self.rollbacks += 1
        back = self._deploy(before, Outcome.SUCCESS)
        self._runs = before
        self.restores.append((back.finished - made.finished).total_seconds())

    def again(self) -> None:
        """Deploy what runs already."""
        if self._runs == "none":
            return
        self.redeployments += 1
        self._deploy(self._runs, Outcome.SUCCESS)

    def incident(self) -> None:
        """Bring a change that an incident follows, which ends before the next deployment."""
        made = self.good()
        opened = made.finished + timedelta(seconds=10)
        length = self._random.randint(1, 50)
        name = f"incident-{len(self.records)}"
        self.records.append(Incident(name, "shop", "prod", opened, opened + timedelta(seconds=length)))
        self.failures += 1
        self.restores.append(length)

    def _attempt(self, outcome: Outcome) -> Deployment:
        self._commits += 1
        self.attempts += 1
        return self._deploy(f"commit-{self._commits}", outcome)

    def _deploy(self, commit: str, outcome: Outcome) -> Deployment:
        self._now += timedelta(seconds=self._random.randint(100, 4000))
        made = Deployment(f"d{len(self.records)}", "shop", "prod", commit, self._now, outcome)
        self.records.append(made)
        return made
