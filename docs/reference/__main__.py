"""Write what follows from the library's source: reference, list of components, package schema; and build the site.

    .venv/bin/python -m docs.reference           # docs/reference/*.md, docs/components/index.md, components/schema.json
    .venv/bin/python -m docs.reference --build   # and build site/; a link that leads nowhere fails it

A page of the reference holds what one module makes public; what it says comes from docstrings and annotations.
"""

import argparse
import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from pavedpath.package import Package, components

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STUB = ROOT / "components" / "pavedpath" / "__init__.pyi"
SCHEMA = ROOT / "components" / "schema.json"
CONFIG = ROOT / "mkdocs.yml"
INTRODUCTION = """\
# Reference

What the library makes public, by module, from its docstrings and annotations. How each component is used stands in
[the how-to pages](../components/index.md).

"""
COMPONENTS = """\
# Components

Each has one shape, `Name(name, args, opts=None)`, secure defaults, and a page that says what it is for, what it costs,
and what a change of it replaces. Every argument is checked before the first resource, and every mistake is reported at
once.

"""


def public_names() -> dict[str, list[str]]:
    """Return the public names of each module, as the library's stub lists them."""
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    found: dict[str, list[str]] = {}
    for node in imports:
        found.setdefault(node.module or "", []).extend(alias.name for alias in node.names)
    return dict(sorted(found.items()))


def page_of(component: str) -> str:
    """Return the name of a component's how-to page: its own in kebab-case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", component).lower() + ".md"


def component_list() -> str:
    """Return the page that lists every component with the first line of its docstring and what it creates from."""
    rows: list[str] = []
    for component in sorted(components(), key=lambda each: each.__name__):
        name = component.__name__
        summary = inspect.cleandoc(component.__doc__ or "").split("\n\n")[0].replace("\n", " ").removesuffix(".")
        module = component.__module__.rsplit(".", 1)[-1]
        rows.append(f"| [{name}]({page_of(name)}) | {summary} | [{module}](../reference/{module}.md) |\n")
    return f"{COMPONENTS}| component | | reference |\n|---|---|---|\n{''.join(rows)}"


def pages() -> dict[str, str]:
    """Return the text of every written page by its path in docs/."""
    modules = public_names()
    made = {
        f"reference/{module}.md": f"# pavedpath.{module}\n\n"
        + "\n".join(f"::: pavedpath.{module}.{name}\n" for name in names)
        for module, names in modules.items()
    }
    rows = "".join(
        f"| [`{module}`]({module}.md) | {', '.join(f'`{name}`' for name in names)} |\n"
        for module, names in modules.items()
    )
    return {
        **made,
        "reference/index.md": f"{INTRODUCTION}| module | public |\n|---|---|\n{rows}",
        "components/index.md": component_list(),
    }


def write() -> None:
    """Write the pages and the schema, and delete the pages of modules that are gone."""
    wanted = pages()
    for old in (DOCS / "reference").glob("*.md"):
        if str(old.relative_to(DOCS)) not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (DOCS / name).write_text(text)
    SCHEMA.write_text(json.dumps(json.loads(Package().schema or ""), indent=2, ensure_ascii=False) + "\n")


def settle_links(page: Path, site: Path, repository: str) -> list[str]:
    """Point a built page's links to files of the checkout at the repository; return those that lead nowhere.

    The builder checks links between pages only. `site` stands beside docs/, so that a link which leaves it, leaves it
    for the place in the checkout that its author meant.
    """
    wrong: list[str] = []

    def settled(match: re.Match[str]) -> str:
        link, anchor, fragment = match[1].partition("#")
        named = Path(os.path.normpath(page.parent / link))
        if not link or re.match(r"[a-z]+:|/", link) or (named.is_relative_to(site) and named.exists()):
            return match[0]
        if named.is_relative_to(site) or not named.is_relative_to(ROOT) or not named.exists():
            wrong.append(f"{page.relative_to(site)}: {link}")
            return match[0]
        kind = "tree" if named.is_dir() else "blob"
        place = f"{repository}/{kind}/main/{named.relative_to(ROOT)}".removesuffix("/.")
        return f'href="{place}{anchor}{fragment}"'

    page.write_text(re.sub(r'href="([^"]*)"', settled, page.read_text()))
    return wrong


def build() -> int:
    """Build the site and return the exit status."""
    builder = Path(sys.executable).parent / "zensical"
    done = subprocess.run([builder, "build", "--clean", "--strict"], cwd=ROOT, check=False)
    if done.returncode:
        return done.returncode
    settings = yaml.safe_load(CONFIG.read_text())
    site = ROOT / settings["site_dir"]
    wrong = [bad for page in sorted(site.rglob("*.html")) for bad in settle_links(page, site, settings["repo_url"])]
    for bad in wrong:
        print(f"link that leads nowhere: {bad}", file=sys.stderr)  # noqa: T201  # what the person who builds reads
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", action="store_true", help="build the site as well")
    chosen = parser.parse_args()
    write()
    sys.exit(build() if chosen.build else 0)
