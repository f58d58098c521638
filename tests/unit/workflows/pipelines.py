"""Every pipeline of the catalogue, each with one small service, and what its repository must offer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pavedpath.plans import Approval
from pavedpath.workflows.catalogue import (
    Blueprint,
    ChartStore,
    build_and_deploy,
    charts,
    code_quality,
    company_lint,
    delivery_mk,
    deploy,
    helm_cd,
    helm_ci,
    image_pipeline,
    python_service,
    run_tests,
)
from pavedpath.workflows.catalogue.ci import ci
from pavedpath.workflows.model import EnvironmentFacts, Surroundings, Workflow
from pavedpath.workflows.rendering import render
from pavedpath.workflows.service import Image, Service, Target

GOLDEN = Path(__file__).with_name("golden")
API = Image(name="api", context="services/api")
CHECKS = {"lint": "ruff check .", "test": "python -m pytest"}
DEV = Target(environment="dev")


@dataclass(frozen=True)
class Pipeline:
    """The workflows of one repository."""

    workflows: Sequence[Workflow]
    surroundings: Surroundings = field(default_factory=Surroundings)
    more: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def files(self) -> Mapping[str, str]:
        return {**{each.file: render(each) for each in self.workflows}, **self.more}


def facts(kubeconfig: str, host: str = "INGRESS_HOST", **more: Sequence[str]) -> EnvironmentFacts:
    wanted = {"secrets": (kubeconfig,), "variables": ("AWS_DEPLOY_ROLE", "AWS_REGION", host), **more}
    return EnvironmentFacts(**wanted)  # pyright: ignore[reportArgumentType]  # all of them are sequences of text


def service(*targets: Target, images: Sequence[Image] = (API,), chart: str = "charts/orders") -> Service:
    return Service(name="orders", checks=CHECKS, images=images, targets=targets, chart=chart)


def _orders(approval: Approval) -> Pipeline:
    made = python_service(
        "orders",
        images=["api"],
        chart="charts/orders",
        environments=[DEV, Target(environment="prod", approval=approval)],
        dbt="analytics",
        notify="slack",
        hotfixes=True,
    )
    return Pipeline(made.workflows, made.surroundings, {"delivery.mk": made.files["delivery.mk"]})


def _locked() -> Pipeline:
    lock = ".github/delivery.txt"
    made = python_service("orders", images=["api"], chart="charts/orders", environments=[DEV], delivery_lock=lock)
    return Pipeline(made.workflows, made.surroundings)


def _values() -> Pipeline:
    """A repository that holds values only: its chart and its images come from elsewhere."""
    shop = service(DEV, images=(), chart="oci://ghcr.io/acme/charts/web-service:1.2.0")
    gate = ci(Blueprint(service=Service(name="orders", checks={"lint": "yamllint etc"})))
    offered = Surroundings(environments={"dev": facts("KUBECONFIG_ORDERS")})
    return Pipeline([gate, *deploy(Blueprint(service=shop))], offered)


def _platform() -> Pipeline:
    targets = [
        Target(environment="development"),
        Target(environment="staging", tags=["v*.*.*"]),
        Target(environment="production"),
    ]
    blueprint = Blueprint(
        service=service(*targets), kubeconfig="KUBECONFIG", kubeconfig_encoded=True, requirements=["requirements.txt"]
    )
    offered = {each.environment: facts("KUBECONFIG", tags=each.tags) for each in targets}
    made = [run_tests(), code_quality(), build_and_deploy(blueprint)]
    return Pipeline(made, Surroundings(environments=offered, protected_tags=["v*.*.*"]))


def _helm() -> Pipeline:
    blueprint = Blueprint(service=service(Target(environment="dev", namespace="october")))
    made = [helm_ci(blueprint), *helm_cd(blueprint)]
    offered = Surroundings(environments={"dev": facts("DEV_KUBECONFIG", "DEV_INGRESS_HOST")})
    return Pipeline(made, offered, {"delivery.mk": delivery_mk(blueprint)})


def _private_dbt() -> Pipeline:
    data = Service(name="data", checks=CHECKS, dbt="analytics")
    company = company_lint("acme/standards", "5" * 40, ".standards/lint.sh")
    made = ci(Blueprint(service=data, dbt_private=True), merge_queue=True, more={"company_lint": company})
    offered = Surroundings(secrets=["SECRET_GH_TOKEN"], variables=["PROFILES_YML_BASE64"], merge_queue=True)
    return Pipeline([made], offered)


def _charts() -> Pipeline:
    login = ["CHART_REGISTRY_USER", "CHART_REGISTRY_PASSWORD"]
    return Pipeline(
        [charts(stores=list(ChartStore))],
        Surroundings(secrets=login, variables=["CHART_REGISTRY_NAME", "CHART_REGISTRY_URL"]),
    )


PIPELINES: Mapping[str, Pipeline] = {
    "branch": _orders(Approval.BRANCH),
    "reviewers": _orders(Approval.REVIEWERS),
    "dispatch": _orders(Approval.DISPATCH),
    "locked": _locked(),
    "values": _values(),
    "platform": _platform(),
    "helm": _helm(),
    "dbt": _private_dbt(),
    "charts": _charts(),
    "images": Pipeline([image_pipeline(Blueprint(service=service()))]),
}


SHOWN: Mapping[str, Sequence[str]] = {
    "reviewers": ["deploy.yml"],
    "dispatch": ["deploy-prod.yml"],
    "locked": ["rollback.yml"],
}
"""Of these pipelines only what sets them apart from `branch`."""


def golden() -> dict[str, str]:
    """Return the text of each golden file by its path."""
    return {
        f"{name}/{file}": text
        for name, each in PIPELINES.items()
        for file, text in each.files.items()
        if file in SHOWN.get(name, each.files)
    }


def write() -> None:
    """Write the golden files anew: .venv/bin/python -m tests.unit.workflows.pipelines."""
    for old in GOLDEN.rglob("*.*"):
        old.unlink()
    for path, text in golden().items():
        (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / path).write_text(text)


if __name__ == "__main__":
    write()
