"""Which stacks a change previews: paths on standard input, one a line; a JSON list of stacks on standard output.

    git diff --name-only main...HEAD | python3 .github/changed_stacks.py pull_request

The argument is the event: `pull_request`, before anyone has reviewed the change, or `push`, after the merge.

A stack's own files touch that stack. The program and what it is made of touch every stack. Documents, tests and
examples touch none. A path that no rule knows touches every stack: a preview too many costs minutes, one too few a
surprise.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Stacks that a pull request previews. The others are previewed after the merge. This only spares them a failing job:
# what keeps their credentials from a branch is the branch policy of their environment (docs/pull-request-previews.md).
UNREVIEWED = frozenset({"dev"})
# Nothing that a stack is made of.
NONE = re.compile(
    r".*\.md|LICENSE|Makefile|mkdocs\.yml|\.gitignore|\.ci/.*|(?:docs|tests|examples|bench|sandbox|delivery)/.*"
    r"|\.github/(?!changed_stacks\.py|workflows/preview\.yml).*"
)
OWN = (
    re.compile(r"Pulumi\.(?P<stack>[\w-]+)\.yaml"),
    re.compile(r"etc/helm_values/[^/]+/(?P<stack>[\w-]+)(?:\.secrets)?\.yaml"),
)


def known_stacks(root: Path = ROOT) -> list[str]:
    """Return the stacks that have a file of settings."""
    return sorted(match["stack"] for path in root.glob("Pulumi.*.yaml") if (match := OWN[0].fullmatch(path.name)))


def changed(paths: Iterable[str], stacks: list[str]) -> list[str]:
    """Return the stacks, in order, that a change of these paths touches."""
    found: set[str] = set()
    for path in filter(None, paths):
        own = next((match["stack"] for pattern in OWN if (match := pattern.fullmatch(path))), None)
        if own is not None:
            found |= {own} & set(stacks)
        elif not NONE.fullmatch(path):
            return stacks
    return [stack for stack in stacks if stack in found]


def previewed(stacks: Iterable[str], event: str) -> list[str]:
    """Return the stacks, in order, that an event previews: each is previewed either before the merge or after it."""
    return [stack for stack in stacks if (stack in UNREVIEWED) == (event == "pull_request")]


if __name__ == "__main__":
    touched = changed(sys.stdin.read().splitlines(), known_stacks())
    sys.stdout.write(json.dumps(previewed(touched, sys.argv[1])))
