"""Labels of issues."""

import re
from urllib.parse import quote

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import already_exists, invalid
from pavedpath_sandbox.github.render import node_id, repository_url
from pavedpath_sandbox.github.store import DuplicateError, Json, Record

# What GitHub gives every new repository.
_DEFAULT_LABELS = {
    "bug": ("d73a4a", "Something isn't working"),
    "documentation": ("0075ca", "Improvements or additions to documentation"),
    "duplicate": ("cfd3d7", "This issue or pull request already exists"),
    "enhancement": ("a2eeef", "New feature or request"),
    "good first issue": ("7057ff", "Good for newcomers"),
    "help wanted": ("008672", "Extra attention is needed"),
    "invalid": ("e4e669", "This doesn't seem right"),
    "question": ("d876e3", "Further information is requested"),
    "wontfix": ("ffffff", "This will not be worked on"),
}


def add_default_labels(call: Call, repository: Record) -> None:
    """The labels that a new repository starts with."""
    for name, (color, description) in _DEFAULT_LABELS.items():
        body = {"name": name, "color": color, "description": description, "default": True}
        call.store.insert("label", repository.id, name, body)


def _label(call: Call, repository: Record, record: Record) -> Json:
    return {
        "id": record.id,
        "node_id": node_id("label", record.id),
        "url": f"{repository_url(call, repository)}/labels/{quote(record['name'], safe='')}",
        **record.body,
    }


def _checked(body: Json) -> Json:
    if "color" in body and not re.fullmatch(r"[0-9a-fA-F]{6}", body["color"]):
        raise invalid("Label", "color", body["color"])
    return body


def listing(call: Call) -> Reply:
    """The repository's labels."""
    repository = call.repository
    return page(call, [_label(call, repository, one) for one in call.store.children("label", repository.id)])


def create(call: Call) -> Reply:
    """Make a label."""
    repository, name = call.repository, call.body["name"]
    body = {"name": name, "color": "ededed", "description": None, "default": False}
    body |= _checked({key: call.body[key] for key in ("color", "description") if call.body.get(key)})
    try:
        return created(_label(call, repository, call.store.insert("label", repository.id, name.lower(), body)))
    except DuplicateError as error:
        raise already_exists("Label", "name") from error


def get(call: Call) -> Reply:
    """A label."""
    repository = call.repository
    return ok(_label(call, repository, call.child("label", repository, call.path["name"].lower())))


def update(call: Call) -> Reply:
    """Change or rename a label."""
    repository = call.repository
    record = call.child("label", repository, call.path["name"].lower())
    changes = _checked({key: call.body[key] for key in ("color", "description") if key in call.body})
    name = call.body.get("new_name", record["name"])
    try:
        updated = call.store.update(record, changes | {"name": name}, key=name.lower())
    except DuplicateError as error:
        raise already_exists("Label", "name") from error
    return ok(_label(call, repository, updated))


def delete(call: Call) -> Reply:
    """Delete a label."""
    call.store.delete(call.child("label", call.repository, call.path["name"].lower()))
    return no_content()
