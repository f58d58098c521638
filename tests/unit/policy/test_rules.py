"""Each rule finds what it should and nothing else."""

import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import policy.rules
from policy.model import UNKNOWN, Finding, Resource, Rule, StackRule, is_production
from policy.rules import RULES
from tests.unit.policy.examples import EXAMPLES

BY_NAME = {rule.name: rule for rule in RULES}


def findings(rule: Rule, resources: Sequence[Resource]) -> list[Finding]:
    relevant = [resource for resource in resources if resource.type in rule.types]
    if isinstance(rule, StackRule):
        return list(rule.check(relevant))
    return [finding for resource in relevant for finding in rule.check(resource)]


def test_every_rule_is_in_the_pack_and_has_examples_of_both_kinds() -> None:
    modules = [import_module(f"policy.rules.{found.name}") for found in pkgutil.iter_modules(policy.rules.__path__)]
    written = [value for module in modules for value in vars(module).values() if isinstance(value, Rule)]
    assert {rule.name for rule in written} == set(BY_NAME) == set(EXAMPLES)
    assert len(written) == len(RULES) == len(BY_NAME)
    assert all(examples.bad and examples.good for examples in EXAMPLES.values())


SECRET, VARIABLE = "github:index/actionsSecret:ActionsSecret", "github:index/actionsVariable:ActionsVariable"
TWINS = {
    "aws:ec2/spotInstanceRequest:SpotInstanceRequest": "aws:ec2/instance:Instance",
    "aws:ecr/registryPolicy:RegistryPolicy": "aws:ecr/repositoryPolicy:RepositoryPolicy",
    "aws:iam/groupPolicy:GroupPolicy": "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment": "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment": "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment": "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:kms/keyPolicy:KeyPolicy": "aws:sqs/queuePolicy:QueuePolicy",
    "aws:s3/bucketV2:BucketV2": "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret": "aws:secretsmanager/secretPolicy:SecretPolicy",
    "github:index/actionsEnvironmentVariable:ActionsEnvironmentVariable": VARIABLE,
    "github:index/actionsOrganizationVariable:ActionsOrganizationVariable": VARIABLE,
    "github:index/actionsOrganizationSecret:ActionsOrganizationSecret": SECRET,
    "github:index/codespacesSecret:CodespacesSecret": SECRET,
    "github:index/dependabotSecret:DependabotSecret": SECRET,
}
"""Types that are written like another one, whose examples are theirs."""


def test_every_type_of_a_rule_has_an_example_of_its_own_or_of_its_twin() -> None:
    for name, examples in EXAMPLES.items():
        if name in ("required-tags", "encryption-at-rest"):  # tables of many types, tested below
            continue
        seen = {each.type for _, resources in examples.bad for each in resources}
        seen |= {each.type for resources in examples.good for each in resources}
        assert {TWINS.get(kind, kind) for kind in BY_NAME[name].types} <= seen, name


@pytest.mark.parametrize(("kind", "twin"), TWINS.items())
def test_a_type_is_held_to_the_rule_of_its_twin(kind: str, twin: str) -> None:
    for rule in RULES:
        if kind not in rule.types or rule.name in ("required-tags", "encryption-at-rest"):
            continue
        found = 0
        for _, resources in EXAMPLES[rule.name].bad:
            if any(each.type == twin for each in resources):
                swapped = [replace(each, type=kind) if each.type == twin else each for each in resources]
                assert len(findings(rule, swapped)) == len(findings(rule, resources)) > 0
                found += 1
        assert found, rule.name


BAD = [(name, said, resources) for name, examples in EXAMPLES.items() for said, resources in examples.bad]
GOOD = [(name, resources) for name, examples in EXAMPLES.items() for resources in examples.good]


@pytest.mark.parametrize(("name", "said", "resources"), BAD, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(BAD)])
def test_what_breaks_a_rule_is_found_and_its_fix_told(name: str, said: str, resources: Sequence[Resource]) -> None:
    found = findings(BY_NAME[name], resources)
    assert any(said in f"{finding.what} | {finding.fix}" for finding in found), found
    assert all(finding.fix for finding in found)
    if isinstance(BY_NAME[name], StackRule):
        assert {finding.urn for finding in found} <= {resource.urn for resource in resources}


@pytest.mark.parametrize(("name", "resources"), GOOD, ids=[f"{name}-{i}" for i, (name, _) in enumerate(GOOD)])
def test_what_keeps_a_rule_passes(name: str, resources: Sequence[Resource]) -> None:
    assert findings(BY_NAME[name], resources) == []


def test_every_switch_of_encryption_counts() -> None:
    from policy.rules.encryption import _SWITCHES  # pyright: ignore[reportPrivateUsage]  # the table is the rule

    for kind, path in _SWITCHES.items():
        (found,) = findings(BY_NAME["encryption-at-rest"], [Resource(kind, "it", "urn", {})])
        assert ".".join(path) in found.fix
        on: Any = True
        for key in reversed(path):
            on = {key: on}
        assert findings(BY_NAME["encryption-at-rest"], [Resource(kind, "it", "urn", on)]) == []


def test_every_type_of_the_list_needs_tags() -> None:
    rule = BY_NAME["required-tags"]
    assert len(rule.types) > 500
    assert all(len(findings(rule, [Resource(kind, "it", "urn", {})])) == 1 for kind in rule.types)


def test_no_secret_value_is_told() -> None:
    secret = "hush-hush"
    tree = {"image": {"repository": f"r/{secret}", "tag": secret}, "x": {"image": secret}}
    release = Resource("kubernetes:helm.sh/v3:Release", "it", "urn:pulumi:prod::p::t::it", {"values": tree})
    found = findings(BY_NAME["release-pinned-by-digest"], [release])
    assert len(found) == 2
    assert secret not in str(found)


@pytest.mark.parametrize(
    ("name", "production"),
    [("prod", True), ("Production", True), ("prod-eu", True), ("prod_eu", True), ("dev", False), ("product", False)],
)
def test_what_counts_as_production(name: str, production: bool) -> None:
    assert is_production(name) is production


WORDS: st.SearchStrategy[str] = st.sampled_from(
    """
    acl policy ingress cidrBlocks metadataOptions httpTokens values image repository tag reviewers users tags key
    blockDeviceMappings ebs encrypted policyArn inlinePolicies assumeRolePolicy conditions refName includes file
    content grants bucket name environment branchPattern chart principal type fromPort protocol
    """.split()  # noqa: SIM905  one name a line would be longer than the test
)
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(UNKNOWN), WORDS
)
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@given(st.sampled_from(RULES), st.data())
def test_no_rule_fails_on_properties_of_any_shape(rule: Rule, data: st.DataObject) -> None:
    kinds = sorted(rule.types)
    resources = [
        Resource(kind, "it", f"urn:pulumi:prod::p::{kind}::it", data.draw(st.dictionaries(WORDS, TREES, max_size=5)))
        for kind in data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    ]
    assert all(finding.what and finding.fix for finding in findings(rule, resources))


@pytest.mark.parametrize(("name", "said", "resources"), BAD, ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(BAD)])
def test_a_property_that_is_not_known_yet_is_never_the_fault(
    name: str, said: str, resources: Sequence[Resource]
) -> None:
    rule = BY_NAME[name]
    hidden = [Resource(each.type, each.name, each.urn, dict.fromkeys(each.properties, UNKNOWN)) for each in resources]
    stated = {key for each in resources for key in each.properties}
    still = findings(rule, hidden)
    # What is absent is known to be absent: such findings may stay, and those alone.
    assert len(still) <= len(findings(rule, resources))
    assert not any(f"{key} " in finding.what for finding in still for key in stated)
