import re

import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.workflows import GATE, ChecksWorkflow

jobs = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(lambda job: job != GATE)
commands = st.from_regex(r"[a-z]{1,10}( [a-z./-]{1,10}){0,3}(\n[a-z]{1,10} [a-z]{1,10}){0,2}", fullmatch=True)
checks = st.dictionaries(jobs, commands, min_size=1, max_size=4)


@given(checks)
def test_renders_what_was_asked_for(wanted: dict[str, str]) -> None:
    workflow = ChecksWorkflow(wanted)
    assert list(workflow.problems()) == []
    document = yaml.safe_load(workflow.render())
    assert set(document["jobs"]) == {*wanted, GATE}
    assert document["jobs"][GATE]["needs"] == list(wanted)
    for job, command in wanted.items():
        assert document["jobs"][job]["steps"][-1]["run"].strip() == command.strip()


@given(checks)
def test_permissions_are_none_but_reading_and_nothing_filters_paths(wanted: dict[str, str]) -> None:
    text = ChecksWorkflow(wanted).render()
    document = yaml.safe_load(text)
    assert document["permissions"] == {}
    assert {str(document["jobs"][job]["permissions"]) for job in wanted} == {"{'contents': 'read'}"}
    assert "paths" not in text


def test_actions_are_pinned_by_commit() -> None:
    text = ChecksWorkflow({"test": "make test"}).render()
    assert all(re.search(r"@[0-9a-f]{40} # v\d", line) for line in text.splitlines() if "uses:" in line)


@given(st.dictionaries(st.text(), st.text()))
def test_rubbish_is_a_problem_or_valid_yaml(rubbish: dict[str, str]) -> None:
    workflow = ChecksWorkflow(rubbish)
    if not list(workflow.problems()):
        assert set(yaml.safe_load(workflow.render())["jobs"]) == {*rubbish, GATE}
