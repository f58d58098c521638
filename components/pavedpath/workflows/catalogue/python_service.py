"""A service in Python, from its checks to production: one call, one value."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NotRequired, TypedDict, Unpack, cast, get_type_hints

from pavedpath.names import GIT_REF
from pavedpath.plans import Approval, Feature, Plan, Visibility, Wanted, unavailable
from pavedpath.problem import Problem, refuse
from pavedpath.workflows import admission, typed
from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.catalogue.blueprint import Blueprint
from pavedpath.workflows.catalogue.ci import ci
from pavedpath.workflows.catalogue.deploy import deploy, rollback
from pavedpath.workflows.catalogue.flows import RELEASES, hotfix, release
from pavedpath.workflows.catalogue.helm import MAKEFILE, delivery_mk
from pavedpath.workflows.catalogue.locked import locked
from pavedpath.workflows.catalogue.scanning import secret_scan, secret_scan_job
from pavedpath.workflows.checking import problems
from pavedpath.workflows.checks import APPROVERS, GATE
from pavedpath.workflows.model import EnvironmentFacts, Surroundings, Workflow
from pavedpath.workflows.reach import reachability, table
from pavedpath.workflows.references import nearest
from pavedpath.workflows.rendering import render
from pavedpath.workflows.service import Image, Service, Target

_MADE = frozenset({"changes", "validate_dbt_project", "chart", "secrets", "promotion", "publish", "release", GATE})
"""Jobs that the pipelines have besides the checks."""


class RepositoryRules(TypedDict):
    """What a delivery asks of its repository: merge it into the arguments of `pavedpath.Repository`."""

    files: Mapping[str, str]
    """The workflows and delivery.mk, by path."""
    required_checks: Sequence[str]
    """Jobs that a pull request needs."""
    protected_tags: NotRequired[Sequence[str]]
    """Patterns of release tags; `tag_creators` are the caller's to name."""
    approval_branches: NotRequired[Mapping[str, int]]
    """Approvals of deploy/<environment>, by environment."""


class EnvironmentRules(TypedDict):
    """What a delivery asks of one environment: merge it into the arguments of `pavedpath.RepositoryEnvironment`."""

    approval: Approval
    branches: NotRequired[Sequence[str]]
    """Left out where the approval decides it."""
    tags: NotRequired[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class ServiceDelivery:
    """A service's delivery, checked as a whole."""

    service: Service
    workflows: Sequence[Workflow]
    """ci.yml, deploy.yml, deploy-<environment>.yml for each approval without Enterprise, rollback.yml, release.yml,
    secret-scan.yml and, with hotfixes, hotfix.yml."""
    files: Mapping[str, str]
    """Text by path: the workflows, rendered, and delivery.mk with the make targets for a laptop."""
    required_checks: Sequence[str]
    """The gate: the one job that always reports on all the others."""
    repository: RepositoryRules
    environments: Mapping[str, EnvironmentRules]
    """By environment, prod_approve included where reviewers agree there."""
    surroundings: Surroundings
    """What the repository and its environments must offer: what the workflows were checked against."""

    @cached_property
    def reach(self) -> str:
        """Which trigger on which ref reaches which environment, runner and secret: a table in Markdown."""
        return table(reachability(self.workflows, self.surroundings))


class PythonServiceOptions(TypedDict, total=False):
    """What `python_service` can be told besides images, chart and environments."""

    checks: Mapping[str, str]
    """Shell command of each check by job id. Default: lint (ruff check, ruff format) and test (pytest)."""
    requirements: Sequence[str]
    """Requirements files that every check installs first. Default: requirements-dev.txt."""
    python: Sequence[str]
    """Versions of Python that the checks run with. Default: 3.12."""
    coverage_minimum: float
    """Per cent of lines that the default check `test` must reach. Default: none."""
    dbt: str
    """Folder of a dbt project, which ci.yml parses. Default: none."""
    dbt_private: bool
    """Whether the dbt project takes packages of private repositories, by the secret SECRET_GH_TOKEN. Default: false."""
    values: str
    """Folder of values and SOPS files. Default: etc/helm_values/<name>."""
    owner: str
    """Organisation, in any case. Default: `github.repository_owner`, which must then be in lower case."""
    approvals: int
    """Approvals of a pull request into an approval branch, 1 to 10. Default: 2."""
    develop: str
    """Branch whose pushes ci.yml checks, too; nothing is deployed from it. Default: none."""
    merge_queue: bool
    """Whether ci.yml also answers a merge queue. Default: false."""
    hotfixes: bool
    """Whether branches hotfix/<name> from a release are built, and may be released. Default: false."""
    smoke: str
    """File of what is asked after a deployment (`pavedpath smoke --spec`). Default: /healthz, /ready, /metrics."""
    scan_exceptions: str
    """File of the scan's findings that are lived with, each until a day. Default: none."""
    notify: str
    """Channel that hears of deployments (slack, webhook), at the address in the secret NOTIFY_URL; a webhook knows the
    sender by the key in NOTIFY_SECRET. Default: none."""
    delivery_lock: str
    """File of requirements with hashes by which jobs install `pavedpath` and what it needs (`catalogue.locked`).
    Default: none; by its version, and what it needs as the registry has it."""
    plan: Plan
    """The organisation's plan, to refuse approvals that it has not. Default: not checked."""


def python_service(
    name: str,
    *,
    images: Sequence[str | Image],
    environments: Sequence[Target],
    chart: str = "",
    **options: Unpack[PythonServiceOptions],
) -> ServiceDelivery:
    """Return the delivery of a service in Python.

    Args:
        name: name of the service, its release and its repository; also of its namespace, unless a target names one.
        images: by name, for example "api", which is built from services/api; or as an `Image` with its own folder.
        environments: in the order of promotion: each deploys by digest what the one before it ran. The first one is
            deployed to on every push to main.
        chart: folder of the chart, for example charts/orders; or that of a registry with its version, for example
            oci://ghcr.io/acme/charts/orders:1.2.0. What deploys nothing has neither a chart nor environments.
        options: see `PythonServiceOptions`.

    What the repository and its environments must offer beyond the returned rules: in each environment the variables
    AWS_DEPLOY_ROLE, AWS_REGION and INGRESS_HOST and the secret KUBECONFIG_<NAME>; IMAGE_REGISTRY, a variable of the
    repository or the organisation, if images do not go to GitHub's registry; with notify the secret NOTIFY_URL, and for
    a webhook NOTIFY_SECRET.

    Raises:
        InvalidArgumentsError: with every offender: what cannot be a service, and what `checking.problems` finds in
            the workflows that were made.
    """
    service = _service(name, images, environments, chart, options)
    refuse("python_service", name, list(_problems(service, options)))
    blueprint = Blueprint(
        service=service,
        requirements=_requirements(options),
        exceptions=options.get("scan_exceptions", ""),
        smoke=options.get("smoke", ""),
        notify=options.get("notify", ""),
        dbt_private=options.get("dbt_private", False),
    )
    made = _workflows(blueprint, options)
    if lock := options.get("delivery_lock", ""):
        made = [locked(each, lock) for each in made]
    surroundings = _surroundings(blueprint, merge_queue=options.get("merge_queue", False))
    refuse("python_service", name, problems(made, surroundings))
    files = {workflow.path: render(workflow) for workflow in made}
    if service.chart:
        files[MAKEFILE] = delivery_mk(blueprint)
    return ServiceDelivery(
        service=service,
        workflows=made,
        files=files,
        required_checks=(GATE,),
        repository=_repository(service, files, options.get("approvals", _APPROVALS)),
        environments=_environments(service),
        surroundings=surroundings,
    )


_APPROVALS = 2


def _requirements(options: PythonServiceOptions) -> Sequence[str]:
    return options.get("requirements", ("requirements-dev.txt",))


def _service(
    name: str,
    images: Sequence[str | Image],
    environments: Sequence[Target],
    chart: str,
    options: PythonServiceOptions,
) -> Service:
    # What is of the wrong type is refused afterwards, with all the rest.
    minimum: object = options.get("coverage_minimum")
    covered = f" --cov --cov-fail-under={minimum:g}" if isinstance(minimum, int | float) else ""
    defaults = {"lint": "ruff check .\nruff format --check .", "test": f"python -m pytest{covered}"}
    install = "".join(
        f"python -m pip install --quiet --requirement {shlex.quote(str(each))}\n"
        for each in typed.items(_requirements(options))
    )
    checks: object = options.get("checks", defaults)
    if isinstance(checks, Mapping):
        pairs = cast("Mapping[str, object]", checks).items()
        # What is blank stays so, to be refused.
        checks = {job: install + each if isinstance(each, str) and each.strip() else each for job, each in pairs}
    built: object = images
    if listed := typed.items(images):
        built = [Image(name=each, context=f"services/{each}") if isinstance(each, str) else each for each in listed]
    return Service(
        name=name,
        checks=cast("Mapping[str, str]", checks),
        images=cast("Sequence[Image]", built),
        chart=chart,
        values=options.get("values", ""),
        targets=environments,
        python=options.get("python", ("3.12",)),
        dbt=options.get("dbt", ""),
        coverage_minimum=options.get("coverage_minimum"),
        owner=options.get("owner", ""),
    )


def _workflows(blueprint: Blueprint, options: PythonServiceOptions) -> list[Workflow]:
    service = blueprint.service
    develop, hotfixes = options.get("develop"), options.get("hotfixes", False)
    made = [
        ci(
            blueprint,
            pushes=[develop] if develop else [],
            merge_queue=options.get("merge_queue", False),
            approval_branches=[f"deploy/{each.environment}" for each in _by_branch(service)],
            more={"secrets": secret_scan_job()},
        ),
        secret_scan(),
    ]
    if service.images or service.targets:
        made += deploy(blueprint)
    if service.targets:
        made.append(rollback(blueprint))
    if service.images:
        made.append(release(blueprint, hotfixes=hotfixes))
    if service.images and hotfixes:
        made.append(hotfix(blueprint))
    return made


def _by_branch(service: Service) -> list[Target]:
    return [each for each in service.targets if each.approval is Approval.BRANCH]


def _problems(service: Service, options: PythonServiceOptions) -> Iterator[Problem]:
    yield from admission.problems(service, "environments")
    yield from _option_problems(options)
    if service.chart and service.targets in ([], ()):
        yield Problem("environments", [], "there is nowhere to deploy the chart", "name an environment, or no chart")
    # How the parts fit can only be told of parts that are what they should be.
    if not any(typed.mistyped("", service, Service)):
        yield from _job_problems(service)
        yield from _approval_problems(service.targets)
        plan: object = options.get("plan")
        yield from _unavailable(service.targets, plan if isinstance(plan, Plan) else None)


def _option_problems(options: PythonServiceOptions) -> Iterator[Problem]:
    hints = get_type_hints(PythonServiceOptions)
    of_service = get_type_hints(Service)
    for option, value in options.items():
        if option not in hints:
            yield Problem(option, value, "there is no such option", nearest(option, hints))
        elif option not in of_service and (option, value) != ("plan", None):
            yield from typed.mistyped(option, value, hints[option])
    for requirement in typed.items(options.get("requirements", ())):
        yield from admission.ruled("requirements", requirement, admission.FOLDER)
    for option in ("smoke", "scan_exceptions", "delivery_lock"):
        yield from admission.ruled(option, options.get(option, ""), admission.FOLDER, optional=True)
    yield from admission.ruled("develop", options.get("develop", ""), GIT_REF, optional=True)
    notify: object = options.get("notify", "")
    if isinstance(notify, str) and notify not in ("", "slack", "webhook"):
        yield Problem("notify", notify, "there is no such channel", "choose slack or webhook")
    approvals: object = options.get("approvals", _APPROVALS)
    if isinstance(approvals, int) and not isinstance(approvals, bool) and not 1 <= approvals <= 10:
        yield Problem("approvals", approvals, "GitHub counts 1 to 10", "choose 1 to 10")


def _job_problems(service: Service) -> Iterator[Problem]:
    taken = {steps.job_id("image", each.name) for each in service.images} | _MADE
    taken |= {
        steps.job_id(each.environment, suffix)
        for each in service.targets
        for suffix in ("deploy", "deploy_approval", "verified")
    }
    for job in service.checks:
        if job in taken:
            yield Problem("checks", job, "a job of the pipelines is called so", "rename it")


def _approval_problems(targets: Sequence[Target]) -> Iterator[Problem]:
    for index, target in enumerate(targets):
        at = f"environments[{index}]"
        apart = target.approval in (Approval.BRANCH, Approval.DISPATCH)
        if index == 0 and apart:
            why = "nothing runs before it whose images it could take"
            yield Problem(f"{at}.approval", str(target.approval), why, "begin with an environment without approval")
        if apart and target.tags:
            why = "a tag would go past the approval"
            yield Problem(f"{at}.tags", list(target.tags), why, "leave tags out, or choose another approval")


def _unavailable(targets: Sequence[Target], plan: Plan | None) -> Iterator[Problem]:
    for index, target in enumerate(targets):
        if target.approval is Approval.REVIEWERS:
            wanted = Wanted(f"environments[{index}].approval", str(target.approval), Feature.REQUIRED_REVIEWERS)
            yield from unavailable(plan, Visibility.PRIVATE, wanted)


def _surroundings(blueprint: Blueprint, *, merge_queue: bool) -> Surroundings:
    service = blueprint.service
    environments: dict[str, EnvironmentFacts] = {}
    for target in service.targets:
        by_branch = target.approval is Approval.BRANCH
        approvers = [APPROVERS] if target.approval is Approval.DISPATCH else []
        environments[target.environment] = EnvironmentFacts(
            branches=(f"deploy/{target.environment}",) if by_branch else (blueprint.default_branch,),
            tags=target.tags,
            secrets=(blueprint.kubeconfig_secret,),
            variables=("AWS_DEPLOY_ROLE", "AWS_REGION", target.smoke_host_variable, *approvers),
        )
        if target.approval is Approval.REVIEWERS:
            environments[f"{target.environment}_approve"] = EnvironmentFacts(
                branches=(blueprint.default_branch,), tags=target.tags, reviewed=True
            )
    return Surroundings(
        default_branch=blueprint.default_branch,
        secrets=[
            *steps.notify_secrets(blueprint.notify),
            *(["SECRET_GH_TOKEN"] if blueprint.dbt_private else []),
        ],
        variables=["PROFILES_YML_BASE64"] if service.dbt else [],
        environments=environments,
        protected_tags=[RELEASES] if service.images else [],
        merge_queue=merge_queue,
    )


def _repository(service: Service, files: Mapping[str, str], approvals: int) -> RepositoryRules:
    rules: RepositoryRules = {"files": files, "required_checks": (GATE,)}
    if service.images:
        rules["protected_tags"] = (RELEASES,)
    if branches := _by_branch(service):
        rules["approval_branches"] = {each.environment: approvals for each in branches}
    return rules


def _environments(service: Service) -> dict[str, EnvironmentRules]:
    rules: dict[str, EnvironmentRules] = {}
    for target in service.targets:
        tags: EnvironmentRules = {"approval": Approval.NONE, "branches": ("main",)}
        if target.tags:
            tags["tags"] = target.tags
        if target.approval is Approval.REVIEWERS:
            rules[f"{target.environment}_approve"] = {**tags, "approval": Approval.REVIEWERS}
        elif target.approval is not Approval.NONE:
            tags = {"approval": target.approval}
        rules[target.environment] = tags
    return rules
