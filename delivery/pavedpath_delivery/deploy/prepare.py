"""Everything about a deployment that can be checked before the cluster is touched, all of it in one error."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavedpath_delivery.deploy import manifests, names, values
from pavedpath_delivery.deploy.helm import Helm, Inputs
from pavedpath_delivery.deploy.secrets import Hider, decrypt, texts
from pavedpath_delivery.kit.documents import Json, Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_ENVIRONMENT = re.compile(r"\w[\w.-]*")
_SETTING = re.compile(r"[^=]+=")


@dataclass(frozen=True)
class Request:
    """What is to be deployed, where, and how. Durations are in seconds.

    Args:
        app: name of the release.
        namespace: its namespace.
        environment: names the values files.
        chart: folder, archive or oci:// address.
        values_dir: folder of `<environment>.yaml` and, if there, the SOPS file `<environment>.secrets.yaml`.
        images: `NAME=IMAGE@DIGEST`, see `values.place_images`.
        settings: `KEY=VALUE` as of Helm's `--set`.
        chart_version: version of a chart at an address.
        plain_http: whether that address is without TLS.
        timeout_s: how long the workloads may take to become ready.
        history: how many revisions are kept.
        fail_fast_s: how long an image may not be pulled until the deployment is given up; None waits for the timeout.
        create_namespace: whether the namespace is made when it is not there.
        require_digest: whether an image without a digest is refused.
        force: deploy what would change nothing, too, and take back what others changed.
        wait: whether to wait for another deployment of the same release.
    """

    app: str
    namespace: str
    environment: str
    chart: str
    values_dir: Path | None = None
    images: Sequence[str] = ()
    settings: Sequence[str] = ()
    chart_version: str = ""
    plain_http: bool = False
    timeout_s: float = 300.0
    history: int = 10
    fail_fast_s: float | None = None
    create_namespace: bool = False
    require_digest: bool = False
    force: bool = False
    wait: bool = True
    wrong: Sequence[str] = ()
    """What is wrong with options that are no part of this; told with everything else."""


@dataclass(frozen=True)
class Prepared:
    """What Helm gets, what of it is secret, and a Helm whose words are free of it."""

    inputs: Inputs
    secret: Properties
    helm: Helm


def prepare(request: Request, helm: Helm, environ: Mapping[str, str], folder: Path) -> Prepared:
    """Read and check chart, values, secrets and images.

    Args:
        request: what is to be deployed.
        helm: Helm.
        environ: the job's variables, whose credentials open the SOPS file.
        folder: where a chart from an address is put.

    Raises:
        DeliveryError: names everything that cannot be used.
    """
    problems = [*request.wrong, *misnamed(request)]
    chart, defaults, secret = request.chart, fields(None), fields(None)
    try:
        chart = helm.fetch(request.chart, request.chart_version, folder, plain_http=request.plain_http)
        defaults = helm.default_values(chart)
    except DeliveryError as error:
        problems.append(f"--chart {request.chart}: {error}")
    plain_file, secret_file = _files(request)
    plain = _read(plain_file, problems) if plain_file else fields(None)
    try:
        secret = decrypt(secret_file, environ) if secret_file else secret
    except DeliveryError as error:
        problems.append(str(error))
    hidden = helm.hiding(Hider(texts(secret)))
    images = _images(request, values.merge(values.merge(defaults, plain), secret), problems)
    if problems:
        raise DeliveryError("\n".join(problems), Exit.USAGE)
    document = json.dumps(values.merge(secret, images)) if secret or images else ""
    inputs = Inputs(chart, [plain_file] if plain_file else [], document, request.settings)
    _check_rendered(request, hidden, inputs)
    return Prepared(inputs, secret, hidden)


def misnamed(request: Request) -> list[str]:
    """Return what is wrong with names, images and settings by their form alone. Pure."""
    problems = names.misnamed(request.app, request.namespace)
    if not _ENVIRONMENT.fullmatch(request.environment):
        fix = "Fix: give its name alone; the folder of its values files is --values-dir."
        problems.append(f"--environment {request.environment}: no name of an environment. {fix}")
    problems += values.no_images(request.images)
    return problems + [
        f"--set {each}: no KEY=VALUE. Fix: write it so." for each in request.settings if not _SETTING.match(each)
    ]


def _files(request: Request) -> tuple[Path | None, Path | None]:
    if request.values_dir is None or not _ENVIRONMENT.fullmatch(request.environment):
        return None, None
    secret = request.values_dir / f"{request.environment}.secrets.yaml"
    return request.values_dir / f"{request.environment}.yaml", secret if secret.exists() else None


def _read(path: Path, problems: list[str]) -> Properties:
    import yaml

    try:
        document: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}). Fix: create it, or give another --values-dir.")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        problems.append(f"{path}: not YAML{f', line {mark.line + 1}' if mark else ''}. Fix: correct its syntax.")
    else:
        if document is None or isinstance(document, Mapping):
            return fields(document)
        problems.append(f"{path}: it holds no mapping. Fix: write key: value lines.")
    return {}


def _images(request: Request, known: Properties, problems: list[str]) -> Properties:
    try:
        return values.place_images(known, request.images)
    except DeliveryError as error:
        # Without the chart nobody knows which images it has: its absence is told already.
        if not any(each.startswith("--chart ") for each in problems):
            problems.append(str(error))
        return {}


def _check_rendered(request: Request, helm: Helm, inputs: Inputs) -> None:
    if found := helm.lint(inputs, request.namespace):
        raise DeliveryError(f"{request.chart} with the values of {request.environment}:\n{found}", Exit.USAGE)
    if not request.require_digest:
        return
    loose = manifests.without_digest(helm.render(request.app, inputs, request.namespace))
    if loose:
        lines = "\n".join(f"  {image}" for image in loose)
        raise DeliveryError(
            f"These images have no digest, and a tag can be moved to what nobody tested:\n{lines}\n"
            "Fix: give each with --image NAME=IMAGE@sha256:….",
            Exit.POLICY,
        )
