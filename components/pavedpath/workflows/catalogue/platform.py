"""A platform of several components, as document 002 has it: run-tests.yml, code-quality.yml, build-and-deploy.yml."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pavedpath.workflows.catalogue import images, jobs, steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE, Blueprint
from pavedpath.workflows.catalogue.deploy import deploying, outputs_of, resolved
from pavedpath.workflows.catalogue.flows import RELEASES
from pavedpath.workflows.checks import GATE, gate_job
from pavedpath.workflows.expressions import (
    ALWAYS,
    Expression,
    event_is,
    github,
    given,
    matrix,
    output_of,
    output_of_step,
    runner,
)
from pavedpath.workflows.model import (
    Concurrency,
    Dispatch,
    Input,
    InputType,
    Job,
    Matrix,
    PullRequest,
    Push,
    Run,
    Step,
    Text,
    Workflow,
)
from pavedpath.workflows.service import Target

COMPONENTS = ("client", "cdc", "spark", "storage")

LINT_RULES = "E,F,W,C90,I"
"""ruff's names of what flake8 checks by default, with complexity, and isort."""

SECURITY_RULES = "S"
"""ruff's name of bandit's checks."""

_BRANCHES = ("main", "develop")


def run_tests(
    components: Sequence[str] = COMPONENTS, *, requirements: Sequence[str] = ("requirements-dev.txt",)
) -> Workflow:
    """Return run-tests.yml: the tests of each component side by side, and all of them together on a pull request.

    Args:
        components: folders; each has its tests in `tests`.
        requirements: what the tests need.
    """
    results = f"{runner('temp')}/results"
    made = {
        "component": Job(
            name=f"tests of {matrix('component')}",
            matrix=Matrix(axes={"component": list(components)}),
            steps=[
                *_python(requirements),
                Run(
                    name="Test",
                    env={"COMPONENT": matrix("component")},
                    run='python -m pytest "$COMPONENT/tests" --junitxml "$RUNNER_TEMP/results/$COMPONENT.xml"',
                ),
                steps.upload(f"results-{matrix('component')}", results, condition=ALWAYS),
            ],
        ),
        "full": Job(
            name="full suite",
            condition=steps.any_of(event_is("pull_request"), event_is("workflow_dispatch")),
            steps=[
                *_python(requirements),
                Run(name="Test", run='python -m pytest --junitxml "$RUNNER_TEMP/results/full.xml"'),
                steps.upload("results-full", results, condition=ALWAYS),
            ],
        ),
    }
    return _checking("run-tests.yml", "run tests", made, GATE, "full")


def code_quality(
    folders: Sequence[str] = COMPONENTS,
    *,
    requirements: Sequence[str] = ("requirements-dev.txt",),
    type_checker: str = "mypy",
) -> Workflow:
    """Return code-quality.yml: style, formatting, imports, types, insecure code, vulnerable dependencies.

    ruff stands for flake8, isort, black and bandit, with the same rules; pip-audit for safety, which wants an account.

    Args:
        folders: with the code.
        requirements: what the checks need (ruff, pip-audit, the type checker), and what is audited.
        type_checker: its command: mypy or pyright.
    """
    paths = " ".join(map(shlex.quote, folders))
    audited = " ".join(f"--requirement {shlex.quote(each)}" for each in requirements)
    commands = {
        "lint": f"ruff check --select {LINT_RULES} {paths}",
        "format": f"ruff format --check {paths}",
        "types": f"{type_checker} {paths}",
        "security": f"ruff check --select {SECURITY_RULES} --per-file-ignores '**/tests/**:S101' {paths}",
        "dependencies": f"pip-audit {audited}",
    }
    made = {
        job: Job(name=job, timeout_minutes=15, steps=[*_python(requirements), Run(name="Check", run=command)])
        for job, command in commands.items()
    }
    return _checking("code-quality.yml", "code quality", made, "quality")


def build_and_deploy(blueprint: Blueprint) -> Workflow:
    """Return build-and-deploy.yml: the default branch goes to the first environment, the others are chosen.

    A push to the default branch builds the images, tags them `sha-<commit>` and deploys them to the first environment.
    A run by hand deploys to the environment that it chooses, a tag vX.Y.Z to those with `tags`: the same digests, which
    the tag names by its version, and `latest` if it is the newest. Where reviewers must agree they are asked; other
    approvals have workflows of their own (`deploy.deploy`).
    """
    service = blueprint.service
    first, *others = service.targets
    on_main = steps.all_of(event_is("push"), github("ref").equals(f"refs/heads/{blueprint.default_branch}"))
    # Without a cache of pip: what tags start too should take nothing that another run left.
    checks = {name: replace(job, condition=on_main) for name, job in jobs.check_jobs(service, ()).items()}
    made = checks | images.pushed(blueprint, (), on_main) | images.published(blueprint, list(checks))
    sources = [steps.job_id("image", name) for name in blueprint.names]
    made[steps.job_id(first.environment, "deploy")] = _verified(
        deploying(blueprint, first, ["publish", *sources], dict(blueprint.built)), blueprint, first
    )
    made["promote"] = _promoted(blueprint)
    digests = outputs_of(blueprint, "promote")
    for target in others:
        job = _verified(
            deploying(blueprint, target, ["promote"], digests, output_of("promote", "commit")), blueprint, target
        )
        made[steps.job_id(target.environment, "deploy")] = replace(job, condition=_asked_for(target))
    chosen = Input(
        description="Where to deploy what the commit's images are",
        type=InputType.CHOICE,
        required=True,
        options=[target.environment for target in others],
    )
    return Workflow(
        file="build-and-deploy.yml",
        name="build and deploy",
        on=[Push(branches=[blueprint.default_branch], tags=[RELEASES]), Dispatch(inputs={"environment": chosen})],
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="Builds the images of the default branch once, and deploys them by digest.",
    )


def _python(requirements: Sequence[str]) -> list[Step]:
    installed = " ".join(f"--requirement {shlex.quote(each)}" for each in requirements)
    return [
        steps.checkout(),
        steps.python("3.12", requirements),
        Run(name="Install", run=f"python -m pip install --quiet {installed}"),
    ]


def _checking(file: str, name: str, made: Mapping[str, Job], gate: str, *skippable: str) -> Workflow:
    report = replace(gate_job(list(made), may_be_skipped=skippable), name=gate)
    return Workflow(
        file=file,
        name=name,
        on=[PullRequest(), Push(branches=_BRANCHES), Dispatch()],
        concurrency=Concurrency(
            group=f"{name.replace(' ', '-')}-{github('ref')}", cancel_in_progress=event_is("pull_request")
        ),
        jobs={**made, gate: report},
        how_to_change=HOW_TO_CHANGE,
        why=f"Only `{gate}` is required: it always reports. The commit of a release's tag was checked here, on main.",
    )


def _promoted(blueprint: Blueprint) -> Job:
    names = blueprint.names
    digests: dict[str, Text] = {name: output_of_step(steps.job_id("resolve", name), "image") for name in names}
    by_tag = github("ref_type").equals("tag")
    tags = {name: output_of_step(steps.job_id("tags", name), "tags") for name in names}
    of_tag: list[Step] = [
        replace(step, condition=by_tag) for step in (*images.tags_found(blueprint), steps.promote(digests, tags))
    ]
    outputs = {steps.job_id("image", name): output_of_step(steps.job_id("resolve", name), "image") for name in names}
    return Job(
        name="promote",
        condition=steps.any_of(event_is("workflow_dispatch"), by_tag),
        concurrency=images.publishing(blueprint),
        timeout_minutes=15,
        outputs={"commit": output_of_step("commit", "commit"), **outputs},
        steps=[
            steps.checkout(history=True),
            Run(
                name=f"Refuse a commit that is not on {blueprint.default_branch}",
                id="commit",
                env={"COMMIT": github("sha")},
                run=f"""
                git merge-base --is-ancestor "$COMMIT" origin/{blueprint.default_branch}
                echo "commit=$COMMIT" >> "$GITHUB_OUTPUT"
                """,
                outputs=("commit",),
            ),
            steps.command(),
            blueprint.registry.login(),
            *resolved(blueprint, "sha-${COMMIT:0:12}"),
            *of_tag,
        ],
        why="Nothing is built a second time: the images are those of the commit.",
    )


def _asked_for(target: Target) -> Expression:
    chosen = given("environment").equals(target.environment)
    if not target.tags:
        return chosen
    return steps.any_of(chosen, github("ref_type").equals("tag"))


def _verified(job: Job, blueprint: Blueprint, target: Target) -> Job:
    namespace = target.namespace or blueprint.service.name
    health = Run(
        name="Verify",
        run=f"pavedpath health {blueprint.service.name} --namespace {namespace} --budget {target.timeout_minutes}m",
    )
    at = next(index for index, step in enumerate(job.steps) if step.id == "deploy") + 1
    return replace(job, steps=[*job.steps[:at], health, *job.steps[at:]])
