"""YAML that a person would have written, and that every reader reads alike."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pavedpath.workflows.actions import Lock, Pin, UnknownActionError
from pavedpath.workflows.expressions import ALWAYS, Expression, event_is, github
from pavedpath.workflows.model import (
    Access,
    Concurrency,
    Dispatch,
    Input,
    InputType,
    Job,
    JobEnvironment,
    Matrix,
    PullRequest,
    Run,
    Schedule,
    Scope,
    Service,
    Uses,
    Workflow,
)
from pavedpath.workflows.rendering import permissions, plain, render
from ruamel.yaml import YAML

from tests.unit.workflows.examples import CHECKOUT, repository, workflow
from tests.unit.workflows.strategies import TRICKY, lines

few = settings(max_examples=50)  # two readers in pure Python read each


def readers(text: str) -> list[Any]:
    """Read it by the rules of YAML 1.1 and of 1.2."""
    newer = YAML(typ="safe", pure=True)
    newer.version = (1, 2)
    return [yaml.safe_load(text), newer.load(io.StringIO(text))]  # pyright: ignore[reportUnknownMemberType]  # ruamel.yaml is untyped


def rendered(job: Job, **more: Any) -> str:
    return render(workflow("ci.yml", [PullRequest()], {"test": job}, **more))


def read_back(found: Workflow) -> None:
    text = render(found)
    assert all(each == plain(found) for each in readers(text))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert [line for line in text.split("\n") if line != line.rstrip(" ")] == []


class TestATextIsReadAsItWasMeant:
    @few
    @given(st.text(st.characters(exclude_categories=["Cs"])))
    @example("on")
    @example("012")
    @example("1e3")
    @example("2026-01-01")
    @example("12:30:45")
    @example("=")
    @example("<<")
    @example("~")
    @example("\x85")
    @example("\u2028")
    @example("\ufeff")
    @example("\U0001f600")
    @example(" a\n  b")
    @example("a \nb")
    @example("\n")
    @example("a\n\n")
    @example("\na\n")
    @example("a\r\nb")
    @example("- a")
    @example("a: b")
    @example("a #b")
    @example("*a")
    @example("&a")
    @example("!a")
    @example("%a")
    @example("@a")
    @example("`a`")
    @example("'a'")
    @example('"a"')
    @example("a\\b")
    @example("a:")
    @example("a:b")
    @example("a?")
    @example("[a]")
    @example("{a}")
    @example("a\tb\n")
    @example("\ta\nb")
    @example("---\na")
    @example("...\n")
    def test_everywhere(self, text: str) -> None:
        step = Uses(action="actions/cache", name=text, env={"X": text}, inputs={"x": text})
        job = Job(steps=[step], name=text, matrix=Matrix(axes={"a": [text, text]}), env={"X": text})
        read_back(workflow("ci.yml", [PullRequest(branches=[text])], {"test": job}))

    @pytest.mark.parametrize("text", TRICKY)
    def test_as_a_key(self, text: str) -> None:
        if text:
            read_back(workflow("ci.yml", [PullRequest()], {text: Job(steps=[CHECKOUT], env={text: "x"})}))

    @few
    @given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans())
    @example(1e22)
    @example(5e-324)
    def test_nor_is_a_number_read_as_another(self, number: float) -> None:
        found = workflow(
            "ci.yml", [PullRequest()], {"a": Job(steps=[Uses(action="actions/cache", inputs={"x": number})])}
        )
        read_back(found)

    @few
    @given(lines())
    def test_nor_are_commands(self, text: str) -> None:
        found = workflow("ci.yml", [PullRequest()], {"test": Job(steps=[Run(run=text)])})
        read_back(found)
        assert 'run: "' not in render(found)

    @few
    @given(st.lists(st.sampled_from(["a", "github.ref == 'a  b'", "x", "always()"]), min_size=1, max_size=30))
    def test_nor_is_a_long_condition(self, parts: list[str]) -> None:
        condition = Expression(" && ".join(parts))
        found = workflow("ci.yml", [PullRequest()], {"test": Job(steps=[CHECKOUT], condition=condition)})
        read_back(found)
        if "  " not in condition.text:
            assert max(len(line) for line in render(found).split("\n")) <= 120


def test_numbers_that_yaml_cannot_hold_are_refused() -> None:
    step = Uses(action="actions/cache", inputs={"x": float("nan")})
    with pytest.raises(ValueError, match="nan"):
        rendered(Job(steps=[step]))


def test_every_part_of_a_workflow_stands_where_github_looks_for_it() -> None:
    command = Run(run="a\nb", working_directory="src", env={"X": event_is("push")})
    job = Job(
        name="Test",
        needs=["first"],
        condition=ALWAYS,
        runs_on=("self-hosted", "linux"),
        timeout_minutes=7,
        environment=JobEnvironment(name="dev", url="https://dev.example", deployment=False),
        concurrency=Concurrency(group="deploy", queue=True),
        matrix=Matrix(axes={"python": ["3.11", "3.12"]}, include=[{"python": "3.13", "slow": True}], max_parallel=2),
        outputs={"x": Expression("steps.a.outputs.x")},
        env={"A": "1"},
        services={"db": Service(image="db@sha256:0", env={"P": "x"}, ports=["5432:5432"], options="--health-cmd x")},
        steps=[
            replace(command, continue_on_error=True, timeout_minutes=3),
            Uses(action="actions/cache", inputs={"fetch": False, "n": 3, "e": github("sha")}),
        ],
    )
    data: Any = plain(workflow("ci.yml", [PullRequest()], {"test": job}, env={"B": "on"}, run_name=github("ref")))
    assert data["run-name"] == "${{ github.ref }}"
    assert data["permissions"] == {}
    assert data["env"] == {"B": "on"}
    assert data["defaults"] == {"run": {"shell": "bash"}}
    (found,) = data["jobs"].values()
    assert list(found) == [
        *("name", "needs", "if", "runs-on", "timeout-minutes", "environment", "concurrency", "strategy"),
        *("outputs", "env", "services", "steps"),
    ]
    assert found["environment"] == {"name": "dev", "url": "https://dev.example", "deployment": False}
    assert found["concurrency"] == {"group": "deploy", "queue": "max"}
    assert found["strategy"] == {
        "fail-fast": False,
        "max-parallel": 2,
        "matrix": {"python": ["3.11", "3.12"], "include": [{"python": "3.13", "slow": True}]},
    }
    assert found["services"]["db"] == {
        "image": "db@sha256:0",
        "env": {"P": "x"},
        "ports": ["5432:5432"],
        "options": "--health-cmd x",
    }
    assert found["steps"][0] == {
        "continue-on-error": True,
        "timeout-minutes": 3,
        "env": {"X": "${{ github.event_name == 'push' }}"},
        "working-directory": "src",
        "run": "a\nb\n",
    }
    assert found["steps"][1]["with"] == {"fetch": False, "n": 3, "e": "${{ github.sha }}"}


def test_triggers_stand_once_each_and_schedules_together() -> None:
    level = Input(description="d", type=InputType.CHOICE, options=["a", "b"], required=True, default="a")
    on = [Schedule(cron="0 3 * * 1"), PullRequest(), Schedule(cron="0 4 * * *"), Dispatch(inputs={"level": level})]
    data = plain(workflow("ci.yml", on, {"test": Job(steps=[CHECKOUT])}))
    assert data["on"] == {
        "schedule": [{"cron": "0 3 * * 1"}, {"cron": "0 4 * * *"}],
        "pull_request": None,
        "workflow_dispatch": {
            "inputs": {
                "level": {"description": "d", "type": "choice", "options": ["a", "b"], "required": True, "default": "a"}
            }
        },
    }


class TestPermissions:
    def test_are_the_sum_of_what_the_steps_declare(self) -> None:
        job = Job(
            steps=[
                CHECKOUT,
                Run(run="x", permissions={Scope.CONTENTS: Access.WRITE, Scope.PACKAGES: Access.READ}),
                Uses(action="actions/checkout", permissions={Scope.PACKAGES: Access.WRITE}),
                Uses(action="aws-actions/configure-aws-credentials", inputs={"role-to-assume": "x"}),
            ]
        )
        assert permissions(job) == {
            Scope.CONTENTS: Access.WRITE,
            Scope.ID_TOKEN: Access.WRITE,
            Scope.PACKAGES: Access.WRITE,
        }

    def test_are_none_without_steps_that_need_any(self) -> None:
        text = rendered(Job(steps=[Run(run="true")]))
        assert "permissions: {}" in text
        assert text.count("permissions") == 1

    def test_of_an_action_depend_on_what_it_is_told(self) -> None:
        preview = Uses(action="pulumi/actions", inputs={"command": "preview"})
        comments = Uses(action="pulumi/actions", inputs={"comment-on-pr": True})
        assert permissions(Job(steps=[preview])) == {}
        assert permissions(Job(steps=[comments])) == {Scope.PULL_REQUESTS: Access.WRITE}


class TestHowItLooks:
    def test_actions_are_named_by_commit_with_their_version_beside(self) -> None:
        text = rendered(Job(steps=[CHECKOUT]))
        assert re.search(r"- uses: actions/checkout@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", text)

    def test_a_lock_of_the_callers_own_can_be_used(self) -> None:
        pin = Pin(repository="acme/tool", version="v1", commit="a" * 40, date="2026-01-01")
        found = workflow("ci.yml", [PullRequest()], {"test": Job(steps=[Uses(action="acme/tool/sub")])})
        assert f"acme/tool/sub@{'a' * 40} # v1" in render(found, Lock({"acme/tool": pin}))
        with pytest.raises(UnknownActionError):
            render(found)

    def test_heading_says_what_made_it_and_how_to_change_it(self) -> None:
        found = workflow("ci.yml", [PullRequest()], {"test": Job(steps=[CHECKOUT])}, why="Checks\nall of it.")
        head = render(found).split("\nname:")[0].split("\n")
        assert head == [
            "# Written by Pavedpath; a change made here is overwritten. Change the settings.",
            "# Checks",
            "# all of it.",
        ]

    def test_a_reason_stands_above_what_it_is_for(self) -> None:
        text = rendered(Job(steps=[Run(run="make", why="word " * 60)], why="The tests."))
        assert "\n  # The tests.\n  test:\n" in text
        assert "\n      # word word" in text
        assert max(len(line) for line in text.split("\n")) <= 120

    def test_short_lists_stand_on_one_line_and_long_ones_below(self) -> None:
        assert '    branches: [main, "release/*"]\n'.replace('"', "") in render(
            workflow("ci.yml", [PullRequest(branches=["main", "release/*"])], {"a": Job(steps=[CHECKOUT])})
        )
        many = [f"services/{each}/**" for each in range(9)]
        text = render(workflow("ci.yml", [PullRequest(paths=many)], {"a": Job(steps=[CHECKOUT])}))
        assert "    paths:\n      - services/0/**\n" in text

    def test_jobs_are_apart_and_nothing_is_named_by_an_anchor(self) -> None:
        text = render(repository().workflows[1])
        assert "\n\n  build:\n" in text
        assert not re.search(r"(^|\s)[&*]\w", text)
        assert "\n\n\n" not in text

    def test_is_the_same_each_time(self) -> None:
        assert render(repository().workflows[0]) == render(repository().workflows[0])
