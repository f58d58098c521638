"""Records from the history of a Helm release.

Source: Helm, `helm history --output json`. A release has no commits, so there is no lead time; it keeps the last ten
revisions unless told otherwise; and `updated` is when a revision began, so that figures lack the deployments' length.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from pavedpath_delivery.dora.core import Deployment, Outcome
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import Properties, objects
from pavedpath_delivery.kit.errors import DeliveryError

_ROLLBACK = re.compile(r"Rollback to (\d+)")
_OUTCOMES = {"deployed": Outcome.SUCCESS, "superseded": Outcome.SUCCESS, "failed": Outcome.FAILURE}
_TIMEOUT_S = 60.0
_ALL = "256"


def history(release: str, namespace: str, environment: str, environ: Mapping[str, str]) -> list[Deployment]:
    """Return a release's deployments, by the `helm` on PATH.

    Raises:
        DeliveryError: there is no Helm or no such release.
    """
    program = programs.find("helm", "read a release's history")
    command = [program, "history", release, "--namespace", namespace, "--max", _ALL, "--output", "json"]
    done = programs.call(command, environ=environ, timeout=_TIMEOUT_S)
    if done.code:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeliveryError(f"The history of {release} in {namespace} cannot be read: {reason}")
    return list(deployments(objects(json.loads(done.stdout)), f"{namespace}/{release}", environment))


def deployments(revisions: Iterable[Properties], application: str, environment: str) -> Iterator[Deployment]:
    """Yield the finished deployments among revisions. Pure.

    What a revision holds is named after the revision that first held it, through any number of rollbacks.
    """
    content: dict[str, str] = {}
    for each in sorted(revisions, key=lambda one: int(one["revision"])):
        revision = str(each["revision"])
        back = _ROLLBACK.match(str(each.get("description", "")))
        source = back[1] if back else revision
        content[revision] = content.get(source, f"revision-{source}")
        outcome = _OUTCOMES.get(str(each.get("status")))
        if outcome is not None:
            yield Deployment(
                id=revision,
                application=application,
                environment=environment,
                commit=content[revision],
                finished=datetime.fromisoformat(str(each["updated"])),
                outcome=outcome,
                # Its content tells whether it goes back, unless Helm has forgotten the revision that it goes back to.
                rollback=back is not None and back[1] not in content,
            )
