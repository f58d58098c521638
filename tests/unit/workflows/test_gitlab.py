"""GitLab's pipelines: what GitLab's own schema says, which jobs each event starts, and what these can reach."""

import importlib.resources
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import jsonschema_rs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from pavedpath import InvalidArgumentsError
from pavedpath.plans import Approval
from pavedpath.workflows import gitlab
from pavedpath.workflows.service import Image, Service, Target

from tests.unit.workflows.deliveries import API, COMMANDS, DEV, GOLDEN, HOSTILE, ORDERS, PROD, TAGGED, TOOLS, services
from tests.unit.workflows.deliveries import golden as golden_files
from tests.unit.workflows.scripts import shellcheck, unknown_options

_Document: TypeAlias = dict[str, Any]
_TOP = {"workflow", "stages", "variables"}
_DEFAULT = {"CI_DEFAULT_BRANCH": "main"}
EVENTS: Mapping[str, Mapping[str, str]] = {
    "request": {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_REF_PROTECTED": "false"},
    "main": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "true"},
    "by hand": {"CI_PIPELINE_SOURCE": "web", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "true"},
    "tag": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1.2.0", "CI_COMMIT_REF_PROTECTED": "true"},
    "open main": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "false"},
    "open tag": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1.2.0", "CI_COMMIT_REF_PROTECTED": "false"},
    "other tag": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "nightly", "CI_COMMIT_REF_PROTECTED": "true"},
    "branch": {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "feature", "CI_COMMIT_REF_PROTECTED": "false"},
    "schedule": {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "true"},
}


@cache
def schema() -> jsonschema_rs.Draft7Validator:
    """Return GitLab's schema, as check-jsonschema carries it."""
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/gitlab-ci.json"
    return jsonschema_rs.Draft7Validator(json.loads(vendored.read_text()))


def read(service: Service, **options: Any) -> _Document:
    return yaml.safe_load(gitlab.render(service, TOOLS, **options))


def jobs_of(document: _Document) -> _Document:
    return {name: job for name, job in document.items() if name not in _TOP}


def holds(condition: str, event: Mapping[str, str]) -> bool:
    """Evaluate what is rendered of GitLab's `rules:if`: comparisons, matches, && and ||, brackets around ||."""
    known = {**_DEFAULT, **event}
    if found := re.fullmatch(r"\((.*)\) && (.*)", condition):
        return any(holds(each, event) for each in found[1].split(" || ")) and holds(found[2], event)
    if " && " in condition:
        return all(holds(each, event) for each in condition.split(" && "))
    left, operator, right = re.fullmatch(r"\$(\w+) (==|=~) (.+)", condition).groups()  # pyright: ignore[reportOptionalMemberAccess]  # anything else is a failure
    value = known.get(left, "")
    if operator == "=~":
        return bool(value) and bool(re.search(right.removeprefix("/").removesuffix("/"), value))
    return value == (json.loads(right) if right.startswith('"') else known.get(right.removeprefix("$"), ""))


def started(document: _Document, event: str) -> _Document:
    """Return the jobs that an event starts, each with the rule that did."""
    given_to = EVENTS[event]
    if not any(holds(rule["if"], given_to) for rule in document["workflow"]["rules"]):
        return {}
    found: _Document = {}
    for name, job in jobs_of(document).items():
        rule = next((rule for rule in job["rules"] if holds(rule["if"], given_to)), None)
        if rule:
            found[name] = {**job, "rule": rule}
    return found


def broken(document: _Document) -> list[str]:
    """Return what GitLab would refuse that its schema does not see, and what would lose a lock or an approval."""
    wrong = [f"{list(each.instance_path)}: {each.message}" for each in schema().iter_errors(document)]
    stages: list[str] = list(document["stages"])
    jobs = jobs_of(document)
    for name, job in jobs.items():
        if job["stage"] not in stages:
            wrong.append(f"{name}: there is no stage {job['stage']}")
            stages = [*stages, job["stage"]]
        for need in job.get("needs", []):
            if need not in jobs:
                wrong.append(f"{name} needs {need}, which is not there")
            elif stages.index(jobs[need]["stage"]) > stages.index(job["stage"]):
                wrong.append(f"{name} needs {need} of a later stage")
        if "environment" in job and not job.get("resource_group"):
            wrong.append(f"{name} deploys without a lock")
        if job.get("interruptible") and (job.get("resource_group") or "environment" in job):
            wrong.append(f"{name} changes something and may be interrupted")
    for event in EVENTS:
        there = started(document, event)
        wrong += [
            f"{event}: {name} needs {need}, which is not started"
            for name, job in there.items()
            for need in job.get("needs", [])
            if need not in there
        ]
    return wrong


def lint(document: _Document) -> list[str]:
    """Return what shellcheck says about the scripts that are ours, and which commands they misuse."""
    wrong: list[str] = []
    for name, job in jobs_of(document).items():
        if name.startswith("check-"):
            continue
        image = job.get("image", "")
        (script,) = job["script"]
        # The images of BuildKit and trivy have busybox alone.
        found = shellcheck(script, "busybox" if isinstance(image, dict) else "bash")
        wrong += [f"{name}: {found}"] if found else []
        wrong += [f"{name}: {each}" for each in unknown_options(script)]
    return wrong


def reaches(job: _Document) -> bool:
    """Whether a job touches a registry, an environment or an identity."""
    text = json.dumps(job)
    words = ("IMAGE_REGISTRY_PASSWORD", "KUBECONFIG", "AWS_", "image promote", "push=true", "id_tokens", "environment")
    return any(word in text for word in words)


def test_the_golden_file_is_what_is_rendered() -> None:
    fix = "run: .venv/bin/python -m tests.unit.workflows.deliveries"
    assert (GOLDEN / "gitlab-ci.yml").read_text() == golden_files()["gitlab-ci.yml"], fix


@given(services())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_service_is_gitlab_takes_its_pipeline(service: Service) -> None:
    document = read(service, runners=["big"], exceptions=".trivy/exceptions.yaml")
    assert broken(document) == []
    for check, command in service.checks.items():
        version = f"-{service.python[0]}" if len(service.python) > 1 else ""
        assert document[f"check-{check}{version}"]["script"] == [f"set -euo pipefail\n{command}"]
    for event in ("request", "branch", "open main", "open tag", "other tag", "schedule"):
        reached = [name for name, job in started(document, event).items() if reaches(job)]
        assert reached == [], event
    deployed = {
        name for event in ("main", "tag") for name, job in started(document, event).items() if "environment" in job
    }
    assert deployed == {f"deploy-{each.environment}" for each in service.targets}


SHAPES = {
    "orders": ORDERS,
    "tags": replace(ORDERS, targets=[DEV, TAGGED, Target(environment="eu", approval=Approval.BRANCH)]),
    "two images": replace(ORDERS, images=[API, Image(name="worker-2", context=".", platforms=["linux/arm64"])]),
    "values": replace(ORDERS, images=[], chart="oci://ghcr.io/acme/charts/web:1.2.0"),
    "images": replace(ORDERS, targets=[], chart="", python=["3.12", "3.13"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_their_scripts_pass_shellcheck_and_call_what_there_is(shape: str) -> None:
    assert lint(read(SHAPES[shape], exceptions="exceptions.yaml")) == []


@pytest.mark.parametrize(
    ("event", "names"),
    [
        ("request", {"check-test", "request-api", "request-scan-api", "request-gate"}),
        ("main", {"check-test", "find", "build-api", "scan-api", "publish", "deploy-dev", "deploy-prod"}),
        ("by hand", {"check-test", "find", "build-api", "scan-api", "publish", "deploy-dev", "deploy-prod"}),
        ("tag", {"release"}),
        ("open main", set[str]()),
        ("open tag", set[str]()),
        ("other tag", set[str]()),
        ("branch", set[str]()),
        ("schedule", set[str]()),
    ],
)
def test_each_event_starts_its_jobs(event: str, names: set[str]) -> None:
    assert set(started(read(ORDERS), event)) == names


def test_only_an_approval_waits_for_somebody() -> None:
    there = started(read(ORDERS), "main")
    assert {name: job["rule"].get("when") for name, job in there.items() if "when" in job["rule"]} == {
        "deploy-prod": "manual"
    }
    assert there["deploy-prod"]["needs"] == ["deploy-dev", "build-api"]
    assert there["deploy-prod"]["resource_group"] == "deploy-orders-prod"
    assert there["deploy-prod"]["environment"] == {"name": "prod"}


@pytest.mark.parametrize("approval", [each for each in Approval if each is not Approval.NONE])
def test_every_kind_of_approval_is_gitlabs_own(approval: Approval) -> None:
    document = read(replace(ORDERS, targets=[DEV, Target(environment="prod", approval=approval)]))
    assert document["deploy-prod"]["rules"][0]["when"] == "manual"


def test_a_tag_deploys_what_the_environment_before_it_ran() -> None:
    document = read(SHAPES["tags"])
    assert set(started(document, "tag")) == {"release", "deploy-prod", "deploy-eu"}
    assert "sha-${commit:0:12}-dev" in document["release"]["script"][0]
    assert document["deploy-eu"]["needs"] == ["deploy-prod", "release"]
    assert "verified-dev" in started(document, "main")
    assert document["release"]["variables"] == {"GIT_DEPTH": "0"}


def test_a_deployment_runs_where_its_environment_is_and_with_its_own_identity() -> None:
    document = read(replace(ORDERS, targets=[replace(DEV, runner_labels=["here"]), PROD]), runners=["big"])
    assert (document["deploy-dev"]["tags"], document["deploy-prod"]["tags"]) == (["here"], ["linux", "arm64", "prod"])
    assert document["publish"]["tags"] == ["big"]
    assert document["deploy-dev"]["id_tokens"] == {"AWS_ID_TOKEN": {"aud": "sts.amazonaws.com"}}
    assert "image" not in document["deploy-dev"]
    with_image = yaml.safe_load(gitlab.render(ORDERS, replace(TOOLS, deploy=TOOLS.delivery)))
    assert with_image["deploy-dev"]["image"] == TOOLS.delivery


def test_all_platforms_are_scanned_before_anything_is_named() -> None:
    document = read(ORDERS)
    (scan,) = document["scan-api"]["script"]
    assert [line.split()[3] for line in scan.splitlines() if line.startswith("trivy")] == ["linux/amd64", "linux/arm64"]
    assert {"scan-api", "check-test"} <= set(document["publish"]["needs"])
    (publish,) = document["publish"]["script"]
    assert publish.index("scan gate") < publish.index("image record") < publish.index("image promote")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reaches_the_shell_as_it_is(command: str) -> None:
    assert read(replace(ORDERS, checks={"test": command}))["check-test"]["script"] == [f"set -euo pipefail\n{command}"]


@pytest.mark.parametrize("text", [each for each in HOSTILE if each])
def test_nothing_of_the_callers_gets_into_it_unchecked(text: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        gitlab.render(ORDERS, TOOLS, runners=[text], exceptions=text)
    assert "runners" in {each.argument for each in caught.value.problems}


@pytest.mark.parametrize(
    ("job", "change", "said"),
    [
        ("publish", {"needs": ["nobody"]}, "nobody, which is not there"),
        ("publish", {"needs": ["request-api"]}, "request-api, which is not started"),
        ("build-api", {"stage": "bild"}, "no stage bild"),
        ("find", {"needs": ["deploy-dev"]}, "later stage"),
        ("deploy-dev", {"resource_group": ""}, "without a lock"),
        ("deploy-dev", {"interruptible": True}, "may be interrupted"),
        ("deploy-dev", {"timeot": "5 minutes"}, "timeot"),
        ("deploy-dev", {"id_tokens": {"X": {}}}, "aud"),
    ],
)
def test_what_is_broken_would_be_seen(job: str, change: dict[str, Any], said: str) -> None:
    document = read(ORDERS)
    document[job].update(change)
    found = broken(document)
    assert any(said in each for each in found), found


def test_shellcheck_would_find_something() -> None:
    document = read(ORDERS)
    document["publish"]["script"] = ["echo $X\npavedpath smoke --hots x"]
    document["scan-api"]["script"] = ["mapfile -t x"]
    assert [each.partition(":")[0] for each in lint(document)] == ["scan-api", "publish", "publish"]
