"""What a handler gets and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from starlette.requests import Request

from pavedpath_sandbox.github.errors import not_found
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.settings import Plan, Settings
from pavedpath_sandbox.github.store import ROOT, Json, Record, Store


@dataclass(frozen=True)
class Reply:
    """An answer; `body` None is an empty one. `media` overrides the content type for a str body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media: str = "application/json"


@dataclass(frozen=True)
class Urls:
    """Addresses as the client sees the server: `api` may end in `/api/v3`, `web` never does."""

    api: str
    web: str


@dataclass(frozen=True)
class Event:
    """Something that hooks are told of: name, payload (without sender and organisation), and where it happened."""

    name: str
    payload: Json
    repository: Record | None = None


@dataclass
class Call:
    """One request: its decoded input, who asks, and the state it works on."""

    settings: Settings
    store: Store
    limits: Limits
    urls: Urls
    user: Record | None
    token: Record | None
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Json
    headers: Mapping[str, str]
    full_path: str
    events: list[Event] = field(default_factory=list[Event])

    @property
    def actor(self) -> Record:
        """The authenticated user."""
        if self.user is None:
            raise LookupError("an operation that needs a user was called without one")
        return self.user

    @property
    def organization(self) -> Record:
        """The organisation that the path names (`{org}`), or that owns the repository it names (`{owner}`)."""
        login = self.path.get("org") or self.path["owner"]
        return self.need(self.store.find("organization", ROOT, login.lower()))

    @property
    def repository(self) -> Record:
        """The repository that the path names."""
        name = self.path["repo"].lower().removesuffix(".git")
        return self.need(self.store.find("repository", self.organization.id, name))

    @property
    def private(self) -> bool:
        """Whether the repository that the path names is not public."""
        return self.repository["visibility"] != "public"

    def plan_allows(self, plan: Plan) -> bool:
        """Whether the organisation is on this plan or a higher one."""
        return self.settings.plan >= plan

    def number(self, name: str) -> int:
        """A numeric path parameter."""
        digits = self.path[name]
        if not (digits.isascii() and digits.isdigit()):
            raise not_found()
        return int(digits)

    def need(self, record: Record | None) -> Record:
        """The record, or 404."""
        if record is None:
            raise not_found()
        return record

    def child(self, kind: str, parent: Record, key: str) -> Record:
        """A record below another by key, or 404."""
        return self.need(self.store.find(kind, parent.id, key))

    def emit(self, name: str, payload: Json, repository: Record | None = None) -> None:
        """Tell hooks, once the request is committed."""
        self.events.append(Event(name, payload, repository))


def call_of(
    request: Request,
    store: Store,
    settings: Settings,
    limits: Limits,
    *,
    user: Record | None,
    token: Record | None = None,
    body: Json | None = None,
) -> Call:
    """A request outside GitHub's REST interface as a call."""
    web = f"{request.url.scheme}://{request.url.netloc}"
    return Call(
        settings=settings,
        store=store,
        limits=limits,
        urls=Urls(web, web),
        user=user,
        token=token,
        path=cast(dict[str, str], request.path_params),
        query=dict(request.query_params),
        body=body or {},
        headers=request.headers,
        full_path=request.url.path,
    )


def ok(body: Any) -> Reply:
    """200."""
    return Reply(200, body)


def created(body: Any) -> Reply:
    """201."""
    return Reply(201, body)


def no_content() -> Reply:
    """204."""
    return Reply(204)


def page(call: Call, items: Sequence[Any], wrapper: str | None = None) -> Reply:
    """The page that `page` and `per_page` ask for, with `Link`; `wrapper` names the list beside `total_count`."""
    size = min(max(int(call.query.get("per_page") or 30), 1), 100)
    number = max(int(call.query.get("page") or 1), 1)
    last = max(1, -(-len(items) // size))
    shown = list(items[(number - 1) * size : number * size])
    links = {"prev": number - 1, "next": number + 1, "first": 1, "last": last}
    if number <= 1:
        links = {name: links[name] for name in ("next", "last")}
    if number >= last:
        links = {name: target for name, target in links.items() if name in {"prev", "first"}}
    rest = {name: value for name, value in call.query.items() if name != "page" and value is not None}
    header = ", ".join(
        f'<{call.urls.api}{call.full_path}?{urlencode(rest | {"page": target})}>; rel="{name}"'
        for name, target in links.items()
    )
    body: Any = {"total_count": len(items), wrapper: shown} if wrapper else shown
    return Reply(200, body, {"link": header} if header else {})
