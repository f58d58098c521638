"""The operations of AWS Budgets that moto lacks: changing a budget, its subscribers, and its tags."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from moto.budgets.exceptions import NotFoundException
from moto.budgets.responses import BudgetsResponse
from moto.core.utils import unix_time


def install() -> None:
    """Add the operations to moto; one that it has by now stays moto's."""
    operations = {
        "update_budget": _update_budget,
        "update_notification": _update_notification,
        "describe_subscribers_for_notification": _describe_subscribers,
        "create_subscriber": _create_subscriber,
        "delete_subscriber": _delete_subscriber,
        "list_tags_for_resource": _list_tags,
        "tag_resource": _tag,
        "untag_resource": _untag,
    }
    for name, operation in operations.items():
        if not hasattr(BudgetsResponse, name):
            setattr(BudgetsResponse, name, operation)


def _budget(response: Any, name: str) -> Any:
    found = response.backend.budgets[response._get_param("AccountId") or response.current_account].get(name)
    if found is None:
        raise NotFoundException(f"Unable to get budget: {name} - the budget doesn't exist.")
    return found


def _update_budget(self: Any) -> str:
    given = cast("dict[str, Any]", self._get_param("NewBudget"))
    held = _budget(self, given["BudgetName"])
    period = {"TimePeriod": held.budget["TimePeriod"]}
    held.budget = {**period, **given, "LastUpdatedTime": unix_time()}
    return "{}"


def _notification(response: Any) -> Any:
    budget, wanted = _budget(response, response._get_param("BudgetName")), response._get_param("Notification")
    for each in budget.notifications:
        if _identity(each.details) == _identity(wanted):
            return each
    raise NotFoundException("Unable to get notification - the notification doesn't exist.")


def _identity(details: dict[str, Any]) -> tuple[object, ...]:
    """What tells notifications of a budget apart; ThresholdType has a default, NotificationState is no part of it."""
    return (
        details["NotificationType"],
        details["ComparisonOperator"],
        float(details["Threshold"]),
        details.get("ThresholdType", "PERCENTAGE"),
    )


def _update_notification(self: Any) -> str:
    budget, old = _budget(self, self._get_param("BudgetName")), self._get_param("OldNotification")
    for each in budget.notifications:
        if _identity(each.details) == _identity(old):
            each.details = self._get_param("NewNotification")
            return "{}"
    raise NotFoundException("Unable to update notification - the notification doesn't exist.")


def _describe_subscribers(self: Any) -> str:
    return json.dumps({"Subscribers": _notification(self).subscribers})


def _create_subscriber(self: Any) -> str:
    _notification(self).subscribers.append(self._get_param("Subscriber"))
    return "{}"


def _delete_subscriber(self: Any) -> str:
    held, gone = _notification(self), self._get_param("Subscriber")
    held.subscribers = [each for each in held.subscribers if each != gone]
    return "{}"


def _tags(response: Any) -> dict[str, str]:
    """A budget's tags, by its ARN (`arn:aws:budgets::<account>:budget/<name>`), kept in what it was created with."""
    budget = _budget(response, response._get_param("ResourceARN").partition(":budget/")[2])
    held = cast("dict[str, dict[str, str]]", vars(budget))
    return held.setdefault("tags", {})


def _list_tags(self: Any) -> str:
    return json.dumps({"ResourceTags": [{"Key": key, "Value": value} for key, value in _tags(self).items()]})


def _tag(self: Any) -> str:
    _tags(self).update({each["Key"]: each["Value"] for each in self._get_param("ResourceTags")})
    return "{}"


def _untag(self: Any) -> str:
    for key in self._get_param("ResourceTagKeys"):
        _tags(self).pop(key, None)
    return "{}"


def tags_of_a_new_budget(self: Any, original: Callable[..., Any]) -> Any:
    """CreateBudget takes tags, which moto drops."""
    answer = original(self)
    given = cast("list[dict[str, str]]", self._get_param("ResourceTags") or [])
    _budget(self, self._get_param("Budget")["BudgetName"]).tags = {each["Key"]: each["Value"] for each in given}
    return answer
