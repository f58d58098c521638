"""Every text of a workflow and where it stands, which decides what it may refer to.

Source: GitHub, "Contexts reference", section "Context availability".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from .expressions import Expression
from .grammar import ExpressionError, Node, embedded_so_far, parse
from .model import Concurrency, Job, Run, Scalar, Step, Uses, Workflow

_STATUS = frozenset({"always", "cancelled", "failure", "success"})
_RUN = frozenset({"github", "inputs", "vars"})
_JOB = _RUN | {"needs", "strategy", "matrix"}
_STEP = _JOB | {"job", "runner", "env", "steps"}


class Place(Enum):
    """A kind of place: the contexts and the special functions that work there."""

    RUN_NAME = (_RUN, frozenset[str]())
    WORKFLOW_CONCURRENCY = (_RUN, frozenset[str](), "concurrency")
    WORKFLOW_ENV = (_RUN | {"secrets"}, frozenset[str]())
    JOB_CONCURRENCY = (_JOB, frozenset[str](), "concurrency")
    JOB_ENV = (_JOB | {"secrets"}, frozenset[str]())
    JOB_IF = (_RUN | {"needs"}, _STATUS)
    JOB_NAME = (_JOB, frozenset[str](), "name")
    RUNS_ON = (_JOB, frozenset[str](), "runs-on")
    ENVIRONMENT = (_JOB, frozenset[str](), "environment")
    ENVIRONMENT_URL = (_STEP, frozenset[str](), "url")
    MATRIX = (_RUN | {"needs"}, frozenset[str](), "strategy")
    OUTPUT = (_STEP | {"secrets"}, frozenset[str](), "outputs")
    SERVICE = (_JOB, frozenset[str](), "services")
    SERVICE_ENV = (_JOB | {"job", "runner", "env", "secrets"}, frozenset[str](), "services.env")
    STEP_IF = (_STEP, _STATUS | {"hashFiles"}, "step if")
    STEP = (_STEP | {"secrets"}, frozenset({"hashFiles"}), "step")
    SCRIPT = (_STEP | {"secrets"}, frozenset({"hashFiles"}), "run")
    NONE = (frozenset[str](), frozenset[str](), "nowhere")
    """Texts that GitHub does not evaluate."""

    @property
    def contexts(self) -> frozenset[str]:
        """Names of the contexts."""
        return frozenset(self.value[0])

    @property
    def functions(self) -> frozenset[str]:
        """Functions that only work in some places."""
        return frozenset(self.value[1])


@dataclass(frozen=True)
class Text:
    """One text, with the job and the step that it is of."""

    where: str
    """For example `ci.yml: jobs.test.steps[1].env.X`."""
    text: str
    place: Place
    job: str = ""
    step: int | None = None

    @property
    def is_condition(self) -> bool:
        """Whether all of it is an expression, without braces."""
        return self.place in (Place.JOB_IF, Place.STEP_IF)

    def parsed(self) -> Iterator[Node | ExpressionError]:
        """Yield the expressions in it, and in the place of one that cannot be read, why."""
        try:
            for each in [self.text] if self.is_condition else embedded_so_far(self.text):
                try:
                    node = parse(each)
                except ExpressionError as error:
                    yield error
                else:
                    yield node
        except ExpressionError as error:
            yield error

    def readable(self) -> list[Node]:
        """Return the expressions in it that can be read."""
        return [each for each in self.parsed() if not isinstance(each, ExpressionError)]


def texts(workflow: Workflow) -> Iterator[Text]:
    """Yield every text of a workflow."""
    file = workflow.file
    yield Text(f"{file}: name", workflow.name, Place.NONE)
    yield Text(f"{file}: run-name", str(workflow.run_name), Place.RUN_NAME)
    yield from _each(f"{file}: env", workflow.env, Place.WORKFLOW_ENV)
    yield from _concurrency(f"{file}: concurrency", workflow.concurrency, Place.WORKFLOW_CONCURRENCY)
    for name, job in workflow.jobs.items():
        yield from texts_of_job(f"{file}: jobs.{name}", name, job)


def texts_of_job(where: str, name: str, job: Job) -> Iterator[Text]:
    """Yield every text of one job."""
    yield Text(f"{where}.name", str(job.name), Place.JOB_NAME, name)
    if job.condition is not None:
        yield Text(f"{where}.if", job.condition.text, Place.JOB_IF, name)
    for label in job.runs_on:
        yield Text(f"{where}.runs-on", label, Place.RUNS_ON, name)
    if job.environment:
        yield Text(f"{where}.environment.name", str(job.environment.name), Place.ENVIRONMENT, name)
        yield Text(f"{where}.environment.url", str(job.environment.url), Place.ENVIRONMENT_URL, name)
    yield from _concurrency(f"{where}.concurrency", job.concurrency, Place.JOB_CONCURRENCY, name)
    if job.matrix:
        for axis, values in job.matrix.axes.items():
            for value in (values,) if isinstance(values, Expression) else values:
                yield Text(f"{where}.strategy.matrix.{axis}", _text(value), Place.MATRIX, name)
        for row in job.matrix.include:
            yield from _each(f"{where}.strategy.matrix.include", row, Place.MATRIX, name)
    yield from _each(f"{where}.outputs", job.outputs, Place.OUTPUT, name)
    yield from _each(f"{where}.env", job.env, Place.JOB_ENV, name)
    for service, facts in job.services.items():
        at = f"{where}.services.{service}"
        yield Text(f"{at}.image", facts.image, Place.SERVICE, name)
        yield Text(f"{at}.options", facts.options, Place.SERVICE, name)
        yield from (Text(f"{at}.ports", port, Place.SERVICE, name) for port in facts.ports)
        yield from _each(f"{at}.env", facts.env, Place.SERVICE_ENV, name)
    for index, step in enumerate(job.steps):
        yield from texts_of_step(f"{where}.steps[{index}]", name, index, step)


def texts_of_step(where: str, job: str, index: int, step: Step) -> Iterator[Text]:
    """Yield every text of one step."""
    yield Text(f"{where}.name", step.name, Place.STEP, job, index)
    if step.condition is not None:
        yield Text(f"{where}.if", step.condition.text, Place.STEP_IF, job, index)
    yield from _each(f"{where}.env", step.env, Place.STEP, job, index)
    match step:
        case Run():
            yield Text(f"{where}.run", step.run, Place.SCRIPT, job, index)
            yield Text(f"{where}.working-directory", step.working_directory, Place.STEP, job, index)
        case Uses():
            yield from _each(f"{where}.with", step.inputs, Place.STEP, job, index)


def _concurrency(where: str, lock: Concurrency | None, place: Place, job: str = "") -> Iterator[Text]:
    if lock is not None:
        yield Text(f"{where}.group", str(lock.group), place, job)
        yield Text(f"{where}.cancel-in-progress", _text(lock.cancel_in_progress), place, job)


def _each(
    where: str, values: Mapping[str, Scalar], place: Place, job: str = "", step: int | None = None
) -> Iterator[Text]:
    return (Text(f"{where}.{name}", _text(value), place, job, step) for name, value in values.items())


def _text(value: Scalar) -> str:
    return str(value) if isinstance(value, str | Expression) else ""
