"""A limit on what an environment may cost, and who is told when it is near."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component
from .errors import Problem
from .shapes import read

# Source: AWS, API reference of Budgets: Notification ("up to 10 e-mail subscribers and one SNS"), BudgetName.
_MAX_EMAILS = 10
_NAME = re.compile(r"[^:\\]{1,100}")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")
"""What is taken for an address: who mistypes one is never told anything."""


class BudgetArgs(TypedDict):
    """Arguments of `Budget`."""

    monthly_usd: float
    """What a month may cost, in US dollars."""
    emails: NotRequired[Sequence[str]]
    """Addresses that are told, up to 10. Default: none; one of the two ways is needed."""
    topic_arn: NotRequired[pulumi.Input[str]]
    """ARN of an SNS topic that is told; AWS Budgets must be allowed to publish to it, as `DeploymentAlerts.topic_arn`
    does. Default: none."""
    environment: NotRequired[str]
    """Counts only what carries the tag environment with this value. Default: the whole account."""
    actual_percent: NotRequired[Sequence[int]]
    """Shares of the limit at which to tell that they are spent, in percent. Default: 80 and 100."""
    forecast_percent: NotRequired[Sequence[int]]
    """Shares of the limit at which to tell that the month is heading there, in percent. Default: 100."""


@dataclass(frozen=True)
class _Budget:
    monthly_usd: float
    emails: Sequence[str] = field(default_factory=tuple[str, ...])
    topic_arn: pulumi.Input[str] | None = None
    environment: str | None = None
    actual_percent: Sequence[int] = (80, 100)
    forecast_percent: Sequence[int] = (100,)

    def problems(self) -> Iterator[Problem]:
        if not 0.01 <= self.monthly_usd < 1e9:  # NaN is not either
            yield Problem("monthly_usd", self.monthly_usd, "it is no sum of money", "give dollars, for example 250")
        if not self.emails and self.topic_arn is None:
            yield Problem("emails", self.emails, "nobody would be told", "give emails, topic_arn or both")
        if len(self.emails) > _MAX_EMAILS:
            why = f"AWS Budgets writes to {_MAX_EMAILS} at most"
            yield Problem("emails", len(self.emails), why, "use a mailing list, or topic_arn")
        for address in self.emails:
            if not EMAIL.fullmatch(address):
                yield Problem("emails", address, "it is no address", "write it as name@example.com")
        if self.environment is not None and not self.environment.strip():
            yield Problem("environment", self.environment, "it is empty", "give the tag's value, or leave it out")
        for argument, shares in (("actual_percent", self.actual_percent), ("forecast_percent", self.forecast_percent)):
            for share in shares:
                if not 1 <= share <= 1000:
                    yield Problem(argument, share, "it is no share of the limit", "give percent, for example 80")
        if not self.actual_percent and not self.forecast_percent:
            yield Problem("actual_percent", self.actual_percent, "nothing would be told", "give at least one share")


class Budget(Component):
    """A monthly cost budget that warns; it stops nothing.

    Creates: an AWS budget over actual cost, with a notification for each share of the limit. AWS updates costs up to
    three times a day, so a warning comes hours after the money is spent. A tag counts once it is activated as a cost
    allocation tag in the billing account, and from then on.
    Source: AWS, "Managing your costs with AWS Budgets" and "Activating user-defined cost allocation tags".

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    name: pulumi.Output[str]
    """Name of the budget."""

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_Budget, args, "Budget", name)
        super().__init__(name, opts)
        budget = aws.budgets.Budget(
            name,
            name=name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=f"{parsed.monthly_usd:.2f}",
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:environment${parsed.environment}"]}]
            if parsed.environment
            else None,
            notifications=[
                *[_notification("ACTUAL", share, parsed) for share in sorted(set(parsed.actual_percent))],
                *[_notification("FORECASTED", share, parsed) for share in sorted(set(parsed.forecast_percent))],
            ],
            opts=self.child(),
        )
        self.name = budget.name
        self.register_outputs({"name": self.name})


def _notification(kind: str, share: int, parsed: _Budget) -> aws.budgets.BudgetNotificationArgs:
    return aws.budgets.BudgetNotificationArgs(
        comparison_operator="GREATER_THAN",
        notification_type=kind,
        threshold=float(share),
        threshold_type="PERCENTAGE",
        subscriber_email_addresses=sorted(set(parsed.emails)) or None,
        subscriber_sns_topic_arns=[parsed.topic_arn] if parsed.topic_arn is not None else None,
    )
