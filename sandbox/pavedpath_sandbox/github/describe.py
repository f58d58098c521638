"""Cut GitHub's OpenAPI description down to the operations that are served.

`python -m pavedpath_sandbox.github.describe PATH_OF_FULL` (a file `api.github.com.json` of the npm package
`@octokit/openapi`) writes `openapi.json` beside this module. Prose and examples go; everything a validator needs
stays, and every `$ref` still resolves. Operations that are not served are kept by method, path and id alone, so
that the server can name what it is asked for.
"""

import hashlib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from pavedpath_sandbox.github.description import METHODS, PATH_OF_DESCRIPTION
from pavedpath_sandbox.github.store import Json

_PROSE = {"description", "summary", "example", "examples", "title", "tags", "headers", "deprecated", "links"}


def _without_prose(node: Any, *, names: bool = False) -> Any:
    """Drop what only readers need; in a map of names (`names`) a key is a name, whatever it is called."""
    if isinstance(node, list):
        return [_without_prose(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    kept: Json = {}
    for key, value in cast(Json, node).items():
        if not names and (key in _PROSE or key.startswith("x-")):
            continue
        if key == "externalDocs" and not names:
            kept[key] = {"url": value["url"]}
        else:
            kept[key] = _without_prose(value, names=not names and key in {"properties", "responses", "schemas"})
    return kept


def _refs(node: Any) -> list[str]:
    if isinstance(node, list):
        return [ref for item in cast(list[Any], node) for ref in _refs(item)]
    if not isinstance(node, dict):
        return []
    mapping = cast(Json, node)
    own = [mapping["$ref"]] if isinstance(mapping.get("$ref"), str) else []
    return own + [ref for value in mapping.values() for ref in _refs(value)]


def _reached(paths: Json, components: Json) -> Json:
    """The components that the paths need, directly or through one another."""
    kept: dict[str, Json] = {}
    waiting = _refs(paths)
    while waiting:
        _, _, group, name = waiting.pop().split("/")
        if name in kept.setdefault(group, {}):
            continue
        kept[group][name] = _without_prose(components[group][name])
        waiting += _refs(kept[group][name])
    return {group: dict(sorted(kept[group].items())) for group in sorted(kept)}


def trim(full: bytes, served: Collection[str]) -> bytes:
    """The description of the `served` operation ids alone, as deterministic JSON.

    Raises ValueError that names every served id which GitHub's description does not have.
    """
    document: Json = json.loads(full)
    paths: dict[str, Json] = {}
    unserved: dict[str, str] = {}
    for path, item in sorted(document["paths"].items()):
        for method in METHODS & item.keys():
            operation = item[method]
            if operation["operationId"] in served:
                content = {**operation, "parameters": [*item.get("parameters", []), *operation.get("parameters", [])]}
                paths.setdefault(path, {})[method] = _without_prose(content)
            else:
                unserved[f"{method.upper()} {path}"] = operation["operationId"]
    found = {operation["operationId"] for item in paths.values() for operation in item.values()}
    if missing := sorted(set(served) - found):
        raise ValueError(f"not in GitHub's description: {', '.join(missing)}")
    trimmed: Json = {
        "openapi": document["openapi"],
        "info": {name: document["info"][name] for name in ("title", "version", "license") if name in document["info"]},
        "x-source": {
            "package": f"@octokit/openapi@{document['info']['version']}",
            "file": "generated/api.github.com.json",
            "sha256": hashlib.sha256(full).hexdigest(),
        },
        "paths": paths,
        "components": _reached(paths, document["components"]),
        "x-unserved": unserved,
    }
    return json.dumps(trimmed, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() + b"\n"


def main(arguments: list[str]) -> int:
    """Write the trimmed description; returns the exit status."""
    from pavedpath_sandbox.github.routes import HANDLERS

    if len(arguments) != 1:
        sys.stderr.write("usage: python -m pavedpath_sandbox.github.describe PATH_OF_FULL\n")
        return 2
    try:
        trimmed = trim(Path(arguments[0]).read_bytes(), HANDLERS.keys())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    PATH_OF_DESCRIPTION.write_bytes(trimmed)
    sys.stdout.write(f"{len(HANDLERS)} operations, {len(trimmed)} bytes: {PATH_OF_DESCRIPTION.name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
