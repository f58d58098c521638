"""What an environment's applications are deployed from: chart, values and secrets, read and checked before anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pavedpath import Chart, ChartError, SopsFileError, ValuesFiles, ValuesFilesError, check_values_directory
from pavedpath.errors import Problem
from pavedpath.helm import image_problems, merge, schema_problems

from .identity import Identity
from .settings import ENVIRONMENTS, PROJECT, ApplicationSettings, EnvironmentSettings

VALUES = Path("etc/helm_values")


@dataclass(frozen=True)
class Application:
    """One application with what its release is made of."""

    settings: ApplicationSettings
    chart: Chart
    files: ValuesFiles


class Applications:
    """The applications of one environment; the files of each are read once, by whoever asks first."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._read: dict[str, Application] = {}

    def read(self, name: str, settings: ApplicationSettings) -> Application:
        """Return an application with what `mistakes` found nothing wrong with."""
        if name not in self._read:
            self._read[name] = _read(name, settings, self._environment)
        return self._read[name]

    def mistakes(self, settings: EnvironmentSettings, identity: Identity) -> Iterator[str]:
        """Yield everything that is missing, cannot be used, or belongs to another environment.

        So a mistake in one application stops the stack before its first resource.
        """
        for name, application in released(settings).items():
            try:
                read = self.read(name, application)
            except _UnusableError as error:
                yield from error.problems
            else:
                for problem in _mistakes(read, settings, identity):
                    yield f"{name}: {problem}".removesuffix(".")


def released(settings: EnvironmentSettings) -> dict[str, ApplicationSettings]:
    """Return the applications that the stack itself deploys; the others' repositories do it."""
    return {name: each for name, each in settings.applications.items() if each.chart is not None}


class _UnusableError(Exception):
    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _read(name: str, application: ApplicationSettings, environment: str) -> Application:
    problems: list[str] = []
    chart: Chart | None = None
    files: ValuesFiles | None = None
    try:
        chart = Chart.read(application.chart or "", application.chart_digest)
    except ChartError as error:
        problems.append(f"{PROJECT}:applications.{name}.chart: {error}")
    for read in (
        lambda: check_values_directory(VALUES / name, ENVIRONMENTS),
        lambda: ValuesFiles.read(VALUES / name, environment, with_secrets=application.secrets),
    ):
        try:
            files = read() or files
        except ValuesFilesError as error:
            problems += error.problems
        except SopsFileError as error:
            problems.append(str(error))
    if chart is None or files is None or problems:
        raise _UnusableError(list(dict.fromkeys(problems)))
    return Application(application, chart, files)


def _mistakes(application: Application, settings: EnvironmentSettings, identity: Identity) -> Iterator[Problem]:
    chart, files = application.chart, application.files
    secrets: Mapping[str, object] = files.secrets.tree if files.secrets else {}
    yield from schema_problems(chart.values_schema, chart.default_values, files.values, secrets)
    if settings.require_image_digests:
        yield from image_problems(merge(chart.default_values, files.values))
    if files.secrets:
        yield from files.secrets.foreign_keys(identity.account, identity.region)
