"""Images: built for pull requests, built and pushed for the default branch; scanned before anything names them.

A push has no tag: what is in the registry then is a digest that nobody deploys. `published` gives it names, once the
checks of its commit passed and its scans are clean, and `pavedpath image promote` refuses to without that evidence.
A digest is of an index, and its evidence covers every image in it: each platform is scanned by itself.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pavedpath.workflows.catalogue import steps
from pavedpath.workflows.catalogue.blueprint import Blueprint
from pavedpath.workflows.expressions import Expression, github, output_of_step, runner
from pavedpath.workflows.model import Access, Concurrency, Job, Run, Scope, Step, Text, Uses
from pavedpath.workflows.service import Image

SEVERITIES = "HIGH,CRITICAL"
"""What a scan fails on: document 004."""

_MINUTES = 45


def checked(blueprint: Blueprint, conditions: Mapping[str, Expression] | None = None) -> dict[str, Job]:
    """Return a job an image that builds it and scans it, and pushes nothing.

    Args:
        blueprint: the service.
        conditions: when an image is built, by its name, from outputs of the job `changes`. Default: always.
    """
    found = conditions or {}
    return {
        steps.job_id("image", image.name): Job(
            name=f"image {image.name}",
            needs=("changes",) if image.name in found else (),
            condition=found.get(image.name),
            timeout_minutes=_MINUTES,
            steps=[
                steps.checkout(),
                steps.command(),
                *_builder(),
                _build(image, {"push": False}),
                *(step for platform in image.platforms for step in _loaded(blueprint, image, platform)),
            ],
        )
        for image in blueprint.service.images
    }


def pushed(blueprint: Blueprint, needs: Sequence[str], condition: Expression | None) -> dict[str, Job]:
    """Return a job an image that builds it once, pushes it by digest, scans it and records that it is clean."""
    return {
        steps.job_id("image", image.name): Job(
            name=f"image {image.name}",
            needs=tuple(needs),
            condition=condition,
            timeout_minutes=_MINUTES,
            outputs={"image": output_of_step("built", "image") | output_of_step("digest", "image")},
            steps=_pushed(blueprint, image),
        )
        for image in blueprint.service.images
    }


def published(blueprint: Blueprint, needs: Sequence[str]) -> dict[str, Job]:
    """Return the job that names what was tested and scanned: `sha-<commit>` and `dev` on the default branch.

    Args:
        blueprint: the service.
        needs: the jobs that tested the commit.
    """
    names, built = blueprint.names, blueprint.built
    wanted = {name: output_of_step(steps.job_id("tags", name), "tags") for name in names}
    job = Job(
        name="publish",
        needs=(*needs, *(steps.job_id("image", name) for name in names)),
        concurrency=publishing(blueprint),
        timeout_minutes=15,
        steps=[
            steps.command(),
            blueprint.registry.login(),
            *tags_found(blueprint),
            steps.record_tested(built),
            steps.promote(built, wanted),
        ],
        why="What nobody tested or scanned has no name, and cannot be deployed.",
    )
    return {"publish": job}


def publishing(blueprint: Blueprint) -> Concurrency:
    """Return the lock of whatever moves a tag: a registry cannot compare and swap one."""
    return Concurrency(group=f"publish-{blueprint.service.name}", queue=True)


def tags_found(blueprint: Blueprint) -> list[Step]:
    """Return the steps, with the ids tags_<image>, that find the tags that the run's ref gives each image."""
    return [
        Run(
            name=f"Find the tags of {name}",
            id=steps.job_id("tags", name),
            env={"IMAGE": full, "REF": github("ref"), "COMMIT": github("sha")},
            run='pavedpath image tags "$IMAGE" --ref "$REF" --commit "$COMMIT"',
            outputs=("tags", "version", "push"),
        )
        for name, full in blueprint.names.items()
    ]


def verified(
    blueprint: Blueprint, environment: str, needs: Sequence[str], images: Mapping[str, Text], commit: Text
) -> dict[str, Job]:
    """Return the job that leaves the tag `sha-<commit>-<environment>`, by which the next environment finds the images.

    Args:
        blueprint: the service.
        environment: the one that ran them.
        needs: the job that deployed there, and those whose outputs `images` are.
        images: IMAGE@DIGEST by name.
        commit: full id.
    """
    job = Job(
        name=f"{environment} verified",
        needs=tuple(needs),
        timeout_minutes=10,
        steps=[
            steps.command(),
            blueprint.registry.login(),
            named(blueprint, images, commit, ran_tag(environment), name=f"Say that {environment} ran them"),
        ],
    )
    return {steps.job_id(environment, "verified"): job}


def named(
    blueprint: Blueprint, images: Mapping[str, Text], commit: Text, tag: str = "sha-${COMMIT:0:12}", *, name: str
) -> Run:
    """Return the step that gives digests one tag that is made of their commit.

    Args:
        blueprint: the service.
        images: IMAGE@DIGEST by name.
        commit: full id; the shell variable COMMIT of the tag.
        tag: see `ran_tag`. Default: `sha-<commit>`.
        name: the step's.
    """
    env: dict[str, Text] = {"COMMIT": commit}
    lines: list[str] = []
    for image, digest in images.items():
        source, target = steps.variable_of("IMAGE", image), steps.variable_of("NAME", image)
        env |= {source: digest, target: blueprint.names[image]}
        lines.append(f'pavedpath image promote "${source}" --to "${target}:{tag}"')
    return Run(name=name, env=env, run="\n".join(lines))


def ran_tag(environment: str) -> str:
    """Return the tag of what an environment ran, with the shell variable COMMIT: only a promotion makes such a tag."""
    return f"sha-${{COMMIT:0:12}}-{environment}"


def _scan(blueprint: Blueprint, image: Image, platform: str, reference: Text, *, local: bool = False) -> list[Step]:
    """Return the steps that scan one platform of an image, and fail on severe findings or a report of another image."""
    gate = [
        f'pavedpath scan gate "$RUNNER_TEMP/{_report(image, platform)}"',
        '--image "$IMAGE"',
        f"--severity {SEVERITIES}",
        f"--exceptions {shlex.quote(blueprint.exceptions)}" if blueprint.exceptions else "",
    ]
    return [
        Uses(
            name=f"Scan {platform}",
            action="aquasecurity/trivy-action",
            inputs={
                "image-ref": str(reference),
                "format": "json",
                "output": f"{runner('temp')}/{_report(image, platform)}",
            },
            # The action has no input for it; of an index trivy takes linux/amd64 unless told otherwise.
            env={} if local else {"TRIVY_PLATFORM": platform},
        ),
        Run(name=f"Refuse severe findings of {platform}", env={"IMAGE": reference}, run=steps.joined(*gate)),
    ]


def _report(image: Image, platform: str) -> str:
    return f"{image.name}-{_slug(platform)}.json"


def _slug(platform: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", platform)


def _pushed(blueprint: Blueprint, image: Image) -> list[Step]:
    name = blueprint.names[image.name]
    missing = output_of_step("built", "image").equals("")
    made = output_of_step("digest", "image")
    building: list[Step] = [
        *_builder(),
        _build(image, {"outputs": f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true"}),
        Run(
            name="Name the digest",
            id="digest",
            env={"IMAGE": name, "DIGEST": output_of_step("build", "digest")},
            run='printf \'%s\\n\' "image=$IMAGE@$DIGEST" "digest=$DIGEST" >> "$GITHUB_OUTPUT"',
            outputs=("image", "digest"),
        ),
        *(step for platform in image.platforms for step in _scan(blueprint, image, platform, made)),
        Run(
            name="Record that it is clean",
            env={"IMAGE": made},
            run="\n".join(
                f'pavedpath image record "$IMAGE" --kind scanned --report "$RUNNER_TEMP/{_report(image, platform)}"'
                for platform in image.platforms
            ),
            permissions={Scope.PACKAGES: Access.WRITE},
        ),
    ]
    return [
        steps.checkout(),
        steps.command(),
        blueprint.registry.login(),
        Run(
            name="Look whether this commit was built",
            id="built",
            why="A second run of the same commit takes what the first one built.",
            env={"IMAGE": name, "COMMIT": github("sha")},
            run='pavedpath image resolve "$IMAGE:sha-${COMMIT:0:12}" --if-there',
            outputs=("image", "digest"),
        ),
        *(replace(step, condition=missing) for step in building),
    ]


def _build(image: Image, output: Mapping[str, str | bool]) -> Uses:
    labels = (
        f"org.opencontainers.image.source={github('server_url')}/{github('repository')}\n"
        f"org.opencontainers.image.revision={github('sha')}\n"
    )
    return Uses(
        name="Build",
        id="build",
        action="docker/build-push-action",
        inputs={
            "context": image.context,
            "file": image.dockerfile if image.context == "." else f"{image.context.rstrip('/')}/{image.dockerfile}",
            "platforms": ",".join(image.platforms),
            **output,
            "labels": labels,
            "cache-from": f"type=gha,scope={image.name}",
            "cache-to": f"type=gha,scope={image.name},mode=max",
        },
        outputs=("digest", "imageid", "metadata"),
    )


def _loaded(blueprint: Blueprint, image: Image, platform: str) -> list[Step]:
    tag = f"{image.name}:scan-{_slug(platform)}"
    built = _build(image, {"load": True, "tags": tag})
    kept = {key: value for key, value in built.inputs.items() if key != "cache-to"}
    load = Uses(
        name=f"Load {platform} for the scan",
        why="A builder keeps an image of several platforms where no scanner finds it."
        if platform == image.platforms[0]
        else "",
        action=built.action,
        inputs={**kept, "platforms": platform},
    )
    return [load, *_scan(blueprint, image, platform, tag, local=True)]


def _builder() -> list[Step]:
    return [
        Uses(name="Set up emulation", action="docker/setup-qemu-action"),
        Uses(name="Set up Buildx", action="docker/setup-buildx-action"),
    ]
