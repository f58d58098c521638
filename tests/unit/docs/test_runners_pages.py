"""What the pages about the runner fleet state of the code is what the code says."""

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from botocore import xform_name
from botocore.session import get_session
from pavedpath.runner_fleet_alarms import RUNBOOK, fleet_alarms
from pavedpath.runner_fleet_arguments import (
    GithubAppArgs,
    RunnerFleetArgs,
    RunnerFleetInput,
    RunnerPoolArgs,
    WarmPoolArgs,
)
from pavedpath.runner_fleet_functions import SIZES
from pavedpath.runner_fleet_policies import Function
from pavedpath_runners import reconciler
from pavedpath_runners.configuration import DEFAULT_BUDGETS, Fleet, Pool
from pavedpath_runners.decisions import idling, launching, model, reconciling
from pavedpath_runners.functions import launch, webhook
from pavedpath_runners.records import TRANSITIONS, JobState, RunnerState
from pavedpath_runners.simulator.scenario import KINDS
from pavedpath_sandbox.github.settings import runner_app

from stacks.settings import PoolSettings, RunnersSettings
from tests.unit.docs.blocks import blocks
from tests.unit.runners.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "docs" / "runners"
NAMES = sorted(page.name for page in PAGES.glob("*.md"))
POOL = Pool("default", (), (), (), "", maximum=1)
FLEET = Fleet("dev", "acme", (POOL,))
WORDS = {"three": 3, "four": 4, "five": 5, "seven": 7, "ten": 10}
DEFAULTS = {each.name: each.default for each in dataclasses.fields(RunnerFleetInput)}
QUEUES = {"launch": "l", "dead": "d", "failures": "f"}
ALARMS = {alarm.kind: alarm for alarm in fleet_alarms("dev", QUEUES, ["webhook"], 900, 180)}


def section(page: str, heading: str) -> str:
    """Return the text below a heading, up to the next one of its rank or above."""
    text = (PAGES / page).read_text()
    rank = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(rank)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    return found.group(1)


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables in a text, without their heads."""
    head = True
    for line in text.splitlines():
        if not line.startswith("|"):
            head = True
        elif set(line) <= set("|- "):
            head = False
        elif not head:
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def names(text: str) -> list[str]:
    """Return what stands in backticks, outside fenced blocks."""
    return re.findall(r"`([^`]+)`", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL))


class TestArchitecture:
    def test_every_state_and_every_transition_of_a_job_is_there(self) -> None:
        table = list(rows(section("architecture.md", "### A job's states")))
        states, moves = table[: len(JobState)], table[len(JobState) :]
        assert [names(first)[0] for first, _ in states] == list(JobState)
        stated = {names(first)[0]: set(names(to)) for first, to in moves}
        assert stated == {state: set(to) for state, to in TRANSITIONS.items()}

    def test_every_state_of_a_machine_is_there(self) -> None:
        table = rows(section("architecture.md", "### A machine's states"))
        assert [names(first)[0] for first, *_ in table] == list(RunnerState)

    def test_the_guards_that_it_lists_are_among_those_that_are_taken_out(self) -> None:
        listed = [first for first, _ in rows(section("architecture.md", "## Why it is correct"))]
        assert len(listed) > 10
        assert set(listed) <= {each.guard for each in MUTATIONS}

    def test_the_picture_is_one(self) -> None:
        text = (PAGES / "architecture.md").read_text()
        for target in re.findall(r"!\[[^\]]+\]\((\S+)\)", text):
            ET.parse(PAGES / target)  # noqa: S314 - it is our own file


@pytest.mark.parametrize(
    ("page", "phrase", "value"),
    [
        ("architecture.md", r"not changed for (\d+) seconds", model.LEASE),
        ("architecture.md", r"are killed after (\d+)", SIZES[Function.LAUNCH].seconds),
        ("architecture.md", r"are killed after (\d+)", SIZES[Function.RECONCILE].seconds),
        ("architecture.md", r"\((\d+) s after the last sending\)", reconciling.RESEND),
        ("architecture.md", r"still lives (\d+) minutes later", idling.DRAIN / 60),
        ("architecture.md", r"terminated (\d+) minutes after its job", idling.AFTERLIFE / 60),
        ("architecture.md", r"the job waits (\d+) seconds, twice", launching.CAPACITY_BACKOFF),
        ("architecture.md", r"`attempts` \((\d+)\)", FLEET.attempts),
        ("architecture.md", r"`grace_seconds` \((\d+)\)", FLEET.grace_seconds),
        ("architecture.md", r"`orphan_minutes` \((\d+)\)", FLEET.orphan_minutes),
        ("architecture.md", r"come for long: (\d+) minutes", reconciling.SILENCE / 60),
        ("architecture.md", r"minutes for one that has a machine, (\d+) for", reconciling.LONG_SILENCE / 60),
        ("architecture.md", r"after (\d+), \d+ and \d+ seconds", launch.AGAIN_SECONDS),
        ("architecture.md", r"After (four) receives", launch.PATIENCE),
        ("architecture.md", r"repositories in turn, (five) a round", reconciler.REPOSITORIES),
        ("architecture.md", r"and (ten) workflow runs of each", reconciling.ASKED),
        ("architecture.md", r"(three) within an hour \(`interruptions`\)", FLEET.interruptions),
        ("migration.md", r"`launch_concurrency` \| (\d+), not", DEFAULTS["launch_concurrency"]),
        ("migration.md", r"`log_days` \| (\d+), not", DEFAULTS["log_days"]),
        ("migration.md", r"with (seven) alarms", len(RUNBOOK)),
        ("operations.md", r"`attempts` \((\d+)\)", FLEET.attempts),
        ("operations.md", r"`grace_seconds` \((\d+)\)", FLEET.grace_seconds),
        ("operations.md", r"`orphan_minutes` \((\d+)\)", FLEET.orphan_minutes),
        ("operations.md", r"`interruptions` \((\d+) an hour\)", FLEET.interruptions),
        ("operations.md", r"`record_days` \((\d+)\)", FLEET.record_days),
        ("operations.md", r"`delivery_days` \((\d+)\)", FLEET.delivery_days),
        ("operations.md", r"`log_days` \((\d+)\)", DEFAULTS["log_days"]),
        ("operations.md", r"`launch_concurrency` \((\d+)\)", DEFAULTS["launch_concurrency"]),
        ("operations.md", r"`waiting_minutes` \((\d+)\)", DEFAULTS["waiting_minutes"]),
        ("operations.md", r"`target_seconds` \((\d+)\)", DEFAULTS["target_seconds"]),
        ("operations.md", r"failed more than (four) times", ALARMS["FunctionErrors"].above),
        ("operations.md", r"`lifetime_minutes` is (\d+) by default", POOL.lifetime_minutes),
        ("operations.md", r"the budget `github`, ([\d.]+) a second", DEFAULT_BUDGETS["github"].per_second),
        ("operations.md", r"the budget `jit`, ([\d.]+) a second", DEFAULT_BUDGETS["jit"].per_second),
        ("operations.md", r"budget `ec2` takes ([\d.]+) a second", DEFAULT_BUDGETS["ec2"].per_second),
        ("operations.md", r"and ([\d,]+) kept for bursts", DEFAULT_BUDGETS["github"].capacity),
        ("operations.md", r"the last (\d+) are for launches alone", DEFAULT_BUDGETS["github"].reserve),
        ("operations.md", r"a second, and (\d+) for bursts", DEFAULT_BUDGETS["jit"].capacity),
        ("threat-model.md", r"the same id again, for (\d+) days", FLEET.delivery_days),
        ("threat-model.md", r"record is there for (\d+) days", FLEET.record_days),
        ("threat-model.md", r"read at most every (ten) seconds", webhook.PATIENCE_SECONDS),
    ],
    ids=lambda each: each if isinstance(each, str) and not each.endswith(".md") else "",
)
def test_a_number_is_the_codes(page: str, phrase: str, value: float) -> None:
    found: list[str] = re.findall(phrase, " ".join((PAGES / page).read_text().split()), re.IGNORECASE)
    assert found, f"{page} does not say {phrase!r}"
    assert {WORDS.get(each.lower()) or float(each.replace(",", "")) for each in found} == {value}


class TestOperations:
    def test_every_alarm_has_its_section(self) -> None:
        headings = re.findall(r"^### (\S+)$", section("operations.md", "## Alarms"), re.MULTILINE)
        assert set(headings) == set(ALARMS) == set(RUNBOOK)

    def test_every_metric_is_in_the_table(self) -> None:
        table = rows(section("operations.md", "## Metrics"))
        stated = {names(first)[0]: set(names(last)) for first, _, last in table}
        assert stated == metrics()

    def test_what_the_log_says_is_what_the_code_writes(self) -> None:
        text = (PAGES / "operations.md").read_text()
        quoted = set(re.findall(r'\$\.event = "([^"]+)"', text)) | {"launch waits for budget"}
        assert quoted <= {value for value in literals() if " " in value}

    def test_the_functions_are_all(self) -> None:
        (listed,) = re.findall(r"for function in ([a-z ]+); do", (PAGES / "operations.md").read_text())
        assert listed.split() == list(Function)


def literals() -> set[str]:
    """Return every text in the sources of the control plane."""
    room = ROOT / "runners" / "pavedpath_runners"
    trees = [ast.parse(path.read_text()) for path in room.rglob("*.py") if "simulator" not in path.parts]
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def metrics() -> Mapping[str, set[str]]:
    """Return the dimensions of each metric, as the calls name them that report it."""
    found: dict[str, set[str]] = {each: set() for each in model.Metric}
    room = ROOT / "runners" / "pavedpath_runners"
    for path in room.rglob("*.py"):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                for name in _reported(node):
                    found.setdefault(name, set()).update(_dimensions(node))
    return found


def _reported(call: ast.Call) -> Iterator[str]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0]
    if called in ("count", "seconds") and isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value
    if called in ("count", "seconds", "measure", "Measure", "report", "telemetry"):
        for node in ast.walk(first):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Metric":
                yield model.Metric[node.attr]


def _dimensions(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "dimensions" and isinstance(keyword.value, ast.Dict):
            yield from (key.value for key in keyword.value.keys if isinstance(key, ast.Constant) and key.value)  # pyright: ignore[reportReturnType] - keys of dimensions are texts
        elif keyword.arg and keyword.arg not in ("value", "seconds", "dimensions"):
            yield keyword.arg


class TestMigration:
    def test_every_argument_that_it_names_exists(self) -> None:
        pool = set(RunnerPoolArgs.__annotations__) | set(WarmPoolArgs.__annotations__)
        fleet = (
            set(RunnerFleetArgs.__annotations__)
            | set(GithubAppArgs.__annotations__)
            | set(WarmPoolArgs.__annotations__)
        )
        wrong: list[str] = []
        for _, ours, _ in rows(section("migration.md", "## Variable by variable")):
            for name in names(ours):
                head, _, rest = name.partition(".")
                if not (rest in pool if rest else head in fleet):
                    wrong.append(name)
        assert wrong == []

    def test_every_argument_is_named_somewhere(self) -> None:
        pages = "".join((PAGES / page).read_text() for page in ("migration.md", "index.md", "operations.md"))
        known = {*names(pages)} | {name.partition(".")[2] for name in names(pages)}
        stated = set(RunnerFleetArgs.__annotations__) | set(RunnerPoolArgs.__annotations__)
        assert stated - known == set()


class TestThreatModel:
    def test_every_defence_names_its_code_and_its_test(self) -> None:
        table = [row for row in rows((PAGES / "threat-model.md").read_text()) if row[-1].startswith("`")]
        assert len(table) > 15
        for *_, last in table:
            code, test = names(last)
            assert test.startswith("tests/"), last
            assert not code.startswith("tests/"), last


class TestIndex:
    def test_its_settings_are_settings(self) -> None:
        (block,) = blocks(PAGES / "index.md", "yaml")[:1]
        given = yaml.safe_load(block.text)["pavedpath:runners"]
        settings = RunnersSettings.model_validate(given)
        assert set(settings.pools) == {"default", "large"}
        table = section("index.md", "### 3. The settings").replace("pools.….", "")
        known = set(RunnersSettings.model_fields) | set(PoolSettings.model_fields)
        assert [name for first, _ in rows(table) for name in names(first) if name not in known] == []

    def test_the_apps_permissions_are_those_that_the_sandboxs_app_has(self) -> None:
        spoken = {
            "Organization: Self-hosted runners": "organization_self_hosted_runners",
            "Organization: Webhooks": "organization_hooks",
            "Repository: Actions": "actions",
            "Repository: Metadata": "metadata",
        }
        levels = {"read and write": "write", "read": "read"}
        stated = {spoken[first]: levels[level] for first, level, _ in rows(section("index.md", "### 1. A GitHub App"))}
        granted = dict(runner_app("").permissions)
        # It serves both levels, and tests of repositories' webhooks have an app of their own.
        assert granted.pop("administration", "write") == "write"
        granted.pop("repository_hooks", None)
        assert stated == granted


def aws_commands(text: str) -> Iterator[str]:
    """Yield each command of the AWS CLI in a text, those within others by themselves."""
    for line in text.splitlines():
        rest = line
        while inner := re.search(r"\$\(([^()]*)\)", rest):
            yield from aws_commands(inner.group(1))
            rest = rest.replace(inner.group(0), "VALUE")
        yield from re.findall(r"(?<![\w/-])aws [a-z0-9]+ [a-z-]+(?:(?! \| |;|`).)*", rest)


@pytest.mark.parametrize("page", NAMES)
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    named = [each for each in names((PAGES / page).read_text()) if re.fullmatch(r"[a-z]+/[\w./-]+", each)]
    rooms = {"components", "docs", "policy", "runners", "stacks", "tests"}
    gone = [each for each in named if each.partition("/")[0] in rooms and not (ROOT / each).exists()]
    assert gone == []


@pytest.mark.parametrize("page", NAMES)
def test_the_aws_cli_knows_what_a_page_asks_of_it(page: str) -> None:
    loader = get_session()
    wrong: list[str] = []
    # A paragraph may break a command; a fenced block does not.
    text = re.sub(r"(?<=[^\n`])\n(?=[^\n$`|#])", " ", (PAGES / page).read_text())
    for command in aws_commands(text):
        _, service, operation, *_ = command.split()
        model = loader.get_service_model(service)
        known = {xform_name(each, "-"): each for each in model.operation_names}
        if operation not in known:
            wrong.append(command)
            continue
        shape = model.operation_model(known[operation]).input_shape
        members = {xform_name(each, "-") for each in (shape.members if shape else ())} | {"query", "output"}
        flags = [each.removeprefix("no-") for each in re.findall(r" --([a-z-]+)", command)]
        wrong += [f"{command}: {flag}" for flag in flags if flag not in members]
    assert wrong == []


def test_commands_of_the_aws_cli_are_found() -> None:
    text = (PAGES / "operations.md").read_text()
    assert len(list(aws_commands(text))) >= 10


def test_every_kind_of_scenario_is_named() -> None:
    (line,) = re.findall(
        r"A seed draws a kind of world.*?: ([^.]+)\.", (PAGES / "simulation.md").read_text(), re.DOTALL
    )
    assert [" ".join(each.split()) for each in line.split(",")] == list(KINDS)
