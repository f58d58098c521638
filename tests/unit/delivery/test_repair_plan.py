from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.repair import plan
from pavedpath_delivery.stack.repair.plan import Absent, Action, Exists, Reality, Repeatable, Unclear

from tests.unit.delivery.support import export, pending, urn

VPC, ROLE, RELEASE = "aws:ec2/vpc:Vpc", "aws:iam/role:Role", "kubernetes:helm.sh/v3:Release"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}

REALITY = st.one_of(
    st.builds(Absent),
    st.builds(Repeatable),
    st.builds(Exists, st.text("abc", min_size=1), st.booleans()),
    st.builds(Unclear, st.just("who knows")),
)


def sensible(drawn: tuple[str, str, str, Reality]) -> bool:
    """Only resources of bridged providers are seeded."""
    return not (drawn[0] == RELEASE and isinstance(drawn[3], Exists) and drawn[3].seeded)


OPERATION = st.tuples(
    st.sampled_from([VPC, ROLE, RELEASE, "pulumi:providers:aws", "pavedpath:index:Vpc"]),
    st.sampled_from("abcdef"),
    st.sampled_from(["creating", "updating", "deleting", "reading", "importing"]),
    REALITY,
).filter(sensible)


def states(drawn: list[tuple[str, str, str, Reality]]) -> tuple[dict[str, Any], dict[str, Reality]]:
    """An exported state with these operations, one a URN; those on what exists have their resource in it."""
    unique = {urn(kind, name): (kind, name, operation, reality) for kind, name, operation, reality in drawn}
    resources: list[dict[str, Any]] = [
        {"urn": urn("pulumi:pulumi:Stack", "s"), "type": "pulumi:pulumi:Stack", "custom": False}
    ]
    operations: list[dict[str, Any]] = []
    for kind, name, operation, _ in unique.values():
        custom = not kind.startswith("pavedpath")
        operations.append(pending(kind, name, {"name": name}, operation, custom=custom))
        if operation in ("updating", "deleting"):
            existing = {"urn": urn(kind, name), "type": kind, "custom": custom, "id": f"old-{name}"}
            resources.append({**existing, "outputs": {"id": f"old-{name}"}})
    return export(resources, operations), {key: reality for key, (*_, reality) in unique.items()}


@given(st.lists(OPERATION, max_size=8))
def test_each_operation_gets_one_action_and_only_what_exists_is_adopted(
    drawn: list[tuple[str, str, str, Reality]],
) -> None:
    state, reality = states(drawn)
    operations = plan.pending_operations(state)
    actions = plan.decide(operations, reality)
    assert [action.urn for action in actions] == [operation.urn for operation in operations]
    for operation, action in zip(operations, actions, strict=True):
        found = reality[operation.urn]
        looked = operation.kind == "creating" and operation.type in (VPC, ROLE, RELEASE)
        assert plan.needs_look(operation) == looked
        assert (action.verb == "adopt") == (looked and isinstance(found, Exists))
        assert (action.verb == "ask") == (looked and isinstance(found, Unclear))
        redone = (operation.kind, operation.type) == ("updating", RELEASE)
        assert (action.verb == "redo") == redone
        again = operation.custom and operation.kind in ("updating", "deleting")
        assert (action.verb == "recheck") == (again and not redone)


@given(st.lists(OPERATION, max_size=8))
def test_an_edited_state_has_no_decided_operation_loses_no_resource_and_names_each_adopted_one_once(
    drawn: list[tuple[str, str, str, Reality]],
) -> None:
    state, reality = states(drawn)
    before = export(state["deployment"]["resources"], state["deployment"]["pending_operations"])
    actions = plan.decide(plan.pending_operations(state), reality)
    edited = plan.edit(state, actions)["deployment"]
    assert state == before  # the original is left alone
    asked = {action.urn for action in actions if action.verb == "ask"}
    assert {operation["resource"]["urn"] for operation in edited["pending_operations"]} == asked
    old = state["deployment"]["resources"]
    redone = {action.urn for action in actions if action.verb == "redo"}
    for is_, was in zip(edited["resources"], old, strict=False):
        assert is_ == was or was["urn"] in redone
    adopted = {action.urn: action.id for action in actions if action.verb == "adopt"}
    assert {r["urn"]: r["id"] for r in edited["resources"][len(old) :]} == adopted
    assert set(plan.unread({"deployment": edited})) == set(adopted)


@given(st.lists(OPERATION, max_size=8))
def test_what_is_repaired_needs_no_repair(drawn: list[tuple[str, str, str, Reality]]) -> None:
    state, reality = states(drawn)
    known = {key: Absent() if isinstance(found, Unclear) else found for key, found in reality.items()}
    repaired = plan.edit(state, plan.decide(plan.pending_operations(state), known))
    assert plan.pending_operations(repaired) == []


def test_the_other_half_of_a_replacement_waits_for_its_deletion() -> None:
    old = {"urn": urn(VPC, "main"), "type": VPC, "custom": True, "id": "vpc-old", "outputs": {"id": "vpc-old"}}
    state = export([old], [pending(VPC, "main", {"cidrBlock": "10.0.0.0/16"}, parent="p", dependencies=["d"])])
    resources = plan.edit(state, [Action("adopt", urn(VPC, "main"), "", "vpc-new")])["deployment"]["resources"]
    assert [(r["id"], r.get("delete", False)) for r in resources] == [("vpc-old", True), ("vpc-new", False)]
    assert (resources[1]["parent"], resources[1]["dependencies"]) == ("p", ["d"])


def test_a_release_whose_upgrade_was_interrupted_differs_from_any_program() -> None:
    outputs = {"chart": "./chart", "status": {"revision": 6}}
    old = {"urn": urn(RELEASE, "api"), "type": RELEASE, "custom": True, "id": "shop/api", "outputs": outputs}
    state = export([old], [pending(RELEASE, "api", {"chart": "./chart"}, "updating")])
    actions = plan.decide(plan.pending_operations(state), {})
    edited = plan.edit(state, actions)
    assert edited["deployment"]["resources"] == [{**old, "outputs": {**outputs, "chart": "(interrupted)"}}]
    assert plan.rechecked(edited, actions) == plan.unread(edited) == []


def test_a_seeded_resource_starts_with_its_inputs_and_still_counts_as_unread() -> None:
    state = export([], [pending(VPC, "main", {"cidrBlock": "10.0.0.0/16"})])
    for seeded, outputs in ((True, {"cidrBlock": "10.0.0.0/16"}), (False, {})):
        edited = plan.edit(state, [Action("adopt", urn(VPC, "main"), "", "vpc-1", seeded)])
        assert edited["deployment"]["resources"][0]["outputs"] == outputs
        assert plan.unread(edited) == [urn(VPC, "main")]


def test_only_what_the_state_still_has_is_rechecked() -> None:
    state = export([{"urn": urn(VPC, "a"), "type": VPC, "custom": True, "id": "vpc-1"}])
    actions = [Action("recheck", urn(VPC, name), "") for name in "ab"]
    assert plan.rechecked(state, actions) == [urn(VPC, "a")]


def test_inputs_that_are_secret_or_unknown_are_not_taken_for_names() -> None:
    operation = plan.PendingOperation(
        "creating", "u", VPC, custom=True, inputs={"a": SECRET, "b": "", "c": 3, "d": "x"}
    )
    assert (operation.text("a"), operation.text("b", "c"), operation.text("a", "d")) == ("", "", "x")


def test_tags_and_the_providers_inputs_are_read() -> None:
    provider = {"urn": urn("pulumi:providers:aws", "p"), "id": "1", "type": "pulumi:providers:aws", "custom": True}
    reference = f"{provider['urn']}::1"
    tags: dict[str, Any] = {"Name": "main", "__defaults": []}
    state = export(
        [{**provider, "inputs": {"region": "eu-west-1"}}],
        [pending(VPC, "main", {"tags": tags, "tagsAll": {"owner": "ann", "Name": "x"}}, provider=reference)],
    )
    (operation,) = plan.pending_operations(state)
    assert operation.tags == {"Name": "main", "owner": "ann"}
    assert operation.provider == {"region": "eu-west-1"}


def test_what_a_state_holds() -> None:
    state = export(
        [
            {"urn": urn("pulumi:pulumi:Stack", "s"), "type": "pulumi:pulumi:Stack", "custom": False},
            {"urn": urn("pulumi:providers:aws", "p"), "type": "pulumi:providers:aws", "custom": True, "id": "1"},
            {"urn": urn(VPC, "a"), "type": VPC, "custom": True, "id": "vpc-1", "protect": True, "outputs": {"id": "x"}},
        ]
    )
    assert plan.resource_count(state) == 1
    assert plan.protected(state) == [urn(VPC, "a")]
    assert plan.known_ids(state) == {"1", "vpc-1"}
    assert plan.unread(state) == []
    assert plan.pending_operations({"version": 3}) == []
