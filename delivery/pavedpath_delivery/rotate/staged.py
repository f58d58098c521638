"""A new value of a secret in AWS Secrets Manager, by its stages: AWSPENDING, tried, AWSCURRENT.

The stages are the only memory: whatever a run that was killed left behind, the next one reads it there, and finishes
or withdraws it.

Source: AWS, Secrets Manager, "Rotation by Lambda function" (the four steps) and UpdateSecretVersionStage.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_CURRENT, _PENDING = "AWSCURRENT", "AWSPENDING"


class Step(StrEnum):
    """What is to be done first, by the stages."""

    BEGIN = "begin"
    """No rotation is under way."""
    RESUME = "resume"
    """A value waits to be tried."""
    TIDY = "tidy"
    """The value that was tried is current already; only its label is left."""


class Outcome(StrEnum):
    """What became of it."""

    ROTATED = "rotated"
    RESUMED = "an interrupted rotation was finished"
    WITHDRAWN = "withdrawn"
    NOTHING = "nothing to withdraw"
    DRY = "would be rotated"
    DRY_RESUME = "an interrupted rotation would be finished"
    DRY_WITHDRAW = "would be withdrawn"


@dataclass(frozen=True)
class Stages:
    """Ids of a secret's versions by stage; empty for none."""

    current: str
    pending: str

    @classmethod
    def of(cls, versions: Mapping[str, Sequence[str]]) -> "Stages":
        """Read them from the `VersionIdsToStages` of DescribeSecret."""

        def at(stage: str) -> str:
            return next((version for version, stages in versions.items() if stage in stages), "")

        return cls(at(_CURRENT), at(_PENDING))

    @property
    def step(self) -> Step:
        """What is to be done first."""
        if not self.pending:
            return Step.BEGIN
        return Step.TIDY if self.pending == self.current else Step.RESUME


def merged(current: str, field: str, value: str) -> str:
    """Return a secret's text with a new value; with a field, that of its JSON object alone. Pure.

    Raises:
        DeliveryError: there is no such field.
    """
    if not field:
        return value
    try:
        document = fields(json.loads(current))
    except ValueError:
        document = fields(None)
    if not isinstance(document.get(field), str):
        raise DeliveryError(f"The secret has no field {field} with a text.", Exit.USAGE)
    return json.dumps({**document, field: value})


@dataclass(frozen=True)
class Rotation:
    """The rotation of one secret.

    Args:
        client: of Secrets Manager.
        secret: name or ARN.
        accepts: whether a new value works where it is used; gets the secret's whole text.
        field: the field of a JSON secret that changes; empty for the whole text.
    """

    client: Any
    secret: str
    accepts: Callable[[str], bool]
    field: str = ""

    def run(self, new_value: Callable[[], str], *, dry_run: bool = False) -> Outcome:
        """Give it a new value, or finish what a run before began.

        Raises:
            DeliveryError: its new value was not accepted (it is withdrawn, the old one stays), it has a rotation of its
                own, or someone else is rotating it.
        """
        stages = self._stages()
        if dry_run and stages.step is not Step.BEGIN:
            return Outcome.DRY_RESUME
        if dry_run:
            self._new_text(stages, new_value)
            return Outcome.DRY
        match stages.step:
            case Step.TIDY:
                self._remove_label(stages.pending)
                return Outcome.RESUMED
            case Step.RESUME:
                self._try(stages)
                return Outcome.RESUMED
            case Step.BEGIN:
                self._begin(stages, new_value)
                return Outcome.ROTATED

    def withdraw(self, *, dry_run: bool = False) -> Outcome:
        """Take back a value that is not current yet."""
        stages = self._stages()
        if stages.step is Step.BEGIN:
            return Outcome.NOTHING
        if dry_run:
            return Outcome.DRY_WITHDRAW if stages.step is Step.RESUME else Outcome.DRY_RESUME
        self._remove_label(stages.pending)
        return Outcome.WITHDRAWN if stages.step is Step.RESUME else Outcome.RESUMED

    def _new_text(self, stages: Stages, new_value: Callable[[], str]) -> str:
        if not stages.current:
            raise DeliveryError(f"{self.secret} has no value yet. Fix: give it its first one.", Exit.USAGE)
        return merged(self._text(stages.current) if self.field else "", self.field, new_value())

    def _begin(self, stages: Stages, new_value: Callable[[], str]) -> None:
        text = self._new_text(stages, new_value)
        pending = str(uuid.uuid4())
        self.client.put_secret_value(
            SecretId=self.secret, ClientRequestToken=pending, SecretString=text, VersionStages=[_PENDING]
        )
        self._try(Stages(stages.current, pending))

    def _try(self, stages: Stages) -> None:
        if not self.accepts(self._text(stages.pending)):
            self._remove_label(stages.pending)
            raise DeliveryError(
                f"{self.secret}: the new value was not accepted and is withdrawn; the old one stays. Fix: make it known"
                " where it is used (--from-env), or look at the test."
            )
        if self._stages() != stages:
            raise DeliveryError(f"{self.secret}: someone else is rotating it. Fix: run it again.", Exit.LOCKED)
        self.client.update_secret_version_stage(
            SecretId=self.secret,
            VersionStage=_CURRENT,
            MoveToVersionId=stages.pending,
            RemoveFromVersionId=stages.current,
        )
        self._remove_label(stages.pending)

    def _stages(self) -> Stages:
        found: Properties = self.client.describe_secret(SecretId=self.secret)
        if found.get("RotationEnabled"):
            raise DeliveryError(
                f"{self.secret} is rotated by its own function. Fix: aws secretsmanager rotate-secret --secret-id"
                f" {self.secret}.",
                Exit.POLICY,
            )
        return Stages.of(found.get("VersionIdsToStages") or {})

    def _text(self, version: str) -> str:
        return str(self.client.get_secret_value(SecretId=self.secret, VersionId=version)["SecretString"])

    def _remove_label(self, version: str) -> None:
        self.client.update_secret_version_stage(
            SecretId=self.secret, VersionStage=_PENDING, RemoveFromVersionId=version
        )
