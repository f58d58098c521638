"""Which AWS resources take tags, as the provider's SDK has it: `python -m policy.taggable` writes the list anew.

It is a list because the SDK itself takes seconds to import, and a resource without tags does not show that it could
have some.
"""

import re
from pathlib import Path

LIST = Path(__file__).with_name("taggable.txt")


def taggable() -> frozenset[str]:
    """Return the type tokens of the list."""
    return frozenset(LIST.read_text().split())


def scan(sdk: Path) -> list[str]:
    """Return the type tokens of the resources whose constructors take tags.

    Args:
        sdk: directory of the installed `pulumi_aws`.
    """
    found: set[str] = set()
    for path in sdk.glob("*/*.py"):
        text = path.read_text()
        token = re.search(r"super\([^)]*\)\.__init__\(\s*'(aws:[^']+)'", text)
        if token and re.search(r"def _internal_init\([^)]*?\n\s+tags: ", text):
            found.add(token[1])
    return sorted(found)


if __name__ == "__main__":
    from importlib.util import find_spec

    spec = find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        raise SystemExit("pulumi_aws is not installed")
    LIST.write_text("\n".join(scan(Path(spec.origin).parent)) + "\n")
