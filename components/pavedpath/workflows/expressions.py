"""What stands in `${{ }}`, as values.

An expression's text is what GitHub evaluates; put in an f-string it becomes `${{ text }}`. Whether what it refers to
exists is decided when the workflow is checked (`pavedpath.workflows.checking`), which reads the references back from
the text: nothing gets past it, not even an expression that was written by hand.

Source: GitHub, "Contexts reference" and "Evaluate expressions in workflows and actions".
"""

import json
from dataclasses import dataclass
from typing import TypeAlias

_OPERATORS = ("&&", "||", "==", "!=", "<", ">", "!")

Operand: TypeAlias = "Expression | str | bool | int | float"


@dataclass(frozen=True)
class Expression:
    """One expression, without its braces."""

    text: str

    def __str__(self) -> str:
        """Return it as it stands in a text: in braces."""
        return f"${{{{ {self.text} }}}}"

    def __and__(self, other: Operand) -> "Expression":
        return Expression(f"{_grouped(self)} && {_grouped(literal(other))}")

    def __or__(self, other: Operand) -> "Expression":
        return Expression(f"{_grouped(self)} || {_grouped(literal(other))}")

    def __invert__(self) -> "Expression":
        return Expression(f"!{_grouped(self)}")

    def equals(self, other: Operand) -> "Expression":
        """Compare; GitHub ignores case in texts."""
        return Expression(f"{_grouped(self)} == {_grouped(literal(other))}")

    def differs(self, other: Operand) -> "Expression":
        """Compare, negated."""
        return Expression(f"{_grouped(self)} != {_grouped(literal(other))}")


def _grouped(expression: Expression) -> str:
    return f"({expression.text})" if any(f" {each} " in expression.text for each in _OPERATORS) else expression.text


def literal(value: Operand) -> Expression:
    """Return a text, truth value or number as an expression; an expression as it is."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, str):
        return Expression("'" + value.replace("'", "''") + "'")
    return Expression(json.dumps(value))


def call(function: str, *arguments: Operand) -> Expression:
    """Call one of GitHub's functions: contains, startsWith, endsWith, format, join, toJSON, fromJSON, hashFiles."""
    return Expression(f"{function}({', '.join(literal(each).text for each in arguments)})")


def github(path: str) -> Expression:
    """Return a part of the `github` context, for example ref_name or event.pull_request.head.ref."""
    return Expression(f"github.{path}")


def runner(name: str) -> Expression:
    """Return a part of the `runner` context, for example temp."""
    return Expression(f"runner.{name}")


def secret(name: str) -> Expression:
    """Return a secret of the repository or of the job's environment. GITHUB_TOKEN is always there."""
    return Expression(f"secrets.{name}")


def variable(name: str, default: str | None = None) -> Expression:
    """Return a variable of the repository or of the job's environment.

    Args:
        name: the variable.
        default: what stands in where nobody set it; with one the variable need not exist.
    """
    found = Expression(f"vars.{name}")
    return found if default is None else found | default


def given(name: str) -> Expression:
    """Return an input of a run that was started by hand."""
    return Expression(f"inputs.{name}")


def output_of(job: str, output: str) -> Expression:
    """Return an output of a job that this one needs."""
    return Expression(f"needs.{job}.outputs.{output}")


def result_of(job: str) -> Expression:
    """Return how a job that this one needs ended: success, failure, cancelled or skipped."""
    return Expression(f"needs.{job}.result")


def output_of_step(step: str, output: str) -> Expression:
    """Return an output of an earlier step of the job, by the step's id."""
    return Expression(f"steps.{step}.outputs.{output}")


def outcome_of(step: str) -> Expression:
    """Return how an earlier step of the job ended, before continue_on_error: success, failure, cancelled, skipped."""
    return Expression(f"steps.{step}.outcome")


def matrix(axis: str) -> Expression:
    """Return this job's value of an axis of its matrix."""
    return Expression(f"matrix.{axis}")


def env(name: str) -> Expression:
    """Return an environment variable that the workflow, the job or the step sets."""
    return Expression(f"env.{name}")


def event_is(name: str) -> Expression:
    """Ask what started the run, for example push."""
    return github("event_name").equals(name)


ALWAYS = Expression("always()")
"""Even after a failure or a cancellation."""
FAILED = Expression("failure()")
"""Something before failed."""
SUCCEEDED = Expression("success()")
NOT_CANCELLED = Expression("!cancelled()")
IS_DEFAULT_BRANCH = github("ref_name").equals(github("event.repository.default_branch"))
OF_THIS_REPOSITORY = github("event.pull_request.head.repo.full_name").equals(github("repository"))
"""The pull request comes from a branch of the repository, not from a fork."""

CONTEXTS = (
    "github",
    "env",
    "vars",
    "job",
    "steps",
    "runner",
    "secrets",
    "strategy",
    "matrix",
    "needs",
    "inputs",
)
"""What an expression may refer to (GitHub, "Contexts reference")."""
