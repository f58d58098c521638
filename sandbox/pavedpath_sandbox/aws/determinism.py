"""Makes moto's identifiers a function of seeds, and KMS keys a function of their description.

`install` puts the hooks into moto and checks that what it replaces still has the shape it was written for.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import moto.kms.models as kms_models
from moto.core import base_backend
from moto.moto_api._internal import mock_random

# Public on purpose: keys made from it protect nothing, they let a committed SOPS file open in every sandbox.
SANDBOX_SEED = b"pavedpath sandbox: public, protects nothing"
KEY_MATERIAL_BYTES = 32


class MotoChangedError(Exception):
    """The installed moto does not have the shape that a hook needs."""


def reseed(seed: int) -> None:
    """Make everything moto draws at random from now on follow from `seed`."""
    mock_random.seed(seed)


def key_identity(account: str, region: str, description: str, occurrence: int) -> tuple[str, bytes]:
    """Derive a KMS key's id (a UUID) and its 32 bytes of material.

    `occurrence` tells live keys of one description apart: 0 for the first.
    """
    name = "\0".join((account, region, description, str(occurrence))).encode()
    digest = hashlib.blake2b(name, key=SANDBOX_SEED, digest_size=16 + KEY_MATERIAL_BYTES).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4)), digest[16:]


def create_key(account: str, region: str, description: str) -> str:
    """Make a symmetric KMS key in this process's moto and return its ARN."""
    install()
    backend = cast("Any", kms_models).kms_backends[account][region]
    return str(backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", description, None).arn)


class _Making(threading.local):
    key: tuple[str, bytes] | None = None


_making = _Making()
_installed: list[bool] = []


def require(condition: bool, what: str) -> None:
    """Stop with `MotoChangedError` unless moto has the shape that a hook was written for."""
    if not condition:
        raise MotoChangedError(f"moto has changed: {what}; adapt the hooks in pavedpath_sandbox/aws")


def install() -> None:
    """Put the hooks in place, once per process.

    Raises:
        MotoChangedError: the installed moto differs from what the hooks were written for.
    """
    if _installed:
        return
    _hook_backends()
    _hook_kms()
    _installed.append(True)


def _hook_backends() -> None:
    """Seed the birth of each backend (a service in an account and region).

    Some are born with identifiers, EC2's default VPC for one, at the first request that touches them, which may be a
    read that no journal holds.
    """
    kind = cast("Any", base_backend.AccountSpecificBackend)
    original: Callable[[Any, str], Any] = kind.__getitem__
    require(
        list(inspect.signature(original).parameters) == ["self", "region_name"], "AccountSpecificBackend.__getitem__"
    )

    @functools.wraps(original)
    def getitem(self: Any, region_name: str) -> Any:
        if ("aws" if region_name == "global" else region_name) in self.keys():
            return original(self, region_name)
        name = "\0".join((self.service_name, self.account_id, region_name)).encode()
        with _seeded(hashlib.blake2b(name, digest_size=8).digest()):
            return original(self, region_name)

    kind.__getitem__ = getitem


@contextmanager
def _seeded(seed: bytes) -> Generator[None]:
    before = mock_random.getstate()
    mock_random.seed(seed)
    try:
        yield
    finally:
        mock_random.setstate(before)


def _hook_kms() -> None:
    """Give `KmsBackend.create_key` a derived id and material in place of random ones."""
    models = cast("Any", kms_models)
    backend = models.KmsBackend
    original = cast("Callable[..., Any]", backend.create_key)
    signature = inspect.signature(original)
    require({"description", "tags", "multi_region"} <= set(signature.parameters), "KmsBackend.create_key")
    require(list(inspect.signature(models.generate_key_id).parameters) == ["multi_region"], "kms generate_key_id")
    require(not inspect.signature(models.generate_master_key).parameters, "kms generate_master_key")
    random_id: Callable[[bool], str] = models.generate_key_id
    random_material: Callable[[], bytes] = models.generate_master_key

    @functools.wraps(original)
    def create_key(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        prefix = "mrk-" if bound.arguments["multi_region"] else ""
        description = bound.arguments["description"] or ""
        _making.key = _free_identity(self, prefix, description)
        # The key that gives way was pending deletion: its tags go with it.
        self.tagger.delete_all_tags_for_resource(prefix + _making.key[0])
        try:
            return original(self, *args, **kwargs)
        finally:
            _making.key = None

    def generate_key_id(multi_region: bool = False) -> str:
        if _making.key is None:
            return random_id(multi_region)
        return ("mrk-" if multi_region else "") + _making.key[0]

    def generate_master_key() -> bytes:
        return random_material() if _making.key is None else _making.key[1]

    backend.create_key = create_key
    models.generate_key_id = generate_key_id
    models.generate_master_key = generate_master_key


def _free_identity(backend: Any, prefix: str, description: str) -> tuple[str, bytes]:
    occurrence = 0
    while True:
        identity = key_identity(backend.account_id, backend.region_name, description, occurrence)
        holder = backend.keys.get(prefix + identity[0])
        if holder is None or holder.key_state == "PendingDeletion":
            return identity
        occurrence += 1
