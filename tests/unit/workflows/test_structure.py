"""What GitHub would refuse, and what the required check must be: each rule with an attempt to break it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

import pytest
from pavedpath.workflows.checking import problems
from pavedpath.workflows.expressions import Expression, event_is
from pavedpath.workflows.model import (
    Dispatch,
    Input,
    InputType,
    Job,
    JobEnvironment,
    Matrix,
    MergeGroup,
    PullRequest,
    Push,
    Run,
    Schedule,
    Scope,
    Service,
    Surroundings,
    Uses,
    WorkflowRun,
)

from tests.unit.workflows.examples import CHECKOUT, Repository, gate, repository, workflow

Break = Callable[[Repository], Repository]


def given_input(name: str = "x", **facts: object) -> Break:
    dispatch = Dispatch(inputs={name: Input(**{"description": "d", **facts})})  # pyright: ignore[reportArgumentType]  # facts are the test's
    return lambda it: it.with_workflow("ci.yml", on=[*it.workflow("ci.yml").on, dispatch])


def job(**changes: object) -> Break:
    return lambda it: it.with_job("ci.yml", "test", **changes)


def on(*triggers: object) -> Break:
    return lambda it: it.with_workflow("ci.yml", on=triggers)


def test_a_repository_as_it_should_be_has_no_problem() -> None:
    assert repository().problems() == []
    assert problems([], Surroundings()) == []


BROKEN: dict[str, tuple[Break, str]] = {
    "two workflows in one file": (lambda it: it.plus(it.workflow("ci.yml")), "2 workflows have this file"),
    "a file in a folder": (lambda it: it.with_workflow("ci.yml", file="a/ci.yml"), "GitHub reads no such file"),
    "no name": (lambda it: it.with_workflow("ci.yml", name=" "), "ci.yml: name"),
    "no trigger": (on(), "nothing starts it"),
    "a trigger twice": (on(PullRequest(), PullRequest(branches=["main"])), "stands once"),
    "a cron of four fields": (on(PullRequest(), Schedule(cron="0 3 * *")), "no cron expression"),
    "a cron out of range": (on(PullRequest(), Schedule(cron="0 24 * * *")), "no cron expression"),
    "a run of nothing": (on(PullRequest(), WorkflowRun(workflows=["deplyo"])), "did you mean deploy?"),
    "too many inputs": (
        lambda it: it.with_workflow(
            "ci.yml", on=[PullRequest(), Dispatch(inputs={f"i{each}": Input(description="d") for each in range(26)})]
        ),
        "at most 25 inputs",
    ),
    "a choice without options": (given_input(type=InputType.CHOICE), "options and type choice go together"),
    "options without choice": (given_input(options=["a"]), "options and type choice go together"),
    "an option twice": (given_input(type=InputType.CHOICE, options=["a", "a"]), "an option stands twice"),
    "a default that is no option": (
        given_input(type=InputType.CHOICE, options=["dev", "prod"], default="pord"),
        "did you mean prod?",
    ),
    "a default of another type": (given_input(type=InputType.BOOLEAN, default="false"), "it is no boolean"),
    "true as a number": (given_input(type=InputType.NUMBER, default=True), "it is no number"),
    "an input with a space": (given_input("a b"), "cannot be the name of an input"),
    "no job": (lambda it: it.with_workflow("deploy.yml", jobs={}), "it has no job"),
    "a job id with a dot": (
        lambda it: it.with_workflow("deploy.yml", jobs={"a.b": Job(steps=[CHECKOUT])}),
        "it cannot be a job's id",
    ),
    "no runner": (job(runs_on=()), "no runner is named"),
    "no time limit": (job(timeout_minutes=0), "no job runs so long"),
    "too long a time limit": (job(timeout_minutes=361), "give 1 to 360 minutes"),
    "no step": (job(steps=[]), "the job does nothing"),
    "an empty command": (job(steps=[Run(run=" \n")]), "there is no command"),
    "a step that never runs": (job(steps=[Run(run="x", timeout_minutes=0)]), "it would never run"),
    "a step id twice": (job(steps=[Run(run="x", id="a"), Run(run="y", id="A")]), "2 steps have this id"),
    "a bad step id": (job(steps=[Run(run="x", id="1a")]), "it cannot be a step's id"),
    "outputs nobody can read": (job(steps=[Run(run="x", outputs=["a"])]), "without an id"),
    "a bad output": (job(outputs={"a b": Expression("github.sha")}), "cannot be an output's name"),
    "an unknown action": (job(steps=[Uses(action="actions/chekout")]), "did you mean actions/checkout?"),
    "an action by tag": (job(steps=[Uses(action="actions/checkout@v6")]), "no lock has this action"),
    "not a number": (job(steps=[Uses(action="actions/cache", inputs={"x": float("nan")})]), "YAML cannot hold it"),
    "a service by tag": (job(services={"db": Service(image="postgres:16")}), "a tag can be moved"),
    "an empty axis": (job(matrix=Matrix(axes={"python": []})), "an axis has no value"),
    "no axis": (job(matrix=Matrix(axes={})), "it has no axis"),
    "too large a matrix": (job(matrix=Matrix(axes={"a": list(range(17)), "b": list(range(16))})), "at most 256"),
    "nothing at once": (job(matrix=Matrix(axes={"a": ["x"]}, max_parallel=0)), "none would run"),
    "a need of nothing": (job(needs=["lnit"]), "did you mean lint?"),
    "a need of itself": (job(needs=["test"]), "test -> test"),
    "needs in a circle": (job(needs=["lint"]), "waits for the next"),
    "a hidden character": (job(steps=[Run(run="make\u202etest")]), "U+202E"),
    "half a character": (lambda it: it.with_workflow("ci.yml", why="\ud800"), "U+D800"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_github_would_refuse_is_a_problem(name: str) -> None:
    break_it, says = BROKEN[name]
    found = break_it(repository()).problems()
    assert [each for each in found if says in each], found


MISTYPED: dict[str, tuple[Break, str]] = {
    "a step that is a command": (
        job(steps=[CHECKOUT, "make test"]),
        "ci.yml: jobs.test.steps[1] = 'make test': its type is str, and it must be a value of the class Run or",
    ),
    "steps as a mapping": (job(steps={"run": "make"}), "ci.yml: jobs.test.steps = {'run': 'make'}: its type is dict"),
    "one need as a text": (
        job(needs="lint"),
        "ci.yml: jobs.test.needs = 'lint': its type is str, and it must be a list",
    ),
    "one label as a text": (job(runs_on="ubuntu-latest"), "jobs.test.runs_on = 'ubuntu-latest'"),
    "a condition as a text": (job(condition="always()"), "jobs.test.condition = 'always()'"),
    "minutes as a text": (job(timeout_minutes="30"), "jobs.test.timeout_minutes = '30'"),
    "a permission as a text": (
        job(steps=[Run(run="x", permissions={Scope.CONTENTS: "read"})]),  # pyright: ignore[reportArgumentType]  # the test's
        "jobs.test.steps[0].permissions.contents = 'read': its type is str, and it must be one of Access.READ,",
    ),
    "a number as a variable": (
        job(steps=[Run(run="x", env={"LEVEL": 3})]),  # pyright: ignore[reportArgumentType]  # the test's
        "jobs.test.steps[0].env.LEVEL = 3",
    ),
    "a trigger as a text": (on("push"), "ci.yml: on[0] = 'push'"),
    "one trigger alone": (lambda it: it.with_workflow("ci.yml", on=PullRequest()), "ci.yml: on = PullRequest("),
    "a job as a mapping": (lambda it: it.with_workflow("ci.yml", jobs={"test": {}}), "ci.yml: jobs.test = {}"),
    "branches as a text": (on(PullRequest(branches="main")), "ci.yml: on[0].branches = 'main'"),
    "an environment as a mapping": (lambda it: it.around(environments={"dev": {}}), "surroundings.environments.dev"),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_what_is_of_another_type_is_a_problem_of_its_own(name: str) -> None:
    break_it, says = MISTYPED[name]
    found = break_it(repository()).problems()
    assert found
    assert [each for each in found if says in each] == found


def mutants(value: Any, other: object) -> Iterator[Any]:
    """Yield the value with each of its parts, at any depth, replaced by something else."""
    yield other
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from (replace(value, **{each.name: part}) for part in mutants(getattr(value, each.name), other))
    elif isinstance(value, Mapping):
        known = cast("Mapping[Any, Any]", value)
        yield from ({**known, key: part} for key in known for part in mutants(known[key], other))
    elif isinstance(value, list | tuple):
        parts = cast("Sequence[Any]", value)
        for at, each in enumerate(parts):
            yield from ([*parts[:at], part, *parts[at + 1 :]] for part in mutants(each, other))


@pytest.mark.parametrize("other", [object(), None, "text", [None], {3: 3}], ids=lambda it: type(it).__name__)
def test_nothing_that_is_given_breaks_the_check_itself(other: object) -> None:
    sound = repository()
    for broken in mutants(sound.workflows, other):
        found = problems(broken, sound.surroundings)
        assert found or type(other) is not object
    for around in mutants(sound.surroundings, other):
        found = problems(sound.workflows, around)
        assert found or type(other) is not object


UNREQUIRABLE: dict[str, tuple[Break, str]] = {
    "no gate": (
        lambda it: it.with_workflow("ci.yml", jobs={"test": it.workflow("ci.yml").jobs["test"]}),
        "there are 0",
    ),
    "two gates": (lambda it: it.with_job("deploy.yml", "merged", name="gate"), "there are 2"),
    "a gate by another name": (lambda it: it.with_job("ci.yml", "gate", name="Gate"), "require a check called gate"),
    "a gate that may be skipped": (
        lambda it: it.with_job("ci.yml", "gate", condition=None),
        "skipped counts as passed",
    ),
    "a gate under a condition": (
        lambda it: it.with_job("ci.yml", "gate", condition=Expression("always() && github.event_name == 'push'")),
        "skipped counts as passed",
    ),
    "a job that the gate does not need": (
        lambda it: it.with_job("ci.yml", "gate", needs=["lint"]),
        "['test']: it does not report on these jobs",
    ),
    "a gate that does not look": (
        lambda it: it.with_job("ci.yml", "gate", steps=[Run(run="true")]),
        "does not look at how the others ended",
    ),
    "a gate that looks only sometimes": (
        lambda it: it.with_step("ci.yml", "gate", 0, condition=event_is("push")),
        "or not always",
    ),
    "a gate that may fail": (
        lambda it: it.with_step("ci.yml", "gate", 0, continue_on_error=True),
        "hides what it reports",
    ),
    "a gate with a matrix": (
        lambda it: it.with_job("ci.yml", "gate", matrix=Matrix(axes={"a": ["x"]})),
        "under its own name",
    ),
    "a gate that waits": (
        lambda it: it.with_job("ci.yml", "gate", environment=JobEnvironment(name="dev")),
        "under its own name",
    ),
    "a path filter": (on(PullRequest(paths=["src/**"]), MergeGroup()), "waits for the gate for ever"),
    "no pull request": (on(Push(branches=["main"])), "pull requests wait for the gate for ever"),
    "a branch left out": (on(PullRequest(branches=["develop"])), "pull requests into main wait"),
    "an approval branch left out": (
        lambda it: on(PullRequest(branches=["main"]))(it.with_environment("dev", branches=["deploy/dev"])),
        "pull requests into deploy/dev wait",
    ),
    "changes left out": (on(PullRequest(types=["opened"])), "not checked at each change"),
    "a merge queue that nobody answers": (
        lambda it: on(PullRequest())(it.around(merge_queue=True)),
        "the merge queue waits",
    ),
    "a name of two checks": (lambda it: it.with_job("ci.yml", "lint", name="test"), "share this name"),
    "a name in two workflows": (
        lambda it: it.plus(workflow("more.yml", [PullRequest()], {"test": Job(steps=[CHECKOUT])})),
        "share this name",
    ),
}


@pytest.mark.parametrize("name", UNREQUIRABLE)
def test_a_gate_that_could_be_missed_is_a_problem(name: str) -> None:
    break_it, says = UNREQUIRABLE[name]
    found = break_it(repository()).problems()
    assert [each for each in found if says in each], found


def test_a_gate_may_stand_alone() -> None:
    assert problems([workflow("ci.yml", [PullRequest()], {"gate": gate()})], Surroundings()) == []


def test_every_offender_is_named_at_once() -> None:
    broken = repository().with_job("ci.yml", "test", timeout_minutes=0, needs=["nothing"])
    broken = broken.with_job("ci.yml", "lint", condition=event_is("push") & Expression("secrets.X"))
    assert len(broken.problems()) >= 3
