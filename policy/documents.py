"""IAM policy documents, read as AWS reads them: names without regard to case, one value or a list of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from policy.model import UNKNOWN, Data, each

_POSITIVE = {"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"}
# Keys that bind a request to an account, an organisation, a network or a resource. Source: AWS, "Blocking public
# access to your Amazon S3 storage", "The meaning of public"; and "AWS global condition context keys".
_BINDING = frozenset(
    """
    aws:principalaccount aws:principalarn aws:principalorgid aws:principalorgpaths aws:sourceaccount aws:sourcearn
    aws:sourceip aws:sourceorgid aws:sourceorgpaths aws:sourceowner aws:sourcevpc aws:sourcevpce aws:userid
    aws:vpcsourceip kms:calleraccount s3:dataaccesspointaccount s3:dataaccesspointarn lambda:eventsourcetoken
    """.split()  # noqa: SIM905  one name a line would hide the rule behind its list
)


@dataclass(frozen=True)
class Condition:
    """One condition; operator and key in lower case."""

    operator: str
    key: str
    values: Sequence[str]

    @property
    def binds(self) -> bool:
        """Whether a request without the key, or with another value, is refused."""
        return self.operator.removeprefix("foranyvalue:") in _POSITIVE


@dataclass(frozen=True)
class Statement:
    """One statement; `principals` by kind, where `Principal: "*"` is of the kind `*`."""

    label: str
    allows: bool
    actions: Sequence[str]
    not_actions: Sequence[str]
    resources: Sequence[str]
    not_resources: Sequence[str]
    principals: Mapping[str, Sequence[str]]
    not_principals: bool
    conditions: Sequence[Condition]

    @property
    def public(self) -> bool:
        """Whether it allows something to everyone, with no condition that binds them to somebody known."""
        anyone = self.not_principals or any("*" in who for who in self.principals.values())
        return self.allows and anyone and not any(map(_binds_to_someone, self.conditions))


def statements(document: Data) -> list[Statement]:
    """Return the statements of a policy document, given as JSON text or as an object.

    What is not known yet, and what AWS would refuse as malformed, has none.
    """
    if document is UNKNOWN:
        return []
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError):
            return []
    found = (_statement(item, number) for number, item in enumerate(each(_fields(document).get("statement")), 1))
    return [statement for statement in found if statement]


def _statement(item: Data, number: int) -> Statement | None:
    fields = _fields(item)
    if not fields:
        return None
    return Statement(
        label=str(fields.get("sid") or f"number {number}"),
        allows=str(fields.get("effect")).lower() == "allow",
        actions=_texts(fields.get("action")),
        not_actions=_texts(fields.get("notaction")),
        resources=_texts(fields.get("resource")),
        not_resources=_texts(fields.get("notresource")),
        principals=_principals(fields.get("principal")),
        not_principals="notprincipal" in fields,
        conditions=tuple(_conditions(fields.get("condition"))),
    )


def _fields(value: Data) -> Mapping[str, Data]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key).lower(): item for key, item in cast(Mapping[Data, Data], value).items()}


def _texts(value: Data) -> tuple[str, ...]:
    return tuple(item for item in each(value) if isinstance(item, str))


def _principals(value: Data) -> Mapping[str, Sequence[str]]:
    if isinstance(value, Mapping):
        return {kind: _texts(who) for kind, who in _fields(cast(Data, value)).items()}
    return {"*": _texts(value)} if value else {}


def _conditions(value: Data) -> Iterator[Condition]:
    for operator, tests in _fields(value).items():
        for key, values in _fields(tests).items():
            yield Condition(operator, key, tuple(str(item) for item in each(values)))


def _binds_to_someone(condition: Condition) -> bool:
    return (
        condition.binds
        and condition.key in _BINDING
        and bool(condition.values)
        and all(_specific(value) for value in condition.values)
    )


def _specific(value: str) -> bool:
    """Whether a value leaves out somebody: in an ARN, the account or (S3's have none) the resource must be fixed."""
    parts = value.split(":", 5)
    if len(parts) == 6 and parts[0] == "arn":
        account, resource = parts[4], parts[5]
        return bool(account or resource) and not wild(account or resource)
    return value not in ("0.0.0.0/0", "::/0") and bool(value.strip("*?"))


def wild(text: str) -> bool:
    """Whether a text is a pattern."""
    return "*" in text or "?" in text


def any_resource(resource: str) -> bool:
    """Whether a resource of a statement is all of a service's, or of all services'."""
    parts = resource.split(":", 5)
    return not parts[-1].strip("*?/:") if len(parts) == 6 else wild(resource)
