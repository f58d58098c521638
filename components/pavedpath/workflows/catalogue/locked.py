"""`pavedpath` installed by the hashes of a file: not even a registry can then give a deploying job something else."""

from collections.abc import Iterator
from dataclasses import replace

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.expressions import runner
from pavedpath.workflows.model import Run, Step, Uses, Workflow

_FOLDER = ".delivery"


def locked(workflow: Workflow, requirements: str) -> Workflow:
    """Return a pipeline whose jobs install `pavedpath`, and all it stands on, as a file says: each by its hashes.

    A version alone pins none of the packages that it needs, and a registry may add files to a version.

    Args:
        workflow: of the catalogue.
        requirements: path in the repository of the file, as `uv pip compile --generate-hashes` writes it for
            pavedpath-delivery in the release `steps.STEPS_VERSION`.
    """
    plain = steps.command()
    install = (_fetch(requirements), _install(requirements))

    def of(step: Step) -> Iterator[Step]:
        # By what it runs: whoever has changed its name or environment means the same command.
        yield from install if isinstance(step, Run) and step.run == plain.run else (step,)

    jobs = {
        name: replace(job, steps=[each for step in job.steps for each in of(step)])
        for name, job in workflow.jobs.items()
    }
    return replace(workflow, jobs=jobs)


def _fetch(requirements: str) -> Uses:
    return Uses(
        name="Get the lock of the delivery steps",
        # The job may have nothing checked out, or an older commit that has no such file.
        why="From the commit that this workflow is of, whatever is deployed.",
        action="actions/checkout",
        inputs={
            "persist-credentials": False,
            "path": _FOLDER,
            "sparse-checkout": requirements,
            "sparse-checkout-cone-mode": False,
        },
    )


def _install(requirements: str) -> Run:
    release = f"pavedpath-delivery=={steps.STEPS_VERSION}"
    pattern = release.replace(".", r"\.")
    return Run(
        name="Install the delivery steps",
        env={"LOCK": f"{_FOLDER}/{requirements}", "VENV": f"{runner('temp')}/delivery"},
        run=f"""
        grep -Eq '^{pattern}([ ;]|$)' "$LOCK" || {{
          echo "::error::$LOCK does not lock {release}, which these steps are of"
          exit 1
        }}
        python3 -m venv "$VENV"
        "$VENV/bin/pip" install --quiet --require-hashes --requirement "$LOCK"
        echo "$VENV/bin" >> "$GITHUB_PATH"
        rm -r {_FOLDER}
        """,
    )
