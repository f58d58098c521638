"""One call: a service's workflows, files and rules, and what is wrong with its arguments."""

import math
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pavedpath import InvalidArgumentsError, Repository, RepositoryEnvironment
from pavedpath.plans import Approval, Plan
from pavedpath.workflows.catalogue import PythonServiceOptions, ServiceDelivery, python_service
from pavedpath.workflows.reach import reachability
from pavedpath.workflows.service import Image, Target

DEV, PROD = Target(environment="dev"), Target(environment="prod", approval=Approval.BRANCH)


def orders(*environments: Target, **options: Any) -> ServiceDelivery:
    wanted: dict[str, Any] = {"images": ["api", "worker"], "chart": "charts/orders", **options}
    return python_service("orders", environments=environments or (DEV, PROD), **wanted)


names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
first = st.builds(Target, environment=st.just("dev"), approval=st.sampled_from([Approval.NONE, Approval.REVIEWERS]))
later = st.lists(
    st.builds(Target, environment=names.filter(lambda each: each != "dev"), approval=st.sampled_from(Approval))
    | st.builds(Target, environment=names.filter(lambda each: each != "dev"), tags=st.just(["v*.*.*"])),
    max_size=3,
    unique_by=lambda each: each.environment.replace("-", "_"),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "python": st.lists(st.sampled_from(["3.11", "3.12", "3.13"]), min_size=1, unique=True),
        "coverage_minimum": st.floats(0, 100),
        "dbt": st.just("analytics"),
        "dbt_private": st.booleans(),
        "develop": st.just("develop"),
        "merge_queue": st.booleans(),
        "notify": st.sampled_from(["slack", "webhook"]),
        "hotfixes": st.booleans(),
        "scan_exceptions": st.just(".github/exceptions.yaml"),
        "owner": st.just("Acme"),
        "delivery_lock": st.just(".github/delivery.txt"),
    },
)


@given(first, later, st.lists(names, max_size=3, unique_by=lambda each: each.replace("-", "_")), options)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_a_service_is_nothing_is_wrong_with_its_delivery(
    start: Target, others: list[Target], images: list[str], more: Any
) -> None:
    made = python_service("shop", images=images, chart="charts/shop", environments=[start, *others], **more)
    for path, text in made.files.items():
        if path.endswith(".yml"):
            assert yaml.safe_load(text)["jobs"]
    deployed = {each.environment for each in reachability(made.workflows, made.surroundings) if each.environment}
    assert deployed == set(made.environments)


def test_its_rules_are_arguments_of_the_components() -> None:
    made = orders(DEV, PROD, Target(environment="eu", approval=Approval.REVIEWERS), dbt="analytics")
    rules: dict[str, Any] = {**made.repository}
    creators = [{"kind": "organization_admin"}]
    assert Repository.check({"name": "orders", "tag_creators": creators, **rules}) == []
    given_to = {"eu_approve": {"reviewer_users": ["ada"]}}
    for environment, args in made.environments.items():
        found: dict[str, Any] = {"repository": "orders", "environment": environment, **args}
        assert RepositoryEnvironment.check({**found, **given_to.get(environment, {})}) == []


def test_the_free_way_of_an_approval() -> None:
    made = orders()
    assert [each.file for each in made.workflows] == [
        "ci.yml",
        "secret-scan.yml",
        "deploy.yml",
        "deploy-prod.yml",
        "rollback.yml",
        "release.yml",
    ]
    assert made.required_checks == ("gate",)
    assert made.repository.get("approval_branches") == {"prod": 2}
    assert made.environments == {
        "dev": {"approval": Approval.NONE, "branches": ("main",)},
        "prod": {"approval": Approval.BRANCH},
    }
    assert "| deploy-prod.yml | push on branch deploy/prod | prod_deploy | prod |" in made.reach
    assert "promotion" in made.files[".github/workflows/ci.yml"]


def test_reviewers_are_asked_in_an_environment_of_their_own() -> None:
    made = orders(DEV, Target(environment="prod", approval=Approval.REVIEWERS), plan=Plan.ENTERPRISE)
    assert {name: rules["approval"] for name, rules in made.environments.items()} == {
        "dev": Approval.NONE,
        "prod_approve": Approval.REVIEWERS,
        "prod": Approval.NONE,
    }


def test_a_plan_without_reviewers_is_told_what_to_do_instead() -> None:
    with pytest.raises(InvalidArgumentsError, match=r"environments\[1\].approval.*deploy/<environment>"):
        orders(DEV, Target(environment="prod", approval=Approval.REVIEWERS), plan=Plan.TEAM)


def test_the_default_checks_install_and_hold_the_coverage() -> None:
    checks = orders(coverage_minimum=80).service.checks
    assert checks["lint"].splitlines()[1:] == ["ruff check .", "ruff format --check ."]
    assert checks["test"].splitlines() == [
        "python -m pip install --quiet --requirement requirements-dev.txt",
        "python -m pytest --cov --cov-fail-under=80",
    ]


def test_without_a_chart_nothing_is_deployed() -> None:
    made = python_service("lib", images=["api"], environments=[])
    assert made.environments == {}
    assert [each.file for each in made.workflows] == ["ci.yml", "secret-scan.yml", "deploy.yml", "release.yml"]
    assert "delivery.mk" not in made.files


@pytest.mark.parametrize(
    ("environments", "more", "argument"),
    [
        ((), {"images": ["Api"]}, "images[0].name"),
        ((), {"images": ["api", "api"]}, "images[1].name"),
        ((), {"images": [Image(name="api", context="../api")]}, "images[0].context"),
        ((), {"images": [Image(name="api", context="api", dockerfile="../Dockerfile")]}, "images[0].dockerfile"),
        # Without a platform nothing would be scanned, and yet be recorded as clean.
        ((), {"images": [Image(name="api", context="api", platforms=[])]}, "images[0].platforms"),
        ((), {"images": [Image(name="api", context="api", platforms=["linux/arm64"] * 2)]}, "images[0].platforms"),
        ((), {"images": [Image(name="api", context="api", platforms=["linux/$(id)"])]}, "images[0].platforms"),
        ((), {"chart": "/charts/orders"}, "chart"),
        ((), {"chart": "charts/$(id)"}, "chart"),
        ((), {"checks": {}}, "checks"),
        ((), {"checks": {"gate": "true"}}, "checks"),
        ((), {"checks": {"image_api": "true"}}, "checks"),
        ((), {"checks": {"test": " "}}, "checks.test"),
        ((), {"python": []}, "python"),
        ((), {"notify": "pigeon"}, "notify"),
        ((), {"approvals": 0}, "approvals"),
        ((PROD,), {}, "environments[0].approval"),
        ((DEV, DEV), {}, "environments[1].environment"),
        ((DEV,), {"checks": {"dev_deploy": "true"}}, "checks"),
        ((Target(environment="a/b"),), {}, "environments[0].environment"),
        ((DEV, Target(environment="p", approval=Approval.BRANCH, tags=["v*"])), {}, "environments[1].tags"),
        ((Target(environment="dev", timeout_minutes=0),), {}, "environments[0].timeout_minutes"),
        ((Target(environment="dev", namespace="x; id"),), {}, "environments[0].namespace"),
        ((Target(environment="dev", smoke_host_variable="X || y"),), {}, "environments[0].smoke_host_variable"),
        ((), {"owner": "a/b"}, "owner"),
    ],
)
def test_bad_arguments(environments: tuple[Target, ...], more: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        orders(*environments, **more)
    assert [problem.argument for problem in caught.value.problems] == [argument]


HOSTILE_ARGUMENTS: list[tuple[dict[str, Any], set[str]]] = [
    *(
        ({"environments": [DEV, replace(PROD, approval=each)]}, {"environments[1].approval"})
        for each in ("nobody", "REVIEWERS", "reviewers", None, True)
    ),
    ({"environments": []}, {"environments"}),
    ({"environments": ["dev"]}, {"environments[0]"}),
    ({"environments": DEV}, {"environments"}),
    ({"environments": None}, {"environments"}),
    ({"chart": ""}, {"chart"}),
    ({"chart": None}, {"chart"}),
    ({"chart": "oci://ghcr.io/acme/web"}, {"chart"}),
    ({"chart": "oci://ghcr.io/acme/web:latest"}, {"chart"}),
    ({"chart": "oci://ghcr.io/acme/web:1.2.0; id"}, {"chart"}),
    ({"images": "api"}, {"images"}),
    ({"images": [3, Image(name="b", context=cast("Any", None))]}, {"images[0]", "images[1].context"}),
    *(({"coverage_minimum": each}, {"coverage_minimum"}) for each in (math.nan, math.inf, -1, 101, "80", True)),
    ({"python": "3.12"}, {"python"}),
    ({"python": ["3.12; rm"]}, {"python"}),
    ({"checks": {"a": 3, "b c": "x"}}, {"checks", "checks.a"}),
    ({"checks": "make test"}, {"checks"}),
    ({"owner": "Ac me/x; id"}, {"owner"}),
    ({"coverage_min": 80}, {"coverage_min"}),
    (
        {"hotfixes": "no", "approvals": "2", "plan": "team", "requirements": "r.txt", "develop": "a\nb"},
        {"hotfixes", "approvals", "plan", "requirements", "develop"},
    ),
    ({"requirements": ["/etc/passwd"], "smoke": 1}, {"requirements", "smoke"}),
    (
        {
            "environments": [
                Target(
                    environment="dev",
                    approval=cast("Any", "nobody"),
                    namespace="Kube_System; id",
                    tags=["v["],
                    runner_labels=["a\nb"],
                    smoke_host_variable="A-B",
                    timeout_minutes=True,
                )
            ],
            "images": [Image(name="api", context="a", dockerfile="/x; id", platforms=["linux/arm65"])],
        },
        {
            *(f"environments[0].{each}" for each in ("approval", "namespace", "tags", "runner_labels")),
            *("environments[0].smoke_host_variable", "environments[0].timeout_minutes"),
            *("images[0].dockerfile", "images[0].platforms"),
        },
    ),
]


@pytest.mark.parametrize(("wanted", "arguments"), HOSTILE_ARGUMENTS)
def test_nothing_is_taken_for_what_it_is_not(wanted: dict[str, Any], arguments: set[str]) -> None:
    given: dict[str, Any] = {"images": ["api"], "chart": "charts/orders", "environments": [DEV, PROD], **wanted}
    with pytest.raises(InvalidArgumentsError) as caught:
        python_service("orders", **given)
    assert {problem.argument for problem in caught.value.problems} == arguments


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(DEV)
anything |= st.lists(anything, max_size=2) | st.dictionaries(st.text(max_size=3), anything, max_size=2)


@given(st.dictionaries(st.sampled_from([*get_type_hints(PythonServiceOptions), "images", "chart"]), anything), anything)
@settings(max_examples=150, deadline=None)
def test_whatever_is_given_is_delivered_or_refused(more: dict[str, Any], first: Any) -> None:
    wanted: dict[str, Any] = {"images": ["api"], "chart": "charts/orders", **more}
    for environments in (first, [first], [DEV, replace(PROD, approval=first)]):
        with suppress(InvalidArgumentsError):
            made = python_service("orders", environments=environments, **wanted)
            assert all(isinstance(each.approval, Approval) for each in made.service.targets)


def test_the_meant_approval_is_named() -> None:
    with pytest.raises(InvalidArgumentsError, match=r"Fix: give Approval\.REVIEWERS\."):
        orders(DEV, replace(PROD, approval=cast("Any", "REVIEWERS")))


@pytest.mark.parametrize(
    ("chart", "told"),
    [
        (
            "oci://r.example:5000/acme/web:1.2.0-rc.1",
            "--chart oci://r.example:5000/acme/web --chart-version 1.2.0-rc.1",
        ),
        (f"oci://r.example/web@sha256:{'0' * 64}", f"--chart oci://r.example/web@sha256:{'0' * 64}"),
    ],
)
def test_a_chart_of_a_registry_is_deployed_by_version_and_not_looked_for_here(chart: str, told: str) -> None:
    made = orders(chart=chart)
    for path in (".github/workflows/deploy.yml", ".github/workflows/deploy-prod.yml", "delivery.mk"):
        assert told in made.files[path].replace(" \\\n           ", "")
    text = "\n".join(made.files.values())
    assert [each for each in ("helm lint", "helm-lint", "ct lint", "touched oci:", "chart-dirs") if each in text] == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        python_service("Orders", images=["Api"], chart="..", environments=[PROD], notify="pigeon")
    assert len(caught.value.problems) == 5
