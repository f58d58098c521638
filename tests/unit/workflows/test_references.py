"""What an expression refers to must exist where it stands: each rule with an attempt to break it."""

import pytest
from pavedpath.workflows.expressions import Expression, event_is, given, matrix, variable
from pavedpath.workflows.model import (
    Concurrency,
    Dispatch,
    EnvironmentFacts,
    Input,
    Job,
    JobEnvironment,
    Matrix,
    PullRequest,
    Run,
    Service,
    Step,
    Uses,
)

from tests.unit.workflows.examples import CHECKOUT, Repository, repository

RUN = Run(run="x")


def with_env(text: object, *before: Step, **changes: object) -> Repository:
    steps = [*before, Run(run="x", env={"X": text})]  # pyright: ignore[reportArgumentType]  # a text or an expression
    return repository().with_job("ci.yml", "test", steps=steps, **changes)


def with_condition(text: str, **changes: object) -> Repository:
    return repository().with_job("ci.yml", "test", condition=Expression(text), **changes)


def says(found: Repository, what: str) -> bool:
    problems = found.problems()
    assert [each for each in problems if what in each], problems
    return True


NOWHERE = {
    "a misspelt secret": ("${{ secrets.NOTIFY_ULR }}", "did you mean NOTIFY_URL?"),
    "a secret of GitHub's that is none": ("${{ secrets.GITHUB_ACTOR }}", "write github.actor"),
    "another secret of GitHub's that is none": ("${{ secrets.GITHUB_X }}", "never starts with GITHUB_"),
    "a secret of an environment": ("${{ secrets.KUBECONFIG }}", "there is no secret KUBECONFIG"),
    "a misspelt variable": ("${{ vars.LOG_LEVLE }}", "did you mean LOG_LEVEL?"),
    "a variable with a default in the other place": ("${{ 'x' || vars.GONE }}", "there is no variable GONE"),
    "an input without a dispatch": ("${{ inputs.debug }}", "there is no input debug"),
    "an untyped input": ("${{ github.event.inputs.debug }}", "write inputs.debug"),
    "a job that is not needed": ("${{ needs.lint.result }}", "add lint to needs"),
    "an unknown step": ("${{ steps.x.outputs.y }}", "no step before this has the id x"),
    "a matrix without one": ("${{ matrix.directory }}", "the job has no matrix"),
    "an unset variable": ("${{ env.GONE }}", "there is no environment variable set before this GONE"),
    "a misspelt property": ("${{ github.ref_nmae }}", "did you mean ref_name?"),
    "a misspelt runner": ("${{ runner.tmp }}", "did you mean temp?"),
    "a misspelt job": ("${{ job.staus }}", "did you mean status?"),
    "a misspelt strategy": ("${{ strategy.job-indx }}", "did you mean job-index?"),
    "an unknown context": ("${{ secret.X }}", "did you mean secrets?"),
    "an unknown function": ("${{ toJson2(github) }}", "did you mean toJSON?"),
    "too few arguments": ("${{ contains(github.ref) }}", "takes 2 arguments and is given 1"),
    "a status outside of a condition": ("${{ always() }}", "it works in conditions (if)"),
    "a missing brace": ("${{ github.ref }", "has no '}}'"),
    "double quotes": ('${{ github.ref == "x" }}', "a text stands in single quotes"),
    "a missing operand": ("${{ github.ref == }}", "it ends too early"),
    "an empty expression": ("${{ }}", "it is empty"),
    "something left over": ("${{ github.ref github.sha }}", "'github' is out of place"),
    "an open call": ("${{ format('x' }}", "')' is missing before the end"),
    "no dollar": ("{{ vars.LOG_LEVEL }}", "write ${{ vars.LOG_LEVEL }}"),
    "no dollar amid text": ("a {{ github.ref }} b", "write ${{ github.ref }}"),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_what_is_nowhere_is_a_problem(name: str) -> None:
    text, what = NOWHERE[name]
    assert says(with_env(text), what)


@pytest.mark.parametrize(
    "text",
    [
        "${{ secrets.notify_url }}",  # GitHub takes names in any case
        "${{ vars.GONE || 'x' }}",
        "${{ github.event.pull_request.title }}",
        "${{ github['ref'] }}",
        "${{ needs.*.result }}",
        "${{ fromJSON('[1]')[0] }}",
        "${{ format('{0}', github.ref) }}",
        "${{ hashFiles('**/requirements.txt') }}",
        "${{ 'it''s }} here' }}",
        "{{ .Values.image }} and {{ env_var('X') }}",
        "docker inspect --format '{{.Id}}'",
    ],
)
def test_what_is_there_is_none(text: str) -> None:
    on = [PullRequest()]
    found = with_env(text, condition=Expression("github.event_name == 'push'")).with_workflow("ci.yml", on=on)
    assert found.problems() == []


class TestOutputs:
    def test_of_steps_are_those_that_the_step_declares(self) -> None:
        step = Run(id="find", run="x", outputs=["version"])
        assert with_env("${{ steps.find.outputs.version }} ${{ steps.find.outcome }}", step).problems() == []
        assert says(with_env("${{ steps.find.outputs.versoin }}", step), "did you mean version?")
        assert says(with_env("${{ steps.find.result }}", step), "a step has no result")

    def test_of_later_steps_are_not_there_yet(self) -> None:
        early = Run(run="x", env={"X": "${{ steps.find.outputs.version }}"})
        late = Run(id="find", run="x", outputs=["version"])
        assert says(repository().with_job("ci.yml", "test", steps=[early, late]), "move it before this step")

    def test_of_jobs_are_those_that_the_job_declares(self) -> None:
        found = repository().with_step("deploy.yml", "deploy", 1, env={"IMAGE": "${{ needs.build.outputs.worker }}"})
        assert says(found, "there is no output of job build called worker")
        found = repository().with_step("deploy.yml", "deploy", 0, name="${{ needs.build.conclusion }}")
        assert says(found, "a job has no conclusion")


class TestSecretsOfAnEnvironment:
    def test_are_those_of_every_environment_that_the_job_can_have(self) -> None:
        assert repository().problems() == []
        job = repository().workflow("deploy.yml").jobs["deploy"]
        both = repository().with_job(
            "deploy.yml",
            "deploy",
            environment=JobEnvironment(name=matrix("environment")),
            matrix=Matrix(axes={"environment": ["dev", "qa"]}),
        )
        qa = EnvironmentFacts(branches=["main"], tags=["v*"], variables=["INGRESS_HOST"])
        both = both.around(environments={**both.surroundings.environments, "qa": qa})
        assert job.environment
        assert says(both, "there is no secret KUBECONFIG")
        assert both.with_environment("qa", secrets=["KUBECONFIG"]).problems() == []


class TestInputs:
    def test_are_those_of_the_dispatch(self) -> None:
        on = [PullRequest(), Dispatch(inputs={"debug": Input(description="d")})]
        assert with_env(given("debug")).with_workflow("ci.yml", on=on).problems() == []
        assert says(with_env(given("debgu")).with_workflow("ci.yml", on=on), "did you mean debug?")


class TestEnvironmentVariables:
    def test_are_those_of_the_workflow_the_job_the_step_and_what_a_step_exported(self) -> None:
        exports = Run(run='echo "VERSION=1" >> "$GITHUB_ENV"')
        use = Run(run="x", name="${{ env.A }} ${{ env.B }} ${{ env.C }} ${{ env.VERSION }}", env={"C": "c"})
        found = repository().with_job("ci.yml", "test", steps=[exports, use], env={"B": "b"})
        assert found.with_workflow("ci.yml", env={"A": "a"}).problems() == []
        assert says(found, "set before this A")


class TestMatrix:
    def test_has_the_axes_and_what_is_included(self) -> None:
        axes = Matrix(axes={"python": ["3.11"]}, include=[{"python": "3.12", "experimental": True}])
        assert with_env("${{ matrix.python }} ${{ matrix.experimental }}", matrix=axes).problems() == []
        assert says(with_env("${{ matrix.pyhton }}", matrix=axes), "did you mean python?")


UNAVAILABLE = {
    "a secret in a job's condition": with_condition("secrets.NOTIFY_URL != ''"),
    "a matrix in a job's condition": with_condition(
        "matrix.python == '3.11'", matrix=Matrix(axes={"python": ["3.11"]})
    ),
    "an environment variable in a job's condition": with_condition("env.X == ''", env={"X": "x"}),
    "a secret in a runner's label": repository().with_job(
        "deploy.yml", "build", runs_on=("${{ secrets.NOTIFY_URL }}",)
    ),
    "a step in a job's variables": repository().with_job("ci.yml", "test", env={"X": "${{ steps.x.outcome }}"}),
    "a need in a run's name": repository().with_workflow("ci.yml", run_name="${{ needs.test.result }}"),
    "a need in a workflow's lock": repository().with_workflow(
        "ci.yml", concurrency=Concurrency(group="${{ needs.test.result }}")
    ),
    "a secret in a step's condition": repository().with_step(
        "ci.yml", "test", 1, condition=Expression("secrets.NOTIFY_URL != ''")
    ),
    "a runner in an axis": repository().with_job("ci.yml", "test", matrix=Matrix(axes={"os": ["${{ runner.os }}"]})),
    "a secret in a service": repository().with_job(
        "ci.yml", "test", services={"db": Service(image="x@sha256:" + "0" * 64, options="${{ secrets.NOTIFY_URL }}")}
    ),
}


def test_what_cannot_be_read_hides_nothing_beside_it() -> None:
    script = "echo ${{ github. }} ${{ github.head_ref }} ${{ secrets.GONE }} ${{ github.actor"
    found = repository().with_job("ci.yml", "test", steps=[Run(run=script)]).problems()
    said = ["there is no secret GONE", "github.head_ref would be pasted", "has no '}}'"]
    assert [each for each in said if not any(each in problem for problem in found)] == []
    assert len([each for each in found if "cannot be read" in each]) == 2


def test_what_refers_to_nothing_is_told_what_to_do() -> None:
    assert says(with_env("${{ needs.gone.result }}", RUN), "Fix: add it, or take the reference away.")


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_what_is_not_available_at_a_place_is_a_problem(name: str) -> None:
    assert says(UNAVAILABLE[name], "is not available here")


def test_nothing_is_evaluated_in_a_workflows_name() -> None:
    assert says(repository().with_workflow("ci.yml", name="${{ github.ref }}"), "evaluates no expression here")


def test_an_action_is_checked_like_a_command() -> None:
    setup = Uses(action="actions/setup-python", inputs={"python-version": variable("PYTHON")})
    assert says(repository().with_job("ci.yml", "test", steps=[CHECKOUT, setup]), "there is no variable PYTHON")


def test_a_condition_may_use_status_and_files() -> None:
    step = Run(run="x", condition=Expression("!cancelled() && hashFiles('x') != ''"))
    assert repository().with_job("ci.yml", "test", steps=[step]).problems() == []
    job = Job(steps=[RUN], condition=event_is("push") & Expression("hashFiles('x')"))
    found = repository().with_job("ci.yml", "test", condition=job.condition)
    assert says(found, "it works in conditions and inputs of steps")
