"""The few decisions that are made in scripts, made by the shell that a runner makes them with."""

import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from pavedpath.workflows.catalogue import Blueprint, release
from pavedpath.workflows.catalogue.jobs import changes
from pavedpath.workflows.catalogue.steps import STEPS_VERSION
from pavedpath.workflows.checks import gate_job
from pavedpath.workflows.model import Job, Run
from pavedpath.workflows.rendering import script

from tests.unit.workflows.pipelines import DEV, PIPELINES, service


def run(step: Run, folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    # Source: GitHub, "Workflow syntax", jobs.<job_id>.steps[*].shell: what `shell: bash` runs.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script(step.run)]
    environment = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(folder / "outputs"), **env}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def outputs(folder: Path) -> Mapping[str, str]:
    lines = (folder / "outputs").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def of(job: Job, *, id: str = "", name: str = "") -> Run:  # noqa: A002  the step's own word
    (found,) = [each for each in job.steps if (each.id == id if id else each.name == name)]
    assert isinstance(found, Run)
    return found


class Git:
    """A clone, with `origin/…` as a checkout leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self("init", "-q", "-b", "main")

    def __call__(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.test"]
        command = ["git", *identity, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, path: str = "file", text: str = "") -> str:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text or path)
        self("add", ".")
        self("commit", "-q", "--allow-empty", "-m", path)
        return self("rev-parse", "HEAD")

    def track(self, branch: str) -> None:
        self("update-ref", f"refs/remotes/origin/{branch}", "HEAD")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path)


class TestGate:
    JOB = gate_job(["changes", "test", "image"], may_be_skipped=["image"])

    @pytest.mark.parametrize(
        ("results", "passes"),
        [
            ({"changes": "success", "test": "success", "image": "success"}, True),
            ({"changes": "success", "test": "success", "image": "skipped"}, True),
            ({"changes": "success", "test": "skipped", "image": "success"}, False),
            ({"changes": "failure", "test": "success", "image": "skipped"}, False),
            ({"changes": "success", "test": "success", "image": "cancelled"}, False),
            ({"changes": "success", "test": "failure", "image": "success"}, False),
        ],
    )
    def test_only_what_may_be_skipped_is(self, tmp_path: Path, results: dict[str, str], passes: bool) -> None:
        (step,) = self.JOB.steps
        assert isinstance(step, Run)
        needs = json.dumps({name: {"result": result, "outputs": {}} for name, result in results.items()})
        done = run(step, tmp_path, RESULTS=needs, MAY_BE_SKIPPED=str(step.env["MAY_BE_SKIPPED"]))
        assert (done.returncode == 0) is passes, done.stderr

    def test_without_such_jobs_each_must_succeed(self, tmp_path: Path) -> None:
        (step,) = gate_job(["a", "b"]).steps
        assert isinstance(step, Run)
        assert run(step, tmp_path, RESULTS='["success", "success"]').returncode == 0
        assert run(step, tmp_path, RESULTS='["success", "skipped"]').returncode != 0


class TestChanges:
    STEP = of(changes({"dbt": ["analytics"], "image_api": ["services/api", ".github/workflows/ci.yml"]}), id="compare")

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("README.md", {"dbt": "false", "image_api": "false"}),
            ("analytics/models/a.sql", {"dbt": "true", "image_api": "false"}),
            ("services/api/app.py", {"dbt": "false", "image_api": "true"}),
            ("services/api-docs/a.md", {"dbt": "false", "image_api": "false"}),
            (".github/workflows/ci.yml", {"dbt": "false", "image_api": "true"}),
        ],
    )
    def test_are_those_since_the_branch_point(self, git: Git, path: str, found: dict[str, str]) -> None:
        git.commit()
        git("checkout", "-q", "-b", "feature")
        git.commit(path)
        git("checkout", "-q", "main")
        base = git.commit("analytics/later-on-main.sql")
        git("checkout", "-q", "feature")
        done = run(self.STEP, git.folder, BASE=base)
        assert (done.returncode, outputs(git.folder)) == (0, found)

    @pytest.mark.parametrize("base", ["none", "0" * 40, "f" * 40])
    def test_are_everything_where_nothing_can_be_compared(self, git: Git, base: str) -> None:
        git.commit()
        assert run(self.STEP, git.folder, BASE=base).returncode == 0
        assert outputs(git.folder) == {"dbt": "true", "image_api": "true"}


class TestRelease:
    def release(self, git: Git, commit: str, *, hotfixes: bool) -> "subprocess.CompletedProcess[str]":
        made = release(Blueprint(service=service(DEV)), hotfixes=hotfixes)
        return run(of(made.jobs["release"], id="commit"), git.folder, COMMIT=commit)

    @pytest.fixture
    def commits(self, git: Git) -> dict[str, str]:
        found = {"old": git.commit("a"), "main": git.commit("b")}
        git.track("main")
        git("checkout", "-q", "-b", "hotfix/pay", found["old"])
        found["hotfix"] = git.commit("c")
        git.track("hotfix/pay")
        git("checkout", "-q", "-b", "feature", found["old"])
        found["stray"] = git.commit("d")
        git.track("feature")
        return found

    @pytest.mark.parametrize("hotfixes", [True, False])
    @pytest.mark.parametrize("where", ["old", "main"])
    def test_takes_a_commit_of_the_default_branch(
        self, git: Git, commits: dict[str, str], where: str, hotfixes: bool
    ) -> None:
        done = self.release(git, commits[where], hotfixes=hotfixes)
        assert done.returncode == 0, done.stderr
        assert outputs(git.folder) == {"commit": commits[where], "branch": "main", "hotfix": ""}

    def test_takes_a_hotfix_only_if_there_may_be_any(self, git: Git, commits: dict[str, str]) -> None:
        assert self.release(git, commits["hotfix"], hotfixes=False).returncode != 0
        done = self.release(git, commits["hotfix"], hotfixes=True)
        assert done.returncode == 0, done.stderr
        assert outputs(git.folder) == {"commit": commits["hotfix"], "branch": "hotfix/pay", "hotfix": "true"}

    @pytest.mark.parametrize("hotfixes", [True, False])
    def test_refuses_what_was_never_merged(self, git: Git, commits: dict[str, str], hotfixes: bool) -> None:
        assert self.release(git, commits["stray"], hotfixes=hotfixes).returncode != 0
        assert not (git.folder / "outputs").exists()


class TestApproval:
    def test_an_approval_branch_deploys_what_of_main_was_merged_into_it(self, git: Git) -> None:
        (apart,) = [each for each in PIPELINES["branch"].workflows if each.file == "deploy-prod.yml"]
        step = of(apart.jobs["images"], id="commit")
        first = git.commit("a")
        git("checkout", "-q", "-b", "deploy/prod")
        git("checkout", "-q", "main")
        approved = git.commit("b")
        git("checkout", "-q", "deploy/prod")
        git("merge", "-q", "--no-ff", "-m", "approve", "main")
        merge = git("rev-parse", "HEAD")
        git("checkout", "-q", "main")
        git.commit("later")
        git.track("main")
        assert run(step, git.folder, MEANT=merge, MAIN="origin/main").returncode == 0
        assert outputs(git.folder) == {"commit": approved}
        assert approved != first

    @pytest.mark.parametrize(
        ("meant", "passes"), [("main", True), ("main~1", True), ("stray", False), ("--all", False)]
    )
    def test_a_start_by_hand_takes_exactly_a_commit_of_main(self, git: Git, meant: str, passes: bool) -> None:
        (apart,) = [each for each in PIPELINES["dispatch"].workflows if each.file == "deploy-prod.yml"]
        git.commit("a")
        git.commit("b")
        git.track("main")
        git("checkout", "-q", "-b", "stray")
        git.commit("c")
        done = run(of(apart.jobs["images"], id="commit"), git.folder, MEANT=meant, MAIN="origin/main")
        assert (done.returncode == 0) is passes
        if passes:
            assert outputs(git.folder) == {"commit": git("rev-parse", meant)}


class TestHotfix:
    def test_begins_at_a_release(self, git: Git) -> None:
        (workflow,) = [each for each in PIPELINES["branch"].workflows if each.file == "hotfix.yml"]
        step = of(workflow.jobs["base"], name="Refuse a branch that is from no release")
        git.commit("a")
        assert run(step, git.folder).returncode != 0
        git("tag", "nightly")
        assert run(step, git.folder).returncode != 0
        git("tag", "-a", "-m", "v1.2.0", "v1.2.0")
        git.commit("fix")
        assert run(step, git.folder).returncode == 0


class TestKubeconfig:
    @pytest.mark.parametrize(("pipeline", "given"), [("branch", "apiVersion: v1"), ("helm", "YXBpVmVyc2lvbjogdjE=")])
    def test_only_this_user_reads_it(self, tmp_path: Path, pipeline: str, given: str) -> None:
        file = "cd.yml" if pipeline == "helm" else "deploy.yml"
        (workflow,) = [each for each in PIPELINES[pipeline].workflows if each.file == file]
        step = of(workflow.jobs["dev_deploy"], name="Write the kubeconfig")
        env = {"KUBECONFIG_TEXT": given, "RUNNER_TEMP": str(tmp_path), "GITHUB_ENV": str(tmp_path / "env")}
        done = run(step, tmp_path, **env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (tmp_path / "kubeconfig").read_text() == "apiVersion: v1"
        assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "env").read_text() == f"KUBECONFIG={tmp_path}/kubeconfig\n"


class TestTheLockedCommand:
    LOCK = ".github/delivery.txt"

    @pytest.fixture
    def step(self) -> Run:
        (workflow,) = [each for each in PIPELINES["locked"].workflows if each.file == "rollback.yml"]
        return of(workflow.jobs["dev_rollback"], name="Install the delivery steps")

    def install(self, step: Run, folder: Path, lock: str) -> "subprocess.CompletedProcess[str]":
        """Run the step where the registry has one release, which needs nothing."""
        wheel = folder / "registry" / f"pavedpath_delivery-{STEPS_VERSION}-py3-none-any.whl"
        wheel.parent.mkdir()
        about = f"pavedpath_delivery-{STEPS_VERSION}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("told.py", "def main(): print('told')")
            archive.writestr(f"{about}/METADATA", f"Name: pavedpath-delivery\nVersion: {STEPS_VERSION}\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/entry_points.txt", "[console_scripts]\npavedpath = told:main\n")
            archive.writestr(f"{about}/RECORD", "")
        file = folder / ".delivery" / self.LOCK
        file.parent.mkdir(parents=True)
        file.write_text(lock.replace("WHEEL", hashlib.sha256(wheel.read_bytes()).hexdigest()))
        env = {
            "LOCK": f".delivery/{self.LOCK}",
            "VENV": str(folder / "delivery"),
            "GITHUB_PATH": str(folder / "path"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
        }
        return run(step, folder, **env)

    def test_is_what_the_hashes_say(self, step: Run, tmp_path: Path) -> None:
        done = self.install(step, tmp_path, f"pavedpath-delivery=={STEPS_VERSION} \\\n    --hash=sha256:WHEEL\n")
        assert done.returncode == 0, done.stdout + done.stderr
        (folder,) = (tmp_path / "path").read_text().splitlines()
        assert subprocess.run([f"{folder}/pavedpath"], capture_output=True, check=True).stdout == b"told\n"
        assert not (tmp_path / ".delivery").exists()

    @pytest.mark.parametrize(
        ("lock", "why"),
        [
            (f"pavedpath-delivery=={STEPS_VERSION} --hash=sha256:{'0' * 64}", "DO NOT MATCH THE HASHES"),
            (f"pavedpath-delivery=={STEPS_VERSION}", "Hashes are required"),
            ("pavedpath-delivery==0.0.1 --hash=sha256:WHEEL", f"does not lock pavedpath-delivery=={STEPS_VERSION}"),
            (f"pavedpath-delivery=={STEPS_VERSION}rc1 --hash=sha256:WHEEL", "does not lock"),
            (f"other\n# pavedpath-delivery=={STEPS_VERSION}", f"does not lock pavedpath-delivery=={STEPS_VERSION}"),
        ],
    )
    def test_is_nothing_else(self, step: Run, tmp_path: Path, lock: str, why: str) -> None:
        done = self.install(step, tmp_path, lock)
        assert done.returncode != 0
        assert why in done.stdout + done.stderr
        assert not (tmp_path / "path").exists()

    def test_is_that_of_every_job(self) -> None:
        runs = [
            step.run
            for workflow in PIPELINES["locked"].workflows
            for job in workflow.jobs.values()
            for step in job.steps
            if isinstance(step, Run)
        ]
        assert not [each for each in runs if "pipx" in each]
        assert len([each for each in runs if "--require-hashes" in each]) > 5


class TestTags:
    def test_every_tag_of_the_output_is_an_option(self, tmp_path: Path) -> None:
        (workflow,) = [each for each in PIPELINES["branch"].workflows if each.file == "deploy.yml"]
        step = of(workflow.jobs["publish"], name="Name what was tested and scanned")
        (tmp_path / "pavedpath").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
        (tmp_path / "pavedpath").chmod(0o755)
        env = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "IMAGE_API": "r/api@sha256:0",
            "TAGS_API": "r/api:a\nr/api:b",
        }
        done = run(step, tmp_path, **env)
        assert done.stdout.splitlines() == ["image", "promote", "r/api@sha256:0", "--to=r/api:a", "--to=r/api:b"]
