"""Whether the jobs that a repository requires are jobs of its workflow files, and report on every pull request.

A required check that nothing reports stays pending for ever, and one that a failure skips counts as passed. Source:
GitHub, "Troubleshooting required status checks" and "Workflow syntax for GitHub Actions".
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import yaml

from .errors import Problem

FOLDER = ".github/workflows/"
_TYPES = frozenset({"opened", "synchronize", "reopened"})


def check_required(
    required: Sequence[str], files: Mapping[str, str], branches: Sequence[str], *, merge_queue: bool = False
) -> Iterator[Problem]:
    """Yield each required job that would not report on every pull request.

    Args:
        required: what the checks are called: a job's name, or its id where it has none.
        files: texts of the repository's workflows by path; others are passed over.
        branches: those that pull requests go into: the default branch, approval branches.
        merge_queue: whether a merge queue waits for the checks, too.
    """
    found: dict[str, list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]] = {}
    for path, text in files.items():
        if not path.startswith(FOLDER) or not path.endswith((".yml", ".yaml")):
            continue
        try:
            workflow = _mapping(yaml.safe_load(text))
        except yaml.YAMLError as error:
            yield Problem(f"files.{path}", None, f"it is no YAML ({_where(error)})", "correct the workflow")
            continue
        for name, job in _mapping(workflow.get("jobs")).items():
            context = str(_mapping(job).get("name", name))
            found.setdefault(context, []).append((path, workflow, _mapping(job)))
    for context in required:
        places = found.get(context, [])
        # Several jobs of one name, of which one reports always, would hide what the others say.
        if len(places) != 1:
            where = ", ".join(path for path, _, _ in places) or "none"
            why = f"one job of the workflows in files must be called so, and there are {len(places)} ({where})"
            yield Problem("required_checks", context, why, "give checks, or files with a workflow that has this job")
            continue
        path, workflow, job = places[0]
        yield from _triggers(context, path, _events(workflow), branches, merge_queue=merge_queue)
        yield from _reports(context, path, job)


def _reports(context: str, path: str, job: Mapping[str, Any]) -> Iterator[Problem]:
    always = re.fullmatch(r"(\$\{\{\s*)?always\(\)(\s*\}\})?", str(job.get("if", "")).strip())
    if (job.get("needs") or "if" in job) and not always:
        what = "a job that fails before it" if job.get("needs") else "its condition"
        why = f"in {path} {what} skips it, and what is skipped counts as passed"
        yield Problem("required_checks", context, why, "give the job `if: always()`")
    # Both append to the name: "test (3.12)", "test / build".
    renames = [each for each in ("strategy", "uses") if each in job]
    if renames:
        why = f"in {path} the job has {renames[0]}, and reports under other names, so that this one would be waited for"
        yield Problem("required_checks", context, why, "require a job that needs it, with `if: always()`")


def _triggers(
    context: str, path: str, events: Mapping[str, Any], branches: Sequence[str], *, merge_queue: bool
) -> Iterator[Problem]:
    if "pull_request" not in events:
        why = f"{path} does not run on pull requests, which would wait for it for ever"
        yield Problem("required_checks", context, why, "add the trigger pull_request")
        return
    trigger = _mapping(events["pull_request"])
    filters = [each for each in ("paths", "paths-ignore", "branches-ignore") if each in trigger]
    if filters:
        why = f"{path} skips pull requests by {', '.join(filters)}, and they would wait for it for ever"
        yield Problem("required_checks", context, why, "leave the filter out, and decide in the jobs")
    missing = [each for each in branches if "branches" in trigger and each not in _texts(trigger["branches"])]
    if missing:
        why = f"{path} does not run on pull requests into {', '.join(missing)}, which would wait for it for ever"
        yield Problem("required_checks", context, why, "name these branches under pull_request, or none")
    if "types" in trigger and not set(_texts(trigger["types"])) >= _TYPES:
        why = f"{path} does not run at each change of a pull request"
        yield Problem("required_checks", context, why, "leave types out")
    if merge_queue and "merge_group" not in events:
        why = f"{path} does not answer the merge queue, which would wait for it for ever"
        yield Problem("required_checks", context, why, "add the trigger merge_group")


def _events(workflow: Mapping[str, Any]) -> Mapping[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    found = workflow.get("on", cast(Mapping[Any, Any], workflow).get(True))
    return found if isinstance(found, Mapping) else dict.fromkeys(_texts(found))  # pyright: ignore[reportUnknownVariableType]  # YAML is untyped


def _texts(value: object) -> list[str]:
    return [str(each) for each in cast(list[object], value)] if isinstance(value, list) else [str(value)]


def _mapping(value: object) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}" if mark else "unreadable"
