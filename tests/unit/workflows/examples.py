"""A repository that is delivered as it should be, from which tests take something away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pavedpath.workflows.checking import problems
from pavedpath.workflows.expressions import (
    ALWAYS,
    FAILED,
    Expression,
    github,
    outcome_of,
    output_of,
    output_of_step,
    secret,
    variable,
)
from pavedpath.workflows.model import (
    Access,
    Concurrency,
    EnvironmentFacts,
    Job,
    JobEnvironment,
    MergeGroup,
    PullRequest,
    Push,
    Run,
    Scope,
    Step,
    Surroundings,
    Uses,
    Workflow,
)

CHECKOUT = Uses(action="actions/checkout", inputs={"persist-credentials": False})
HISTORY = Uses(action="actions/checkout", inputs={"persist-credentials": False, "fetch-depth": 0})
ANCESTRY = Run(name="Refuse what was never merged", run='git merge-base --is-ancestor "$GITHUB_SHA" origin/main')


@dataclass(frozen=True)
class Repository:
    workflows: tuple[Workflow, ...]
    surroundings: Surroundings

    def problems(self) -> list[str]:
        return [str(each) for each in problems(self.workflows, self.surroundings)]

    def workflow(self, file: str) -> Workflow:
        return next(each for each in self.workflows if each.file == file)

    def with_workflow(self, file: str, /, **changes: Any) -> "Repository":
        return replace(
            self, workflows=tuple(replace(each, **changes) if each.file == file else each for each in self.workflows)
        )

    def with_job(self, file: str, job: str, /, **changes: Any) -> "Repository":
        jobs = self.workflow(file).jobs
        return self.with_workflow(file, jobs={**jobs, job: replace(jobs[job], **changes)})

    def with_step(self, file: str, job: str, index: int, /, **changes: Any) -> "Repository":
        steps = list(self.workflow(file).jobs[job].steps)
        steps[index] = replace(steps[index], **changes)
        return self.with_job(file, job, steps=steps)

    def with_environment(self, name: str, /, **changes: Any) -> "Repository":
        environments = dict(self.surroundings.environments)
        environments[name] = replace(environments[name], **changes)
        return self.around(environments=environments)

    def around(self, **changes: Any) -> "Repository":
        return replace(self, surroundings=replace(self.surroundings, **changes))

    def plus(self, workflow: Workflow) -> "Repository":
        return replace(self, workflows=(*self.workflows, workflow))


def gate(*needs: str) -> Job:
    return Job(
        needs=needs,
        condition=ALWAYS,
        timeout_minutes=5,
        steps=[
            Run(
                env={"RESULTS": Expression("toJSON(needs.*.result)")},
                run='jq --exit-status \'all(. == "success")\' <<<"$RESULTS"',
            )
        ],
    )


def workflow(file: str, on: Sequence[Any], jobs: Mapping[str, Job], **more: Any) -> Workflow:
    name = file.removesuffix(".yml")
    return Workflow(file=file, name=name, on=on, jobs=jobs, how_to_change="Change the settings.", **more)


def deploy_job(environment: str, *more: Step, **changes: Any) -> Job:
    steps: list[Step] = [
        CHECKOUT,
        Run(
            name="Deploy",
            id="deploy",
            env={
                "IMAGE": f"registry.example/api@{output_of('build', 'api')}",
                "KUBECONFIG_TEXT": secret("KUBECONFIG"),
            },
            run=f'pavedpath deploy orders --environment {environment} --image "api=$IMAGE"',
            outputs=["revision"],
        ),
        *more,
        Run(
            name="Go back",
            condition=FAILED & outcome_of("deploy").equals("success"),
            env={"REVISION": output_of_step("deploy", "revision")},
            run='pavedpath rollback orders --if-deployed "$REVISION"',
        ),
    ]
    job = Job(
        needs=["build", "merged"],
        environment=JobEnvironment(name=environment),
        concurrency=Concurrency(group=f"deploy-{environment}", queue=True),
        runs_on=("self-hosted", "linux", "arm64", environment),
        steps=steps,
    )
    return replace(job, **changes)


def build_job(**changes: Any) -> Job:
    steps = [
        CHECKOUT,
        Uses(
            action="docker/login-action",
            inputs={"registry": "ghcr.io", "username": github("actor"), "password": secret("GITHUB_TOKEN")},
            permissions={Scope.PACKAGES: Access.WRITE},
        ),
        Uses(
            id="image",
            action="docker/build-push-action",
            inputs={"push": True, "tags": variable("IMAGE_REGISTRY", "ghcr.io")},
            permissions={Scope.PACKAGES: Access.WRITE},
            outputs=["digest"],
        ),
    ]
    return replace(Job(steps=steps, outputs={"api": output_of_step("image", "digest")}), **changes)


def repository() -> Repository:
    """Return checks, and a deployment to dev of what is merged or tagged; nothing is wrong with it."""
    ci = workflow(
        "ci.yml",
        [PullRequest(), Push(branches=["main"]), MergeGroup()],
        {
            "test": Job(steps=[CHECKOUT, Run(run="make test", env={"LEVEL": variable("LOG_LEVEL")})]),
            "lint": Job(needs=["test"], steps=[CHECKOUT, Run(run="make lint")]),
            "gate": gate("test", "lint"),
        },
    )
    deploy = workflow(
        "deploy.yml",
        [Push(branches=["main"], tags=["v*.*.*"])],
        {
            "merged": Job(steps=[HISTORY, ANCESTRY]),
            "build": build_job(),
            "deploy": deploy_job("dev"),
        },
    )
    dev = EnvironmentFacts(branches=["main"], tags=["v*"], secrets=["KUBECONFIG"], variables=["INGRESS_HOST"])
    around = Surroundings(
        secrets=["NOTIFY_URL"], variables=["LOG_LEVEL"], environments={"dev": dev}, protected_tags=["v*"]
    )
    return Repository((ci, deploy), around)
