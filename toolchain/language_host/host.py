"""The LanguageRuntime service: what the engine asks of a language host, and the answers for Python."""

import json
import os
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format
from typing_extensions import override

from toolchain.language_host import processes
from toolchain.language_host.environment import (
    HostError,
    Interpreter,
    Options,
    Plugin,
    dependencies,
    installation,
    required_plugins,
)
from toolchain.language_host.protocol import language_pb2, language_pb2_grpc, plugin_pb2

if TYPE_CHECKING:
    Info = language_pb2.ProgramInfo

BAIL_EXIT_CODE = 32
"""pulumi-language-python-exec ends with it when it has told the user what is wrong."""


def options_of(info: "Info") -> Options:
    """The runtime options of a program."""
    given: dict[str, Any] = json_format.MessageToDict(info.options) if info.HasField("options") else {}
    return Options.parse(info.root_directory, given)


def run_command(request: "language_pb2.RunRequest", python: Path, executor: Path, engine: str) -> list[str]:
    """The command that runs a program. Configuration is not in it: other users could read it there."""
    flags = {
        "project": request.project,
        "root_directory": request.info.root_directory,
        "stack": request.stack,
        "parallel": str(request.parallel),
        "dry_run": "true" if request.dryRun else "false",
        "pwd": request.pwd,
        "monitor": request.monitor_address,
        "engine": engine,
        "organization": request.organization,
    }
    given = [word for name, value in flags.items() if value for word in (f"--{name}", value)]
    program = os.path.join(request.info.program_directory, request.info.entry_point)
    return [str(python), "-u", str(executor), *given, program, *request.args]


def plugin_command(request: "language_pb2.RunPluginRequest", python: Path) -> list[str]:
    """The command that runs a policy pack (kind "analyzer") or a component package.

    Policy packs go through the SDK's runner, which takes the program last and gives it the stack's configuration.
    """
    program = os.path.join(request.info.program_directory, request.info.entry_point)
    if request.kind == "analyzer":
        return [str(python), "-u", "-m", "pulumi.policy", *request.args, program]
    return [str(python), "-u", program, *request.args]


def package_dependency(plugin: Plugin) -> "plugin_pb2.PackageDependency":
    """A required provider as the engine wants it."""
    more = plugin.parameterization
    return plugin_pb2.PackageDependency(
        name=plugin.name,
        kind="resource",
        version=f"v{plugin.version.removeprefix('v')}",
        server=plugin.server,
        parameterization=more
        and plugin_pb2.PackageParameterization(name=more.name, version=more.version, value=more.value),
    )


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """One host serves one engine; `engine` is the address that programs report to."""

    def __init__(self, engine: str, executor: Path) -> None:
        self.engine = engine
        self.executor = executor
        self.programs = processes.Processes()
        self.plugins = processes.Processes()
        self.cancelled = False

    @override
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The engine introduces itself."""
        self.engine = request.engine_address or self.engine
        return language_pb2.LanguageHandshakeResponse()

    @override
    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The host is as old as the SDK whose stubs it uses."""
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    @override
    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The providers of the SDKs installed in the program's environment."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        plugins = _checked(context, lambda: required_plugins(interpreter.site_packages()))
        return language_pb2.GetRequiredPackagesResponse(packages=[package_dependency(one) for one in plugins])

    @override
    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The same in its older form."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        plugins = _checked(context, lambda: required_plugins(interpreter.site_packages()))
        found = [
            plugin_pb2.PluginDependency(name=p.name, kind="resource", version=f"v{p.version}", server=p.server)
            for p in plugins
        ]
        return language_pb2.GetRequiredPluginsResponse(plugins=found)

    @override
    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        """What is installed for a program, for `pulumi about`."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        found = dependencies(interpreter.site_packages(), request.transitiveDependencies)
        listed = [language_pb2.DependencyInfo(name=name, version=version) for name, version in found]
        return language_pb2.GetProgramDependenciesResponse(dependencies=listed)

    @override
    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Which Python runs the program."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        return language_pb2.AboutResponse(executable=str(interpreter.executable), version=interpreter.version())

    @override
    def RuntimeOptionsPrompts(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Nothing needs to be asked: the defaults of the options do."""
        return language_pb2.RuntimeOptionsResponse()

    @override
    def Template(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Templates need no conversion for pip and uv."""
        return language_pb2.TemplateResponse()

    @override
    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Make the virtual environment and install requirements.txt, showing what the installers print."""
        options = _checked(context, lambda: options_of(request.info))
        directory = Path(request.info.program_directory or request.directory)
        commands = _checked(context, lambda: installation(options, directory))
        if not commands:
            yield language_pb2.InstallDependenciesResponse(stdout=b"Everything is installed.\n")
        for command in commands:
            with self.plugins.start(command, directory, dict(os.environ), piped=True) as process:
                for name, line in processes.output(process):
                    stdout, stderr = (line, b"") if name == "stdout" else (b"", line)
                    yield language_pb2.InstallDependenciesResponse(stdout=stdout, stderr=stderr)
                if code := process.wait():
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"`{' '.join(command)}` ended with {code}")

    @override
    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a program to its end. Its output goes where the host's goes: to the engine."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        command = run_command(request, interpreter.executable, self.executor, self.engine)
        env = interpreter.environ() | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        with self.programs.start(command, Path(request.pwd), env) as process:
            context.add_callback(lambda: processes.end([process]))
            code = process.wait()
        if code == 0:
            return language_pb2.RunResponse()
        if code == BAIL_EXIT_CODE or self.cancelled:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=processes.describe_exit(code))

    @override
    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Run a policy pack or a component package until it ends or the engine hangs up."""
        interpreter = _checked(context, lambda: Interpreter.find(options_of(request.info)))
        command = plugin_command(request, interpreter.executable)
        directory = Path(request.pwd or request.info.program_directory)
        with self.plugins.start(command, directory, interpreter.environ(request.env), piped=True) as process:
            context.add_callback(lambda: processes.end([process]))
            for name, line in processes.output(process):
                said = language_pb2.RunPluginResponse
                yield said(stdout=line) if name == "stdout" else said(stderr=line)
            yield language_pb2.RunPluginResponse(exitcode=process.wait())

    @override
    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        """End the program. Plugins stay: operations that are under way still need them, and the engine ends them."""
        self.cancelled = True
        self.programs.end()
        return empty_pb2.Empty()


def _checked(context: grpc.ServicerContext, answer: "Callable[[], Any]") -> Any:
    """Turn a HostError into the status whose text the engine shows."""
    try:
        return answer()
    except HostError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise  # abort raises already; this tells the type checker
