"""A service's delivery as a declarative pipeline of Jenkins: a `Jenkinsfile` for a multibranch project.

One pipeline has it all, by conditions: a pull request is checked, built and scanned, and pushes nothing; the default
branch builds once, names what was tested and scanned, and deploys; a release tag names what ran, and deploys where tags
may. An approval is a stage of its own without an agent: it holds neither an executor nor a lock.

Source: Jenkins, "Pipeline Syntax" and the steps of the plugins Docker Pipeline, Lockable Resources, Milestone Step,
Credentials Binding and OpenID Connect Provider.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pavedpath.names import LOGIN, NameRule
from pavedpath.problem import Problem, refuse
from pavedpath.workflows import admission, portable
from pavedpath.workflows.catalogue.steps import DIAGNOSTICS_DAYS, joined
from pavedpath.workflows.portable import Tools, Words
from pavedpath.workflows.service import Image, Service, Target

FILE = "Jenkinsfile"
REGISTRY_CREDENTIALS = "image-registry"
"""Id of the credentials (user name and password) of the registry."""

_APPROVAL_DAYS = 30
_HOST = NameRule(r"[a-z0-9][a-z0-9.-]*(?::[0-9]+)?", "it is no host of a registry", "give one such as ghcr.io")
_BRANCH = NameRule(r"(?!.*\.\.)[A-Za-z0-9_][\w./-]{0,99}", "it is no branch", "give one such as main")
_OWNER = NameRule(
    r"[A-Za-z0-9](?:-?[A-Za-z0-9])*",
    "Jenkins does not know the organisation, which is part of the images' names",
    "set the service's owner",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a pipeline needs to know of the Jenkins that it runs in."""

    approvers: Mapping[str, Sequence[str]]
    """Users and groups that may approve, by environment: each target with an approval needs some."""
    registry: str = "ghcr.io"
    """Host that images go to."""
    default_branch: str = "main"
    untrusted: str = "untrusted"
    """Label of agents that run the code of pull requests, with Docker: they are given no credentials."""
    trusted: str = "trusted"
    """Label of agents that build what is pushed, with Docker and buildx."""
    oidc: bool = False
    """Whether deployments exchange a token of the plugin OpenID Connect Provider, the credentials
    aws-<service>-<environment>, for the role in AWS_DEPLOY_ROLE. Default: an environment's agents have the role by
    their instance."""


def render(service: Service, tools: Tools, settings: Settings, *, exceptions: str = "") -> str:
    """Return the text of the Jenkinsfile.

    Args:
        service: checks, images and targets are rendered; `owner` is needed for images.
        tools: images that stages run in or start; `buildkit` is that of the buildx builder.
        settings: of this Jenkins.
        exceptions: file of the scan's findings that are lived with, each until a day. Default: none.

    Raises:
        InvalidArgumentsError: with every offender.
    """
    found = [
        *portable.problems(service, tools),
        *portable.exceptions_problems(exceptions),
        *_jenkins_problems(service, settings),
    ]
    refuse("jenkins.render", service.name, found)
    made = _Pipeline(service, tools, settings, exceptions)
    heading = [f"// {line}" for line in portable.HEADING.splitlines()]
    return "\n".join([*heading, *made.lines()]) + "\n"


def _jenkins_problems(service: Service, settings: Settings) -> Iterator[Problem]:
    if service.images:
        yield from admission.ruled("owner", service.owner, _OWNER)
    yield from _HOST.check("settings.registry", settings.registry)
    yield from _BRANCH.check("settings.default_branch", settings.default_branch)
    yield from admission.labels_problems("settings", (settings.untrusted, settings.trusted))
    if settings.untrusted == settings.trusted:
        yield Problem(
            "settings.trusted", settings.trusted, "requests would run where credentials are", "use two labels"
        )
    for target in () if portable.mistyped(service) else service.targets:
        names = settings.approvers.get(target.environment, ())
        at = f"settings.approvers[{target.environment}]"
        if portable.approved(target) and not names:
            yield Problem(at, list(names), "whoever may start a build could approve", "name users or groups")
        for name in names:
            yield from LOGIN.check(at, name)


class _Raw(str):
    """A line within a text, which must not be indented."""

    __slots__ = ()


_Lines = list[str]


def _block(head: str, *parts: str | Sequence[str]) -> _Lines:
    lines = [line for part in parts for line in ([part] if isinstance(part, str) else part)]
    return [f"{head} {{", *(line if isinstance(line, _Raw) or not line else f"  {line}" for line in lines), "}"]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shell(script: str) -> _Lines:
    """Return a step that runs a script with bash. In triple quotes `$` is the shell's, not Groovy's."""
    text = script.replace("\\", "\\\\")
    text = re.sub(r"'{3,}|'+\Z", lambda found: "\\'" * len(found[0]), text)
    first, *others = f"sh '''#!/usr/bin/env bash\n{text}'''".split("\n")
    return [first, *map(_Raw, others)]


@dataclass(frozen=True)
class _Pipeline:
    service: Service
    tools: Tools
    settings: Settings
    exceptions: str

    @property
    def words(self) -> Words:
        return Words(
            commit="$GIT_COMMIT",
            branch="$BRANCH_NAME",
            tag="$TAG_NAME",
            default_branch=self.settings.default_branch,
            run_url="$BUILD_URL",
            source="$GIT_URL",
        )

    def lines(self) -> _Lines:
        registry, service = self.settings.registry, self.service
        prefix = f"{registry}/{service.owner.lower()}/{service.name}"
        environment = _block(
            "environment", f"IMAGE_REGISTRY = {_quoted(registry)}", f"IMAGE_PREFIX = {_quoted(prefix)}"
        )
        stages = [self._checks()]
        if service.images:
            stages += [self._requests(), self._request_gate(), self._find(), self._images(), self._publish()]
        stages += self._chain(portable.on_main(service), self._on_main())
        if service.images:
            stages += [self._release(), *self._chain(portable.on_tags(service), self._on_tags())]
        return _block(
            "pipeline",
            "agent none",
            # Builds of a branch may overlap: one that waits for an approval keeps no other from running.
            _block("options", f"buildDiscarder(logRotator(artifactDaysToKeepStr: '{DIAGNOSTICS_DAYS}'))"),
            environment if service.images else [],
            _block("stages", *stages),
        )

    def _checks(self) -> _Lines:
        service = self.service
        several = len(service.python) > 1
        stages = [
            self._stage(
                f"check-{name}" + (f" {version}" if several else ""),
                self._container(self.tools.python[version], self.settings.untrusted),
                minutes=portable.CHECK_MINUTES,
                steps=_shell(portable.check(command)),
            )
            for name, command in service.checks.items()
            for version in service.python
        ]
        return _block("stage('Checks')", _when("not { buildingTag() }"), _block("parallel", *stages))

    def _requests(self) -> _Lines:
        stages = [
            self._stage(
                f"request-{image.name}",
                _agent(self.settings.untrusted),
                minutes=portable.BUILD_MINUTES,
                steps=[*_shell(self._request(image)), _stash(f"request-{image.name}", _scanned(image)[:1])],
            )
            for image in self.service.images
        ]
        return _block("stage('Requested images')", _when("changeRequest()"), _block("parallel", *stages))

    def _request_gate(self) -> _Lines:
        images = self.service.images
        return self._stage(
            "Requested images are clean",
            _when("changeRequest()"),
            self._container(self.tools.delivery, self.settings.untrusted),
            minutes=portable.PUBLISH_MINUTES,
            steps=[
                *(f"unstash 'request-{image.name}'" for image in images),
                *_shell(portable.gates(self.service, self.exceptions)),
            ],
        )

    def _find(self) -> _Lines:
        files = [portable.found(image) for image in self.service.images]
        return self._stage(
            "Find what was built",
            self._on_main(),
            self._container(self.tools.delivery, self.settings.trusted),
            minutes=portable.PUBLISH_MINUTES,
            steps=[*_with_registry(_shell(portable.find_built(self.service, self.words))), _stash("found", files)],
        )

    def _images(self) -> _Lines:
        stages = [
            self._stage(
                f"image-{image.name}",
                _agent(self.settings.trusted),
                minutes=portable.BUILD_MINUTES,
                steps=[
                    "unstash 'found'",
                    *_with_registry([*_shell(self._build(image)), *_shell(self._scan(image))]),
                    _stash(f"scans-{image.name}", _scanned(image)),
                    _stash(f"image-{image.name}", [portable.kept(image)]),
                ],
            )
            for image in self.service.images
        ]
        return _block("stage('Images')", self._on_main(), _block("parallel", *stages))

    def _publish(self) -> _Lines:
        names = [image.name for image in self.service.images]
        return self._stage(
            "Publish",
            self._on_main(),
            self._lock(f"publish-{self.service.name}"),
            self._container(self.tools.delivery, self.settings.trusted),
            minutes=portable.PUBLISH_MINUTES,
            steps=[
                *(f"unstash '{kind}-{name}'" for name in names for kind in ("scans", "image")),
                *_with_registry(_shell(portable.publish(self.service, self.words, self.exceptions))),
            ],
        )

    def _release(self) -> _Lines:
        return self._stage(
            "Release",
            self._on_tags(),
            self._lock(f"publish-{self.service.name}"),
            self._container(self.tools.delivery, self.settings.trusted),
            minutes=portable.PUBLISH_MINUTES,
            steps=[
                *_with_registry(_shell(portable.release(self.service, self.words))),
                *(_stash(f"image-{image.name}", [portable.kept(image)]) for image in self.service.images),
            ],
        )

    def _chain(self, targets: Sequence[Target], when: _Lines) -> list[_Lines]:
        stages: list[_Lines] = []
        ordinal = 0
        for target in targets:
            if portable.approved(target):
                ordinal += 1
                stages.append(self._approval(target, when, ordinal))
            ordinal += 1
            stages.append(self._deploy(target, when, ordinal))
            if portable.leaves_tag(self.service, target):
                stages.append(self._verified(target, when))
        return stages

    def _approval(self, target: Target, when: _Lines, ordinal: int) -> _Lines:
        environment = target.environment
        asked = _block(
            "input",
            f"message {_quoted(f'Deploy {self.service.name} to {environment}?')}",
            "ok 'Deploy'",
            f"submitter {_quoted(','.join(self.settings.approvers[environment]))}",
        )
        return _block(
            f"stage({_quoted(f'Approve {environment}')})",
            _before_input(when),
            _block("options", f"timeout(time: {_APPROVAL_DAYS}, unit: 'DAYS')"),
            asked,
            # Whoever approves a build ends the older ones that still wait.
            _block("steps", f"milestone({ordinal})"),
        )

    def _deploy(self, target: Target, when: _Lines, ordinal: int) -> _Lines:
        environment = target.environment
        label = " && ".join(target.runner_labels or ("linux", "arm64", environment))
        agent = self._container(self.tools.deploy, label) if self.tools.deploy else _agent(label)
        steps = _with_access(self._name(target), self.settings, _shell(self._deployment(target)))
        unstashed = [f"unstash 'image-{image.name}'" for image in self.service.images]
        return self._stage(
            f"Deploy {environment}",
            when,
            self._lock(f"deploy-{self._name(target)}"),
            agent,
            minutes=target.timeout_minutes * 2 + 20,
            # Behind the lock: an older build never deploys after a newer one.
            steps=[f"milestone({ordinal})", *unstashed, *steps],
            after=_block(
                "post",
                _block(
                    "failure",
                    f"archiveArtifacts artifacts: '{portable.DIAGNOSTICS}/**', allowEmptyArchive: true",
                ),
            ),
        )

    def _verified(self, target: Target, when: _Lines) -> _Lines:
        return self._stage(
            f"Verified {target.environment}",
            when,
            self._lock(f"publish-{self.service.name}"),
            self._container(self.tools.delivery, self.settings.trusted),
            minutes=portable.PUBLISH_MINUTES,
            steps=[
                *(f"unstash 'image-{image.name}'" for image in self.service.images),
                *_with_registry(_shell(portable.verified(self.service, target, self.words))),
            ],
        )

    def _name(self, target: Target) -> str:
        return f"{self.service.name}-{target.environment}"

    def _deployment(self, target: Target) -> str:
        access = f"""\
# AWS exchanges the job's identity for the role, with which sops opens its files: no key is stored.
: "${{AWS_DEPLOY_ROLE:?is not set}}" "${{AWS_REGION:?is not set}}"
export AWS_ROLE_ARN="$AWS_DEPLOY_ROLE" AWS_ROLE_SESSION_NAME="deploy-{target.environment}-$BUILD_NUMBER"
"""
        return portable.deploy(self.service, target, access if self.settings.oidc else "")

    def _stage(
        self, name: str, *parts: _Lines, minutes: int, steps: Sequence[str], after: _Lines | None = None
    ) -> _Lines:
        # The time does not include waiting for an agent or a lock.
        timed = _block(f"timeout(time: {minutes}, unit: 'MINUTES')", steps)
        return _block(f"stage({_quoted(name)})", *parts, _block("steps", timed), after or [])

    def _on_main(self) -> _Lines:
        return _when(f"branch pattern: {_quoted(self.settings.default_branch)}, comparator: 'EQUALS'")

    def _on_tags(self) -> _Lines:
        patterns = [f"tag pattern: {_quoted(each)}, comparator: 'GLOB'" for each in portable.tag_patterns(self.service)]
        return _when(*(patterns if len(patterns) == 1 else _block("anyOf", patterns)))

    def _lock(self, resource: str) -> _Lines:
        return _block("options", f"lock(resource: {_quoted(resource)})")

    def _container(self, image: str, label: str) -> _Lines:
        return _block("agent", _block("docker", f"image {_quoted(image)}", f"label {_quoted(label)}"))

    def _buildx(self, image: Image, platforms: Sequence[str], *options: str) -> str:
        file = image.dockerfile if image.context == "." else f"{image.context.rstrip('/')}/{image.dockerfile}"
        return joined(
            f'docker buildx build --builder "$builder" --platform {",".join(platforms)}',
            f'--label "org.opencontainers.image.source={self.words.source}"',
            f'--label "org.opencontainers.image.revision={self.words.commit}"',
            *options,
            f"--file {file} {image.context}",
        )

    def _builder(self) -> str:
        return f"""\
builder="$(docker buildx create --driver docker-container --driver-opt "image={self.tools.buildkit}")"
trap 'docker buildx rm "$builder"; rm -rf "$scratch"' EXIT
"""

    def _request(self, image: Image) -> str:
        report = portable.report(image, image.platforms[0])
        return f"""\
set -euo pipefail
{portable.scratch()}{self._builder()}mkdir -p {portable.FOLDER}
{self._buildx(image, image.platforms)}
{self._buildx(image, image.platforms[:1], '--output "type=docker,dest=$scratch/image.tar"')}
docker run --rm --volume "$scratch/image.tar:/image.tar:ro" {self.tools.trivy} \\
  image --input /image.tar --format json > {report}"""

    def _build(self, image: Image) -> str:
        cache = f"type=registry,ref=$IMAGE_PREFIX/{image.name}:cache"
        pushed = f"type=image,name=$IMAGE_PREFIX/{image.name},push-by-digest=true,name-canonical=true,push=true"
        command = self._buildx(
            image,
            image.platforms,
            f'--cache-from "{cache}"',
            f'--cache-to "{cache},mode=max"',
            f'--output "{pushed}"',
            '--metadata-file "$scratch/metadata.json"',
        )
        digest = portable.keep_digest(image, "$scratch/metadata.json")
        return portable.build(image, f"{self._builder()}{command}\n{digest}")

    def _scan(self, image: Image) -> str:
        scans = "\n".join(
            f'docker run --rm --volume "$DOCKER_CONFIG:/docker:ro" --env DOCKER_CONFIG=/docker {self.tools.trivy} \\\n'
            f"  image --platform {platform} --format json "
            f'"${portable.variable(image)}" > {portable.report(image, platform)}'
            for platform in image.platforms
        )
        return f"set -euo pipefail\n{portable.scratch()}{portable.login()}{portable.known(image)}{scans}"


def _when(*conditions: str) -> _Lines:
    # Before options: a stage that is left out waits for no lock.
    return _block("when", "beforeOptions true", *conditions)


def _before_input(when: _Lines) -> _Lines:
    return [line.replace("beforeOptions", "beforeInput") for line in when]


def _agent(label: str) -> _Lines:
    return _block("agent", f"label {_quoted(label)}")


def _stash(name: str, files: Sequence[str]) -> str:
    return f"stash name: '{name}', includes: '{','.join(files)}'"


def _scanned(image: Image) -> Sequence[str]:
    return [portable.report(image, platform) for platform in image.platforms]


def _with_registry(steps: Sequence[str]) -> _Lines:
    return _block(
        f"withCredentials([usernamePassword(credentialsId: '{REGISTRY_CREDENTIALS}', "
        "usernameVariable: 'IMAGE_REGISTRY_USER', passwordVariable: 'IMAGE_REGISTRY_PASSWORD')])",
        steps,
    )


def _with_access(name: str, settings: Settings, steps: Sequence[str]) -> _Lines:
    files = {"KUBECONFIG": f"kubeconfig-{name}"}
    if settings.oidc:
        files["AWS_WEB_IDENTITY_TOKEN_FILE"] = f"aws-{name}"
    bound = ", ".join(f"file(credentialsId: '{kept}', variable: '{variable}')" for variable, kept in files.items())
    return _block(f"withCredentials([{bound}])", steps)
