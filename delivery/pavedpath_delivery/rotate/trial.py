"""Whether a new value works where it is used: a command or an address is asked, again until its budget is spent."""

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.addresses import is_loopback
from pavedpath_delivery.kit.clock import Clock, SystemClock
from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

VARIABLE = "PAVEDPATH_SECRET"
_PAUSE_S = 2.0
_ONE_TRY_S = 30.0


@dataclass(frozen=True)
class Trial:
    """How a value is tried.

    Args:
        command: command line that succeeds with the value, which it finds in PAVEDPATH_SECRET; what it prints is not
            shown. Empty for none.
        url: address that answers 2xx to the value as a bearer token. Empty for none.
        field: the field of a JSON secret that is the bearer token; empty for the whole text.
        environ: environment variables of the command.
        clock: waits between tries.
        budget: seconds for all tries: what was changed elsewhere may need a while to be known.
    """

    command: str = ""
    url: str = ""
    field: str = ""
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str], repr=False)
    clock: Clock = dataclasses.field(default_factory=SystemClock)
    budget: float = 30.0

    def check(self) -> None:
        """Say what is wrong before anything is changed.

        Raises:
            DeliveryError: the command is not there, or the address is not safe.
        """
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise DeliveryError(f"--test-command cannot be read ({error}).", Exit.USAGE) from None
        if words:
            programs.find(words[0], "try the new value")
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if self.url and not (host and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))):
            raise DeliveryError("--test-url is no https address: it would give the value away.", Exit.USAGE)

    def accepts(self, value: str) -> bool:
        """Return whether a value works."""
        begin = self.clock.monotonic()
        tries: list[Callable[[str], bool]] = [*([self._by_command] if self.command else [])]
        tries += [self._by_url] if self.url else []
        while not all(each(value) for each in tries):
            if self.clock.monotonic() - begin + _PAUSE_S > self.budget:
                return False
            self.clock.sleep(_PAUSE_S)
        return True

    def _by_command(self, value: str) -> bool:
        name, *rest = shlex.split(self.command)
        environ = {**self.environ, VARIABLE: value}
        try:
            done = programs.call([programs.find(name, "try"), *rest], environ=environ, timeout=_ONE_TRY_S)
        except programs.ProgramTimeoutError:
            return False
        return done.code == 0

    def _by_url(self, value: str) -> bool:
        import httpx

        try:
            token = str(fields(json.loads(value)).get(self.field)) if self.field else value
            answer = httpx.get(self.url, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return False
        return answer.is_success
