"""Git over HTTP: clone, fetch and push of `/{owner}/{repo}.git`.

Reads are answered by git's own `upload-pack`. A push is taken apart here, so that every ref that it moves goes
through the rules that the refs interface has.

https://git-scm.com/docs/http-protocol, https://git-scm.com/docs/pack-protocol
"""

import gzip
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dulwich.objects import ShaFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, call_of
from pavedpath_sandbox.github.deliveries import enqueue
from pavedpath_sandbox.github.errors import GitHubError, forbidden, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.identity import authenticate
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.mirror import GitError, Mirrors
from pavedpath_sandbox.github.pullrequests import WRITERS
from pavedpath_sandbox.github.refs import ZERO, move
from pavedpath_sandbox.github.runtokens import require
from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import Record, Store

_CAPABILITIES = "report-status delete-refs ofs-delta atomic side-band-64k quiet object-format=sha1 agent=pavedpath"
_NO_CACHE = {"cache-control": "no-cache, max-age=0, must-revalidate", "expires": "Fri, 01 Jan 1980 00:00:00 GMT"}
_FLUSH = b"0000"
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_Endpoint = Callable[[Request], Awaitable[Response]]


def packet(data: bytes) -> bytes:
    """A packet line."""
    return b"%04x%s" % (len(data) + 4, data)


def packets(data: bytes) -> tuple[list[bytes], bytes]:
    """The packet lines before the first flush, and what follows it; raises GitError if they are malformed."""
    lines: list[bytes] = []
    position = 0
    while position < len(data):
        digits = data[position : position + 4]
        if digits == _FLUSH:
            return lines, data[position + 4 :]
        length = int(digits, 16) if _LENGTH.fullmatch(digits) else 0
        if length < 4 or position + length > len(data):
            raise GitError("malformed packet line")
        lines.append(data[position + 4 : position + length])
        position += length
    return lines, b""


@dataclass(frozen=True)
class Command:
    """One ref of a push: what the client believes it is, and what it shall be (None: absent)."""

    ref: str
    old: str | None
    new: str | None


def commands(lines: list[bytes]) -> tuple[list[Command], set[str]]:
    """The commands of a push and the capabilities that the client wants; raises GitError."""
    found: list[Command] = []
    wanted: set[str] = set()
    for line in lines:
        text, _, capabilities = line.partition(b"\0")
        wanted |= set(capabilities.decode(errors="replace").split())
        words = text.decode(errors="replace").rstrip("\n").split(" ", 2)
        if len(words) != 3 or any(len(sha) != 40 for sha in words[:2]):
            raise GitError(f"malformed command: {text.decode(errors='replace')}")
        old, new = (None if sha == ZERO else sha for sha in words[:2])
        found.append(Command(words[2], old, new))
    return found, wanted


def report(outcomes: dict[str, str | None], unpacked: str, wanted: set[str]) -> bytes:
    """The answer to a push: per ref nothing or the reason why it was not moved."""
    lines = [packet(b"unpack %s\n" % unpacked.encode())]
    for ref, reason in outcomes.items():
        # A reason is one line; all of it goes beside it, to what git prints as "remote:".
        text = f"ok {ref}\n" if reason is None else f"ng {ref} {reason.strip().splitlines()[-1]}\n"
        lines.append(packet(text.encode()))
    status = b"".join(lines) + _FLUSH
    if "side-band-64k" not in wanted:
        return status
    said = "".join(f"error: {ref}: {reason.strip()}\n" for ref, reason in outcomes.items() if reason)
    bands = [packet(b"\2" + said.encode()[start : start + 60_000]) for start in range(0, len(said.encode()), 60_000)]
    bands += [packet(b"\1" + status[start : start + 60_000]) for start in range(0, len(status), 60_000)]
    return b"".join(bands) + _FLUSH


def _repository(call: Call, *, write: bool) -> Record:
    record = call.repository
    if call.user is None:
        if record["visibility"] != "public" or write:
            raise GitHubError(401, "Requires authentication")
        return record
    role = role_on(call.store, call.user, record, call.organization)
    limited = call.token["repositories"] if call.token else None
    if role is None or (limited is not None and record.id not in limited):
        raise not_found()
    if write:
        require(call, "contents")
    if write and (role not in WRITERS or record["archived"]):
        raise forbidden("This repository is archived." if record["archived"] else "Write access denied.")
    return record


def _apply(call: Call, record: Record, command: Command) -> str | None:
    git = Git(call.store, record)
    held = git.ref(command.ref)
    if (held["sha"] if held else None) != command.old:
        return "failed to update ref: it has moved since it was read"
    if not command.ref.startswith(("refs/heads/", "refs/tags/")):
        return "deny updating a hidden ref"
    if command.new is None and command.ref == f"refs/heads/{record['default_branch']}":
        return "refusing to delete the current branch: " + command.ref
    try:
        move(call, record, command.ref, command.new)
    except GitHubError as error:
        return error.message
    return None


def _first_branch(call: Call, record: Record) -> None:
    """What is pushed first into an empty repository becomes its default branch if that is not there."""
    branches = [one.key.removeprefix("refs/heads/") for one in Git(call.store, record).refs("refs/heads/")]
    if branches and record["default_branch"] not in branches:
        call.store.update(call.need(call.store.by_id("repository", record.id)), {"default_branch": branches[0]})


def apply_push(
    call: Call, record: Record, wanted: list[Command], objects: list[ShaFile], *, atomic: bool
) -> dict[str, str | None]:
    """Move the refs of a push, each as the rules allow; returns the reason for each that was not moved.

    An `atomic` push moves all or none. The objects are kept if any ref moves.
    """
    git, empty = Git(call.store, record), not Git(call.store, record).refs("refs/heads/")
    outcomes: dict[str, str | None] = {}
    try:
        with call.store.transaction():
            for item in objects:
                git.put(item)
            outcomes = {one.ref: _apply(call, record, one) for one in wanted}
            refused = [ref for ref, reason in outcomes.items() if reason]
            if refused and (atomic or len(refused) == len(outcomes)):
                raise unprocessable("nothing of this push is kept")
            if empty:
                _first_branch(call, record)
            enqueue(call)
    except GitHubError:
        return {ref: reason or "atomic push failed" for ref, reason in outcomes.items()}
    return outcomes


class SmartHttp:
    """The endpoints of one server."""

    def __init__(self, store: Store, settings: Settings, limits: Limits, wake: Callable[[], None]) -> None:
        self._store, self._settings, self._limits, self._wake = store, settings, limits, wake
        self._mirrors = Mirrors(store)

    def close(self) -> None:
        """Delete what was kept beside the store."""
        self._mirrors.close()

    def routes(self) -> list[BaseRoute]:
        """The routes, which no path of the REST interface has."""
        return [
            Route("/{owner}/{repo}/info/refs", self._answering(self._advertise), methods=["GET"]),
            Route("/{owner}/{repo}/git-upload-pack", self._answering(self._upload), methods=["POST"]),
            Route("/{owner}/{repo}/git-receive-pack", self._answering(self._receive), methods=["POST"]),
        ]

    def _answering(self, answer: _Endpoint) -> _Endpoint:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request)
            except GitError as error:
                return Response(f"{error}\n", 400, media_type="text/plain")
            except GitHubError as error:
                login = {"www-authenticate": 'Basic realm="GitHub"'} if error.status == 401 else {}
                return Response(f"{error.message}\n", error.status, login, media_type="text/plain")

        return endpoint

    def _call(self, request: Request) -> Call:
        user, token = authenticate(self._store, self._settings, request.headers.get("authorization"))
        return call_of(request, self._store, self._settings, self._limits, user=user, token=token)

    async def _body(self, request: Request) -> bytes:
        body = await request.body()
        return gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body

    async def _advertise(self, request: Request) -> Response:
        call, service = self._call(request), request.query_params.get("service", "")
        if service not in {"git-upload-pack", "git-receive-pack"}:
            raise forbidden("Please upgrade your git client: only the smart protocol is spoken here.")
        record = _repository(call, write=service == "git-receive-pack")
        head = packet(f"# service={service}\n".encode()) + _FLUSH
        if service == "git-receive-pack":
            refs = _own_advertisement(Git(self._store, record))
        else:
            path, protocol = self._mirrors.path(record), request.headers.get("git-protocol", "")
            arguments = ("upload-pack", "--stateless-rpc", "--advertise-refs", ".")
            refs = await self._mirrors.run(path, *arguments, protocol=protocol)
        return Response(head + refs, 200, _NO_CACHE, media_type=f"application/x-{service}-advertisement")

    async def _upload(self, request: Request) -> Response:
        record = _repository(self._call(request), write=False)
        body, path = await self._body(request), self._mirrors.path(record)
        protocol = request.headers.get("git-protocol", "")
        pack = await self._mirrors.run(path, "upload-pack", "--stateless-rpc", ".", given=body, protocol=protocol)
        return Response(pack, 200, _NO_CACHE, media_type="application/x-git-upload-pack-result")

    async def _receive(self, request: Request) -> Response:
        call = self._call(request)
        record = _repository(call, write=True)
        lines, pack = packets(await self._body(request))
        wanted, capabilities = commands(lines)
        unpacked, objects, path = "ok", list[ShaFile](), self._mirrors.path(record)
        try:
            if pack:
                objects = await self._mirrors.unpack(path, pack)
            new = [one.new for one in wanted if one.new]
            if new and not await self._mirrors.complete(path, new):
                raise GitError("the pack lacks objects that its commits need")
        except GitError as error:
            unpacked = str(error).splitlines()[-1]
        if unpacked == "ok":
            outcomes = apply_push(call, record, wanted, objects, atomic="atomic" in capabilities)
            self._wake()
        else:
            outcomes: dict[str, str | None] = {one.ref: "unpacker error" for one in wanted}
        content = report(outcomes, unpacked, capabilities)
        return Response(content, 200, _NO_CACHE, media_type="application/x-git-receive-pack-result")


def _own_advertisement(git: Git) -> bytes:
    refs = [(one["sha"], one.key) for one in git.refs() if not one.key.startswith("refs/pull/")]
    named = refs or [(ZERO, "capabilities^{}")]
    lines = [f"{sha} {name}" + ("" if position else f"\0{_CAPABILITIES}") for position, (sha, name) in enumerate(named)]
    return b"".join(packet(f"{line}\n".encode()) for line in lines) + _FLUSH
