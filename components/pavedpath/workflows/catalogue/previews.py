"""Previews of Pulumi stacks: what a pull request would change, and after the merge what it changes everywhere else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.checks import gate_job
from pavedpath.workflows.expressions import (
    OF_THIS_REPOSITORY,
    call,
    event_is,
    github,
    matrix,
    output_of,
    output_of_step,
    secret,
    variable,
)
from pavedpath.workflows.model import (
    Concurrency,
    Job,
    JobEnvironment,
    Matrix,
    PullRequest,
    Push,
    Run,
    Step,
    Uses,
    Workflow,
)

GATE = "preview"
"""What the required check is called."""


@dataclass(frozen=True, kw_only=True)
class Previews:
    """How the stacks of a repository are previewed."""

    changed: str
    """Command that reads changed paths, one a line, and prints a JSON list of stacks; its argument is the event."""
    prepare: str
    """Commands that make packages and providers available, and put them on GITHUB_PATH."""
    pulumi: str
    """Version of the engine."""
    policies: str = ""
    """Folder of a policy pack; empty for none."""
    without_cluster: Sequence[str] = ()
    """Stacks that need no kubeconfig."""
    branch: str = "main"
    how_to_change: str
    """Where the reader changes it: a sentence."""
    page: str = ""
    """Where it is described, for the heading."""


def previews(settings: Previews) -> Workflow:
    """Return preview.yml: a job a changed stack, in the environment preview-<stack>, and the required check `preview`.

    Each environment has the variables AWS_PREVIEW_ROLE, AWS_REGION and PULUMI_BACKEND_URL and the secret KUBECONFIG;
    PREVIEW_GITHUB_TOKEN, PULUMI_ACCESS_TOKEN and PULUMI_CONFIG_PASSPHRASE where they are needed. Its branch policy is
    what keeps the credentials of a protected stack from code that nobody has reviewed.
    """
    made = {"changed": _changed(settings), "preview": _preview(settings)}
    gate = replace(
        gate_job(list(made), may_be_skipped=list(made)),
        name=GATE,
        why="Required by the branch's rules: always runs, so that no pull request waits because no stack changed.",
    )
    return Workflow(
        file="preview.yml",
        name="preview",
        on=[PullRequest(), Push(branches=[settings.branch])],
        jobs={**made, "previewed": gate},
        how_to_change=settings.how_to_change,
        why="What a change would do, stack by stack; to protected stacks after its review"
        + (f": {settings.page}.\n" if settings.page else ".\n")
        + "Never by pull_request_target: it would give this repository's secrets to whatever a fork sends.",
    )


def _changed(settings: Previews) -> Job:
    return Job(
        name="changed stacks",
        why="A fork gets neither secrets nor the identity that the previews need.",
        condition=steps.any_of(event_is("push"), OF_THIS_REPOSITORY),
        timeout_minutes=5,
        outputs={"stacks": output_of_step("find", "stacks")},
        steps=[
            steps.checkout(history=True),
            Run(
                name="Find the stacks that the change touches",
                id="find",
                env={"BASE": github("event.pull_request.base.sha") | github("event.before")},
                run=f"""
                paths="$(git diff --name-only --no-renames "$BASE...HEAD")"
                stacks="$({settings.changed} "$GITHUB_EVENT_NAME" <<< "$paths")"
                echo "stacks=$stacks" >> "$GITHUB_OUTPUT"
                """,
                outputs=("stacks",),
            ),
        ],
    )


def _preview(settings: Previews) -> Job:
    stack = matrix("stack")
    return Job(
        name=f"preview {stack}",
        needs=("changed",),
        condition=output_of("changed", "stacks").differs("[]"),
        timeout_minutes=60,
        matrix=Matrix(axes={"stack": call("fromJSON", output_of("changed", "stacks"))}),
        environment=JobEnvironment(name=f"preview-{stack}", deployment=False),
        # A preview takes no lock of the stack and leaves nothing behind: a newer one ends it.
        concurrency=Concurrency(
            group=f"preview-{stack}-{github('event.pull_request.number') | github('sha')}", cancel_in_progress=True
        ),
        why="Its environment holds the variables and secrets of this stack's preview, and is what its role trusts.",
        steps=[
            steps.checkout(),
            Run(name="Get the engine, the providers and the packages", run=settings.prepare),
            Uses(
                name="Assume the preview's role",
                action="aws-actions/configure-aws-credentials",
                inputs={
                    "role-to-assume": variable("AWS_PREVIEW_ROLE"),
                    "aws-region": variable("AWS_REGION"),
                    "role-session-name": f"preview-{stack}-{github('run_id')}",
                },
            ),
            replace(
                steps.kubeconfig("KUBECONFIG"),
                condition=steps.all_of(*(stack.differs(each) for each in settings.without_cluster))
                if settings.without_cluster
                else None,
            ),
            _pulumi(settings),
        ],
    )


def _pulumi(settings: Previews) -> Step:
    return Uses(
        name="Preview and comment",
        action="pulumi/actions",
        why="Pulumi's GitHub App comments by itself where the organisation has it. The job's own token can read neither"
        " teams nor settings of the organisation.",
        inputs={
            "command": "preview",
            "stack-name": matrix("stack"),
            "cloud-url": variable("PULUMI_BACKEND_URL"),
            "pulumi-version": settings.pulumi,
            "diff": True,
            **({"policyPacks": settings.policies} if settings.policies else {}),
            "comment-on-summary": event_is("push"),
            "comment-on-pr": variable("PULUMI_GITHUB_APP").differs("true"),
            "edit-pr-comment": True,
        },
        env={
            "GITHUB_TOKEN": secret("PREVIEW_GITHUB_TOKEN") | github("token"),
            "PULUMI_ACCESS_TOKEN": secret("PULUMI_ACCESS_TOKEN"),
            "PULUMI_CONFIG_PASSPHRASE": secret("PULUMI_CONFIG_PASSPHRASE"),
        },
    )
