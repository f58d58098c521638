"""Workflows: the files, and dispatching them."""

from pavedpath_sandbox.github import workflowfiles
from pavedpath_sandbox.github.call import Call, Reply, no_content, ok, page
from pavedpath_sandbox.github.errors import forbidden, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.runs import listed
from pavedpath_sandbox.github.render import full_name, node_id, repository_url
from pavedpath_sandbox.github.store import Json, Record
from pavedpath_sandbox.github.workflows import start_run, workflow_of


def _file(call: Call, owner: Record, path: str, ref: str) -> Json | None:
    git = Git(call.store, owner)
    sha = git.resolve(ref)
    entry = git.lookup(git.commit(sha).tree.decode(), path) if sha else None
    text = git.blob(entry.sha) if entry else None
    return None if text is None else workflowfiles.read(text.decode(errors="replace")) or {}


def _known(call: Call) -> list[Record]:
    """The workflows with a file on the default branch or a run."""
    owner, git = call.repository, Git(call.store, call.repository)
    sha = git.resolve(owner["default_branch"])
    folder = git.lookup(git.commit(sha).tree.decode(), workflowfiles.FOLDER) if sha else None
    for entry in git.entries(folder.sha, f"{workflowfiles.FOLDER}/") if folder else []:
        if entry.path.endswith((".yml", ".yaml")):
            name = workflowfiles.name_of(_file(call, owner, entry.path, owner["default_branch"]), entry.path)
            record = workflow_of(call, owner, entry.path, name)
            if record["name"] != name:
                call.store.update(record, {"name": name})
    return call.store.children("workflow", owner.id)


def _workflow(call: Call) -> Record:
    wanted = call.path["workflow_id"]
    found = (one for one in _known(call) if wanted in (str(one.id), one.key, one.key.rpartition("/")[2]))
    return call.need(next(found, None))


def _view(call: Call, record: Record) -> Json:
    owner = call.repository
    file, web = record.key.rpartition("/")[2], f"{call.urls.web}/{full_name(call, owner)}"
    return {
        "id": record.id,
        "node_id": node_id("workflow", record.id),
        "name": record["name"],
        "path": record.key,
        "state": record["state"],
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "url": f"{repository_url(call, owner)}/actions/workflows/{record.id}",
        "html_url": f"{web}/blob/{owner['default_branch']}/{record.key}",
        "badge_url": f"{web}/actions/workflows/{file}/badge.svg",
    }


def listing(call: Call) -> Reply:
    """The repository's workflows."""
    return page(call, [_view(call, one) for one in _known(call)], "workflows")


def get(call: Call) -> Reply:
    """A workflow by id or file name."""
    return ok(_view(call, _workflow(call)))


def switch(call: Call, *, state: str) -> Reply:
    """Let a workflow start, or not."""
    call.store.update(_workflow(call), {"state": state})
    return no_content()


def list_runs(call: Call) -> Reply:
    """The runs of a workflow, newest first."""
    workflow = _workflow(call)
    return listed(call, [one for one in call.store.children("run", workflow.parent) if one["path"] == workflow.key])


def dispatch(call: Call) -> Reply:
    """Start a run of the file as it is at a ref; its jobs are added by who plays the runner."""
    owner, workflow, ref = call.repository, _workflow(call), call.body["ref"]
    git = Git(call.store, owner)
    full = next((one for one in (ref, f"refs/heads/{ref}", f"refs/tags/{ref}") if git.ref(one)), None)
    if full is None:
        raise unprocessable(f"No ref found for: {ref}")
    if workflow["state"] != "active":
        raise forbidden("Cannot trigger a 'workflow_dispatch' on a disabled workflow")
    content = _file(call, owner, workflow.key, full)
    declared = workflowfiles.dispatch_inputs(content)
    if declared is None:
        raise unprocessable("Workflow does not have 'workflow_dispatch' trigger")
    environments = [one.key for one in call.store.children("environment", owner.id)]
    inputs, wrong = workflowfiles.given_inputs(declared, call.body.get("inputs") or {}, environments)
    if wrong:
        raise unprocessable("\n".join(wrong))
    run = start_run(
        call,
        owner,
        {
            "workflow": workflowfiles.name_of(content, workflow.key),
            "path": workflow.key,
            "event": "workflow_dispatch",
            "ref": full,
            "inputs": inputs,
        },
    )
    if not call.body.get("return_run_details"):
        return no_content()
    url = f"{repository_url(call, owner)}/actions/runs/{run.id}"
    web = f"{call.urls.web}/{full_name(call, owner)}/actions/runs/{run.id}"
    return ok({"workflow_run_id": run.id, "run_url": url, "html_url": web})
