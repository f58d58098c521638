"""The file of rules: which number of which result must be how, and why.

`schema.json` beside this file is generated from these models (`python -m pavedpath_delivery.gate.rules`), so that
editors complete and check a file of rules.
"""

import json
import operator
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.mistakes import mistakes

SCHEMA = Path(__file__).with_name("schema.json")
VERSION = 1


class Comparison(StrEnum):
    """How a value must stand to the threshold; strict ones stay strict: 80 is not `> 80`."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    OTHER = "!="


HOLDS: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.ABOVE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.EQUAL: operator.eq,
    Comparison.OTHER: operator.ne,
}


class Severity(StrEnum):
    """What a value that misses its threshold does. A value that cannot be had is red whatever this says."""

    BLOCK = "block"
    WARN = "warn"


class Source(StrEnum):
    """A kind of result."""

    COVERAGE = "coverage"
    JUNIT = "junit"
    SARIF = "sarif"
    MLFLOW = "mlflow"
    JSON = "json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rule(_Model):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Unique name of the rule.")
    comparison: Comparison
    # Strict: the text "80" is no number, and neither is true.
    threshold: float = Field(strict=True, allow_inf_nan=False)
    severity: Severity = Severity.BLOCK
    reason: str = Field(min_length=1, description="Why; shown to who misses the threshold.")
    file: str = Field("", description="Glob of the result files it is about. Default: all of its source.")


class CoverageRule(_Rule):
    """Percent that tests run, 0 to 100, of coverage.py's JSON or of a Cobertura XML; each of several files must do."""

    source: Literal[Source.COVERAGE]
    metric: Literal["lines", "branches", "total"] = Field(description="`total`: lines and branches taken together.")


class JunitRule(_Rule):
    """A number of all JUnit XML files together. `failed`: failures and errors; `success_rate`: percent of those run."""

    source: Literal[Source.JUNIT]
    metric: Literal["tests", "passed", "failures", "errors", "failed", "skipped", "success_rate", "seconds"]


class SarifRule(_Rule):
    """Number of findings of all SARIF files together, of those that all given filters let through."""

    source: Literal[Source.SARIF]
    levels: tuple[Literal["error", "warning", "note", "none"], ...] = Field((), description="Default: all levels.")
    rules: tuple[str, ...] = Field((), description="Ids of the scanner's rules. Default: all.")
    min_security_severity: float | None = Field(
        None, ge=0, le=10, description="Least CVSS score; critical is 9.0 and more, high 7.0. Default: any, or none."
    )


class MlflowRule(_Rule):
    """A metric of an MLflow run, its last value, by its name."""

    source: Literal[Source.MLFLOW]
    metric: str = Field(min_length=1)


class JsonRule(_Rule):
    """A number of a JSON file, by its JSON Pointer (RFC 6901), for example /evaluation/f1."""

    source: Literal[Source.JSON]
    path: str = Field(pattern=r"^(/([^~/]|~[01])*)+$")


Rule = CoverageRule | JunitRule | SarifRule | MlflowRule | JsonRule


class Rules(_Model):
    """Rules of a quality gate."""

    version: Literal[1] = Field(description="Of the form of this file.")
    rules: tuple[Annotated[Rule, Field(discriminator="source")], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> "Rules":
        ids = [rule.id for rule in self.rules]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"the id is there twice: {', '.join(twice)}")
        return self


class RulesError(Exception):
    """A file of rules that cannot be used; the message names every offender."""


def load(path: Path) -> Rules:
    """Return the rules of a file.

    Raises:
        RulesError: missing, no YAML, empty, of an unknown version, or wrong; names every offender.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise RulesError(f"{path} is no UTF-8 text") from None
    except RulesError as error:
        raise RulesError(f"{path}: {error}") from None


def parse(text: str) -> Rules:
    """Return the rules of a text.

    Raises:
        RulesError: as of `load`.
    """
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        raise RulesError(f"it is no YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not document:
        raise RulesError("it is empty: a gate without rules would let everything through")
    version = fields(document).get("version")
    if type(version) is not int or version != VERSION:
        raise RulesError(f"its version is {version!r}, but this command knows version {VERSION} alone")
    try:
        return Rules.model_validate(document)
    except ValidationError as error:
        raise RulesError("; ".join(mistakes(error, document))) from None


def schema() -> str:
    """Return the JSON Schema of a file of rules."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Rules.model_json_schema()}
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema())
