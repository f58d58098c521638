"""What runs in the jobs of other systems than GitHub, run here; and which services they can be rendered for."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pavedpath import InvalidArgumentsError
from pavedpath.plans import Approval
from pavedpath.workflows import gitlab, jenkins, portable
from pavedpath.workflows.portable import Words
from pavedpath.workflows.service import Image, Service, Target

from tests.unit.docs.blocks import blocks
from tests.unit.workflows.deliveries import API, DEV, HOSTILE, ORDERS, PROD, SETTINGS, TAGGED, TOOLS, golden
from tests.unit.workflows.scripts import Machine
from tests.unit.workflows.test_catalogue_scripts import Git

WORDS = Words(commit="$COMMIT", branch="$BRANCH", tag="$TAG", default_branch="main", run_url="$URL", source="$SOURCE")
ACCESS = {"IMAGE_REGISTRY": "r.example", "IMAGE_PREFIX": "r", "IMAGE_REGISTRY_USER": "u", "URL": "https://ci/1"}
SECRET = "hunter2%s'\"$x"  # what a format, a quote or an expansion would spoil
PAGES = Path(__file__).resolve().parents[3] / "docs" / "pipelines"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    (found.checkout / ".pavedpath").mkdir(parents=True)
    (found.checkout / portable.kept(API)).write_text("r/api@sha256:1\n")
    return found


class TestDeployment:
    SCRIPT = portable.deploy(ORDERS, DEV, "")
    ENV: ClassVar = {"INGRESS_HOST": "orders.example"}

    def test_that_works_is_left_alone(self, machine: Machine) -> None:
        done = machine.run(self.SCRIPT, **self.ENV)
        assert done.returncode == 0, done.stderr
        assert machine.commands == ["deploy --dry-run", "deploy", "smoke"]
        (deployed,) = [each for each in machine.calls if each.startswith("pavedpath deploy") and "--dry" not in each]
        assert "--timeout 5m --history 10 --image api=r/api@sha256:1" in deployed
        assert machine.last == "pavedpath smoke orders.example"

    def test_that_fails_is_not_rolled_back_again(self, machine: Machine) -> None:
        done = machine.run(self.SCRIPT, DEPLOY="6", STATE="rolled-back", **self.ENV)
        assert done.returncode == 6
        assert machine.commands == ["deploy --dry-run", "deploy", "diagnose"]

    @pytest.mark.parametrize("diagnose", ["0", "1"])
    def test_that_does_not_answer_is_rolled_back_once(self, machine: Machine, diagnose: str) -> None:
        done = machine.run(self.SCRIPT, SMOKE="1", DIAGNOSE=diagnose, **self.ENV)
        assert done.returncode == 1
        assert machine.commands == ["deploy --dry-run", "deploy", "smoke", "diagnose", "rollback"]
        assert machine.last == "pavedpath rollback orders --namespace orders --if-deployed 7"

    def test_that_changed_nothing_is_not_rolled_back(self, machine: Machine) -> None:
        done = machine.run(self.SCRIPT, SMOKE="1", STATE="unchanged", **self.ENV)
        assert done.returncode == 1
        assert machine.commands[-1] == "diagnose"

    def test_whose_rollback_fails_says_so(self, machine: Machine) -> None:
        assert machine.run(self.SCRIPT, SMOKE="1", ROLLBACK="7", **self.ENV).returncode == 7

    def test_is_not_begun_when_its_preview_fails(self, machine: Machine) -> None:
        assert machine.run(self.SCRIPT, PREVIEW="2", **self.ENV).returncode == 2
        assert machine.commands == ["deploy --dry-run"]

    def test_is_not_begun_without_a_host_to_try(self, machine: Machine) -> None:
        done = machine.run(self.SCRIPT)
        assert done.returncode != 0
        assert "INGRESS_HOST: is not set" in done.stderr
        assert machine.commands == []

    def test_is_not_begun_without_a_digest(self, machine: Machine) -> None:
        (machine.checkout / portable.kept(API)).unlink()
        assert machine.run(self.SCRIPT, **self.ENV).returncode != 0
        assert machine.commands == []


class TestBuild:
    SCRIPT = portable.build(
        API, 'buildctl-daemonless.sh --metadata-file "$scratch/m"\n' + portable.keep_digest(API, "$scratch/m")
    )
    ENV: ClassVar = {**ACCESS, "IMAGE_REGISTRY_PASSWORD": SECRET}

    @pytest.mark.parametrize("shell", [("dash",), ("bash",)])
    def test_keeps_the_digest(self, machine: Machine, shell: tuple[str, ...]) -> None:
        done = machine.run(self.SCRIPT, interpreter=shell, **self.ENV)
        assert done.returncode == 0, done.stderr
        assert (machine.checkout / portable.kept(API)).read_text() == "r/api@sha256:5\n"

    def test_happens_once_for_a_commit(self, machine: Machine) -> None:
        (machine.checkout / portable.found(API)).write_text("r/api@sha256:9\n")
        assert machine.run(self.SCRIPT, interpreter=("dash",), **self.ENV).returncode == 0
        assert machine.commands == []
        assert (machine.checkout / portable.kept(API)).read_text() == "r/api@sha256:9\n"

    def test_without_a_digest_fails(self, machine: Machine) -> None:
        (machine.checkout / portable.kept(API)).unlink()
        assert machine.run(self.SCRIPT, interpreter=("dash",), METADATA="{}", **self.ENV).returncode != 0
        assert not (machine.checkout / portable.kept(API)).exists()

    def test_an_earlier_one_is_looked_for(self, machine: Machine) -> None:
        done = machine.run(portable.find_built(ORDERS, WORDS), COMMIT=COMMIT, RESOLVED="", **self.ENV)
        assert done.returncode == 0, done.stderr
        assert "pavedpath image resolve r/api:sha-0123456789ab --if-there" in machine.calls
        assert not (machine.checkout / portable.found(API)).read_text().strip()


class TestLogin:
    @pytest.mark.parametrize("shell", [("dash", "-eu"), ("bash", "-eu")])
    def test_the_password_is_on_no_command_line_and_gone_at_the_end(
        self, machine: Machine, shell: tuple[str, ...]
    ) -> None:
        shown = 'cat "$DOCKER_CONFIG/config.json"; echo; stat -c %a "$DOCKER_CONFIG/config.json"'
        script = portable.scratch() + portable.login() + shown
        done = machine.run(script, interpreter=shell, **ACCESS, IMAGE_REGISTRY_PASSWORD=SECRET)
        assert done.returncode == 0, done.stderr
        config, mode = done.stdout.splitlines()
        auth = json.loads(config)["auths"]["r.example"]["auth"]
        assert (base64.b64decode(auth).decode(), mode) == (f"u:{SECRET}", "600")
        assert list((machine.folder / "tmp").iterdir()) == []
        assert {each.split()[0] for each in machine.calls} >= {"base64", "tr", "mkdir"}  # and printf is no program
        assert "hunter2" not in "\n".join(machine.calls)
        assert auth not in "\n".join(machine.calls)


class TestPublish:
    def test_names_what_was_judged_and_recorded_before(self, machine: Machine) -> None:
        env = {**ACCESS, "IMAGE_REGISTRY_PASSWORD": SECRET, "COMMIT": COMMIT, "BRANCH": "main"}
        done = machine.run(portable.publish(ORDERS, WORDS, "exceptions.yaml"), **env)
        assert done.returncode == 0, done.stderr
        called = [each.removeprefix("pavedpath ") for each in machine.calls if each.startswith("pavedpath ")]
        assert [" ".join(each.split()[:2]) for each in called] == [
            *["scan gate"] * 2,
            *["image record"] * 3,
            "image tags",
            "image promote",
        ]
        assert "--exceptions exceptions.yaml" in called[0]
        assert "--ref refs/heads/main" in called[-2]
        assert called[-1] == "image promote r/api@sha256:1 --to=r/api:sha-1 --to=r/api:dev"
        assert SECRET not in "\n".join(machine.calls)


class TestRelease:
    def released(self, git: Git, tmp_path: Path, commit: str, service: Service) -> Machine:
        machine = Machine(tmp_path / "machine")
        machine.folder.mkdir()
        script = f"cd {git.folder}\n{portable.release(service, WORDS)}"
        env = {**ACCESS, "IMAGE_REGISTRY_PASSWORD": SECRET, "COMMIT": commit, "TAG": "v1.2.0"}
        self.code = machine.run(script, **env).returncode
        return machine

    @pytest.fixture
    def git(self, tmp_path: Path) -> Git:
        (tmp_path / "clone").mkdir()
        return Git(tmp_path / "clone")

    @pytest.mark.parametrize(("target", "end"), [(TAGGED, "-dev"), (PROD, "")])
    def test_takes_what_ran_before(self, git: Git, tmp_path: Path, target: Target, end: str) -> None:
        commit = git.commit()
        git.track("main")
        machine = self.released(git, tmp_path, commit, replace(ORDERS, targets=[DEV, target]))
        assert self.code == 0
        assert f"pavedpath image resolve r/api:sha-{commit[:12]}{end}" in machine.calls
        assert machine.last == "pavedpath image promote r/api@sha256:1 --to=r/api:sha-1 --to=r/api:dev"

    def test_refuses_what_was_never_merged(self, git: Git, tmp_path: Path) -> None:
        git.commit()
        git.track("main")
        machine = self.released(git, tmp_path, git.commit("stray"), ORDERS)
        assert self.code != 0
        assert machine.commands == []


BROKEN: list[tuple[dict[str, Any], str]] = [
    *(({"name": each}, "name") for each in HOSTILE),
    *(({"checks": {each: "true"}}, "checks") for each in HOSTILE),
    *(({"images": [replace(API, name=each)]}, "images[0].name") for each in HOSTILE),
    *(({"images": [replace(API, context=each)]}, "images[0].context") for each in HOSTILE),
    *(({"images": [replace(API, dockerfile=each)]}, "images[0].dockerfile") for each in HOSTILE),
    *(({"images": [replace(API, platforms=[each])]}, "images[0].platforms") for each in HOSTILE),
    *(({"chart": each}, "chart") for each in HOSTILE),
    *(({"values": each}, "values") for each in HOSTILE if each),
    *(({"targets": [replace(DEV, environment=each)]}, "targets[0].environment") for each in HOSTILE),
    *(({"targets": [replace(DEV, namespace=each)]}, "targets[0].namespace") for each in HOSTILE if each),
    *(({"targets": [replace(DEV, runner_labels=[each])]}, "targets[0].runner_labels") for each in HOSTILE),
    *(({"targets": [replace(DEV, smoke_host_variable=each)]}, "targets[0].smoke_host_variable") for each in HOSTILE),
    *(
        ({"targets": [replace(DEV, tags=[each])]}, "targets[0].tags")
        for each in HOSTILE
        if each not in ("../a", "/etc", "-rf", "*a")
    ),
    *(({"python": [each]}, "python") for each in HOSTILE),
    ({"checks": {}}, "checks"),
    ({"checks": {"test": " "}}, "checks.test"),
    ({"checks": {"test": "echo \x1b[2J"}}, "checks.test"),
    ({"python": []}, "python"),
    ({"images": [API, API]}, "images[1].name"),
    ({"images": [replace(API, platforms=[])]}, "images[0].platforms"),
    ({"images": [], "targets": [], "chart": ""}, "images"),
    ({"chart": ""}, "chart"),
    ({"targets": [DEV, replace(DEV, environment="Dev")]}, "targets[1].environment"),
    ({"targets": [replace(DEV, timeout_minutes=0)]}, "targets[0].timeout_minutes"),
    ({"targets": [replace(DEV, tags=["v*"]), replace(TAGGED, tags=["w*"])]}, "targets[1].tags"),
    ({"images": [], "targets": [TAGGED]}, "targets"),
]


@pytest.mark.parametrize(("change", "argument"), BROKEN)
def test_what_no_pipeline_may_hold_is_refused_by_both(change: dict[str, Any], argument: str) -> None:
    broken = replace(ORDERS, **change)
    for render in (lambda: gitlab.render(broken, TOOLS), lambda: jenkins.render(broken, TOOLS, SETTINGS)):
        with pytest.raises(InvalidArgumentsError) as caught:
            render()
        assert argument in {each.argument for each in caught.value.problems}


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"targets": [replace(PROD, approval="nobody")]}, "targets[0].approval"),
        ({"targets": ["dev"]}, "targets[0]"),
        ({"images": "api"}, "images"),
        ({"images": ["api"]}, "images[0]"),
        ({"name": None}, "name"),
        ({"owner": 5}, "owner"),
        ({"checks": ["make"]}, "checks"),
        ({"python": "3.12"}, "python"),
        ({"python": [3.12]}, "python[0]"),
        ({"chart": "oci://ghcr.io/acme/web"}, "chart"),
    ],
)
def test_what_is_of_the_wrong_type_is_refused_by_both(change: dict[str, Any], argument: str) -> None:
    test_what_no_pipeline_may_hold_is_refused_by_both(change, argument)


@pytest.mark.parametrize("image", ["python:3.13", "python@sha256:12", "Python@sha256:" + "0" * 64, *HOSTILE])
def test_a_tool_has_a_digest(image: str) -> None:
    for field in ("delivery", "buildkit", "trivy", *(["deploy"] if image else [])):
        with pytest.raises(InvalidArgumentsError, match=rf"tools\.{field}"):
            gitlab.render(ORDERS, replace(TOOLS, **{field: image}))
    with pytest.raises(InvalidArgumentsError, match=r"tools\.python\[3\.12\]"):
        gitlab.render(ORDERS, replace(TOOLS, python={"3.12": image}))


def test_all_that_is_wrong_is_said_at_once() -> None:
    broken = Service(
        name="Or ders",
        checks={"a b": ""},
        images=[Image(name="A", context="..", dockerfile="$x", platforms=["linux"])],
        targets=[Target(environment="a/b", namespace="A", tags=["v 1"])],
        python=["3.11"],
    )
    with pytest.raises(InvalidArgumentsError) as caught:
        gitlab.render(broken, replace(TOOLS, trivy="trivy"), runners=["a b"], exceptions="/x")
    assert [each.argument for each in caught.value.problems] == [
        *("name", "chart", "checks", "checks.a b"),
        *("images[0].name", "images[0].context", "images[0].dockerfile", "images[0].platforms"),
        *("targets[0].environment", "targets[0].namespace", "targets[0].tags", "tools.python", "tools.trivy"),
        *("runners", "exceptions"),
    ]


def test_targets_before_the_first_of_tags_are_those_of_main() -> None:
    third = Target(environment="eu", approval=Approval.DISPATCH)
    service = replace(ORDERS, targets=[DEV, TAGGED, third])
    assert (portable.on_main(service), portable.on_tags(service)) == ([DEV], [TAGGED, third])
    assert [portable.leaves_tag(service, each) for each in service.targets] == [True, False, False]
    assert portable.tag_patterns(replace(service, images=[])) == ("v*.*.*",)


@pytest.mark.parametrize("system", ["gitlab", "jenkins"])
def test_the_program_of_a_page_runs(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(PAGES / f"{system}.md")
    exec(compile(block.text, str(block.page), "exec"), {})  # noqa: S102  # the page's own program is what is tested
    assert "pavedpath deploy orders" in capsys.readouterr().out


@pytest.mark.parametrize("system", ["gitlab", "jenkins"])
def test_a_page_names_what_the_pipeline_asks_for(system: str) -> None:
    text, page = golden()[{"gitlab": "gitlab-ci.yml", "jenkins": "Jenkinsfile"}[system]], PAGES / f"{system}.md"
    asked = {*re.findall(r"\$\{(\w+):\?is not set", text), *re.findall(r"credentialsId: '([a-z]+-[a-z]+)", text)}
    asked = {
        each.replace("KUBECONFIG_ORDERS", "KUBECONFIG_").replace("kubeconfig-orders", "kubeconfig-") for each in asked
    }
    assert len(asked) >= 3
    assert [each for each in asked if each not in page.read_text()] == []
