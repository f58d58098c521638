"""Jenkinsfiles as Groovy reads them, and the rules of declarative pipelines that Groovy does not know.

Source of the rules: Jenkins, "Pipeline Syntax" (sections and directives), and the documented parameters of the steps.
"""

import base64
import fnmatch
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from toolchain.groovy import JAR

_READER = Path(__file__).with_name("jenkinsfile.groovy")

Node: TypeAlias = dict[str, Any]
"""One statement: {call, args, named, body} or {assign, value}; {error} for a file that is no Groovy."""

SECTIONS = {"agent", "options", "environment", "stages", "post", "parameters", "triggers", "tools", "libraries"}
OF_STAGE = {"agent", "when", "options", "input", "environment", "tools", "post"}
CONTENTS = {"steps", "stages", "parallel", "matrix"}
STAGE_OPTIONS = {"skipDefaultCheckout", "timeout", "retry", "timestamps", "lock"}
OPTIONS = STAGE_OPTIONS | {"buildDiscarder", "disableConcurrentBuilds", "preserveStashes"}
CONDITIONS = {"branch", "tag", "changeRequest", "buildingTag", "not", "anyOf", "allOf", "expression", "environment"}
FIRST = {"beforeAgent", "beforeInput", "beforeOptions"}
INPUT = {"message", "id", "ok", "submitter", "submitterParameter", "parameters"}
POST = {"always", "changed", "fixed", "regression", "aborted", "failure", "success", "unstable", "cleanup"}
STEPS: Mapping[str, tuple[set[str], set[str]]] = {
    # What each step must be given and what it may be; "" is its one argument without a name.
    "sh": ({""}, set()),
    "timeout": ({"time"}, {"unit"}),
    "withCredentials": ({""}, set()),
    "stash": ({"name"}, {"includes"}),
    "unstash": ({""}, set()),
    "milestone": ({""}, set()),
    "archiveArtifacts": ({"artifacts"}, {"allowEmptyArchive"}),
}
BINDINGS: Mapping[str, set[str]] = {
    "usernamePassword": {"credentialsId", "usernameVariable", "passwordVariable"},
    "file": {"credentialsId", "variable"},
}


class Reader:
    """A Java process that parses one Jenkinsfile after another."""

    def __init__(self, java: str) -> None:
        command = [java, "-cp", str(JAR), "groovy.ui.GroovyMain", str(_READER)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, text: str) -> list[Node]:
        """Return the statements.

        Raises:
            ValueError: it is no Groovy; with the compiler's message.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(base64.b64encode(text.encode()).decode() + "\n")
        self._process.stdin.flush()
        found: Any = json.loads(self._process.stdout.readline())
        if isinstance(found, dict):
            raise ValueError(found["error"])  # pyright: ignore[reportUnknownArgumentType]  # JSON is untyped
        return found

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=300)


def reader() -> Iterator[Reader]:
    """Yield a reader; without Java or the compiler a test fails where CI asks for it, and is skipped elsewhere."""
    java = shutil.which("java")
    if not java or not JAR.exists():
        missing = "no Java runtime" if not java else f"no {JAR.name}. Fix: python -m toolchain.groovy"
        if os.environ.get("CI") or os.environ.get("PAVEDPATH_REQUIRE_TOOLCHAIN"):
            pytest.fail(missing)
        pytest.skip(missing)
    started = Reader(java)
    try:
        yield started
    finally:
        started.close()


def called(nodes: Sequence[Node], name: str) -> list[Node]:
    """Return the calls of a name among statements."""
    return [each for each in nodes if each.get("call") == name]


def within(nodes: Sequence[Node] | None, name: str) -> list[Node]:
    """Return the calls of a name among statements and below."""
    return [
        found
        for each in nodes or ()
        for found in ([each] if each.get("call") == name else []) + within(each.get("body"), name)
    ]


def constant(node: Node) -> Any:
    """Return the value of a call's only argument; None if it has another."""
    return node["args"][0].get("value") if len(node["args"]) == 1 else None


@dataclass
class Stage:
    """One stage that runs steps, with all that stands around it."""

    name: str
    body: list[Node]
    conditions: list[Node] = field(default_factory=list[Node])
    """Of itself and of the stages around it."""

    def part(self, name: str) -> list[Node]:
        """Return what stands in a section; empty without it."""
        return [each for section in called(self.body, name) for each in section["body"] or ()]

    @property
    def scripts(self) -> list[str]:
        """The texts that its shells are given."""
        return [constant(each) for each in within(self.body, "sh")]

    @property
    def label(self) -> str:
        """Label of its agent; empty without one."""
        return next((constant(each) for each in within(called(self.body, "agent"), "label")), "")

    @property
    def credentials(self) -> list[str]:
        """Ids of the credentials that it is given."""
        found = [each["args"][0]["list"] for each in within(self.body, "withCredentials")]
        return [binding["named"]["credentialsId"]["value"] for bindings in found for binding in bindings]

    @property
    def locks(self) -> list[str]:
        """Resources that it locks."""
        return [each["named"]["resource"]["value"] for each in called(self.part("options"), "lock")]

    def runs(self, build: Mapping[str, str]) -> bool:
        """Whether it runs in a build with `branch`, `tag` or `request`."""
        return all(_holds(each, build) for each in self.conditions)


def _holds(condition: Node, build: Mapping[str, str]) -> bool:
    pattern = condition["named"].get("pattern", {}).get("value", "")
    match condition["call"]:
        case "changeRequest":
            return "request" in build
        case "buildingTag":
            return "tag" in build
        case "branch":
            assert condition["named"]["comparator"]["value"] == "EQUALS"
            return build.get("branch") == pattern
        case "tag":
            assert condition["named"]["comparator"]["value"] == "GLOB"
            return fnmatch.fnmatchcase(build.get("tag", ""), pattern)
        case "not":
            return not any(_holds(each, build) for each in condition["body"])
        case "anyOf":
            return any(_holds(each, build) for each in condition["body"])
        case other:
            raise AssertionError(f"{other} is not rendered")


def stages(nodes: Sequence[Node], around: Sequence[Node] = ()) -> Iterator[Stage]:
    """Yield the stages that have steps, in order."""
    for each in nodes:
        if each.get("call") == "stage":
            own = [node for when in called(each["body"], "when") for node in when["body"] if node["call"] not in FIRST]
            conditions = [*around, *own]
            if called(each["body"], "steps"):
                yield Stage(constant(each), each["body"], conditions)
            else:
                yield from stages(each["body"], conditions)
        elif each.get("call") in ("pipeline", "stages", "parallel"):
            yield from stages(each["body"], around)


def problems(nodes: Sequence[Node]) -> list[str]:
    """Return what Jenkins would refuse in a declarative pipeline."""
    if len(nodes) != 1 or nodes[0].get("call") != "pipeline" or not nodes[0]["body"]:
        return ["a Jenkinsfile is one block `pipeline`"]
    body = nodes[0]["body"]
    wrong = [*_sections("pipeline", body, SECTIONS, {"agent", "stages"})]
    wrong += [*_options("pipeline", body, OPTIONS), *_agent("pipeline", body)]
    for section in called(body, "environment"):
        wrong += [
            f"environment: {each}" for each in section["body"] if "assign" not in each or "value" not in each["value"]
        ]
    for section in called(body, "stages"):
        wrong += _stages("pipeline", section["body"], in_parallel=False)
    names = [constant(each) for each in within(body, "stage")]
    return wrong + [f"two stages are called {name}" for name in {*names} if names.count(name) > 1]


def _sections(where: str, body: Sequence[Node], known: set[str], needed: set[str]) -> Iterator[str]:
    found = [str(each.get("call")) for each in body]
    yield from (f"{where}: there is no section {name}" for name in found if name not in known)
    yield from (f"{where}: {name} stands twice" for name in {*found} if found.count(name) > 1)
    yield from (f"{where}: {name} is missing" for name in needed - {*found})


def _stages(where: str, body: Sequence[Node], *, in_parallel: bool) -> Iterator[str]:
    if not body:
        yield f"{where}: there are no stages"
    for each in body:
        if each.get("call") != "stage" or len(each["args"]) != 1 or not constant(each) or not each["body"]:
            yield f"{where}: only stages with a name may stand here"
            continue
        yield from _stage(str(constant(each)), each["body"], in_parallel=in_parallel)


def _stage(name: str, body: Sequence[Node], *, in_parallel: bool) -> Iterator[str]:
    yield from _sections(name, body, OF_STAGE | CONTENTS, set())
    contents = [str(each["call"]) for each in body if each.get("call") in CONTENTS]
    if len(contents) != 1:
        yield f"{name}: one of steps, stages, parallel and matrix is wanted"
    if "parallel" in contents and (in_parallel or called(body, "agent")):
        yield f"{name}: parallel stages stand neither in parallel ones nor in one with an agent"
    yield from _options(name, body, STAGE_OPTIONS)
    yield from _agent(name, body)
    for when in called(body, "when"):
        yield from _conditions(name, [each for each in when["body"] if each.get("call") not in FIRST])
    for asked in called(body, "input"):
        yield from _sections(f"{name}: input", asked["body"], INPUT, {"message"})
    for post in called(body, "post"):
        yield from _sections(f"{name}: post", post["body"], POST, set())
        for condition in post["body"]:
            yield from _steps(name, condition["body"])
    for inner in called(body, "parallel"):
        yield from _stages(name, inner["body"], in_parallel=True)
    for inner in called(body, "steps"):
        yield from _steps(name, inner["body"])


def _options(where: str, body: Sequence[Node], known: set[str]) -> Iterator[str]:
    for section in called(body, "options"):
        yield from _sections(f"{where}: options", section["body"], known, set())


def _agent(where: str, body: Sequence[Node]) -> Iterator[str]:
    for agent in called(body, "agent"):
        kinds = [each.get("call") for each in agent["body"] or agent["args"]]
        if kinds not in (["none"], ["any"], ["label"], ["docker"]):
            yield f"{where}: there is no agent {kinds}"
        for docker in called(agent["body"] or [], "docker"):
            yield from _sections(f"{where}: docker", docker["body"], {"image", "label", "args"}, {"image"})


def _conditions(where: str, nodes: Sequence[Node]) -> Iterator[str]:
    if not nodes:
        yield f"{where}: when has no condition"
    for each in nodes:
        if each.get("call") not in CONDITIONS:
            yield f"{where}: there is no condition {each.get('call')}"
        if each.get("body"):
            yield from _conditions(where, each["body"])


def _steps(where: str, nodes: Sequence[Node]) -> Iterator[str]:
    if not nodes:
        yield f"{where}: there are no steps"
    for each in nodes:
        name = str(each.get("call"))
        if name not in STEPS or each.get("on"):
            yield f"{where}: there is no step {name}"
            continue
        needed, allowed = STEPS[name]
        given = {*each["named"], *([""] if each["args"] else [])}
        if not needed <= given <= needed | allowed:
            yield f"{where}: {name} takes {sorted(needed | allowed)}, not {sorted(given)}"
        values = [*each["args"], *each["named"].values()]
        if any("gstring" in value or "other" in value for value in values):
            yield f"{where}: {name} is given what Groovy evaluates"
        if name == "withCredentials":
            yield from _bindings(where, each)
        if name in ("timeout", "withCredentials"):
            yield from _steps(where, each["body"] or [])


def _bindings(where: str, step: Node) -> Iterator[str]:
    for binding in step["args"][0].get("list", [{}]):
        wanted = BINDINGS.get(binding.get("call"), set())
        if not wanted or wanted != {*binding["named"]}:
            yield f"{where}: there is no binding {binding}"
