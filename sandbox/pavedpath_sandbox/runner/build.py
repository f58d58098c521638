"""What `docker/build-push-action` does, without a container engine; outputs of the step go to standard output.

A builder's own image store (`load`) is a corner of the sandbox's registry, where the scanner's stand-in finds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pavedpath_sandbox.dockerfile import DockerfileError
from pavedpath_sandbox.images import BuildError, build, push
from pavedpath_sandbox.registry import ImageError

LOADED = "loaded"


def loaded(registry: str, tag: str) -> str:
    """Return where the builder's own store keeps an image."""
    return f"{registry}/{LOADED}/{tag}"


def lines(text: str) -> list[str]:
    """Return the entries of an input that has one a line or, in one line, between commas."""
    return [each.strip() for part in text.splitlines() for each in part.split(",") if each.strip()]


def _pairs(text: str) -> Mapping[str, str]:
    found = (each.strip().partition("=") for each in text.splitlines() if each.strip())
    return {name: value for name, _, value in found}


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Build what the inputs say; return the exit status."""
    context = Path(environ["CONTEXT"])
    dockerfile = Path(environ["DOCKERFILE"]) if environ["DOCKERFILE"] else context / "Dockerfile"
    try:
        built = build(
            context,
            dockerfile,
            platforms=lines(environ["PLATFORMS"]),
            labels=_pairs(environ["LABELS"]),
            arguments=_pairs(environ["BUILD_ARGS"]),
        )
        wanted = _pairs(environ["OUTPUTS"].replace(",", "\n"))
        if wanted.get("push") == "true":
            push(built, [f"{wanted['name']}@{built.digest}"])
        if environ["PUSH"] == "true":
            push(built, lines(environ["TAGS"]))
        if environ["LOAD"] == "true":
            push(built, [loaded(environ["SANDBOX_REGISTRY"], tag) for tag in lines(environ["TAGS"])])
    except (BuildError, DockerfileError, ImageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"digest={built.digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
