"""A workflow of GitHub Actions as frozen values.

Only what generated workflows use is here, and nothing that could not be checked. What is left out on purpose: reusable
workflows (`workflow_call`: environment secrets do not pass through them, so a repository's workflows stand by
themselves), actions by tag or branch, `permissions` written by hand, `pull_request_target` with code of the request.

Source: GitHub, "Workflow syntax for GitHub Actions".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from .expressions import Expression

Text: TypeAlias = str | Expression
"""A text; expressions in it stand in `${{ }}`."""
Scalar: TypeAlias = str | int | float | bool | Expression


class Scope(StrEnum):
    """What GITHUB_TOKEN may be permitted."""

    ACTIONS = "actions"
    ATTESTATIONS = "attestations"
    CHECKS = "checks"
    CONTENTS = "contents"
    DEPLOYMENTS = "deployments"
    ID_TOKEN = "id-token"  # noqa: S105  the name of a permission
    ISSUES = "issues"
    PACKAGES = "packages"
    PULL_REQUESTS = "pull-requests"
    SECURITY_EVENTS = "security-events"
    STATUSES = "statuses"


class Access(StrEnum):
    """How far a permission goes."""

    READ = "read"
    WRITE = "write"


Permissions: TypeAlias = Mapping[Scope, Access]


@dataclass(frozen=True, kw_only=True)
class _Step:
    name: str = ""
    """What the log shows; without it GitHub shows the command or the action."""
    id: str = ""
    """By which later steps and the job's outputs refer to it."""
    condition: Expression | None = None
    """Whether it runs. Default: if everything before succeeded."""
    env: Mapping[str, Text] = field(default_factory=dict[str, Text])
    """Environment variables: the only way by which untrusted text reaches a command."""
    continue_on_error: bool = False
    """Whether the job goes on if it fails."""
    timeout_minutes: int | None = None
    permissions: Permissions = field(default_factory=dict[Scope, Access])
    """What it does with GITHUB_TOKEN; the job gets the sum of its steps', and nothing else."""
    outputs: Sequence[str] = ()
    """Names of the outputs it sets, so that a reference to another one is a mistake."""
    why: str = ""
    """Comment above it: why it is there."""


@dataclass(frozen=True, kw_only=True)
class Run(_Step):
    """A step that runs commands with bash (`-eo pipefail`)."""

    run: str
    """The commands. An expression here would be pasted into the script: only values nobody else can set may be."""
    working_directory: str = ""


@dataclass(frozen=True, kw_only=True)
class Uses(_Step):
    """A step that is an action."""

    action: str
    """`owner/name` or `owner/name/path` of the lock file (`pavedpath.workflows.actions`), which has the commit."""
    inputs: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    """What is given to it (`with`)."""


Step: TypeAlias = Run | Uses


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """A lock: runs or jobs of one group go one after another."""

    group: Text
    cancel_in_progress: bool | Expression = False
    """Whether a newer one ends the one that runs. Only safe where nothing is changed outside of the run."""
    queue: bool = False
    """Whether up to 100 wait, in order. Without it only the newest waits, and the one before it is cancelled."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The job runs once for each combination."""

    axes: Mapping[str, Sequence[Scalar] | Expression]
    """Values by axis, or an expression that yields a list, such as fromJSON of another job's output."""
    include: Sequence[Mapping[str, Scalar]] = ()
    fail_fast: bool = False
    max_parallel: int | None = None


@dataclass(frozen=True, kw_only=True)
class Service:
    """A container beside the job, for example a database."""

    image: str
    """Named by digest."""
    env: Mapping[str, Text] = field(default_factory=dict[str, Text])
    ports: Sequence[str] = ()
    options: str = ""


@dataclass(frozen=True, kw_only=True)
class JobEnvironment:
    """The environment that a job deploys to: its secrets and variables, its rules, its deployment history."""

    name: Text
    url: Text = ""
    deployment: bool = True
    """Whether GitHub records a deployment."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job."""

    steps: Sequence[Step]
    name: Text = ""
    """What the check is called; without it the job's id."""
    needs: Sequence[str] = ()
    condition: Expression | None = None
    runs_on: Sequence[str] = ("ubuntu-latest",)
    """Labels; more than one, or none of GitHub's own, is a self-hosted runner."""
    environment: JobEnvironment | None = None
    concurrency: Concurrency | None = None
    """The lock of a deployment stands here and not at the workflow: one that waits for approval must not hold it."""
    outputs: Mapping[str, Expression] = field(default_factory=dict[str, Expression])
    env: Mapping[str, Text] = field(default_factory=dict[str, Text])
    matrix: Matrix | None = None
    services: Mapping[str, Service] = field(default_factory=dict[str, Service])
    timeout_minutes: int = 30
    why: str = ""
    """Comment above it."""


class InputType(StrEnum):
    """Type of an input of a run that is started by hand."""

    STRING = "string"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    NUMBER = "number"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of a run that is started by hand."""

    description: str
    type: InputType = InputType.STRING
    required: bool = False
    default: str | bool | int | float | None = None
    options: Sequence[str] = ()
    """With type choice."""


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request into one of the branches was opened or changed. From a fork it has no secrets."""

    branches: Sequence[str] = ()
    paths: Sequence[str] = ()
    """A workflow with a required check must not have any: a check that is skipped so stays pending for ever."""
    types: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Push:
    """A branch or a tag was pushed; not with GITHUB_TOKEN, which starts nothing."""

    branches: Sequence[str] = ()
    tags: Sequence[str] = ()
    paths: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Somebody with write access started it by hand."""

    inputs: Mapping[str, Input] = field(default_factory=dict[str, Input])


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """At a time, in UTC, on the default branch."""

    cron: str


@dataclass(frozen=True, kw_only=True)
class MergeGroup:
    """A merge queue asks whether what it is about to merge passes."""


@dataclass(frozen=True, kw_only=True)
class WorkflowRun:
    """Another workflow of the repository ended."""

    workflows: Sequence[str]
    branches: Sequence[str] = ()


Trigger: TypeAlias = PullRequest | Push | Dispatch | Schedule | MergeGroup | WorkflowRun


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One workflow file."""

    file: str
    """Name below .github/workflows, for example ci.yml."""
    name: str
    on: Sequence[Trigger]
    """Each kind of trigger once, schedules as many as needed."""
    jobs: Mapping[str, Job]
    """Jobs by id, in the order they are read."""
    how_to_change: str
    """Where the reader changes it, for the heading: a sentence."""
    why: str = ""
    """What it is for, for the heading: a sentence or two."""
    run_name: Text = ""
    env: Mapping[str, Text] = field(default_factory=dict[str, Text])
    concurrency: Concurrency | None = None

    @property
    def path(self) -> str:
        """Path in the repository."""
        return f".github/workflows/{self.file}"


@dataclass(frozen=True, kw_only=True)
class EnvironmentFacts:
    """What an environment of the repository offers and demands: what `RepositoryEnvironment` makes."""

    branches: Sequence[str] = ("main",)
    """Patterns of the branches that may deploy to it."""
    tags: Sequence[str] = ()
    """Patterns of the tags that may."""
    secrets: Sequence[str] = ()
    variables: Sequence[str] = ()
    reviewed: bool = False
    """Whether GitHub asks reviewers (Enterprise, or a public repository)."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the repository is besides its workflows; what they refer to must exist here."""

    default_branch: str = "main"
    secrets: Sequence[str] = ()
    """Secrets of the repository or the organisation."""
    variables: Sequence[str] = ()
    environments: Mapping[str, EnvironmentFacts] = field(default_factory=dict[str, EnvironmentFacts])
    protected_tags: Sequence[str] = ()
    """Patterns of the tags that only chosen actors make."""
    merge_queue: bool = False
    """Whether pull requests are merged by a queue, which waits for the required check, too."""
    public: bool = False
