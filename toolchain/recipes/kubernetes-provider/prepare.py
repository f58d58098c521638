"""Fetch the provider's schema and a copy of its Go SDK, cut down to what the provider needs.

The SDK's yaml/v2/kinds.go imports every API group only to give Go programs typed results; the provider registers the
same resources by their type tokens. With the generic case alone the build takes 160 s instead of 860.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

SDK = "github.com/pulumi/pulumi-kubernetes/sdk/v4"
PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"
IMPORT = re.compile(rf'\t\w+ "{SDK}/go/kubernetes/')
CASE = re.compile(r'\tcase "[^"]+":$')


def keep_generic_case(source: str) -> str:
    """kinds.go without its typed cases, and with the core group's tokens named as the typed cases name them.

    Raises:
        ValueError: the file does not have the form this relies on.
    """
    kept: list[str] = []
    skipping = False
    for line in source.splitlines():
        if CASE.match(line):
            skipping = True
        if line.strip() == "default:":
            skipping = False
        if not skipping and not IMPORT.match(line):
            kept.append(line)
    text = "\n".join(kept) + "\n"
    core = '\t\tif !strings.Contains(apiVersion, "/") {\n\t\t\tapiVersion = "core/" + apiVersion\n\t\t}\n'
    for old, new in (
        ('import (\n\t"fmt"\n', 'import (\n\t"fmt"\n\t"strings"\n'),
        ("\tdefault:\n\t\tvar res", f"\tdefault:\n{core}\t\tvar res"),
    ):
        if old not in text:
            raise ValueError(f"kinds.go has no {old!r}")
        text = text.replace(old, new, 1)
    return text


def download(module: str) -> Path:
    """The directory of a module at its pinned version."""
    # Outside the recipe's own module: its go.mod replaces the SDK by the copy that is about to be made.
    done = subprocess.run(["go", "mod", "download", "-json", module], check=True, capture_output=True, cwd="source")
    return Path(json.loads(done.stdout)["Dir"])


def main() -> None:
    """Run in a copy of the recipe."""
    schemas = download(PROVIDER) / "cmd" / "pulumi-resource-kubernetes"
    for name in ("schema.json", "terraform-mapping.json"):
        shutil.copyfile(schemas / name, name)
    original, copy = download(SDK), Path("sdk")
    shutil.copytree(original / "go", copy / "go", copy_function=shutil.copyfile)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(original / name, copy / name)
    kinds = copy / "go/kubernetes/yaml/v2/kinds.go"
    kinds.write_text(keep_generic_case(kinds.read_text()))


if __name__ == "__main__":
    main()
