"""How an object in the cluster differs from the one that was declared. Pure.

Only what was declared is compared: what the server fills in is no difference. What somebody added besides is seen in
named lists (containers, variables, ports), in data, and by who owns a field.

Source: Kubernetes, "Server-Side Apply" for `managedFields` and its `fieldsV1`.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, cast

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects

HIDDEN = "(secret)"
_MISSING: Final = object()
_KEYS = ("mountPath", "name", "containerPort", "port", "type", "key", "host", "ip", "topologyKey")
_FREE = ("data", "binaryData", "matchLabels", "nodeSelector", "selector")
"""Maps whose every key somebody chose: none of them comes from the server."""
_QUANTITIES = {"requests", "limits", "hard", "capacity", "sizeLimit", "averageValue"}
_UNITS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
}
_IGNORED = {"status", "apiVersion", "kind"}
_OF_TOOLS = ("kubectl.kubernetes.io/", "deployment.kubernetes.io/")


@dataclass(frozen=True)
class Difference:
    """One field: what was declared, what is there (JSON, `None` for nothing), and who set it if that is known."""

    path: str
    declared: Json
    live: Json
    manager: str = ""


def differences(declared: Properties, live: Properties) -> list[Difference]:
    """Return the fields that differ, sorted by path; values of Secrets are hidden."""
    wanted = _as_stored(declared)
    kept = {key: value for key, value in wanted.items() if key not in _IGNORED}
    found = {each.path: each for each in _compare("", kept, live)}
    for each in _foreign(wanted, live):
        if not any(each.path == path or each.path.startswith((f"{path}.", f"{path}[")) for path in found):
            found[each.path] = each
    listed = [found[path] for path in sorted(found)]
    return [_blind(each) for each in listed] if declared.get("kind") == "Secret" else listed


def _blind(found: Difference) -> Difference:
    if not found.path.startswith(("data", "stringData")):
        return found
    declared, live = (None if value is None else HIDDEN for value in (found.declared, found.live))
    return Difference(found.path, declared, live, found.manager)


def _as_stored(declared: Properties) -> Properties:
    metadata = {key: value for key, value in fields(declared.get("metadata")).items() if key != "namespace"}
    stored = {**declared, "metadata": metadata}
    if declared.get("kind") == "Secret" and (texts := fields(stored.pop("stringData", None))):
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
        stored["data"] = {**fields(declared.get("data")), **encoded}
    return stored


def _compare(path: str, declared: Json, live: Json) -> Iterator[Difference]:
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        wanted, found = cast(Mapping[str, Json], declared), cast(Mapping[str, Json], live)
        for key, value in wanted.items():
            yield from _compare(_join(path, key), value, found.get(key))
        if path.rpartition(".")[2] in _FREE:
            yield from (Difference(_join(path, key), None, found[key]) for key in found.keys() - wanted.keys())
    elif isinstance(declared, list) and isinstance(live, list):
        yield from _compare_lists(path, cast(list[Json], declared), cast(list[Json], live))
    elif not _same(path, declared, live):
        yield Difference(path, declared, live)


def _compare_lists(path: str, declared: list[Json], live: list[Json]) -> Iterator[Difference]:
    key = _key(declared, live)
    if key:
        wanted, found = ({each[key]: each for each in objects(items)} for items in (declared, live))
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            at = f"{path}[{name}]"
            if name in wanted and name in found:
                yield from _compare(at, wanted[name], found[name])
            else:
                yield Difference(at, wanted.get(name), found.get(name))
    elif len(declared) == len(live):
        for place, pair in enumerate(zip(declared, live, strict=True)):
            yield from _compare(f"{path}[{place}]", *pair)
    else:
        yield Difference(path, declared, live)


def _key(declared: Sequence[Json], live: Sequence[Json]) -> str:
    """Return the field by which the items of both lists are told apart; empty for none."""

    def tells(key: str, items: Sequence[Json]) -> bool:
        values = [fields(each).get(key) for each in items]
        return all(isinstance(each, str | int) for each in values) and len(set(values)) == len(items)

    return next((key for key in _KEYS if declared and tells(key, declared) and tells(key, live)), "")


def _same(path: str, declared: Json, live: Json) -> bool:
    if live is None:  # the server leaves out what is empty
        return not declared
    if declared is None or (declared == live and isinstance(declared, bool) == isinstance(live, bool)):
        return True
    if _QUANTITIES.intersection(path.split(".")):
        amounts = (_amount(declared), _amount(live))
        return None not in amounts and amounts[0] == amounts[1]
    return False


def _amount(value: Json) -> Decimal | None:
    text = str(value)
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if text.endswith(unit)), "")
    try:
        return Decimal(text.removesuffix(unit)) * _UNITS.get(unit, Decimal(1))
    except InvalidOperation:
        return None


def _foreign(declared: Properties, live: Properties) -> Iterator[Difference]:
    """Yield the fields that someone set by kubectl and that were not declared."""
    for entry in objects(fields(live.get("metadata")).get("managedFields")):
        manager = str(entry.get("manager", ""))
        if manager.startswith("kubectl") and not entry.get("subresource"):
            yield from _owned("", fields(entry.get("fieldsV1")), declared, live, manager)


def _owned(path: str, owned: Properties, declared: Json, live: Json, manager: str) -> Iterator[Difference]:
    for name, below in owned.items():
        kind, _, key = name.partition(":")
        if kind == "f":
            at, wanted, found = _join(path, key), _at(declared, key), _at(live, key)
        elif kind == "k":
            match = fields(json.loads(key))
            at = f"{path}[{'/'.join(map(str, match.values()))}]"
            wanted, found = _item(declared, match), _item(live, match)
        else:
            continue
        if found is _MISSING or key.startswith(_OF_TOOLS) or (not path and key in _IGNORED):
            continue
        if wanted is _MISSING and (kind == "k" or not _parts(below)):
            yield Difference(at, None, found, manager)
        elif _parts(below):
            yield from _owned(at, below, wanted, found, manager)


def _parts(owned: Json) -> bool:
    return bool(set(fields(owned)) - {"."})


def _at(tree: Json, key: str) -> Json:
    return fields(tree).get(key, _MISSING)


def _item(tree: Json, match: Properties) -> Json:
    """Return the item of a list that a key names; what the server fills into it need not be declared."""
    return next((each for each in objects(tree) if all(each.get(k, v) == v for k, v in match.items())), _MISSING)


def _join(path: str, key: str) -> str:
    part = f"[{key}]" if "." in key or "/" in key else key
    return f"{path}.{part}" if path and not part.startswith("[") else f"{path}{part}"
