"""Deployments: `deploy.yml`, a workflow for each approval without Enterprise, and `rollback.yml`.

A push to the default branch is tested, built once, scanned and deployed to the first environment. Every later one
takes the digests that the one before it ran: in the same run where nobody or reviewers must agree, or in a workflow of
its own where a pull request into `deploy/<environment>` or an approver's start is the approval.

Locks stand at the jobs that deploy: a run that waits for an approval holds none.
"""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pavedpath.plans import Approval
from pavedpath.workflows.catalogue import images, jobs, steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE, Blueprint
from pavedpath.workflows.expressions import (
    FAILED,
    SUCCEEDED,
    Expression,
    github,
    given,
    outcome_of,
    output_of,
    output_of_step,
    runner,
    variable,
)
from pavedpath.workflows.model import (
    Access,
    Concurrency,
    Dispatch,
    Input,
    InputType,
    Job,
    JobEnvironment,
    Push,
    Run,
    Scope,
    Step,
    Text,
    Trigger,
    Uses,
    Workflow,
)
from pavedpath.workflows.service import Target

HISTORY = 10
"""Revisions that Helm keeps: document 004."""

FAIL_FAST = "60s"
"""How long an image may not be pulled: it is a digest that is in the registry, so that more waiting brings nothing."""


_WENT_BACK = steps.all_of(FAILED, outcome_of("back").equals("success"))
_TOLD = {"deployed": SUCCEEDED, "failed": FAILED, "rolled-back": _WENT_BACK}


def deploy(blueprint: Blueprint, *, file: str = "deploy.yml") -> list[Workflow]:
    """Return the file deploy.yml, and deploy-<environment>.yml for each environment with an approval of its own.

    With images, every push to the default branch is delivered. Without any, the repository holds values only: a push
    that touches them is.
    """
    return [_main(blueprint, file), *(_apart(blueprint, before, target) for before, target in blueprint.apart)]


def rollback(blueprint: Blueprint) -> Workflow:
    """Return rollback.yml: somebody goes back to a revision that ran, verified afterwards.

    An environment that takes only its approval branch is rolled back by a run on that branch.
    """
    targets = blueprint.service.targets
    inputs = {
        "environment": Input(
            description="Where",
            type=InputType.CHOICE,
            required=True,
            options=[target.environment for target in targets],
        ),
        "revision": Input(description="Revision of `pavedpath history`; empty for the one that ran before"),
    }
    return Workflow(
        file="rollback.yml",
        name="rollback",
        run_name=f"rollback of {given('environment')}",
        on=[Dispatch(inputs=inputs)],
        jobs={steps.job_id(target.environment, "rollback"): _rollback(blueprint, target) for target in targets},
        how_to_change=HOW_TO_CHANGE,
        why="Goes back to a revision that ran.",
    )


def deploying(
    blueprint: Blueprint, target: Target, needs: Sequence[str], digests: Mapping[str, Text], commit: Text = ""
) -> Job:
    """Return the job that deploys to an environment, tries it, and takes back what does not work.

    Helm itself goes back when the pods do not become ready; the job goes back when they do and the smoke test fails,
    and then only if what it deployed is what runs: never twice.

    Args:
        blueprint: the service.
        target: where.
        needs: the jobs before it.
        digests: IMAGE@DIGEST by the image's name.
        commit: whose chart and values are deployed. Default: what started the run.
    """
    chosen = [steps.approver()] if target.approval is Approval.DISPATCH else []
    return _in(
        blueprint,
        target,
        [
            *chosen,
            steps.checkout(ref=commit),
            *_access(blueprint, target),
            *_checked(blueprint, target),
            _deploy(blueprint, target, digests, dry_run=True),
            _deploy(blueprint, target, digests),
            smoke(target, blueprint.smoke),
            *_failed(blueprint, target),
            *_told(blueprint, target, _TOLD, commit),
        ],
        needs=needs,
        name=f"deploy to {target.environment}",
        minutes=target.timeout_minutes * 2 + 20,
    )


def smoke(target: Target, spec: str = "") -> Run:
    """Return the step that asks what was deployed whether it works; `spec` is a file of what is asked."""
    return Run(
        name="Smoke test",
        id="smoke",
        env={"HOST": variable(target.smoke_host_variable)},
        run='pavedpath smoke "$HOST"' + (f" --spec {shlex.quote(spec)}" if spec else ""),
    )


def chain(
    blueprint: Blueprint, targets: Sequence[Target], needs: Sequence[str], digests: Mapping[str, Text], commit: Text
) -> dict[str, Job]:
    """Return the jobs that deploy to one target after another, each with what the one before it ran.

    Args:
        blueprint: the service.
        targets: in order.
        needs: jobs before the first one.
        digests: IMAGE@DIGEST by the image's name.
        commit: full id of what is deployed.
    """
    made: dict[str, Job] = {}
    sources = _jobs_of({**digests, "commit": commit})
    before = tuple(needs)
    for target in targets:
        environment = target.environment
        if target.approval is Approval.REVIEWERS:
            approval = steps.job_id(environment, "deploy_approval")
            made[approval] = _approval(environment, before)
            before = (approval,)
        job = steps.job_id(environment, "deploy")
        made[job] = deploying(blueprint, target, _once(*before, *sources), digests, commit)
        before = (job,)
        if _leaves_tag(blueprint, target):
            made |= images.verified(blueprint, environment, _once(job, *sources), digests, commit or github("sha"))
    return made


def found(blueprint: Blueprint, before: Target, commit: Text, *, exact: bool) -> Job:
    """Return the job that finds the images of a commit that an environment ran: an output for each, and `commit`.

    Args:
        blueprint: the service.
        before: the environment that ran them.
        commit: id, or what git makes one of.
        exact: whether this very commit must be on the default branch. Without it the newest commit of the default
            branch that is in it is meant: an approval branch adds merges of its own.
    """
    names = blueprint.names
    finding = resolved(blueprint, images.ran_tag(before.environment))
    login = [steps.command(), blueprint.registry.login(write=False)] if names else []
    return Job(
        name="images",
        timeout_minutes=10,
        outputs={
            "commit": output_of_step("commit", "commit"),
            **{steps.job_id("image", name): output_of_step(steps.job_id("resolve", name), "image") for name in names},
        },
        steps=[
            steps.checkout(history=True),
            _commit(blueprint, commit, exact=exact),
            *login,
            *finding,
        ],
    )


def _commit(blueprint: Blueprint, commit: Text, *, exact: bool) -> Run:
    newest = 'commit="$(git merge-base "$MEANT" "$MAIN")"'
    this = """
    commit="$(git rev-parse --verify --end-of-options "$MEANT^{commit}")"
    git merge-base --is-ancestor "$commit" "$MAIN"
    """
    return Run(
        name="Find the commit",
        id="commit",
        env={"MEANT": commit, "MAIN": f"origin/{blueprint.default_branch}"},
        run=textwrap.dedent(this if exact else newest).strip() + '\necho "commit=$commit" >> "$GITHUB_OUTPUT"\n',
        outputs=("commit",),
    )


def resolved(blueprint: Blueprint, tag: str) -> list[Step]:
    """Return the steps, with the ids resolve_<image>, that find each image's digest by a tag.

    Args:
        blueprint: the service.
        tag: may hold the shell variable COMMIT: the output `commit` of the step `commit`.
    """
    return [
        Run(
            name=f"Find {name}",
            id=steps.job_id("resolve", name),
            env={"IMAGE": full, "COMMIT": output_of_step("commit", "commit")},
            run=f'pavedpath image resolve "$IMAGE:{tag}"',
            outputs=("image", "digest"),
            permissions={Scope.PACKAGES: Access.READ},
        )
        for name, full in blueprint.names.items()
    ]


def outputs_of(blueprint: Blueprint, job: str) -> dict[str, Text]:
    """Return what `found` found, for a job that needs it."""
    return {name: output_of(job, steps.job_id("image", name)) for name in blueprint.names}


def _main(blueprint: Blueprint, file: str) -> Workflow:
    service, on_main = blueprint.service, github("ref").equals(f"refs/heads/{blueprint.default_branch}")
    checks = jobs.check_jobs(service, blueprint.requirements) if service.images else {}
    made = checks | images.pushed(blueprint, (), on_main)
    local = service.chart_folder
    paths = [] if service.images else [f"{each}/**" for each in (blueprint.values, local) if each]
    before: list[str] = []
    if service.images:
        made |= images.published(blueprint, list(checks))
        before.append("publish")
    if local:
        made["chart"] = chart_push(local, on_main, service.owner)
        before.append("chart")
    made |= chain(blueprint, blueprint.chained, before, dict(blueprint.built), "")
    if not service.images:
        first = next(iter(name for name in made if name.endswith("_deploy")))
        made[first] = replace(made[first], condition=on_main)
    return Workflow(
        file=file,
        name=file.rpartition(".")[0],
        on=[Push(branches=[blueprint.default_branch], paths=paths), Dispatch()],
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="Tests, builds once, scans and deploys what was merged; each environment takes the digests of the one"
        " before it."
        if service.images
        else "Deploys what was merged.",
    )


def _apart(blueprint: Blueprint, before: Target, target: Target) -> Workflow:
    environment = target.environment
    by_branch = target.approval is Approval.BRANCH
    commit = Input(description="Commit that was deployed before; empty for the newest")
    trigger: Trigger = Push(branches=[f"deploy/{environment}"]) if by_branch else Dispatch(inputs={"commit": commit})
    meant: Text = github("sha") if by_branch else given("commit") | github("sha")
    on_main = github("ref").equals(f"refs/heads/{blueprint.default_branch}")
    images_job = found(blueprint, before, meant, exact=not by_branch)
    made = {"images": images_job if by_branch else replace(images_job, condition=on_main)}
    made |= chain(blueprint, [target], ["images"], outputs_of(blueprint, "images"), output_of("images", "commit"))
    how = f"a pull request into deploy/{environment}" if by_branch else "the start by an approver"
    return Workflow(
        file=f"deploy-{environment}.yml",
        name=f"deploy to {environment}",
        on=[trigger],
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why=f"Deploys to {environment} what {before.environment} ran; the approval is {how}.",
    )


def _approval(environment: str, needs: Sequence[str]) -> Job:
    return Job(
        name=f"{environment} approval",
        needs=needs,
        environment=JobEnvironment(name=f"{environment}_approve"),
        timeout_minutes=5,
        steps=[Run(name="Approved", run=f'echo "Approved for {environment}"')],
        why="Waits up to 30 days for a reviewer, and holds no lock meanwhile.",
    )


def chart_push(folder: str, condition: Expression | None = None, owner: str = "") -> Job:
    """Return the job that pushes a chart to the registry of the images; a version that is there stays as it is."""
    return Job(
        name="chart",
        condition=condition,
        timeout_minutes=10,
        steps=[
            steps.checkout(),
            Uses(name="Set up Helm", action="azure/setup-helm"),
            steps.command(),
            Run(
                name="Pack and push",
                env={
                    "CHART_REGISTRY_URL": steps.chart_store(owner),
                    "CHART_REGISTRY_USER": github("actor"),
                    "CHART_REGISTRY_PASSWORD": Expression("secrets.GITHUB_TOKEN"),
                },
                permissions={Scope.PACKAGES: Access.WRITE},
                run=f"""
                pavedpath chart package {shlex.quote(folder)} --out "$RUNNER_TEMP/charts"
                pavedpath chart push "$RUNNER_TEMP"/charts/*.tgz
                """,
            ),
        ],
    )


def _rollback(blueprint: Blueprint, target: Target) -> Job:
    service, environment = blueprint.service, target.environment
    chosen = [steps.approver()] if target.approval is Approval.DISPATCH else []
    branch = f"deploy/{environment}" if target.approval is Approval.BRANCH else blueprint.default_branch
    back = Run(
        name="Roll back",
        id="back",
        outputs=("state", "revision", "target"),
        env={"REVISION": given("revision")},
        run=steps.joined(
            f"pavedpath rollback {service.name}",
            f"--namespace {_namespace(blueprint, target)}",
            '${REVISION:+--to-revision "$REVISION"}',
            f"--timeout {target.timeout_minutes}m",
            f"--history {HISTORY}",
            "--yes",
        ),
    )
    job = _in(
        blueprint,
        target,
        [
            *chosen,
            *_access(blueprint, target),
            Run(name="Show the history", run=_command(blueprint, target, "history")),
            back,
            smoke(target),
            *_told(blueprint, target, {"rolled-back": SUCCEEDED}, output_of_step("back", "target")),
        ],
        name=f"roll {environment} back",
        minutes=target.timeout_minutes + 15,
    )
    chosen_here = steps.all_of(given("environment").equals(environment), github("ref").equals(f"refs/heads/{branch}"))
    return replace(job, condition=chosen_here)


def _in(
    blueprint: Blueprint, target: Target, made: Sequence[Step], *, name: str, minutes: int, needs: Sequence[str] = ()
) -> Job:
    environment = target.environment
    return Job(
        name=name,
        needs=needs,
        runs_on=target.runner_labels or ("self-hosted", "linux", "arm64", environment),
        environment=JobEnvironment(name=environment),
        concurrency=Concurrency(group=f"deploy-{blueprint.service.name}-{environment}", queue=True),
        timeout_minutes=minutes,
        steps=made,
    )


def _access(blueprint: Blueprint, target: Target) -> list[Step]:
    return [
        steps.command(),
        steps.cloud_access(target.environment),
        steps.kubeconfig(blueprint.kubeconfig_secret, encoded=blueprint.kubeconfig_encoded),
    ]


def _checked(blueprint: Blueprint, target: Target) -> list[Step]:
    chart = blueprint.service.chart_folder
    if not chart:
        return []
    values = f"{blueprint.values}/{target.environment}.yaml"
    return [Run(name="Lint the chart", run=f"helm lint {shlex.quote(chart)} --values {shlex.quote(values)}")]


def _deploy(blueprint: Blueprint, target: Target, digests: Mapping[str, Text], *, dry_run: bool = False) -> Run:
    service = blueprint.service
    env: dict[str, Text] = {steps.variable_of("IMAGE", name): text for name, text in digests.items()}
    env |= {steps.variable_of("SET", key): text for key, text in blueprint.settings.items()}
    return Run(
        name="Preview" if dry_run else "Deploy",
        id="" if dry_run else "deploy",
        env=env,
        outputs=() if dry_run else ("state", "revision", "previous"),
        run=steps.joined(
            f"pavedpath deploy {service.name}",
            f"--environment {target.environment}",
            *service.chart_arguments,
            f"--namespace {_namespace(blueprint, target)}",
            f"--values-dir {shlex.quote(blueprint.values)}",
            f"--timeout {target.timeout_minutes}m",
            f"--history {HISTORY}",
            *(f'--image "{name}=${steps.variable_of("IMAGE", name)}"' for name in digests),
            *(f'--set "{key}=${steps.variable_of("SET", key)}"' for key in blueprint.settings),
            "--require-digest" if digests else "",
            "--dry-run" if dry_run else f"--fail-fast {FAIL_FAST}",
        ),
    )


def _failed(blueprint: Blueprint, target: Target) -> list[Step]:
    folder = f"{runner('temp')}/diagnostics"
    deployed = output_of_step("deploy", "state").equals("deployed")
    return [
        Run(
            name="Collect diagnostics",
            condition=FAILED,
            run=_command(blueprint, target, "diagnose") + ' --out "$RUNNER_TEMP/diagnostics"',
        ),
        steps.upload(f"diagnostics-{target.environment}", folder, condition=FAILED),
        Run(
            name="Roll back",
            id="back",
            why="Only what this job deployed and what still runs: Helm went back itself if the deployment failed.",
            condition=steps.all_of(FAILED, outcome_of("deploy").equals("success"), deployed),
            env={"REVISION": output_of_step("deploy", "revision")},
            run=_command(blueprint, target, "rollback") + ' --if-deployed "$REVISION"',
        ),
    ]


def _told(blueprint: Blueprint, target: Target, events: Mapping[str, Expression], commit: Text = "") -> list[Step]:
    app, environment = blueprint.service.name, target.environment
    return [
        steps.notify(blueprint.notify, event, app=app, environment=environment, commit=commit, condition=condition)
        for event, condition in events.items()
        if blueprint.notify
    ]


def _command(blueprint: Blueprint, target: Target, command: str) -> str:
    return f"pavedpath {command} {blueprint.service.name} --namespace {_namespace(blueprint, target)}"


def _namespace(blueprint: Blueprint, target: Target) -> str:
    return target.namespace or blueprint.service.name


def _leaves_tag(blueprint: Blueprint, target: Target) -> bool:
    """Whether another workflow must find what this environment ran."""
    targets = blueprint.service.targets
    following = targets[targets.index(target) + 1 :][:1]
    apart = [each for _, each in blueprint.apart] + list(blueprint.released)
    return bool(blueprint.service.images) and any(each in apart for each in following)


def _jobs_of(texts: Mapping[str, Text]) -> tuple[str, ...]:
    return _once(*(text.text.split(".")[1] for text in texts.values() if isinstance(text, Expression)))


def _once(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
