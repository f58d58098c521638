"""Steps that the pipelines share. Each returns one step; what it needs of GITHUB_TOKEN stands in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pavedpath.workflows.checks import approver_step
from pavedpath.workflows.expressions import Expression, github, runner, secret, variable
from pavedpath.workflows.model import Access, Run, Scope, Text, Uses

STEPS_VERSION = "0.1.0"
"""Release of `pavedpath-delivery`, the command that the steps call."""

DIAGNOSTICS_DAYS = 14


def checkout(*, history: bool = False, ref: Text = "") -> Uses:
    """Check the repository out, and leave no token in it.

    Args:
        history: whether all commits and tags come along.
        ref: what to check out. Default: what started the run.
    """
    inputs: dict[str, Any] = {"persist-credentials": False}
    if history:
        inputs["fetch-depth"] = 0
    if ref:
        inputs["ref"] = str(ref)
    return Uses(name="Check out", action="actions/checkout", inputs=inputs)


def command() -> Run:
    """Install the command `pavedpath`, for this job alone: two jobs on one runner do not meet in it."""
    return Run(
        name="Install the delivery steps",
        env={"PIPX_HOME": f"{runner('temp')}/pipx", "PIPX_BIN_DIR": f"{runner('temp')}/bin"},
        run=f"""
        pipx install --quiet pavedpath-delivery=={STEPS_VERSION}
        echo "$PIPX_BIN_DIR" >> "$GITHUB_PATH"
        """,
    )


def python(version: Text, requirements: Sequence[str] = ()) -> Uses:
    """Set Python up; pip's downloads are kept between runs until one of the requirements files changes."""
    inputs: dict[str, Any] = {"python-version": str(version)}
    if requirements:
        inputs |= {"cache": "pip", "cache-dependency-path": "\n".join(requirements)}
    return Uses(name="Set up Python", action="actions/setup-python", inputs=inputs)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where images go, and who logs in there."""

    host: Text
    user: Text
    password: Text
    """An expression of a secret."""
    nested: bool = True
    """Whether a name may have more parts than the owner and one; without it the service and the image are one part."""

    def login(self, *, write: bool = True) -> Uses:
        """Log in, for the builder and for `pavedpath image`; `write` if the job pushes."""
        return Uses(
            name="Log in to the registry",
            action="docker/login-action",
            inputs={"registry": str(self.host), "username": str(self.user), "password": str(self.password)},
            permissions={Scope.PACKAGES: Access.WRITE if write else Access.READ},
        )


GITHUB_REGISTRY = Registry(
    host=variable("IMAGE_REGISTRY", "ghcr.io"), user=github("actor"), password=secret("GITHUB_TOKEN")
)
"""GitHub's own, or the one that the variable IMAGE_REGISTRY names."""

DOCKER_HUB = Registry(
    host="docker.io",
    user=secret("DOCKER_HUB_USERNAME"),
    password=secret("DOCKER_HUB_PASSWORD"),
    # Source: Docker, "Create repositories": NAMESPACE/REPOSITORY, and nothing below.
    nested=False,
)


def cloud_access(environment: str) -> Uses:
    """Exchange the job's identity for the environment's role, with which SOPS files are decrypted: no stored key."""
    return Uses(
        name="Assume the deploy role",
        action="aws-actions/configure-aws-credentials",
        inputs={
            "role-to-assume": variable("AWS_DEPLOY_ROLE"),
            "aws-region": variable("AWS_REGION"),
            "role-session-name": f"deploy-{environment}-{github('run_id')}",
        },
    )


def kubeconfig(secret_name: str, *, encoded: bool = False) -> Run:
    """Write the kubeconfig of a deployer, who may deploy in one namespace, where only this job reads it.

    Args:
        secret_name: the environment's secret that holds it.
        encoded: whether it is encoded by base64.
    """
    decode = " | base64 --decode" if encoded else ""
    return Run(
        name="Write the kubeconfig",
        env={"KUBECONFIG_TEXT": secret(secret_name)},
        run=f"""
        (umask 077 && printf '%s' "$KUBECONFIG_TEXT"{decode} > "$RUNNER_TEMP/kubeconfig")
        echo "KUBECONFIG=$RUNNER_TEMP/kubeconfig" >> "$GITHUB_ENV"
        """,
    )


def approver() -> Run:
    """Refuse a run that no approver of the environment started: the first step with `Approval.DISPATCH`."""
    (found,) = yaml.safe_load(approver_step())
    return Run(name=found["name"], env=found["env"], run=found["run"])


def upload(name: str, path: Text, *, condition: Expression | None = None, days: int = DIAGNOSTICS_DAYS) -> Uses:
    """Keep files of the job with the run, under a name that a second attempt does not take again."""
    return Uses(
        name="Keep them with the run",
        condition=condition,
        action="actions/upload-artifact",
        inputs={
            "name": f"{name}-{github('run_attempt')}",
            "path": str(path),
            "if-no-files-found": "ignore",
            "retention-days": days,
        },
    )


def notify(channel: str, event: str, *, app: str, environment: str, commit: Text, condition: Expression) -> Run:
    """Tell a channel what became of a deployment; it never fails the job. Its secrets are `notify_secrets`.

    What is deployed is called by its tag, and without one by its commit.
    """
    sha = commit if isinstance(commit, Expression) else github("sha")
    version = Expression(f"github.ref_type == 'tag' && github.ref_name || {sha.text}")
    return Run(
        name=f"Notify: {event}",
        condition=condition,
        env={**{name: secret(name) for name in notify_secrets(channel)}, "VERSION": version},
        run=joined(
            f"pavedpath notify --channel {channel} --event {event}",
            f"--app {app} --environment {environment}",
            '--version "$VERSION" --best-effort',
        ),
    )


def notify_secrets(channel: str) -> list[str]:
    """Return the secrets that a channel needs: its address and, of a webhook, the key by which it knows the sender."""
    return ["NOTIFY_URL", *(["NOTIFY_SECRET"] if channel == "webhook" else [])] if channel else []


def image_name(registry: Registry, owner: str, service: str, image: str) -> str:
    """Return an image's name without a tag; `owner` is empty for the repository's."""
    return f"{registry.host}/{owner_name(owner)}/{service}{'/' if registry.nested else '-'}{image}"


def owner_name(owner: str) -> Text:
    """Return how a registry writes an owner, in lower case; `owner` is empty for the repository's, written as it is."""
    return owner.lower() or github("repository_owner")


def chart_store(owner: str) -> Text:
    """Return the address below which charts are kept beside the images."""
    return f"oci://{variable('IMAGE_REGISTRY', 'ghcr.io')}/{owner_name(owner)}/charts"


def variable_of(prefix: str, name: str) -> str:
    """Return the name of an environment variable or secret that belongs to something with a name."""
    return re.sub(r"[^A-Z0-9]", "_", f"{prefix}_{name}".upper())


def job_id(prefix: str, name: str) -> str:
    """Return the id of a job that belongs to something with a name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"{prefix}_{name}")


def all_of(*conditions: Expression) -> Expression:
    """Join comparisons and calls that must all hold, without the brackets that `&` sets to be safe."""
    return Expression(" && ".join(each.text for each in conditions))


def any_of(*conditions: Expression) -> Expression:
    """Join comparisons and calls of which one must hold, without the brackets that `|` sets to be safe."""
    return Expression(" || ".join(each.text for each in conditions))


def joined(*parts: str) -> str:
    """Join the parts of one command, over several lines where they do not fit on one."""
    line = " ".join(part for part in parts if part)
    return line if len(line) <= 100 else " \\\n  ".join(part for part in parts if part)


def promote(images: Mapping[str, Text], tags: Mapping[str, Text]) -> Run:
    """Name digests by tags: refused (exit code 5) for what was not tested and scanned.

    Args:
        images: IMAGE@DIGEST by the image's name.
        tags: references with their tags, one a line, by the image's name.
    """
    env = {variable_of("IMAGE", name): text for name, text in images.items()}
    env |= {variable_of("TAGS", name): text for name, text in tags.items()}
    lines = [
        f'mapfile -t tags <<<"${variable_of("TAGS", name)}"\n'
        f'pavedpath image promote "${variable_of("IMAGE", name)}" "${{tags[@]/#/--to=}}"'
        for name in images
    ]
    return Run(name="Name what was tested and scanned", env=env, run="\n".join(lines))


def record_tested(images: Mapping[str, Text]) -> Run:
    """Attach to each digest that the checks of its commit passed."""
    env: dict[str, Text] = {variable_of("IMAGE", name): text for name, text in images.items()}
    lines = [f'pavedpath image record "${name}" --kind tested' for name in env]
    return Run(name="Record that the checks passed", env=env, run="\n".join(lines))
