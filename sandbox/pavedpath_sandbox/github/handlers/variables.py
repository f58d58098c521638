"""Plain variables of repositories, environments and the organisation."""

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import conflict, unprocessable
from pavedpath_sandbox.github.handlers.scopes import Scope, checked_name, sharing, shown_sharing, visible_to
from pavedpath_sandbox.github.store import DuplicateError, Json, Record

LARGEST = 48 * 1024
_EXISTS = "Already exists - Variable already exists"


def _value(value: str) -> str:
    if len(value.encode()) > LARGEST:
        raise unprocessable("Variable value is too large: the limit is 48 KB.")
    return value


def _variable(call: Call, record: Record) -> Json:
    shown = {
        "name": record.key,
        "value": record["value"],
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }
    return shown | shown_sharing(call, record, "variables")


def listing(call: Call, scope: Scope) -> Reply:
    """The variables."""
    return page(call, [_variable(call, one) for one in call.store.children("variable", scope(call).id)], "variables")


def listing_shared(call: Call) -> Reply:
    """The organisation's variables that a repository gets."""
    return page(call, [_variable(call, one) for one in visible_to(call, "variable")], "variables")


def get(call: Call, scope: Scope) -> Reply:
    """A variable."""
    return ok(_variable(call, call.child("variable", scope(call), call.path["name"].upper())))


def create(call: Call, scope: Scope) -> Reply:
    """Make a variable; 409 if there is one."""
    owner, name = scope(call), checked_name(call.body["name"], "Variable")
    body = {"value": _value(call.body["value"])}
    if owner.kind == "organization":
        body |= sharing(call, None)
    try:
        call.store.insert("variable", owner.id, name, body)
    except DuplicateError as error:
        raise conflict(_EXISTS) from error
    return created({})


def update(call: Call, scope: Scope) -> Reply:
    """Change or rename a variable."""
    owner = scope(call)
    record = call.child("variable", owner, call.path["name"].upper())
    changes: Json = {"value": _value(call.body["value"])} if "value" in call.body else {}
    if owner.kind == "organization":
        changes |= sharing(call, record)
    key = checked_name(call.body["name"], "Variable") if call.body.get("name") else record.key
    try:
        call.store.update(record, changes, key=key)
    except DuplicateError as error:
        raise conflict(_EXISTS) from error
    return no_content()


def delete(call: Call, scope: Scope) -> Reply:
    """Delete a variable."""
    call.store.delete(call.child("variable", scope(call), call.path["name"].upper()))
    return no_content()
