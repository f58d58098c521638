"""The API of ChartMuseum. Source: its README, "Chart Manipulation"."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import yaml

from pavedpath_delivery.chart.push import PASSWORD, USER, Login, Present
from pavedpath_delivery.kit.clock import Clock, SystemClock
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError

if TYPE_CHECKING:
    from pavedpath_delivery.chart.archive import Archive

_TIMEOUT_S = 60.0
# Its index is kept between requests and, with --cache-interval, behind its storage: 30 s cover what its chart proposes.
_LISTED_WITHIN_S, _PAUSE_S = 30.0, 2.0


class Museum:
    """A ChartMuseum.

    Args:
        to: its address.
        client: asks it; knows the login.
        clock: waits for its index.
    """

    def __init__(self, to: str, client: httpx.Client, clock: Clock) -> None:
        self._to = to
        self._client = client
        self._clock = clock

    def find(self, archive: "Archive") -> Present | None:
        """Return the version by its bytes: the storage is the truth, its index may lag behind."""
        response = self._ask("GET", f"charts/{archive.file}")
        if response.status_code == 404:
            return None
        self._check(response, f"does not give {archive.file}")
        digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
        return Present(digest, digest, f"{self._to}/charts/{archive.file}")

    def push(self, archive: "Archive") -> None:
        """Push it, and wait until the index has it: before that nobody can install it."""
        response = self._ask("POST", "api/charts", archive)
        self._check(response, f"refuses {archive.name} {archive.version}")
        deadline = self._clock.monotonic() + _LISTED_WITHIN_S
        while not self._lists(archive):
            if self._clock.monotonic() >= deadline:
                raise DeliveryError(
                    f"{self._to} took {archive.name} {archive.version}, but its index.yaml does not list it after"
                    f" {_LISTED_WITHIN_S:g} s. Fix: look at its storage and log."
                )
            self._clock.sleep(_PAUSE_S)

    def _lists(self, archive: "Archive") -> bool:
        response = self._ask("GET", "index.yaml")
        self._check(response, "does not give its index.yaml")
        try:
            index: Properties = fields(yaml.load(response.text, Loader=_loader()))  # noqa: S506  a safe one, in C
        except yaml.YAMLError:
            raise DeliveryError(
                f"{self._to}/index.yaml is no YAML. Fix: is this the address of a ChartMuseum?"
            ) from None
        versions = objects(fields(index.get("entries")).get(archive.name))
        return any(
            str(each.get("version")) == archive.version
            and f"sha256:{str(each.get('digest')).removeprefix('sha256:')}" == archive.digest
            for each in versions
        )

    def _ask(self, method: str, path: str, archive: "Archive | None" = None) -> httpx.Response:
        files = {"chart": (archive.file, archive.content, "application/gzip")} if archive else None
        try:
            return self._client.request(method, path, files=files)
        except httpx.HTTPError as error:
            raise DeliveryError(f"{self._to} cannot be reached: {error or type(error).__name__}") from None

    def _check(self, response: httpx.Response, what: str) -> None:
        if response.status_code in {401, 403}:
            raise DeliveryError(
                f"{self._to} {what}: its login is refused ({response.status_code})."
                f" Fix: check {USER[0]} and {PASSWORD}."
            )
        if not response.is_success:
            raise DeliveryError(f"{self._to} {what} ({response.status_code}): {_reason(response)}")


@contextmanager
def open_museum(to: str, login: Login | None, clock: Clock | None = None) -> Generator[Museum]:
    """Open a ChartMuseum."""
    auth = (login.user, login.password) if login else None
    # Redirects are not followed: a login must not go where nobody sent it.
    with httpx.Client(base_url=f"{to}/", auth=auth, timeout=_TIMEOUT_S) as client:
        yield Museum(to, client, clock or SystemClock())


def _reason(response: httpx.Response) -> str:
    try:
        return str(fields(response.json()).get("error", response.reason_phrase))
    except ValueError:
        return response.reason_phrase


def _loader() -> type[yaml.SafeLoader]:
    # libyaml where it is there: an index of thousands of versions takes Python's own parser many seconds.
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
