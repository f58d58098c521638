"""Previews of pull requests: which stacks, and with what rights."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / ".github" / "changed_stacks.py"
STACKS = ["dev", "prod", "shared"]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("changed_stacks", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def workflow() -> dict[Any, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / "preview.yml").read_text())


class TestChangedStacks:
    @pytest.mark.parametrize(
        ("paths", "stacks"),
        [
            (["Pulumi.dev.yaml"], ["dev"]),
            (["Pulumi.prod.yaml", "Pulumi.shared.yaml"], ["prod", "shared"]),
            (["etc/helm_values/storefront/prod.secrets.yaml"], ["prod"]),
            (["etc/helm_values/storefront/dev.yaml", "docs/index.md"], ["dev"]),
            (["Pulumi.gone.yaml"], []),
            (["README.md", "tests/unit/test_workspace.py", "components/CHANGELOG.md"], []),
            (["components/pavedpath/vpc.py"], STACKS),
            (["charts/web-service/values.yaml", "Pulumi.dev.yaml"], STACKS),
            (["stacks/program.py"], STACKS),
            (["Pulumi.yaml"], STACKS),
            (["requirements.lock"], STACKS),
            (["something/new"], STACKS),
            ([".github/workflows/ci.yml"], []),
            ([".github/workflows/preview.yml"], STACKS),
            ([], []),
        ],
    )
    def test_are_those_that_the_paths_are_of(self, paths: list[str], stacks: list[str]) -> None:
        assert script().changed(paths, STACKS) == stacks

    @given(st.lists(st.text()))
    def test_are_known_ones_whatever_the_paths(self, paths: list[str]) -> None:
        found = script().changed(paths, STACKS)
        assert found == [stack for stack in STACKS if stack in found]

    def test_of_a_pull_request_are_only_those_that_take_code_nobody_has_reviewed(self) -> None:
        assert script().previewed(STACKS, "pull_request") == ["dev"]
        assert script().previewed(STACKS, "push") == ["prod", "shared"]

    @given(st.sets(st.sampled_from([*STACKS, "prod-eu", "staging"])))
    def test_are_each_previewed_once(self, stacks: set[str]) -> None:
        before, after = (set(script().previewed(sorted(stacks), event)) for event in ("pull_request", "push"))
        assert before | after == stacks
        assert not before & after

    def test_that_are_protected_wait_for_the_review(self) -> None:
        for stack in script().UNREVIEWED:
            settings = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
            assert not settings["pavedpath:protect"]
            assert {each["approval"] for each in settings["pavedpath:deployments"].values()} == {"none"}

    def test_are_printed_as_the_matrix_takes_them(self) -> None:
        done = subprocess.run(
            [sys.executable, SCRIPT, "pull_request"], input="Pulumi.yaml\n", capture_output=True, text=True, check=True
        )
        assert done.stdout == '["dev"]'
        assert set(script().known_stacks()) == {"shared", "dev", "prod"}


class TestWorkflow:
    def test_gives_a_fork_nothing(self) -> None:
        found = workflow()
        triggers = found["on"]
        assert triggers == {"pull_request": None, "push": {"branches": ["main"]}}
        own = "github.event.pull_request.head.repo.full_name == github.repository"
        assert found["jobs"]["changed"]["if"] == f"github.event_name == 'push' || {own}"
        assert found["jobs"]["preview"]["needs"] == ["changed"]

    def test_gives_rights_only_where_they_are_needed(self) -> None:
        jobs = workflow()["jobs"]
        assert workflow()["permissions"] == {}
        assert {name: job.get("permissions", {}) for name, job in jobs.items()} == {
            "changed": {"contents": "read"},
            "preview": {"contents": "read", "id-token": "write", "pull-requests": "write"},
            "previewed": {},
        }

    def test_pins_every_action_by_commit(self) -> None:
        used = [step["uses"] for job in workflow()["jobs"].values() for step in job["steps"] if "uses" in step]
        assert used
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each) for each in used)

    def test_applies_the_policies(self) -> None:
        (preview,) = [
            step for step in workflow()["jobs"]["preview"]["steps"] if "pulumi/actions" in step.get("uses", "")
        ]
        assert (ROOT / preview["with"]["policyPacks"] / "PulumiPolicy.yaml").is_file()

    def test_keeps_the_credentials_of_a_stack_in_its_environment(self) -> None:
        assert workflow()["jobs"]["preview"]["environment"]["name"] == "preview-${{ matrix.stack }}"
        others = [job for name, job in workflow()["jobs"].items() if name != "preview"]
        assert "secrets." not in str(others)
        assert "id-token" not in str(others)

    def test_uses_the_pinned_engine(self) -> None:
        steps = workflow()["jobs"]["preview"]["steps"]
        (version,) = [step["with"]["pulumi-version"] for step in steps if "pulumi-version" in step.get("with", {})]
        assert version == tomllib.loads((ROOT / "toolchain/toolchain.toml").read_text())["package"]["pulumi"]["version"]

    def test_its_gate_always_runs(self) -> None:
        gate = workflow()["jobs"]["previewed"]
        assert gate["name"] == "preview"
        assert gate["if"] == "always()"
        assert set(gate["needs"]) == {"changed", "preview"}
