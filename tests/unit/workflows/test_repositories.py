"""Random repositories: right ones are taken by everybody who reads workflows, and broken ones are found."""

import importlib.resources
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pavedpath.workflows.expressions import ALWAYS, Expression, github, secret
from pavedpath.workflows.model import Concurrency, EnvironmentFacts, PullRequest, Push, Run, Uses
from pavedpath.workflows.rendering import plain, render

from tests.unit.workflows.batch import written
from tests.unit.workflows.examples import Repository
from tests.unit.workflows.strategies import repositories


@cache
def schema() -> jsonschema_rs.Draft7Validator:
    """Return the schema that SchemaStore publishes, as check-jsonschema carries it."""
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/github-workflows.json"
    return jsonschema_rs.Draft7Validator(json.loads(vendored.read_text()))


@given(repositories())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_right_ones_have_no_problem_and_are_read_back_as_they_are(found: Repository) -> None:
    assert found.problems() == []
    for workflow in found.workflows:
        text = render(workflow)
        assert yaml.safe_load(text) == plain(workflow)
        errors = [f"{list(each.instance_path)}: {each.message}" for each in schema().iter_errors(plain(workflow))]
        assert errors == [], text


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the workflows of many random repositories as files."""
    return written(tmp_path_factory.mktemp("repository"))


def zizmor(*paths: Path) -> list[dict[str, Any]]:
    """Return the findings above informational."""
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-config", "--format", "json", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [each for each in found if each["determinations"]["severity"] not in ("Informational", "Unknown")]


def test_right_ones_pass_zizmor(batch: list[Path]) -> None:
    found = zizmor(*batch)
    assert found == [], [(each["ident"], each["desc"]) for each in found]


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    path = tmp_path / "ci.yml"
    path.write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.head_ref }}\n")
    assert zizmor(path)


Mutation = Callable[[Repository], Repository]


def deployment(found: Repository) -> str:
    return found.workflows[1].file


def in_deploy(**changes: Any) -> Mutation:
    return lambda found: found.with_job(deployment(found), "deploy", **changes)


def in_check(**changes: Any) -> Mutation:
    def mutate(found: Repository) -> Repository:
        return found.with_job("ci.yml", next(iter(found.workflow("ci.yml").jobs)), **changes)

    return mutate


def step(text: object) -> Mutation:
    return in_check(steps=[Run(run="x", env={"X": text})])  # pyright: ignore[reportArgumentType]  # a text or an expression


def without_promotion(found: Repository) -> Repository:
    prod = EnvironmentFacts(branches=["deploy/prod"], secrets=["KUBECONFIG"])
    jobs = {name: job for name, job in found.workflow("ci.yml").jobs.items() if name != "promotion"}
    kept = found.with_workflow("ci.yml", jobs=jobs).with_job("ci.yml", "gate", needs=[*jobs])
    return kept.around(environments={**found.surroundings.environments, "prod": prod})


MUTATIONS: dict[str, tuple[Mutation, str]] = {
    "secret": (step(secret("TOKNE")), "did you mean TOKEN?"),
    "actor": (step(secret("GITHUB_ACTOR")), "write github.actor"),
    "variable": (step("${{ vars.LEVLE }}"), "did you mean LEVEL?"),
    "matrix": (in_check(steps=[Run(run="x", name="${{ matrix.directory }}")], matrix=None), "the job has no matrix"),
    "dollar": (step("{{ vars.LEVEL }}"), "without its dollar"),
    "syntax": (step("${{ github.ref == }}"), "cannot be read"),
    "cycle": (lambda it: in_check(needs=[next(iter(it.workflow("ci.yml").jobs))])(it), "waits for the next"),
    "need": (in_check(needs=["nothing"]), "there is no such job"),
    "ungated": (lambda it: it.with_job("ci.yml", "gate", needs=[]), "does not report on"),
    "skippable": (lambda it: it.with_job("ci.yml", "gate", condition=None), "skipped counts as passed"),
    "second gate": (lambda it: it.with_job(deployment(it), "build", name="gate"), "there are 2"),
    "paths": (
        lambda it: it.with_workflow("ci.yml", on=[PullRequest(paths=["a"]), *it.workflow("ci.yml").on[1:]]),
        "for ever",
    ),
    "fork and secret": (
        in_check(steps=[Run(run="x", env={"X": secret("TOKEN")})], condition=ALWAYS),
        "from a fork reaches these secrets",
    ),
    "fork and runner": (in_check(runs_on=("self-hosted",), condition=ALWAYS), "a machine of yours"),
    "injection": (in_check(steps=[Run(run="echo ${{ github.head_ref }}")]), "pasted into the script"),
    "credentials": (in_check(steps=[Uses(action="actions/checkout")]), "the token would lie in .git"),
    "action": (in_check(steps=[Uses(action="actions/chekout")]), "did you mean actions/checkout?"),
    "time": (in_check(timeout_minutes=0), "no job runs so long"),
    "key": (in_check(steps=[Run(run="x", env={"AWS_SECRET_ACCESS_KEY": "x"})]), "a key that is stored"),
    "workflow lock": (
        lambda it: it.with_workflow(deployment(it), concurrency=Concurrency(group="x")),
        "keeps every later run waiting",
    ),
    "no lock": (in_deploy(concurrency=None), "could run at once"),
    "no queue": (in_deploy(concurrency=Concurrency(group="x")), "declare the queue"),
    "cancel": (in_deploy(concurrency=Concurrency(group="x", cancel_in_progress=True)), "could be ended"),
    "no environment": (lambda it: it.around(environments={}), "has no such environment"),
    "branch": (
        lambda it: it.with_workflow(deployment(it), on=[Push(branches=["feature/*"])]),
        "whose policy takes of branches",
    ),
    "tag": (
        lambda it: it.with_workflow(deployment(it), on=[Push(tags=["x*"])]),
        "whose policy takes of tags",
    ),
    "pull request": (
        lambda it: it.with_workflow(deployment(it), on=[PullRequest()]),
        "code that nobody has merged",
    ),
    "image": (
        lambda it: it.with_step(deployment(it), "deploy", 1, run="pavedpath deploy x --image api=x:latest"),
        "not named by a digest",
    ),
    "rollback": (
        lambda it: it.with_step(deployment(it), "deploy", -1, condition=Expression("failure()")),
        "go back too far",
    ),
    "promotion": (without_promotion, "could bring what was never merged into main"),
    "file": (lambda it: it.plus(it.workflows[0]), "2 workflows have this file"),
    "token": (step(Expression("github.token")), "which may do nothing"),
    "control": (lambda it: it.with_workflow("ci.yml", why="\x07"), "U+0007"),
    "gate name": (lambda it: it.with_job("ci.yml", "gate", name=github("sha")), "require a check called gate"),
}


@pytest.mark.parametrize("name", MUTATIONS)
@given(found=repositories())
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_broken_ones_are_found(name: str, found: Repository) -> None:
    mutate, says = MUTATIONS[name]
    problems = mutate(found).problems()
    assert [each for each in problems if says in each], problems


@given(st.data())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
def test_several_mistakes_are_found_at_once(data: st.DataObject) -> None:
    found = data.draw(repositories())
    around = ["no environment", "second gate", "control", "credentials"]
    chosen = data.draw(st.lists(st.sampled_from(around), min_size=2, unique=True))
    for name in chosen:
        found = MUTATIONS[name][0](found)
    problems = found.problems()
    assert all(any(MUTATIONS[name][1] in each for each in problems) for name in chosen), problems
