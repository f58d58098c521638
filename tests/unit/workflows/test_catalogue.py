"""The pipelines: what the documents ask of them, what linters say, and that what they call is there."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main
import yaml
from pavedpath.plans import Approval
from pavedpath.workflows.catalogue import (
    DOCKER_HUB,
    Blueprint,
    ServiceDelivery,
    charts,
    ci,
    delivery_mk,
    deploy,
    python_service,
    release,
)
from pavedpath.workflows.catalogue.steps import STEPS_VERSION
from pavedpath.workflows.checking import problems
from pavedpath.workflows.model import Job, Run, Uses
from pavedpath.workflows.rendering import render, script
from pavedpath.workflows.service import Service, Target
from pavedpath_delivery.cli import app

from tests.unit.workflows.pipelines import API, DEV, GOLDEN, PIPELINES, Pipeline, golden, service
from tests.unit.workflows.test_repositories import schema

ROOT = Path(__file__).resolve().parents[3]
FILES = golden()
WORKFLOWS = sorted(path for path in FILES if path.endswith(".yml"))


def job(pipeline: str, file: str, name: str) -> Job:
    (found,) = [each for each in PIPELINES[pipeline].workflows if each.file == file]
    return found.jobs[name]


def step(of: Job, name: str) -> Run:
    (found,) = [each for each in of.steps if each.name == name]
    assert isinstance(found, Run)
    return found


class TestRendered:
    def test_the_golden_files_are_what_is_rendered(self) -> None:
        there = {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*.*")}
        assert sorted(there) == sorted(FILES), "run: .venv/bin/python -m tests.unit.workflows.pipelines"
        for path, text in FILES.items():
            assert there[path] == text, f"{path}: run .venv/bin/python -m tests.unit.workflows.pipelines"

    @pytest.mark.parametrize("name", PIPELINES)
    def test_nothing_is_wrong_with_them(self, name: str) -> None:
        assert problems(PIPELINES[name].workflows, PIPELINES[name].surroundings) == []

    @pytest.mark.parametrize("path", WORKFLOWS)
    def test_they_have_the_published_shape(self, path: str) -> None:
        assert [each.message for each in schema().iter_errors(yaml.safe_load(FILES[path]))] == []

    def test_they_pass_zizmor(self) -> None:
        command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-config", "--format", "json"]
        done = subprocess.run(
            [*command, *(GOLDEN / each for each in WORKFLOWS)], capture_output=True, text=True, check=False, timeout=300
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        above = [each for each in found if each["determinations"]["severity"] not in ("Informational", "Unknown")]
        assert [(each["ident"], each["desc"]) for each in above] == []


SHELL = re.compile(r"\$\{\w+:\+(--[\w-]+)([^}]*)\}|\$\(if \$\(REV\),(.*?)\)\s*$")
"""An option that is there only if a variable is."""


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every call of `pavedpath` in the workflows and make targets."""
    for name, pipeline in PIPELINES.items():
        for file, text in pipeline.files.items():
            runs = [text] if file.endswith(".mk") else [script(each.run) for each in _runs(pipeline, file)]
            for line in "\n".join(runs).replace("\\\n", " ").replace("${tags[@]/#/--to=}", "--to=x").splitlines():
                if found := re.search(r"(?:^|[@;&] ?|\s)pavedpath (?=\w)(.*)", line):
                    words = SHELL.sub(r"\1\2\3", found[1])
                    yield f"{name}/{file}", shlex.split(words.replace("$(", "$").replace(")", ""))


def _runs(pipeline: Pipeline, file: str) -> list[Run]:
    (found,) = [each for each in pipeline.workflows if each.file == file]
    return [step for job in found.jobs.values() for step in job.steps if isinstance(step, Run)]


class TestCommands:
    def test_there_are_many(self) -> None:
        assert {" ".join(words[:2]) for _, words in commands()} >= {
            "image promote",
            "image record",
            "image resolve",
            "scan gate",
            "chart push",
            "deploy orders",
            "rollback orders",
        }

    def test_they_exist_with_their_options(self) -> None:
        root: Any = typer.main.get_command(app)
        for where, words in commands():
            command, rest = root, list(words)
            while isinstance(command, typer.core.TyperGroup):
                name = rest.pop(0)
                assert name in command.commands, f"{where}: pavedpath {' '.join(words)}: there is no {name}"
                command = command.commands[name]
            options = [each for each in command.params if each.opts[0].startswith("--")]
            given = {each.partition("=")[0] for each in rest if each.startswith("--")}
            assert given <= {name for each in options for name in each.opts}, f"{where}: pavedpath {' '.join(words)}"
            missing = [
                each.opts[0] for each in options if each.required and not each.envvar and given.isdisjoint(each.opts)
            ]
            assert not missing, f"{where}: pavedpath {' '.join(words)} lacks {missing}"

    def test_the_release_that_is_installed_is_the_one_beside(self) -> None:
        beside = tomllib.loads((ROOT / "delivery" / "pyproject.toml").read_text())["project"]["version"]
        assert beside == STEPS_VERSION


class TestDocuments:
    """Names, triggers and thresholds of the documents."""

    def test_ci_takes_every_pull_request_and_debug_by_hand(self) -> None:
        found = yaml.safe_load(FILES["branch/ci.yml"])
        assert found["on"]["pull_request"] is None
        assert found["on"]["workflow_dispatch"]["inputs"]["debug"]["type"] == "boolean"
        assert set(found["jobs"]["gate"]["needs"]) == set(found["jobs"]) - {"gate"}

    def test_dbt_is_parsed_with_the_profiles_of_a_variable(self) -> None:
        found = job("dbt", "ci.yml", "validate_dbt_project")
        text = FILES["dbt/ci.yml"]
        assert "DBT_ENV_SECRET_GITHUB_TOKEN: ${{ secrets.SECRET_GH_TOKEN }}" in text
        assert step(found, "Write profiles.yml").env == {"PROFILES_YML_BASE64": _text("vars.PROFILES_YML_BASE64")}
        assert [script(step(found, each).run) for each in ("Get the packages", "Parse the project")] == [
            "dbt deps",
            "dbt parse",
        ]
        assert "secrets." not in str(job("dbt", "ci.yml", "validate_dbt_project_fork"))

    def test_images_are_of_both_architectures_and_no_pull_request_pushes(self) -> None:
        for path in ("branch/ci.yml", "branch/deploy.yml", "images/images.yml"):
            assert "platforms: linux/amd64,linux/arm64" in FILES[path]
        assert "push: false" in FILES["branch/ci.yml"]
        assert "packages: write" not in FILES["branch/ci.yml"]

    def test_prod_is_approved_through_its_environment(self) -> None:
        found = yaml.safe_load(FILES["reviewers/deploy.yml"])["jobs"]
        assert found["prod_deploy_approval"]["environment"] == "prod_approve"
        assert found["prod_deploy_approval"]["needs"] == ["dev_deploy"]
        assert found["prod_deploy"]["needs"][0] == "prod_deploy_approval"
        assert "concurrency" not in found["prod_deploy_approval"]  # who waits holds no lock

    def test_each_environment_has_its_runner_files_and_secrets(self) -> None:
        found = yaml.safe_load(FILES["reviewers/deploy.yml"])["jobs"]
        for environment in ("dev", "prod"):
            deploying = found[f"{environment}_deploy"]
            assert deploying["runs-on"][-1] == deploying["environment"] == environment
            assert deploying["concurrency"] == {"group": f"deploy-orders-{environment}", "queue": "max"}
            (run,) = [each["run"] for each in deploying["steps"] if each["name"] == "Deploy"]
            assert "--timeout 5m" in run
            assert "--history 10" in run
            assert f"--environment {environment} " in run

    def test_a_repository_of_values_deploys_what_touches_them(self) -> None:
        assert yaml.safe_load(FILES["values/deploy.yml"])["on"]["push"] == {
            "branches": ["main"],
            "paths": ["etc/helm_values/orders/**"],
        }

    def test_charts_are_pushed_to_both_kinds_of_store_if_they_changed(self) -> None:
        found = yaml.safe_load(FILES["charts/charts.yml"])["jobs"]
        assert "--check-version-increment=true" in str(found["lint_test"])
        assert found["helm_push"]["strategy"]["matrix"] == {"chart": "${{ fromJSON(needs.changed.outputs.charts) }}"}
        assert len([each for each in found["helm_push"]["steps"] if "chart push" in each.get("run", "")]) == 2

    def test_components_are_tested_side_by_side(self) -> None:
        found = yaml.safe_load(FILES["platform/run-tests.yml"])["jobs"]
        assert found["component"]["strategy"]["matrix"]["component"] == ["client", "cdc", "spark", "storage"]
        assert found["component"]["strategy"]["fail-fast"] is False
        assert found["full"]["if"] == "github.event_name == 'pull_request' || github.event_name == 'workflow_dispatch'"

    def test_quality_has_all_six_tools_or_their_successors(self) -> None:
        text = FILES["platform/code-quality.yml"]
        for tool in ("E,F,W,C90,I", "ruff format --check", "mypy", "--select S ", "pip-audit"):
            assert tool in text

    def test_a_tag_deploys_without_building(self) -> None:
        found = yaml.safe_load(FILES["platform/build-and-deploy.yml"])["jobs"]
        assert "build-push-action" not in str(found["promote"])
        assert found["staging_deploy"]["if"] == "inputs.environment == 'staging' || github.ref_type == 'tag'"
        assert found["production_deploy"]["if"] == "inputs.environment == 'production'"
        for name, each in found.items():
            assert ("pavedpath health" in str(each)) is name.endswith("_deploy")

    def test_a_scan_stops_what_is_severe_before_anything_names_it(self) -> None:
        names = [each.name for each in job("branch", "deploy.yml", "image_api").steps]
        gates = [index for index, name in enumerate(names) if name.startswith("Refuse severe findings")]
        assert len(gates) == 2
        assert max(gates) < names.index("Record that it is clean")
        assert "--severity HIGH,CRITICAL" in FILES["branch/deploy.yml"]
        assert not [each for each in names if "Name what" in each]
        needs = job("branch", "deploy.yml", "publish").needs
        assert {"lint", "test", "image_api"} <= set(needs)

    @pytest.mark.parametrize(("file", "local"), [("ci.yml", True), ("deploy.yml", False), ("hotfix.yml", False)])
    def test_each_platform_is_scanned_and_judged_by_its_own_report(self, file: str, local: bool) -> None:
        steps = job("branch", file, "image_api").steps
        scans = [each for each in steps if isinstance(each, Uses) and each.action == "aquasecurity/trivy-action"]
        gates = [each for each in steps if isinstance(each, Run) and "pavedpath scan gate" in each.run]
        assert [each.name for each in scans] == ["Scan linux/amd64", "Scan linux/arm64"]
        for platform, scan, judged in zip(("amd64", "arm64"), scans, gates, strict=True):
            assert scan.env == ({} if local else {"TRIVY_PLATFORM": f"linux/{platform}"})
            report = str(scan.inputs["output"]).rpartition("/")[2]
            assert report == f"api-linux-{platform}.json"
            assert f'"$RUNNER_TEMP/{report}" --image "$IMAGE"' in judged.run
            # A report of another image that lies there is none of this one.
            assert str(judged.env["IMAGE"]) == scan.inputs["image-ref"]
            if local:
                (load,) = [
                    each
                    for each in steps
                    if isinstance(each, Uses) and each.inputs.get("tags") == scan.inputs["image-ref"]
                ]
                assert load.inputs["platforms"] == f"linux/{platform}"
            else:
                assert (
                    f'--kind scanned --report "$RUNNER_TEMP/{report}"'
                    in step(job("branch", file, "image_api"), "Record that it is clean").run
                )

    def test_what_is_deployed_has_a_digest_and_what_cannot_be_pulled_is_given_up(self) -> None:
        for pipeline in ("branch", "helm", "platform"):
            for where, words in commands():
                if where.startswith(pipeline) and where.endswith(".yml") and words[0] == "deploy":
                    assert "--require-digest" in words
                    assert ("--fail-fast" in words) is ("--dry-run" not in words)
        assert "--require-digest" not in FILES["values/deploy.yml"]  # the chart's own images are not built here

    @pytest.mark.parametrize(("channel", "secrets"), [("slack", ["URL"]), ("webhook", ["URL", "SECRET"])])
    def test_a_channel_gets_its_secrets_and_no_others(self, channel: str, secrets: list[str]) -> None:
        made = python_service("shop", images=["api"], chart="charts/shop", environments=[DEV], notify=channel)
        wanted = [f"NOTIFY_{each}" for each in secrets]
        assert made.surroundings.secrets == wanted
        told = [each for each in _all_runs(made) if "pavedpath notify" in each.run]
        assert told
        for each in told:
            assert {name: str(text) for name, text in each.env.items() if name != "VERSION"} == {
                name: f"${{{{ secrets.{name} }}}}" for name in wanted
            }

    def test_docker_hub_has_names_of_two_parts(self) -> None:
        made = Blueprint(service=Service(name="tools", owner="Acme", checks={}, images=[API]), registry=DOCKER_HUB)
        assert made.names == {"api": "docker.io/acme/tools-api"}

    def test_an_owner_with_capitals_is_written_as_registries_take_it(self) -> None:
        made = python_service("shop", images=["api"], chart="charts/shop", environments=[DEV], owner="Acme")
        text = made.files[".github/workflows/deploy.yml"]
        assert "/acme/shop/api" in text
        assert "/acme/charts" in text
        assert "repository_owner" not in text
        assert "/acme/charts" in render(charts(owner="Acme"))

    def test_the_names_of_document_004(self) -> None:
        text = FILES["helm/cd.yml"]
        assert "secrets.DEV_KUBECONFIG" in text
        assert "vars.DEV_INGRESS_HOST" in text
        assert "--namespace october" in text
        assert "base64 --decode" in text

    def test_a_failed_deployment_is_diagnosed_kept_and_rolled_back_once(self) -> None:
        steps = job("helm", "cd.yml", "dev_deploy").steps
        after = [each for each in steps if each.condition and "failure()" in each.condition.text]
        assert [each.name for each in after] == ["Collect diagnostics", "Keep them with the run", "Roll back"]
        back = after[-1]
        assert isinstance(back, Run)
        assert "--if-deployed" in back.run
        assert back.condition
        assert "steps.deploy.outcome == 'success'" in back.condition.text

    def test_make_targets(self) -> None:
        text = delivery_mk(Blueprint(service=service(DEV)))
        wanted = ["cd-dev", "cd-dev-atomic", "smoke-ci", "smoke-pf", "helm-lint", "helm-template-dev", "helm-up-dev"]
        wanted += ["helm-up-dev-atomic", "helm-history", "helm-rollback"]
        assert re.findall(r"^([\w-]+):", text, re.MULTILINE) == wanted


def _all_runs(made: ServiceDelivery) -> list[Run]:
    steps = (step for workflow in made.workflows for job in workflow.jobs.values() for step in job.steps)
    return [each for each in steps if isinstance(each, Run)]


def _text(expression: str) -> Any:
    from pavedpath.workflows.expressions import Expression

    return Expression(expression)


class TestMakefile:
    def make(self, tmp_path: Path, *arguments: str) -> str:
        (tmp_path / "delivery.mk").write_text(delivery_mk(Blueprint(service=service(DEV))))
        command = ["make", "--dry-run", "--no-print-directory", "--file", "delivery.mk", *arguments]
        # `make test` hands its own flags and level down, which belong to the make that runs the tests.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    def test_cd_checks_deploys_and_tries(self, tmp_path: Path) -> None:
        lines = self.make(tmp_path, "cd-dev-atomic", "DEV_HOST=api.example").splitlines()
        assert [re.sub(r" (orders|charts/orders|\").*", "", line) for line in lines] == [
            "helm lint",
            "pavedpath deploy",
            "pavedpath deploy",
            "pavedpath smoke",
        ]
        assert lines[1].endswith("--dry-run")
        assert lines[-1] == 'pavedpath smoke "api.example"'

    def test_a_revision_may_be_named(self, tmp_path: Path) -> None:
        assert self.make(tmp_path, "helm-rollback", "REV=3").rstrip().endswith("--to-revision 3")
        assert "--to-revision" not in self.make(tmp_path, "helm-rollback")


class TestPlaces:
    """Which file and which digest a target is deployed with."""

    def test_every_environment_takes_what_the_one_before_it_ran(self) -> None:
        targets = [DEV, Target(environment="qa", approval=Approval.BRANCH), Target(environment="prod")]
        made = deploy(Blueprint(service=service(*targets)))
        assert [each.file for each in made] == ["deploy.yml", "deploy-qa.yml", "deploy-prod.yml"]
        resolved = {
            each.file: re.findall(r"sha-\$\{COMMIT:0:12\}-(\w+)", str(each.jobs["images"])) for each in made[1:]
        }
        assert resolved == {"deploy-qa.yml": ["dev"], "deploy-prod.yml": ["qa"]}
        assert [name for each in made for name in each.jobs if name.endswith("_verified")] == [
            "dev_verified",
            "qa_verified",
        ]

    def test_a_release_takes_what_ran_before_it_unless_it_may_be_a_hotfix(self) -> None:
        blueprint = Blueprint(service=service(DEV, Target(environment="prod", tags=["v*.*.*"])))
        assert "sha-${COMMIT:0:12}-dev" in str(release(blueprint))
        assert "sha-${COMMIT:0:12}-dev" not in str(release(blueprint, hotfixes=True))

    def test_images_of_the_whole_repository_are_built_for_every_request(self) -> None:
        from pavedpath.workflows.service import Image

        made = ci(Blueprint(service=service(images=[Image(name="all", context=".")], chart="")))
        assert made.jobs["image_all"].condition is None
        assert "changes" not in made.jobs
        (build,) = [each for each in made.jobs["image_all"].steps if each.name == "Build"]
        assert isinstance(build, Uses)
        assert build.inputs["file"] == "Dockerfile"
