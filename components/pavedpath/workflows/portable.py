"""What pipelines of other systems than GitHub share: the scripts of their jobs, and what a service must be for them.

A job's script does the same everywhere; only what a system calls the commit, the branch and the run differs (`Words`).
What one job hands on to another lies in files below `FOLDER`: no variable that somebody starts a pipeline with takes
their place. Secrets lie in a folder outside of the checkout: nothing of it gets into an image that is built from the
checkout, into an artifact, or to the next job.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pavedpath.names import NameRule
from pavedpath.plans import Approval
from pavedpath.problem import Problem
from pavedpath.workflows import admission, typed
from pavedpath.workflows.catalogue.deploy import HISTORY
from pavedpath.workflows.catalogue.flows import RELEASES
from pavedpath.workflows.catalogue.images import SEVERITIES
from pavedpath.workflows.catalogue.steps import STEPS_VERSION, joined, variable_of
from pavedpath.workflows.service import Image, Service, Target

HEADING = (
    "Written by Pavedpath; a change made here is overwritten. Change the service in the program that manages the\n"
    "repository."
)
CHECK_MINUTES = 30
BUILD_MINUTES = 45
PUBLISH_MINUTES = 15
FOLDER = ".pavedpath"
"""Where jobs leave what others need, from the root of the checkout."""

DIAGNOSTICS = f"{FOLDER}/diagnostics"

# Source: distribution/reference, "reference.go": a name in lower case, perhaps a tag, and the digest.
_PINNED = NameRule(
    r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::[\w.-]{1,128})?@sha256:[0-9a-f]{64}",
    "it is no image by digest, and a tag can be moved",
    "give NAME@sha256:… with the digest's 64 digits",
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Images that jobs run in or start, each by digest. They are the caller's, to be renewed as the caller renews."""

    python: Mapping[str, str]
    """By version of Python, for each version of the service: what checks run in."""
    delivery: str
    """Python 3.11 or later with venv, git and bash: what `pavedpath` runs in, except for deployments."""
    buildkit: str
    """moby/buildkit: the rootless one for GitLab."""
    trivy: str
    """aquasec/trivy."""
    deploy: str = ""
    """Like `delivery`, with helm and sops: what deployments run in. Default: the environment's own runner or agent."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a system calls what a script needs to know, as it stands within double quotes of a shell."""

    commit: str
    branch: str
    tag: str
    default_branch: str
    run_url: str
    source: str
    """Address of the repository, for the images' labels."""


def variable(image: Image) -> str:
    """Return the shell variable with an image's NAME@DIGEST."""
    return variable_of("IMAGE", image.name)


def on_main(service: Service) -> Sequence[Target]:
    """Return the targets of a push to the default branch: those before the first that takes tags."""
    tagged = [index for index, each in enumerate(service.targets) if each.tags]
    return service.targets[: tagged[0]] if tagged else service.targets


def on_tags(service: Service) -> Sequence[Target]:
    """Return the targets of a release tag: the first that takes tags, and all after it."""
    return service.targets[len(on_main(service)) :]


def tag_patterns(service: Service) -> Sequence[str]:
    """Return the patterns of tags that release or deploy."""
    patterns = [pattern for each in service.targets for pattern in each.tags]
    return tuple(dict.fromkeys([*([RELEASES] if service.images else []), *patterns]))


def leaves_tag(service: Service, target: Target) -> bool:
    """Whether a later pipeline, that of a tag, must find what this environment ran."""
    main = on_main(service)
    return bool(service.images) and bool(on_tags(service)) and target in main[-1:]


def released_from(service: Service) -> str:
    """Return the end of the tag by which a release finds its images: what ran in the last environment before it."""
    main = on_main(service)
    return f"-{main[-1].environment}" if main and on_tags(service) else ""


def approved(target: Target) -> bool:
    """Whether somebody must agree. Every kind of approval is the system's own one here."""
    return target.approval is not Approval.NONE


def scratch() -> str:
    """Return the lines that make a folder which only this job reads, and which is gone when the script ends."""
    return """scratch="$(mktemp -d)"\ntrap 'rm -rf "$scratch"' EXIT\n"""


def install() -> str:
    """Return the lines that install `pavedpath` for this job alone."""
    return (
        'python3 -m venv "$scratch/delivery"\n'
        f'"$scratch/delivery/bin/pip" install --quiet pavedpath-delivery=={STEPS_VERSION}\n'
        'export PATH="$scratch/delivery/bin:$PATH"\n'
    )


def login() -> str:
    """Return the lines that log in to the registry; in a POSIX shell, and without a password on a command line."""
    return """\
export DOCKER_CONFIG="$scratch/docker"
mkdir -p "$DOCKER_CONFIG"
auth="$(printf '%s:%s' "$IMAGE_REGISTRY_USER" "$IMAGE_REGISTRY_PASSWORD" | base64 | tr -d '\\n')"
(umask 077 && printf '{"auths":{"%s":{"auth":"%s"}}}' "$IMAGE_REGISTRY" "$auth" > "$DOCKER_CONFIG/config.json")
"""


def kept(image: Image) -> str:
    """Return the file with an image's NAME@DIGEST."""
    return f"{FOLDER}/{image.name}.image"


def found(image: Image) -> str:
    """Return the file with the NAME@DIGEST that an earlier run of the commit built; empty if there was none."""
    return f"{FOLDER}/{image.name}.found"


def known(*images: Image) -> str:
    """Return the lines that set IMAGE_… of each image."""
    return "".join(f'{variable(image)}="$(cat {kept(image)})"\n' for image in images)


def keep_digest(image: Image, metadata: str) -> str:
    """Return the lines that keep the digest that BuildKit wrote into a file; in a POSIX shell."""
    return f"""\
digest="$(grep -o '"containerimage.digest": *"sha256:[0-9a-f]*"' "{metadata}" | grep -o 'sha256:[0-9a-f]*')"
echo "$IMAGE_PREFIX/{image.name}@${{digest:?is not in the metadata of the build}}" > {kept(image)}"""


def build(image: Image, command: str) -> str:
    """Return the script that builds an image, unless a run before this one did: a commit is built once.

    Args:
        image: the image.
        command: lines that build and push it by digest; they are in the folder `$scratch` and logged in.
    """
    return f"""\
set -eu
# A second run of the same commit takes what the first one built.
if [ -s {found(image)} ]; then
  cp {found(image)} {kept(image)}
  exit 0
fi
{scratch()}{login()}{command}"""


def find_built(service: Service, words: Words) -> str:
    """Return the script that looks whether a commit was built before."""
    finding = (_resolved(image, "", " --if-there", found(image)) for image in service.images)
    return _bash(scratch(), install(), login(), f'commit="{words.commit}"\nmkdir -p {FOLDER}', *finding)


def publish(service: Service, words: Words, exceptions: str) -> str:
    """Return the script that judges the scans, records tests and scans, and names what passed."""
    return _bash(
        scratch(),
        install(),
        *(gate(image, exceptions) for image in service.images),
        login(),
        known(*service.images),
        *(_recorded(image, words) for image in service.images),
        *(named(image, f"refs/heads/{words.branch}", words) for image in service.images),
    )


def release(service: Service, words: Words) -> str:
    """Return the script that names the images of a release tag; nothing is built."""
    end = released_from(service)
    return _bash(
        scratch(),
        install(),
        "# A tag may stand on any commit: only what was merged is released.",
        f'git merge-base --is-ancestor "{words.commit}" "origin/{words.default_branch}"',
        login(),
        f'commit="{words.commit}"\nmkdir -p {FOLDER}',
        *(_resolved(image, end, "", kept(image)) for image in service.images),
        known(*service.images),
        *(named(image, f"refs/tags/{words.tag}", words) for image in service.images),
    )


def verified(service: Service, target: Target, words: Words) -> str:
    """Return the script that says in the registry that an environment ran the images: a release looks for that."""
    return _bash(
        scratch(),
        install(),
        login(),
        known(*service.images),
        f'commit="{words.commit}"',
        *(
            f'pavedpath image promote "${variable(image)}" '
            f'--to "$IMAGE_PREFIX/{image.name}:sha-${{commit:0:12}}-{target.environment}"'
            for image in service.images
        ),
    )


def report(image: Image, platform: str) -> str:
    """Return the file that a scan of one platform writes."""
    return f"{FOLDER}/scan-{image.name}-{platform.replace('/', '-')}.json"


def gate(image: Image, exceptions: str, platforms: Sequence[str] | None = None) -> str:
    """Return the lines that refuse severe findings on any platform of an image."""
    allowed = f" --exceptions {shlex.quote(exceptions)}" if exceptions else ""
    return "".join(
        f"pavedpath scan gate {report(image, platform)} --severity {SEVERITIES}{allowed}\n"
        for platform in (image.platforms if platforms is None else platforms)
    )


def gates(service: Service, exceptions: str) -> str:
    """Return the script that judges the scans of a request, which are of each image's first platform."""
    judged = (gate(image, exceptions, image.platforms[:1]) for image in service.images)
    return _bash(scratch(), install(), *judged)


def named(image: Image, ref: str, words: Words) -> str:
    """Return the lines that give an image the tags of a ref: refused for what was not tested and scanned."""
    command = joined(
        f'tags="$(pavedpath image tags "$IMAGE_PREFIX/{image.name}"',
        f'--ref "{ref}"',
        f'--commit "{words.commit}"',
        f'--default-branch "{words.default_branch}")"',
    )
    return (
        f"{command}\n"
        'mapfile -t names <<<"$tags"\n'
        f'pavedpath image promote "${variable(image)}" "${{names[@]/#/--to=}}"\n'
    )


def deploy(service: Service, target: Target, access: str) -> str:
    """Return the script that deploys, tries what it deployed, and takes back what does not work: once.

    Helm itself goes back when pods do not become ready, and then the command fails. The script goes back when they do
    and the smoke test fails, and then only if what it deployed is what runs.

    Args:
        service: the service.
        target: where.
        access: lines that give the job its cluster and its cloud role.
    """
    host = target.smoke_host_variable
    values = service.values or f"etc/helm_values/{service.name}"
    in_namespace = f"{service.name} --namespace {target.namespace or service.name}"
    command = joined(
        f"pavedpath deploy {in_namespace}",
        f"--environment {target.environment}",
        *service.chart_arguments,
        f"--values-dir {shlex.quote(values)}",
        f"--timeout {target.timeout_minutes}m",
        f"--history {HISTORY}",
        *(f'--image "{image.name}=${variable(image)}"' for image in service.images),
    )
    file = shlex.quote(f"{values}/{target.environment}.yaml")
    local = service.chart_folder
    preview = f"helm lint {shlex.quote(local)} --values {file}\n" if local else ""
    return _bash(
        f': "${{{host}:?is not set: the host that smoke tests ask}}"',
        scratch(),
        install(),
        access,
        known(*service.images),
        f"{preview}{_continued(command, '--dry-run')}",
        f"""
diagnose() {{
  pavedpath diagnose {in_namespace} --out {DIAGNOSTICS} || true
}}
# The command writes its outputs to this file, as it does on GitHub.
export GITHUB_OUTPUT="$scratch/deployed"
{command} || {{
  code=$?
  diagnose # Helm went back by itself.
  exit "$code"
}}
state="$(sed -n 's/^state=//p' "$GITHUB_OUTPUT")" revision="$(sed -n 's/^revision=//p' "$GITHUB_OUTPUT")"
pavedpath smoke "${host}" || {{
  diagnose
  if [ "$state" = deployed ]; then
    pavedpath rollback {in_namespace} --if-deployed "$revision"
  fi
  exit 1
}}""",
    )


def check(command: str) -> str:
    """Return the script of a check: each of its commands must succeed."""
    return f"set -euo pipefail\n{command}"


def problems(service: Service, tools: Tools) -> Iterator[Problem]:
    """Yield what cannot be rendered: what no service may hold, and what only these systems refuse."""
    yield from admission.problems(service)
    if not service.images and not service.targets:
        yield Problem("images", [], "there is nothing to deliver", "name an image or a target")
    if not mistyped(service):
        yield from _tag_problems(service)
    for version in typed.items(service.python):
        if version not in tools.python:
            yield Problem("tools.python", sorted(tools.python), f"it has no image for {version}", "name one by digest")
    images = {"delivery": tools.delivery, "buildkit": tools.buildkit, "trivy": tools.trivy}
    images |= {f"python[{version}]": image for version, image in tools.python.items()}
    images |= {"deploy": tools.deploy} if tools.deploy else {}
    for name, image in images.items():
        yield from admission.ruled(f"tools.{name}", image, _PINNED)


def mistyped(service: Service) -> bool:
    """Whether anything of a service is of the wrong type: then nothing can be told from how its parts fit."""
    return any(typed.mistyped("", service, Service))


def exceptions_problems(exceptions: str) -> Iterator[Problem]:
    """Yield what is wrong with the path of the scan's exceptions; empty for none."""
    yield from typed.mistyped("exceptions", exceptions, str)
    yield from admission.ruled("exceptions", exceptions, admission.FOLDER, optional=True)


def _tag_problems(service: Service) -> Iterator[Problem]:
    patterns = next((each.tags for each in service.targets if each.tags), ())
    if patterns and not service.images:
        yield Problem("targets", None, "a tag names images, and there are none", "leave tags out, or name an image")
    for index, target in enumerate(service.targets):
        if target.tags and set(target.tags) != set(patterns):
            why = "the pipeline of a tag goes from the first target of tags to the last"
            yield Problem(f"targets[{index}].tags", list(target.tags), why, "give all of them the same patterns")


def _recorded(image: Image, words: Words) -> str:
    name = f'pavedpath image record "${variable(image)}"'
    run = f'--commit "{words.commit}" --url "{words.run_url}"'
    scans = [
        joined(f"{name} --kind scanned", f"--report {report(image, platform)}", run) for platform in image.platforms
    ]
    return "\n".join([*scans, joined(f"{name} --kind tested", run)])


def _resolved(image: Image, end: str, option: str, file: str) -> str:
    output = f"$scratch/{image.name}"
    return (
        f'GITHUB_OUTPUT="{output}" \\\n'
        f'  pavedpath image resolve "$IMAGE_PREFIX/{image.name}:sha-${{commit:0:12}}{end}"{option}\n'
        f"sed -n 's/^image=//p' \"{output}\" > {file}\n"
    )


def _continued(command: str, option: str) -> str:
    return f"{command} \\\n  {option}" if "\n" in command else f"{command} {option}"


def _bash(*parts: str) -> str:
    return "set -euo pipefail\n" + "\n".join(part.strip("\n") for part in parts if part.strip("\n"))


def glob_expression(pattern: str) -> str:
    """Return a pattern of tags as a regular expression, `*` for anything but a slash."""
    return "^" + "[^/]*".join(re.escape(part) for part in pattern.split("*")) + "$"
