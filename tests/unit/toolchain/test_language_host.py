"""The language host over gRPC, as the engine uses it, with programs that need no engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import language_pb2 as pb
from pulumi.runtime.proto import language_pb2_grpc

from toolchain.language_host import environment
from toolchain.language_host.environment import HostError, Interpreter, Options, Plugin
from toolchain.language_host.processes import describe_exit

ROOT = Path(__file__).resolve().parents[3]

EXECUTOR = """
import argparse, json, os, runpy, sys
parser = argparse.ArgumentParser()
for name in "project root_directory stack parallel dry_run pwd monitor engine organization".split():
    parser.add_argument(f"--{name}")
parser.add_argument("PROGRAM")
parser.add_argument("ARGS", nargs="*")
given = parser.parse_args()
facts = vars(given) | {
    "prefix": sys.prefix, "cwd": os.getcwd(), "config": json.loads(os.environ["PULUMI_CONFIG"]),
    "secret": json.loads(os.environ["PULUMI_CONFIG_SECRET_KEYS"]),
    "pid": os.getpid(), "venv": os.environ["VIRTUAL_ENV"],
}
with open(os.environ["FACTS"] + ".new", "w") as out:
    json.dump(facts, out)
os.rename(out.name, os.environ["FACTS"])
runpy.run_path(given.PROGRAM, run_name="__main__")
"""


@dataclass
class Running:
    """A host process and a client of it."""

    process: subprocess.Popen[str]
    stub: Any
    project: Path
    facts: Path

    def info(self, virtualenv: str = "venv") -> pb.ProgramInfo:
        given = struct_pb2.Struct()
        given.update({"virtualenv": virtualenv})
        root = str(self.project)
        return pb.ProgramInfo(root_directory=root, program_directory=root, entry_point=".", options=given)

    def program(self, source: str) -> pb.RunRequest:
        (self.project / "__main__.py").write_text(source)
        return pb.RunRequest(
            project="p", stack="dev", pwd=str(self.project), parallel=7, dryRun=True, monitor_address="127.0.0.1:9",
            organization="acme", config={"p:a": "b"}, configSecretKeys=["p:a"], info=self.info(),
        )  # fmt: skip

    def facts_of_run(self) -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while not self.facts.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return json.loads(self.facts.read_text())


def launch(
    tmp_path: Path, prefix: tuple[str, ...] = (), errors: IO[str] | None = None
) -> tuple[subprocess.Popen[str], int]:
    executor = tmp_path / "exec.py"
    executor.write_text(EXECUTOR)
    main = str(ROOT / "toolchain/language_host/__main__.py")
    command = [*prefix, sys.executable, "-P", main, "--exec", str(executor), "-tracing", "x", "127.0.0.1:8"]
    env = dict(os.environ) | {"FACTS": str(tmp_path / "facts.json")}
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
    )
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.fixture
def host(tmp_path: Path) -> Generator[Running]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "venv").symlink_to(sys.prefix)
    process, port = launch(tmp_path)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Running(process, language_pb2_grpc.LanguageRuntimeStub(channel), project, tmp_path / "facts.json")
    process.kill()
    process.wait()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def wait_for(true: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_program_gets_what_the_engine_gave(host: Running) -> None:
    assert host.stub.Run(host.program("print('hello')")) == pb.RunResponse()
    facts = host.facts_of_run()
    wanted = {
        "project": "p", "stack": "dev", "parallel": "7", "dry_run": "true", "monitor": "127.0.0.1:9",
        "engine": "127.0.0.1:8", "organization": "acme", "config": {"p:a": "b"}, "secret": ["p:a"],
        "cwd": str(host.project), "venv": str(host.project / "venv"), "prefix": str(host.project / "venv"),
        "root_directory": str(host.project),
    }  # fmt: skip
    assert {name: facts[name] for name in wanted} == wanted
    assert host.process.stdout
    assert host.process.stdout.readline() == "hello\n"


def test_the_engine_of_the_handshake_is_used(host: Running) -> None:
    host.stub.Handshake(pb.LanguageHandshakeRequest(engine_address="127.0.0.1:7"))
    host.stub.Run(host.program(""))
    assert host.facts_of_run()["engine"] == "127.0.0.1:7"


@pytest.mark.parametrize(
    ("program", "response"),
    [
        ("import sys; sys.exit(3)", pb.RunResponse(error="Program exited with non-zero exit code: 3")),
        ("import sys; sys.exit(32)", pb.RunResponse(bail=True)),
        ("import os; os.kill(os.getpid(), 9)", pb.RunResponse(error="Program was ended by SIGKILL")),
    ],
)
def test_how_a_program_ends(host: Running, program: str, response: pb.RunResponse) -> None:
    assert host.stub.Run(host.program(program)) == response


def test_a_missing_environment_is_named(host: Running) -> None:
    request = host.program("")
    request.info.options["virtualenv"] = "nowhere"
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Run(request)
    assert "project/nowhere does not exist: run `pulumi install`" in str(caught.value)


def test_required_packages_are_those_of_the_sdks(host: Running) -> None:
    answer = host.stub.GetRequiredPackages(pb.GetRequiredPackagesRequest(info=host.info()))
    found = {one.name: one.version for one in answer.packages}
    assert found == {name: f"v{environment.metadata.version(f'pulumi-{name}')}" for name in found}
    assert {"aws", "github", "kubernetes"} <= set(found)


def test_what_is_installed(host: Running) -> None:
    ask = pb.GetProgramDependenciesRequest(info=host.info(), transitiveDependencies=True)
    every = {one.name for one in host.stub.GetProgramDependencies(ask).dependencies}
    ask.transitiveDependencies = False
    top = {one.name for one in host.stub.GetProgramDependencies(ask).dependencies}
    assert top < every
    assert {"grpcio", "pulumi"} <= every
    assert "grpcio" not in top  # the SDK requires it
    about = host.stub.About(pb.AboutRequest(info=host.info()))
    assert about.version == sys.version.split()[0]
    assert host.stub.GetPluginInfo(empty_pb2.Empty()).version == environment.metadata.version("pulumi")
    assert not host.stub.RuntimeOptionsPrompts(pb.RuntimeOptionsRequest()).prompts


def test_cancel_ends_the_program_without_an_error_of_its_own(host: Running) -> None:
    running = host.stub.Run.future(host.program("import time; time.sleep(600)"))
    pid = host.facts_of_run()["pid"]
    host.stub.Cancel(empty_pb2.Empty())
    assert running.result(120) == pb.RunResponse(bail=True)
    assert gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_host_ends_program_and_host(host: Running, number: signal.Signals) -> None:
    call = host.stub.Run.future(host.program("import time; time.sleep(600)"))
    pid = host.facts_of_run()["pid"]
    host.process.send_signal(number)
    assert host.process.wait(120) == 0
    assert gone(pid)
    wait_for(call.done)


def test_no_program_outlives_an_engine_that_is_killed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "venv").symlink_to(sys.prefix)
    # The shell plays the engine: the host is its child.
    engine, port = launch(tmp_path, ("/bin/sh", "-c", '"$@"; true', "sh"))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        running = Running(engine, language_pb2_grpc.LanguageRuntimeStub(channel), project, tmp_path / "facts.json")
        call = running.stub.Run.future(running.program("import time; time.sleep(600)"))
        pid = running.facts_of_run()["pid"]
        host = int(Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0])
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        wait_for(lambda: gone(pid) and gone(host))
        wait_for(call.done)


def lines(answers: Iterator[pb.RunPluginResponse]) -> list[tuple[str, bytes | int]]:
    told = [(one.WhichOneof("output"), one) for one in answers]
    return [(name or "", getattr(one, name or "")) for name, one in told]


def test_a_component_package_runs_where_the_engine_says(host: Running, tmp_path: Path) -> None:
    (host.project / "__main__.py").write_text(
        "import os, sys\nprint(os.getcwd(), *sys.argv[1:], os.environ['X'])\nprint('bad', file=sys.stderr)\nsys.exit(4)"
    )
    request = pb.RunPluginRequest(pwd=str(tmp_path), args=["a:1"], env=["X=y=z"], kind="resource", info=host.info())
    told = lines(host.stub.RunPlugin(request))
    assert told[-1] == ("exitcode", 4)
    assert sorted(told[:-1]) == [("stderr", b"bad\n"), ("stdout", f"{tmp_path} a:1 y=z\n".encode())]


def test_a_policy_pack_runs_through_the_runner_of_the_sdk(host: Running) -> None:
    (host.project / "__main__.py").write_text("import sys\nprint('pack', sys.argv)")
    request = pb.RunPluginRequest(pwd=str(host.project), args=["127.0.0.1:1"], kind="analyzer", info=host.info())
    told = lines(host.stub.RunPlugin(request))
    assert told[-1] == ("exitcode", 0)
    assert any(name == "stdout" and b"pack" in bytes(line) for name, line in told if isinstance(line, bytes))


def test_a_plugin_ends_when_the_engine_hangs_up(host: Running) -> None:
    (host.project / "__main__.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)")
    answers = host.stub.RunPlugin(pb.RunPluginRequest(pwd=str(host.project), kind="resource", info=host.info()))
    pid = int(next(answers).stdout)
    answers.cancel()
    wait_for(lambda: gone(pid))


def installed(answers: Iterator[pb.InstallDependenciesResponse]) -> tuple[bytes, str]:
    told = b""
    try:
        for one in answers:
            told += one.stdout + one.stderr
    except grpc.RpcError as error:
        return told, str(error)
    return told, ""


def test_installing_makes_the_environment_and_shows_its_progress(host: Running) -> None:
    info = host.info(virtualenv="fresh")
    (host.project / "requirements.txt").write_text("./nowhere\n")
    request = pb.InstallDependenciesRequest(directory=str(host.project), info=info)
    told, error = installed(host.stub.InstallDependencies(request))
    assert "requirements.txt` ended with " in error
    assert (host.project / "fresh/bin/python").exists()
    assert b"nowhere" in told
    (host.project / "requirements.txt").write_text("# nothing\n")
    assert installed(host.stub.InstallDependencies(request))[1] == ""


def test_nothing_to_install_is_told(host: Running) -> None:
    request = pb.InstallDependenciesRequest(directory=str(host.project), info=host.info())
    assert [one.stdout for one in host.stub.InstallDependencies(request)] == [b"Everything is installed.\n"]


def test_the_host_starts_quickly_for_it_does_not_load_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with (tmp_path / "loaded").open("w") as told:
        process, _ = launch(tmp_path, errors=told)
    process.kill()
    process.wait()
    loaded = {line.rpartition("|")[2].strip() for line in (tmp_path / "loaded").read_text().splitlines()}
    assert "pulumi.runtime.proto.language_pb2" in loaded
    assert loaded.isdisjoint({"pulumi", "pulumi.output", "pulumi.resource", "pulumi_aws"})


# Decisions


def test_an_unknown_toolchain_is_refused() -> None:
    with pytest.raises(HostError, match=r"`toolchain: poetry`: this language host knows pip and uv; set one"):
        Options.parse("/p", {"toolchain": "poetry"})


@given(st.sampled_from(["pip", "uv", None]), st.sampled_from(["venv", "/abs/venv", None]))
def test_a_named_environment_is_relative_to_the_project(toolchain: str | None, named: str | None) -> None:
    found = Options.parse("/p", {"toolchain": toolchain, "virtualenv": named})
    default = Path("/p/.venv") if toolchain == "uv" else None
    assert found.virtualenv == (Path("/p") / named if named else default)


def test_which_commands_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str, **_: object) -> str | None:
        return {"uv": "/bin/uv"}.get(name)

    monkeypatch.setattr("shutil.which", found)
    (tmp_path / "requirements.txt").touch()
    uv = Options.parse(str(tmp_path), {"toolchain": "uv"})
    python = str(tmp_path / ".venv/bin/python")
    assert environment.installation(uv, tmp_path) == [
        ["/bin/uv", "venv", str(tmp_path / ".venv")],
        ["/bin/uv", "pip", "install", "--python", python, "-r", str(tmp_path / "requirements.txt")],
    ]
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "uv.lock").touch()
    assert environment.installation(uv, tmp_path) == [["/bin/uv", "sync", "--project", str(tmp_path)]]
    pip = Options.parse(str(tmp_path), {"virtualenv": "v"})
    assert [command[1:3] for command in environment.installation(pip, tmp_path)] == [["-m", "venv"], ["-m", "pip"]]


def test_without_options_the_interpreter_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "bin/python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    monkeypatch.delenv("PULUMI_PYTHON_CMD", raising=False)
    assert Interpreter.find(Options.parse("/p", {})) == Interpreter(python, None)
    (tmp_path / "pyvenv.cfg").touch()
    active = Interpreter.find(Options.parse("/p", {}))
    assert active.prefix == tmp_path
    assert active.environ(["A=b=c"])["A"] == "b=c"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="no `python3` on PATH"):
        Interpreter.find(Options.parse("/p", {}))


def test_plugins_of_every_kind_of_sdk(tmp_path: Path) -> None:
    def sdk(name: str, facts: dict[str, object]) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi-plugin.json").write_text(json.dumps(facts))

    more = {"name": "real", "version": "2.0.0", "value": "aGk="}
    sdk("pulumi_a", {"resource": True, "name": "a", "version": "1.0.0", "server": "https://example.com"})
    sdk("pulumi_b", {"resource": True, "name": "terraform-provider", "version": "1.0.0", "parameterization": more})
    sdk("pulumi_c", {"resource": False, "name": "c"})
    sdk("pulumi_d", {"resource": True, "name": "d"})
    (tmp_path / "pulumi_d-4.5.6.dist-info").mkdir()
    (tmp_path / "pulumi_d-4.5.6.dist-info/METADATA").write_text("Name: pulumi-d\nVersion: 4.5.6\n")
    assert environment.required_plugins([tmp_path]) == [
        Plugin("a", "1.0.0", "https://example.com", None),
        Plugin("terraform-provider", "1.0.0", "", environment.Parameterization("real", "2.0.0", b"hi")),
        Plugin("d", "4.5.6", "", None),
    ]
    (tmp_path / "pulumi_a/pulumi-plugin.json").write_text("{")
    with pytest.raises(HostError, match=r"pulumi_a/pulumi-plugin.json cannot be read.*reinstall"):
        environment.required_plugins([tmp_path])


def test_an_exit_in_words() -> None:
    assert describe_exit(-15) == "Program was ended by SIGTERM"
    assert describe_exit(1) == "Program exited with non-zero exit code: 1"
