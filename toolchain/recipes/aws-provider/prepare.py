"""Copy two modules and leave out of them what this provider does not need.

src/: the AWS provider with only the services of mapping.json. It has 260; all of them would take an hour and 20 GB of
memory to build. Two generated files name them, the list of service packages and the API clients. Both are rewritten to
what is wanted and what that imports.

bridge/: Pulumi's bridge without the one file that imports the code generators (400 packages).
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

MODULE = "github.com/hashicorp/terraform-provider-aws"
BRIDGE = "github.com/pulumi/pulumi-terraform-bridge/v3"
GENERATORS = "pkg/pf/tfbridge/provider_mux.go"
UNBUILT = ("*_test.go", "website", "docs", "examples", "dynamic", "testdata", "test-fixtures", "tests", ".git*")
PACKAGES = "internal/provider/sdkv2/service_packages_gen.go"
CLIENTS = "internal/conns/awsclient_gen.go"
SERVICE = re.compile(rf'^\t(?:(\w+) )?"{MODULE}/internal/service/([a-z0-9]+)"$')
SDK = re.compile(r'^\t(?:(\w+) )?"github.com/aws/aws-sdk-go-v2/service/([a-z0-9]+)"$')


def go_files(directory: Path) -> list[str]:
    """The text of a Go package, without its tests."""
    return [path.read_text() for path in directory.glob("*.go") if not path.name.endswith("_test.go")]


def closure(root: Path, services: list[str]) -> set[str]:
    """The services named, and those that they import.

    Raises:
        ValueError: a service is not in the module.
    """
    found: set[str] = set()
    todo = list(services)
    while todo:
        service = todo.pop()
        if service in found:
            continue
        found.add(service)
        sources = go_files(root / "internal/service" / service)
        if not sources:
            raise ValueError(f"the AWS provider has no service {service!r}")
        for source in sources:
            todo += re.findall(rf'"{MODULE}/internal/service/([a-z0-9]+)"', source)
    return found


def trim_packages(source: str, services: set[str]) -> str:
    """The list of service packages, cut down."""
    names: set[str] = set()
    lines: list[str] = []
    for line in source.splitlines():
        if imported := SERVICE.match(line):
            if imported[2] not in services:
                continue
            names.add(imported[1] or imported[2])
        listed = re.match(r"^\t\t(\w+)\.ServicePackage\(ctx\),$", line)
        if listed is None or listed[1] in names:
            lines.append(line)
    return "\n".join(lines) + "\n"


def trim_clients(source: str, used: set[str]) -> str:
    """The API clients, cut down to the methods in `used`, with the imports these need."""
    head, *methods = re.split(r"(?=^func )", source, flags=re.MULTILINE)
    body = "".join(m for m in methods if (name := re.match(r"func \(c \*AWSClient\) (\w+)\(", m)) and name[1] in used)
    imports = (SDK.match(line) for line in head.splitlines())
    lines = [
        line
        for line, sdk in zip(head.splitlines(), imports, strict=True)
        if sdk is None or re.search(rf"\b{sdk[1] or sdk[2]}\.Client", body)
    ]
    return "\n".join(lines) + "\n\n" + body


def clients_used(root: Path, services: set[str]) -> set[str]:
    """Names of the client methods that the wanted services and the provider's shared code call."""
    used: set[str] = set()
    for path in (*(root / "internal").rglob("*.go"), *(root / "xpprovider").rglob("*.go")):
        parts = path.relative_to(root).parts
        other = parts[1] == "generate" or (parts[1] == "service" and parts[2] not in services)
        if not other and not path.name.endswith("_test.go") and path.name != Path(CLIENTS).name:
            used.update(re.findall(r"\.(\w+Client)\(ctx\)", path.read_text()))
    return used


def download(module: str) -> Path:
    """The directory of a module at its pinned version."""
    # Outside the recipe's own module: its go.mod replaces both modules by the copies that are about to be made.
    done = subprocess.run(["go", "mod", "download", "-json", module], check=True, capture_output=True, cwd="source")
    return Path(json.loads(done.stdout)["Dir"])


def copy_provider(root: Path, copy: Path, services: set[str]) -> None:
    """The provider with its two lists trimmed, and without the sources of other services."""

    def unwanted(directory: str, names: list[str]) -> set[str]:
        here = Path(directory)
        others = {name for name in names if (here / name).is_dir()} - services
        return others if here == root / "internal/service" else shutil.ignore_patterns(*UNBUILT)(directory, names)

    shutil.copytree(root, copy, ignore=unwanted, copy_function=shutil.copyfile)
    (copy / PACKAGES).write_text(trim_packages((root / PACKAGES).read_text(), services))
    (copy / CLIENTS).write_text(trim_clients((root / CLIENTS).read_text(), clients_used(root, services)))


def main() -> None:
    """Run in a copy of the recipe."""
    root = download(MODULE)
    copy_provider(root, Path("src"), closure(root, json.loads(Path("mapping.json").read_text())["services"]))
    shutil.copytree(download(BRIDGE), "bridge", ignore=shutil.ignore_patterns(*UNBUILT), copy_function=shutil.copyfile)
    (Path("bridge") / GENERATORS).unlink()


if __name__ == "__main__":
    main()
