"""Jenkins's pipelines: what Groovy makes of them, what Jenkins would refuse, and what each build can reach."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from pavedpath import InvalidArgumentsError
from pavedpath.plans import Approval
from pavedpath.workflows import jenkins
from pavedpath.workflows.service import Image, Service, Target

from tests.unit.workflows import jenkinsfiles
from tests.unit.workflows.deliveries import (
    API,
    COMMANDS,
    DEV,
    GOLDEN,
    HOSTILE,
    ORDERS,
    SETTINGS,
    TAGGED,
    TOOLS,
    services,
    settings_for,
)
from tests.unit.workflows.deliveries import golden as golden_files
from tests.unit.workflows.jenkinsfiles import Reader, Stage, called, constant, stages
from tests.unit.workflows.scripts import shellcheck, unknown_options

BUILDS: Mapping[str, Mapping[str, str]] = {
    "main": {"branch": "main"},
    "request": {"request": "12", "branch": "PR-12"},
    "branch": {"branch": "feature"},
    "tag": {"tag": "v1.2.0", "branch": "v1.2.0"},
    "other tag": {"tag": "nightly", "branch": "nightly"},
}


@pytest.fixture(scope="module")
def groovy() -> Iterator[Reader]:
    yield from jenkinsfiles.reader()


def read(groovy: Reader, service: Service = ORDERS, **options: Any) -> list[Stage]:
    nodes = groovy.read(jenkins.render(service, TOOLS, settings_for(service), **options))
    assert jenkinsfiles.problems(nodes) == []
    return list(stages(nodes))


def running(found: list[Stage], build: str) -> list[Stage]:
    return [each for each in found if each.runs(BUILDS[build])]


def named(found: list[Stage], name: str) -> Stage:
    (stage,) = [each for each in found if each.name == name]
    return stage


def test_the_golden_file_is_what_is_rendered() -> None:
    fix = "run: .venv/bin/python -m tests.unit.workflows.deliveries"
    assert (GOLDEN / "Jenkinsfile").read_text() == golden_files()["Jenkinsfile"], fix


@given(services())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_whatever_a_service_is_jenkins_takes_its_pipeline(groovy: Reader, service: Service) -> None:
    found = read(groovy, service, exceptions=".trivy/exceptions.yaml")
    for check, command in service.checks.items():
        version = f" {service.python[0]}" if len(service.python) > 1 else ""
        script = f"#!/usr/bin/env bash\nset -euo pipefail\n{command}"
        assert named(found, f"check-{check}{version}").scripts == [script]
    for build in ("request", "branch", "other tag"):
        there = running(found, build)
        assert [each.name for each in there if each.credentials or each.locks or called(each.body, "input")] == []
        assert {each.label for each in there} <= {"untrusted"}
    for stage in found:
        assert not (called(stage.body, "input") and (stage.label or stage.locks)), "who waits holds nothing"
        assert stage.name.startswith("Deploy ") == (f"deploy-{service.name}-{stage.name[7:]}" in stage.locks)
    deployed = {each.name for build in ("main", "tag") for each in running(found, build) if "Deploy" in each.name}
    assert deployed == {f"Deploy {each.environment}" for each in service.targets}


SHAPES = {
    "orders": ORDERS,
    "tags": replace(ORDERS, targets=[DEV, TAGGED, Target(environment="eu", approval=Approval.BRANCH)]),
    "two images": replace(ORDERS, images=[API, Image(name="worker-2", context=".", platforms=["linux/arm64"])]),
    "values": replace(ORDERS, images=[], chart="oci://ghcr.io/acme/charts/web:1.2.0"),
    "images": replace(ORDERS, targets=[], chart="", python=["3.12", "3.13"]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_their_scripts_pass_shellcheck_and_call_what_there_is(groovy: Reader, shape: str) -> None:
    for stage in read(groovy, SHAPES[shape]):
        for script in () if stage.name.startswith("check-") else stage.scripts:
            assert shellcheck(script) == "", stage.name
            assert unknown_options(script) == [], stage.name


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (
            "main",
            [
                *("check-test", "Find what was built", "image-api", "Publish"),
                *("Deploy dev", "Approve prod", "Deploy prod"),
            ],
        ),
        ("request", ["check-test", "request-api", "Requested images are clean"]),
        ("branch", ["check-test"]),
        ("tag", ["Release"]),
        ("other tag", []),
    ],
)
def test_each_build_runs_its_stages(groovy: Reader, build: str, names: list[str]) -> None:
    assert [each.name for each in running(read(groovy), build)] == names


def test_an_approval_waits_without_an_agent_or_a_lock(groovy: Reader) -> None:
    (nodes,) = groovy.read(jenkins.render(ORDERS, TOOLS, SETTINGS))
    assert constant(named(list(stages([nodes])), "Approve prod").part("input")[2]) == "release-managers,ada"
    assert called(nodes["body"], "agent")[0]["args"][0]["call"] == "none"
    assert "disableConcurrentBuilds" not in str(nodes)
    approval = named(list(stages([nodes])), "Approve prod")
    assert (approval.label, approval.locks) == ("", [])
    assert called(approval.part("when"), "beforeInput")
    assert named(list(stages([nodes])), "Deploy prod").locks == ["deploy-orders-prod"]


def test_an_older_build_never_deploys_after_a_newer_one(groovy: Reader) -> None:
    found = running(read(groovy, SHAPES["tags"]), "tag")
    ordinals = [constant(each) for stage in found for each in jenkinsfiles.within(stage.body, "milestone")]
    assert ordinals == sorted({*ordinals})
    assert len(ordinals) == 4  # approvals and deployments of prod and eu


def test_a_stage_that_is_left_out_waits_for_no_lock(groovy: Reader) -> None:
    for stage in read(groovy):
        assert not stage.locks or called(stage.part("when"), "beforeOptions"), stage.name


def test_a_tag_deploys_what_the_environment_before_it_ran(groovy: Reader) -> None:
    found = read(groovy, SHAPES["tags"])
    names = ["Release", "Approve prod", "Deploy prod", "Approve eu", "Deploy eu"]
    assert [each.name for each in running(found, "tag")] == names
    assert "sha-${commit:0:12}-dev" in named(found, "Release").scripts[0]
    assert running(found, "main")[-1].name == "Verified dev"


def test_credentials_are_of_one_environment(groovy: Reader) -> None:
    found = read(groovy)
    assert named(found, "Deploy dev").credentials == ["kubeconfig-orders-dev"]
    assert named(found, "Deploy dev").label == "linux && arm64 && dev"
    with_token = jenkins.render(ORDERS, TOOLS, replace(SETTINGS, oidc=True))
    stage = named(list(stages(groovy.read(with_token))), "Deploy prod")
    assert stage.credentials == ["kubeconfig-orders-prod", "aws-orders-prod"]
    assert shellcheck(stage.scripts[0]) == ""
    assert 'AWS_ROLE_ARN="$AWS_DEPLOY_ROLE"' in stage.scripts[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_reaches_the_shell_as_it_is(groovy: Reader, command: str) -> None:
    found = read(groovy, replace(ORDERS, checks={"test": command}))
    assert named(found, "check-test").scripts == [f"#!/usr/bin/env bash\nset -euo pipefail\n{command}"]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_the_callers_gets_into_it_unchecked(text: str) -> None:
    broken = jenkins.Settings(
        approvers={"prod": [text]}, registry=text, default_branch=text, untrusted=text, trusted=f"{text}!"
    )
    with pytest.raises(InvalidArgumentsError) as caught:
        jenkins.render(replace(ORDERS, owner=text), TOOLS, broken)
    assert {each.argument for each in caught.value.problems} == {
        *("owner", "settings", "settings.approvers[prod]", "settings.registry", "settings.default_branch")
    }


def test_who_may_approve_is_said_and_strangers_run_elsewhere() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        jenkins.render(ORDERS, TOOLS, jenkins.Settings(approvers={}, trusted="all", untrusted="all"))
    assert [each.argument for each in caught.value.problems] == ["settings.trusted", "settings.approvers[prod]"]


TEXT = jenkins.render(ORDERS, TOOLS, SETTINGS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  agent none\n", "", "agent is missing"),
        ("  agent none\n", "  agent nobody\n", "no agent"),
        ("steps {", "step {", "one of steps"),
        ("when {", "when {\n brunch 'x'", "no condition brunch"),
        ("beforeOptions true", "beforeOptoins true", "no condition beforeOptoins"),
        ("unstash 'image-api'", "unstashed 'image-api'", "no step unstashed"),
        ("milestone(1)", "milestone()", "milestone takes"),
        ("milestone(1)", 'milestone("${x}")', "what Groovy evaluates"),
        ("message 'Deploy orders to prod?'", "massage 'x'", "message is missing"),
        ("stage('Publish')", "stage('Release')", "two stages are called Release"),
        ("lock(resource", "locked(resource", "no section locked"),
        ("'image-registry', usernameVariable", "'image-registry', userVariable", "no binding"),
        ("post {", "past {", "no section past"),
        ("failure {", "failed {", "no section failed"),
        ("stages {", "stages {\n sh 'x'", "only stages with a name"),
    ],
)
def test_what_is_broken_would_be_seen(groovy: Reader, old: str, new: str, said: str) -> None:
    assert old in TEXT
    found = jenkinsfiles.problems(groovy.read(TEXT.replace(old, new, 1)))
    assert any(said in each for each in found), found


@pytest.mark.parametrize(
    ("old", "new"), [("'''", "''"), ("  stages {", "  stages"), ("stage('Publish')", "stage('Publish)")]
)
def test_what_is_no_groovy_would_be_seen(groovy: Reader, old: str, new: str) -> None:
    with pytest.raises(ValueError, match="startup failed"):
        groovy.read(TEXT.replace(old, new, 1))
