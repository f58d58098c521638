"""Write this repository's workflows from the catalogue, or check that they are what it gives.

.venv/bin/python .github/generate.py
.venv/bin/python .github/generate.py --check
"""

import sys
import tomllib
from pathlib import Path

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.catalogue.previews import Previews, previews
from pavedpath.workflows.checking import problems
from pavedpath.workflows.checks import GATE, gate_job
from pavedpath.workflows.expressions import event_is, github
from pavedpath.workflows.model import Concurrency, EnvironmentFacts, Job, PullRequest, Push, Run, Surroundings, Workflow
from pavedpath.workflows.rendering import render

ROOT = Path(__file__).resolve().parents[1]
HOW_TO_CHANGE = "Change .github/generate.py and run it."

_PREVIEWS = EnvironmentFacts(
    secrets=("KUBECONFIG", "PREVIEW_GITHUB_TOKEN", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE"),
    variables=("AWS_PREVIEW_ROLE", "AWS_REGION", "PULUMI_BACKEND_URL", "PULUMI_GITHUB_APP"),
)
SURROUNDINGS = Surroundings(
    environments={
        "preview-shared": _PREVIEWS,
        "preview-prod": _PREVIEWS,
        # Without a branch policy: docs/pull-request-previews.md says why.
        "preview-dev": EnvironmentFacts(branches=("**",), secrets=_PREVIEWS.secrets, variables=_PREVIEWS.variables),
    }
)


# changed_stacks.py gives a pull request no such stack, and if a branch changed that, the policy of the environment
# would still refuse it (docs/pull-request-previews.md): neither can be seen in the workflow.
ACCEPTED = {("preview.yml: jobs.preview.environment", stack) for stack in ("preview-shared", "preview-prod")}


def workflows() -> list[Workflow]:
    """Return the workflows of this repository."""
    toolchain = tomllib.loads((ROOT / "toolchain" / "toolchain.toml").read_text())
    settings = Previews(
        changed="python3 .github/changed_stacks.py",
        prepare="""
        make toolchain
        echo "$PWD/.toolchain/bin" >> "$GITHUB_PATH"
        echo "PULUMI_HOME=$PWD/.toolchain/pulumi-home" >> "$GITHUB_ENV"
        """,
        pulumi=toolchain["package"]["pulumi"]["version"],
        policies="policy",
        without_cluster=("shared",),
        how_to_change=HOW_TO_CHANGE,
        page="docs/pull-request-previews.md",
    )
    return [_ci(), previews(settings)]


def files() -> dict[Path, str]:
    """Return the text of each workflow by its path.

    Raises:
        SystemExit: a workflow breaks a rule of `pavedpath.workflows.checking`; names every offender.
    """
    made = workflows()
    if wrong := [each for each in problems(made, SURROUNDINGS) if (each.argument, each.value) not in ACCEPTED]:
        raise SystemExit("\n".join(map(str, wrong)))
    return {ROOT / workflow.path: render(workflow) for workflow in made}


def _ci() -> Workflow:
    test = Job(
        name="test",
        timeout_minutes=90,
        steps=[steps.checkout(), Run(name="make test", run="./.ci/run")],
    )
    return Workflow(
        file="ci.yml",
        name="ci",
        on=[PullRequest(), Push(branches=["main"])],
        concurrency=Concurrency(group=f"ci-{github('ref')}", cancel_in_progress=event_is("pull_request")),
        jobs={"test": test, GATE: gate_job(["test"])},
        how_to_change=HOW_TO_CHANGE,
    )


def main(arguments: list[str]) -> int:
    """Write the files, or with --check say which differ."""
    wanted = files()
    old = sorted(path for path, text in wanted.items() if not path.exists() or path.read_text() != text)
    for path in old:
        if "--check" in arguments:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not what the catalogue gives. Fix: run {sys.argv[0]}\n")
        else:
            path.write_text(wanted[path])
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
