"""A service's delivery as a pipeline of GitLab: `.gitlab-ci.yml`.

One pipeline has it all, by rules: a merge request is checked, built and scanned, and pushes nothing; the default branch
builds once, names what was tested and scanned, and deploys; a release tag names what ran, and deploys where tags may.
What reaches the registry or an environment has rules of a protected branch or tag: nothing of a fork gets there.

Source: GitLab, "CI/CD YAML syntax reference", "Predefined CI/CD variables", "Build Docker images with BuildKit".
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from pavedpath.problem import refuse
from pavedpath.workflows import admission, portable
from pavedpath.workflows.catalogue.steps import DIAGNOSTICS_DAYS, variable_of
from pavedpath.workflows.portable import Tools, Words
from pavedpath.workflows.service import Image, Service, Target

FILE = ".gitlab-ci.yml"

_KEPT_DAYS = 30
_WHY = "#"
"""Key of a job's comment, which is rendered above it."""

_Job: TypeAlias = dict[str, Any]
_STAGES = ("check", "build", "scan", "publish", "deploy")
_WORDS = Words(
    commit="$CI_COMMIT_SHA",
    branch="$CI_COMMIT_BRANCH",
    tag="$CI_COMMIT_TAG",
    default_branch="$CI_DEFAULT_BRANCH",
    run_url="$CI_JOB_URL",
    source="$CI_PROJECT_URL",
)
_REQUEST = '$CI_PIPELINE_SOURCE == "merge_request_event"'
_MAIN = '$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_COMMIT_REF_PROTECTED == "true"'


def render(
    service: Service,
    tools: Tools,
    *,
    runners: Sequence[str] = (),
    exceptions: str = "",
) -> str:
    """Return the text of .gitlab-ci.yml.

    Args:
        service: checks, images and targets are rendered; its chart from the checkout or a registry. `owner` is not
            needed: images go to the project's registry, or to that of the variables IMAGE_REGISTRY and IMAGE_PREFIX.
        tools: images that jobs run in.
        runners: tags of the runners of checks and builds. Default: any that takes jobs without tags. Deployments run
            on those of the target's labels, by default linux, arm64 and the environment's name.
        exceptions: file of the scan's findings that are lived with, each until a day. Default: none.

    Raises:
        InvalidArgumentsError: with every offender.
    """
    found = [
        *portable.problems(service, tools),
        *admission.labels_problems("runners", runners),
        *portable.exceptions_problems(exceptions),
    ]
    refuse("gitlab.render", service.name, found)
    jobs = _checks(service, tools) | _requests(service, tools, exceptions) | _main(service, tools, exceptions)
    if service.images:
        jobs |= {"release": _release(service, tools)}
    jobs |= _deployments(service, tools)
    for job in jobs.values():
        if runners and "environment" not in job:
            job["tags"] = list(runners)
    return _text(_globals(service), jobs)


def _globals(service: Service) -> _Job:
    rules = [
        {"if": _REQUEST},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_PIPELINE_SOURCE =~ /^(push|web)$/"},
    ]
    if service.images:
        rules.append({"if": _tags(service)})
    return {
        # Jobs say themselves whether a newer pipeline may end them; one that began to change something goes on.
        "workflow": {"auto_cancel": {"on_new_commit": "conservative"}, "rules": rules},
        "stages": list(_STAGES),
        "variables": {
            "IMAGE_REGISTRY": "$CI_REGISTRY",
            "IMAGE_PREFIX": "$CI_REGISTRY_IMAGE",
            "IMAGE_REGISTRY_USER": "$CI_REGISTRY_USER",
            "IMAGE_REGISTRY_PASSWORD": "$CI_REGISTRY_PASSWORD",
        },
    }


def _tags(service: Service) -> str:
    patterns = (f"$CI_COMMIT_TAG =~ /{_slashed(each)}/" for each in portable.tag_patterns(service))
    return f'({" || ".join(patterns)}) && $CI_COMMIT_REF_PROTECTED == "true"'


def _slashed(pattern: str) -> str:
    # In RE2 a slash within brackets would end GitLab's /…/ as well; a tag's name with one is matched by a dot.
    return portable.glob_expression(pattern).replace("[^/]*", ".*").replace("/", ".")


def _checks(service: Service, tools: Tools) -> dict[str, _Job]:
    several = len(service.python) > 1
    return {
        f"check-{name}" + (f"-{version}" if several else ""): {
            "stage": "check",
            "image": tools.python[version],
            "interruptible": True,
            "timeout": _minutes(portable.CHECK_MINUTES),
            "rules": [{"if": _REQUEST}, {"if": _MAIN}],
            "variables": {"PIP_CACHE_DIR": "$CI_PROJECT_DIR/.cache/pip"},
            "cache": {"key": f"pip-{version}", "paths": [".cache/pip"]},
            "script": [portable.check(command)],
        }
        for name, command in service.checks.items()
        for version in service.python
    }


def _requests(service: Service, tools: Tools, exceptions: str) -> dict[str, _Job]:
    """Return the jobs that build and scan what a merge request changes, without any access to a registry."""
    jobs: dict[str, _Job] = {}
    rules, scans = [{"if": _REQUEST}], [f"request-scan-{each.name}" for each in service.images]
    for image in service.images:
        report = portable.report(image, image.platforms[0])
        archive = f"{portable.FOLDER}/{image.name}.tar"
        first = f"{_buildctl(image, image.platforms[:1])} \\\n  --output type=docker,dest={archive}"
        jobs[f"request-{image.name}"] = {
            **_builder(tools),
            "interruptible": True,
            "rules": rules,
            "script": [f"set -eu\nmkdir -p {portable.FOLDER}\n{_buildctl(image, image.platforms)}\n{first}"],
            "artifacts": {"paths": [archive], "expire_in": "1 day"},
        }
        jobs[f"request-scan-{image.name}"] = {
            **_scanner(tools),
            "interruptible": True,
            "rules": rules,
            "needs": [f"request-{image.name}"],
            "script": [f"trivy image --input {archive} --format json --output {report}"],
            "artifacts": {"paths": [report], "expire_in": "1 day"},
        }
    if service.images:
        jobs["request-gate"] = {
            **_delivery(tools, "publish"),
            "interruptible": True,
            "rules": rules,
            "needs": scans,
            "script": [portable.gates(service, exceptions)],
        }
    return jobs


def _main(service: Service, tools: Tools, exceptions: str) -> dict[str, _Job]:
    """Return the jobs that build each image once, scan it and name it."""
    if not service.images:
        return {}
    rules, checks = [{"if": _MAIN}], list(_checks(service, tools))
    jobs: dict[str, _Job] = {
        "find": {
            _WHY: "A commit is built once: a second pipeline of it takes what the first one built.",
            **_delivery(tools, "check"),
            "rules": rules,
            "script": [portable.find_built(service, _WORDS)],
            "artifacts": _artifacts(*map(portable.found, service.images)),
        }
    }
    for image in service.images:
        jobs[f"build-{image.name}"] = {
            **_builder(tools),
            "rules": rules,
            "needs": ["find"],
            "script": [_build(image)],
            "artifacts": _artifacts(portable.kept(image)),
        }
        jobs[f"scan-{image.name}"] = {
            **_scanner(tools),
            "rules": rules,
            "needs": [f"build-{image.name}"],
            "script": [_scan(image)],
            "artifacts": _artifacts(*(portable.report(image, each) for each in image.platforms)),
        }
    built = [f"{stage}-{image.name}" for image in service.images for stage in ("build", "scan")]
    jobs["publish"] = {
        _WHY: "What nobody tested or scanned has no name, and cannot be deployed.",
        **_delivery(tools, "publish"),
        "resource_group": f"publish-{service.name}",
        "rules": rules,
        "needs": [*checks, *built],
        "script": [portable.publish(service, _WORDS, exceptions)],
    }
    return jobs


def _release(service: Service, tools: Tools) -> _Job:
    return {
        _WHY: "Names what was built and ran before; it needs all branches and tags.",
        **_delivery(tools, "publish"),
        "resource_group": f"publish-{service.name}",
        "rules": [{"if": _tags(service)}],
        "variables": {"GIT_DEPTH": "0"},
        "script": [portable.release(service, _WORDS)],
        "artifacts": _artifacts(*map(portable.kept, service.images)),
    }


def _deployments(service: Service, tools: Tools) -> dict[str, _Job]:
    built = [f"build-{each.name}" for each in service.images]
    main = _chain(service, tools, portable.on_main(service), ["publish"] if built else [], built, _MAIN)
    tagged = _chain(service, tools, portable.on_tags(service), ["release"], [], _tags(service))
    return main | tagged


def _chain(
    service: Service, tools: Tools, targets: Sequence[Target], before: Sequence[str], sources: Sequence[str], when: str
) -> dict[str, _Job]:
    jobs: dict[str, _Job] = {}
    # The jobs that know the digests stay among the needs: files come from those alone.
    sources = sources or before
    for target in targets:
        name = f"deploy-{target.environment}"
        needs = _once(*(before or _checks(service, tools)), *sources)
        jobs[name] = _deploy(service, tools, target, needs, when)
        if portable.leaves_tag(service, target):
            jobs[f"verified-{target.environment}"] = {
                _WHY: "By this tag a release finds what the environment ran.",
                **_delivery(tools, "deploy"),
                "resource_group": f"publish-{service.name}",
                "rules": [{"if": when}],
                "needs": _once(name, *sources),
                "script": [portable.verified(service, target, _WORDS)],
            }
        before = [name]
    return jobs


def _deploy(service: Service, tools: Tools, target: Target, needs: Sequence[str], when: str) -> _Job:
    rule: _Job = {"if": when}
    if portable.approved(target):
        rule["when"] = "manual"
    kubeconfig = variable_of("KUBECONFIG", service.name)
    access = f"""\
# AWS exchanges the job's identity for the role, with which sops opens its files: no key is stored.
: "${{AWS_DEPLOY_ROLE:?is not set}}" "${{AWS_REGION:?is not set}}" "${{{kubeconfig}:?is not set}}"
(umask 077 && printf '%s' "$AWS_ID_TOKEN" > "$scratch/aws" && cat "${kubeconfig}" > "$scratch/kubeconfig")
export AWS_ROLE_ARN="$AWS_DEPLOY_ROLE" AWS_WEB_IDENTITY_TOKEN_FILE="$scratch/aws"
export AWS_ROLE_SESSION_NAME="deploy-{target.environment}-$CI_PIPELINE_ID" KUBECONFIG="$scratch/kubeconfig"
"""
    job: _Job = {"stage": "deploy"}
    if tools.deploy:
        job["image"] = tools.deploy
    return job | {
        "tags": list(target.runner_labels or ("linux", "arm64", target.environment)),
        "timeout": _minutes(target.timeout_minutes * 2 + 20),
        # GitLab takes it when the job starts: one that waits for its approval holds nothing.
        "resource_group": f"deploy-{service.name}-{target.environment}",
        "environment": {"name": target.environment},
        "rules": [rule],
        "needs": list(needs),
        "id_tokens": {"AWS_ID_TOKEN": {"aud": "sts.amazonaws.com"}},
        "script": [portable.deploy(service, target, access)],
        "artifacts": {
            "when": "on_failure",
            "paths": [portable.DIAGNOSTICS],
            "expire_in": f"{DIAGNOSTICS_DAYS} days",
        },
    }


def _delivery(tools: Tools, stage: str) -> _Job:
    return {"stage": stage, "image": tools.delivery, "timeout": _minutes(portable.PUBLISH_MINUTES)}


def _builder(tools: Tools) -> _Job:
    return {
        "stage": "build",
        # Its own entry point is the daemon, which would never end.
        "image": {"name": tools.buildkit, "entrypoint": [""]},
        "timeout": _minutes(portable.BUILD_MINUTES),
        "variables": {"BUILDKITD_FLAGS": "--oci-worker-no-process-sandbox"},
    }


def _scanner(tools: Tools) -> _Job:
    return {
        "stage": "scan",
        "image": {"name": tools.trivy, "entrypoint": [""]},
        "timeout": _minutes(portable.PUBLISH_MINUTES),
    }


def _artifacts(*paths: str) -> _Job:
    # Long enough for an approval: a job that waited finds what it deploys.
    return {"paths": list(paths), "expire_in": f"{_KEPT_DAYS} days"}


def _buildctl(image: Image, platforms: Sequence[str]) -> str:
    return (
        "buildctl-daemonless.sh build --frontend dockerfile.v0 \\\n"
        f"  --local context={image.context} --local dockerfile={image.context} --opt filename={image.dockerfile} \\\n"
        f"  --opt platform={','.join(platforms)} \\\n"
        f'  --opt "label:org.opencontainers.image.source={_WORDS.source}" \\\n'
        f'  --opt "label:org.opencontainers.image.revision={_WORDS.commit}"'
    )


def _build(image: Image) -> str:
    cache = f"type=registry,ref=$IMAGE_PREFIX/{image.name}:cache"
    pushed = f"type=image,name=$IMAGE_PREFIX/{image.name},push-by-digest=true,name-canonical=true,push=true"
    command = f"""\
{_buildctl(image, image.platforms)} \\
  --import-cache "{cache}" \\
  --export-cache "{cache},mode=max" \\
  --output "{pushed}" \\
  --metadata-file "$scratch/metadata.json"
"""
    return portable.build(image, command + portable.keep_digest(image, "$scratch/metadata.json"))


def _scan(image: Image) -> str:
    scans = "\n".join(
        f"trivy image --platform {platform} --format json \\\n"
        f'  --output {portable.report(image, platform)} "${portable.variable(image)}"'
        for platform in image.platforms
    )
    return f"set -eu\n{portable.scratch()}{portable.login()}{portable.known(image)}{scans}"


def _minutes(count: int) -> str:
    return f"{count} minutes"


def _once(*names: str) -> list[str]:
    return list(dict.fromkeys(names))


class _Dumper(yaml.SafeDumper):
    """Scripts as blocks, short lists on one line; GitLab reads YAML 1.1, as PyYAML writes it."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the signature of PyYAML
        """Write a value again wherever it stands: a reader need not look for an anchor."""
        return True


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)  # pyright: ignore[reportUnknownMemberType]  # the stubs leave the value untyped


def _list_node(dumper: yaml.SafeDumper, values: Sequence[Any]) -> yaml.SequenceNode:
    short = all(isinstance(each, str) and not {*each} & {" ", "\n"} for each in values) and len(str(values)) < 90
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_representer(str, _text_node)
_Dumper.add_representer(list, _list_node)


def _text(heading: Mapping[str, Any], jobs: Mapping[str, _Job]) -> str:
    parts = [_dumped({name: value}) for name, value in heading.items()]
    for name, job in jobs.items():
        above = f"# {job[_WHY]}\n" if _WHY in job else ""
        parts.append(above + _dumped({name: {key: value for key, value in job.items() if key != _WHY}}))
    comment = "".join(f"# {line}\n" for line in portable.HEADING.splitlines())
    return comment + "\n".join(parts)


def _dumped(value: Mapping[str, Any]) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
