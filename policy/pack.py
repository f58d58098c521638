"""The thin layer between the rules and Pulumi's policy SDK."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policy.exemptions import FILE, Exemption, ExemptionsError, apply, parse
from policy.model import UNKNOWN, Data, Finding, Resource, Rule, StackRule
from policy.rules import RULES

NAME = "pavedpath"


def start() -> None:
    """Serve the pack until the engine ends it.

    Raises:
        SystemExit: the exemptions cannot be used.
    """
    text = FILE.read_text() if FILE.exists() else ""
    try:
        exemptions = parse(text, [rule.name for rule in RULES], datetime.now(UTC).date())
    except ExemptionsError as error:
        sys.exit(str(error))
    PolicyPack(NAME, [policy_of(rule, exemptions) for rule in RULES], EnforcementLevel.MANDATORY)


def policy_of(rule: Rule, exemptions: Sequence[Exemption] = ()) -> Policy:
    """Turn a rule into a policy of the SDK, mandatory and without a configuration of its own."""

    def tell(findings: Iterable[Finding], report: ReportViolation) -> None:
        for finding, exempt in apply(list(findings), rule.name, exemptions, datetime.now(UTC).date()):
            if not exempt:
                report(f"{finding.what}\nFix: {finding.fix}", finding.urn)

    if isinstance(rule, StackRule):
        over_stack = rule.check

        def validate_stack(args: StackValidationArgs, report: ReportViolation) -> None:
            relevant = (found for found in args.resources if found.resource_type in rule.types)
            tell(over_stack([_of_stack(found) for found in relevant]), report)

        return StackValidationPolicy(rule.name, rule.description, validate_stack)
    over_resource = rule.check

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type in rule.types:
            resource = Resource(args.resource_type, args.name, args.urn, _properties(args.props))
            tell((Finding(found.what, found.fix, args.urn) for found in over_resource(resource)), report)

    return ResourceValidationPolicy(rule.name, rule.description, validate)


def _of_stack(found: PolicyResource) -> Resource:
    references = {key: frozenset(other.urn for other in others) for key, others in found.property_dependencies.items()}
    return Resource(found.resource_type, found.name, found.urn, _properties(found.props), references)


def _properties(props: Mapping[str, Data]) -> Mapping[str, Data]:
    return cast(Mapping[str, Data], plain(props))


def plain(value: Data) -> Data:
    """Return the SDK's view of properties, which raises where a value is not known yet, as plain data."""
    if isinstance(value, Mapping):
        tree = cast(Mapping[str, Data], value)
        return {key: _item(tree, key) for key in tree}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = cast(Sequence[Data], value)
        return [_item(items, index) for index in range(len(items))]
    return value


def _item(holder: Data, key: str | int) -> Data:
    try:
        return plain(holder[key])
    except UnknownValueError:
        return UNKNOWN
