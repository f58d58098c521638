"""Encrypted secrets of repositories, environments and the organisation.

Each scope has a Curve25519 key of its own; values come sealed for it (libsodium's sealed box) and are kept so.
"""

import base64
import binascii
import secrets as randomness

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import unprocessable
from pavedpath_sandbox.github.handlers.scopes import Scope, checked_name, sharing, shown_sharing, visible_to
from pavedpath_sandbox.github.store import Json, Record, Store

LARGEST = 48 * 1024
_SEAL = 48  # bytes that a sealed box is longer than what is in it


def _key(store: Store, scope: Record) -> Record:
    held = store.find("key", scope.id, "actions")
    if held:
        return held
    from nacl.public import PrivateKey

    private = PrivateKey.generate()
    body = {
        "key_id": str(randomness.randbelow(9 * 10**18) + 10**18),
        "private": base64.b64encode(bytes(private)).decode(),
        "public": base64.b64encode(bytes(private.public_key)).decode(),
    }
    return store.insert("key", scope.id, "actions", body)


def _opened(store: Store, scope: Record, sealed: str) -> bytes:
    """The plain value; raises ValueError if it was not sealed for this scope's key."""
    from nacl.exceptions import CryptoError
    from nacl.public import PrivateKey, SealedBox

    try:
        data = base64.b64decode(sealed, validate=True)
        return SealedBox(PrivateKey(base64.b64decode(_key(store, scope)["private"]))).decrypt(data)
    except (binascii.Error, CryptoError) as error:
        raise ValueError("not sealed for this key") from error


def decrypt(store: Store, scope: Record, name: str) -> str | None:
    """The plain value of a secret, None if there is none of that name. Raises ValueError."""
    record = store.find("secret", scope.id, name.upper())
    return _opened(store, scope, record["encrypted_value"]).decode() if record else None


def public_key(call: Call, scope: Scope) -> Reply:
    """The key that values must be sealed for."""
    key = _key(call.store, scope(call))
    return ok({"key_id": key["key_id"], "key": key["public"]})


def _secret(call: Call, record: Record) -> Json:
    shown = {"name": record.key, "created_at": record.created_at, "updated_at": record.updated_at}
    return shown | shown_sharing(call, record, "secrets")


def listing(call: Call, scope: Scope) -> Reply:
    """Names and times of the secrets."""
    return page(call, [_secret(call, one) for one in call.store.children("secret", scope(call).id)], "secrets")


def listing_shared(call: Call) -> Reply:
    """The organisation's secrets that a repository gets."""
    found = visible_to(call, "secret")
    times = [{"name": one.key, "created_at": one.created_at, "updated_at": one.updated_at} for one in found]
    return page(call, times, "secrets")


def get(call: Call, scope: Scope) -> Reply:
    """Name and times of a secret."""
    return ok(_secret(call, call.child("secret", scope(call), call.path["secret_name"].upper())))


def put(call: Call, scope: Scope) -> Reply:
    """Make or change a secret."""
    owner, name = scope(call), checked_name(call.path["secret_name"], "Secret")
    held = call.store.find("secret", owner.id, name)
    body: Json = {}
    if held is None or "encrypted_value" in call.body:
        body = {"encrypted_value": _checked(call, owner)}
    if owner.kind == "organization":
        body |= sharing(call, held)
    call.store.put("secret", owner.id, name, body)
    return no_content() if held else created({})


def _checked(call: Call, owner: Record) -> str:
    key_id, sealed = call.body.get("key_id"), call.body.get("encrypted_value")
    if not sealed or not key_id:
        raise unprocessable('Invalid request.\n\n"encrypted_value" and "key_id" weren\'t supplied.')
    if key_id != _key(call.store, owner)["key_id"]:
        raise unprocessable("key_id is not the id of the current public key.")
    if len(sealed) * 3 // 4 > LARGEST + _SEAL + 2:
        raise unprocessable("Secret value is too large: the limit is 48 KB.")
    try:
        _opened(call.store, owner, sealed)
    except ValueError as error:
        raise unprocessable("Improperly encrypted secret") from error
    return sealed


def delete(call: Call, scope: Scope) -> Reply:
    """Delete a secret."""
    call.store.delete(call.child("secret", scope(call), call.path["secret_name"].upper()))
    return no_content()
