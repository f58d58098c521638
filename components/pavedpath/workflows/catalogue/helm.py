"""Delivery with Helm, as document 004 has it: CI, CD, and the same steps as make targets for a laptop."""

import shlex
from dataclasses import replace

from pavedpath.workflows.catalogue.blueprint import Blueprint
from pavedpath.workflows.catalogue.ci import ci
from pavedpath.workflows.catalogue.deploy import HISTORY, deploy
from pavedpath.workflows.expressions import variable
from pavedpath.workflows.model import Workflow

MAKEFILE = "delivery.mk"

_FORWARDED = "http://127.0.0.1:8080"


def helm_ci(blueprint: Blueprint) -> Workflow:
    """Return ci.yml for pull requests and pushes to develop: ruff, pytest, the images built and scanned.

    What is pushed to the default branch runs the same checks in `helm_cd`, where the images of the commit are built,
    scanned and pushed: the one deployment that follows takes these and no others.
    """
    return ci(blueprint, pushes=["develop"])


def helm_cd(blueprint: Blueprint) -> list[Workflow]:
    """Return cd.yml with the names of document 004, those of the first target: DEV_KUBECONFIG, DEV_INGRESS_HOST.

    Its CD started beside CI at the same push, and deployed whatever `:dev` named then; this one deploys the digests
    that it built.
    """
    service = blueprint.service
    prefix = service.targets[0].environment.upper()
    host = f"{prefix}_INGRESS_HOST"
    targets = [replace(service.targets[0], smoke_host_variable=host), *service.targets[1:]]
    named = replace(
        blueprint,
        service=replace(service, targets=targets),
        kubeconfig=f"{prefix}_KUBECONFIG",
        kubeconfig_encoded=True,
        settings={**blueprint.settings, "host": variable(host)},
    )
    return deploy(named, file="cd.yml")


def delivery_mk(blueprint: Blueprint) -> str:
    """Return delivery.mk: what the pipeline does to the first environment, from a laptop with its kubeconfig."""
    service, target = blueprint.service, blueprint.service.targets[0]
    environment, app, folder = target.environment, service.name, service.chart_folder
    deployment = " ".join(
        (
            f"pavedpath deploy {app} --environment {environment}",
            *service.chart_arguments,
            "--namespace $(NAMESPACE)",
            f"--values-dir {shlex.quote(blueprint.values)} --timeout {target.timeout_minutes}m --history {HISTORY}",
            "$(IMAGES)",
        )
    )
    forwarded = f"service/{app}-{service.images[0].name}" if service.images else f"service/{app}"
    forward = f'kubectl --namespace $(NAMESPACE) port-forward {forwarded} 8080:80 >/dev/null & trap "kill $$!" EXIT'
    # A chart of a registry was checked where it was made.
    before = "helm-lint " if folder else ""
    lint = f"helm lint {shlex.quote(folder)} --values {shlex.quote(f'{blueprint.values}/{environment}.yaml')}"
    recipes = {
        f"cd-{environment}: {before}helm-up-{environment} smoke-ci": (f"Check, deploy and try {app}", ""),
        f"cd-{environment}-atomic: {before}helm-up-{environment}-atomic smoke-ci": ("The same with a preview", ""),
        "smoke-ci:": ("Ask HOST whether the deployment works", 'pavedpath smoke "$(HOST)"'),
        "smoke-pf:": ("The same through port 8080 of this machine", f"{forward}; pavedpath smoke {_FORWARDED}"),
        **({"helm-lint:": ("Check the chart", lint)} if folder else {}),
        f"helm-template-{environment}:": ("Say what a deployment would change", f"{deployment} --dry-run"),
        f"helm-up-{environment}:": ("Deploy; what does not become ready goes back by itself", deployment),
        f"helm-up-{environment}-atomic: helm-template-{environment} helm-up-{environment}": ("With a preview", ""),
        "helm-history:": ("Show the revisions", f"pavedpath history {app} --namespace $(NAMESPACE)"),
        "helm-rollback:": (
            "Go back to revision REV, or to the one that ran before",
            f"pavedpath rollback {app} --namespace $(NAMESPACE) $(if $(REV),--to-revision $(REV))",
        ),
    }
    lines = [
        "# Written by Pavedpath; a change made here is overwritten. Add `include delivery.mk` to the Makefile.",
        f"# The pipeline's steps by hand, with the kubeconfig of {environment}: make cd-{environment} DEV_HOST=HOST",
        f"NAMESPACE ?= {target.namespace or app}",
        "HOST ?= $(DEV_HOST)",
        "# For example: IMAGES='--image api=REGISTRY/api@sha256:…'",
        "IMAGES ?=",
        "",
        ".PHONY: " + " ".join(rule.partition(":")[0] for rule in recipes),
    ]
    for rule, (what, command) in recipes.items():
        lines += ["", f"{rule}  ## {what}", *([f"\t@{command}"] if command else [])]
    return "\n".join(lines) + "\n"
