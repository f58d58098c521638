"""The file of a smoke test: which endpoints are asked and what they must answer."""

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pavedpath_delivery.kit import written
from pavedpath_delivery.kit.errors import DeliveryError, Exit

SCHEMA_FILE = Path(__file__).with_name("smoke.schema.json")
_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class Method(StrEnum):
    """HTTP methods."""

    GET = "GET"
    HEAD = "HEAD"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"
    OPTIONS = "OPTIONS"


class Redirects(StrEnum):
    """What is done with a redirection: it is an answer like any other, or it is followed to the same host."""

    NONE = "none"
    SAME_HOST = "same-host"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(_Model):
    """What is sent besides the path. `${NAME}` in a header is the value of an environment variable."""

    headers: Mapping[str, str] = Field(default_factory=dict, description="Headers; ${NAME} is a variable's value.")
    json_body: Any = Field(default=None, alias="json", description="A JSON body.")


class Endpoint(_Model):
    """One request and what its answer must be.

    Attributes:
        path: path and query, below the base URL.
        status: the status, or all that are good.
        contains: a text that the body holds.
        matches: a regular expression that is found in the body; `^` and `$` are those of a line.
        json_equals: JSON path (`$.items[0].name`) to the value that it must have.
        headers: headers of the answer and the text that each must contain, whatever its case.
        latency_ms: how long an answer may take, milliseconds.
        retries: how often it is asked again while it does not answer as it must.
        backoff_s: seconds before the first of them; they double, up to 10 s.
        timeout_s: seconds until an attempt is given up.
        redirects: `none`, or `same-host` to follow them there.
    """

    name: str = ""
    path: Annotated[str, Field(pattern=r"^/", description="Path and query, below the base URL.")]
    method: Method = Method.GET
    request: Request = Request()
    status: int | Sequence[int] = 200
    contains: str = ""
    matches: str = ""
    json_equals: Mapping[str, Any] = Field(default_factory=dict, alias="json", description="JSON path: its value.")
    headers: Mapping[str, str] = Field(default_factory=dict, description="Header: a text that its value contains.")
    latency_ms: Annotated[int, Field(gt=0)] = 2000
    retries: Annotated[int, Field(ge=0, le=100)] = 5
    backoff_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    redirects: Redirects = Redirects.NONE

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return value

    @field_validator("json_equals")
    @classmethod
    def _paths(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for path in value:
            steps(path)
        return value

    @model_validator(mode="after")
    def _has_a_body(self) -> "Endpoint":
        if self.method is Method.HEAD and (self.contains or self.matches or self.json_equals):
            raise ValueError("an answer to HEAD has no body to look into")
        return self

    @property
    def title(self) -> str:
        """How it is called in a report; the query stays out, it may hold what is not for a log."""
        return self.name or f"{self.method} {self.path.partition('?')[0]}"

    @property
    def good(self) -> tuple[int, ...]:
        """The statuses that are good."""
        return (self.status,) if isinstance(self.status, int) else tuple(self.status)


STANDARD = (
    Endpoint(path="/healthz"),
    Endpoint(path="/ready"),
    Endpoint(path="/metrics", matches=r"^http_requests_total[{ ]"),
)
"""What every service answers."""


class Spec(_Model):
    """A smoke test.

    Attributes:
        standard: also ask /healthz, /ready and /metrics (with `http_requests_total`); an endpoint of the same method
            and path takes the place of its standard one.
        endpoints: what else is asked, in this order.
    """

    version: Literal[1] = 1
    standard: bool = True
    endpoints: Sequence[Endpoint] = ()

    @property
    def all(self) -> list[Endpoint]:
        """What is asked, the standard endpoints first."""
        own = {(each.method, each.path) for each in self.endpoints}
        standard = [each for each in STANDARD if (each.method, each.path) not in own] if self.standard else []
        return [*standard, *self.endpoints]


def steps(path: str) -> list[str | int]:
    """Take a JSON path apart: `$`, then `.name`, `['name']` and `[0]`. Pure.

    Raises:
        ValueError: it is none.
    """
    found: list[str | int] = []
    rest = path.removeprefix("$")
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None or not path.startswith("$"):
            raise ValueError(f"{path!r} is no JSON path such as $.items[0].name")
        found.append(int(step[2]) if step[2] else step[1] or step[3])
        at = step.end()
    return found


def load(path: Path | None) -> Spec:
    """Read a file; without one the standard endpoints are the test.

    Raises:
        DeliveryError: it is not as its schema says; names every mistake.
    """
    if path is None:
        return Spec()
    spec = written.load(path, Spec, "smoke test", f"see the schema, {SCHEMA_FILE.name}.")
    if not spec.all:
        raise DeliveryError(f"{path} asks nothing. Fix: name endpoints, or leave `standard` on.", Exit.USAGE)
    return spec


def headers(endpoint: Endpoint, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send, with the values of variables in their places.

    Raises:
        DeliveryError: names every variable that is not set.
    """
    values = endpoint.request.headers
    missing = sorted({name for text in values.values() for name in _VARIABLE.findall(text) if not environ.get(name)})
    if missing:
        raise DeliveryError(f"{endpoint.title}: not set: {', '.join(missing)}. Fix: set the variables.", Exit.USAGE)
    return {name: _VARIABLE.sub(lambda found: environ[found[1]], text) for name, text in values.items()}


def schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Smoke test"}
    return {**Spec.model_json_schema(by_alias=True), **head}


def main() -> None:
    """Write the schema where it is committed: `python -m pavedpath_delivery.smoke.spec`."""
    SCHEMA_FILE.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
