"""What an environment's applications are deployed from: chart, values and secrets, read and checked before anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pavedpath import Chart, ChartError, SopsFileError, ValuesFiles, ValuesFilesError, check_values_directory
from pavedpath.errors import Problem
from pavedpath.helm import image_problems, merge, schema_problems

from .identity import Identity
from .parsing import SettingsError
from .settings import ENVIRONMENTS, ROOT, ApplicationSettings, EnvironmentSettings

VALUES = Path("etc/helm_values")


@dataclass(frozen=True)
class Application:
    """One application with what its release is made of."""

    settings: ApplicationSettings
    chart: Chart
    files: ValuesFiles


def read_applications(settings: EnvironmentSettings, environment: str, identity: Identity) -> dict[str, Application]:
    """Read every application's chart and files, so that a mistake in one stops the stack before its first resource.

    Raises:
        SettingsError: names everything that is missing, cannot be used, or belongs to another environment.
    """
    found: dict[str, Application] = {}
    problems: list[str] = []
    for name, application in settings.applications.items():
        try:
            found[name] = _read(name, application, environment)
        except _UnusableError as error:
            problems += error.problems
        else:
            problems += [f"{name}: {each}" for each in _mistakes(found[name], settings, identity)]
    if problems:
        raise SettingsError("\n".join([f"stack {environment}: files that cannot be used", *problems]))
    return found


class _UnusableError(Exception):
    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def _read(name: str, application: ApplicationSettings, environment: str) -> Application:
    problems: list[str] = []
    chart: Chart | None = None
    files: ValuesFiles | None = None
    try:
        chart = Chart.read(ROOT / application.chart, application.chart_digest)
    except ChartError as error:
        problems.append(f"applications.{name}.chart = {application.chart}: {error}")
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
