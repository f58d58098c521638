"""A change on its way from a commit to production and back, in the sandbox: `make demo-delivery`.

The repository, its rules, its environments and its workflows are what the stacks made. Act runs those very workflows;
the images run behind the cluster's ingress. Each step is checked: the story ends at the first that does not come out as
it should.
"""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from nacl.public import PublicKey, SealedBox
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.parts import PEOPLE
from pavedpath_sandbox.runner.act import NoStandInError, Said, known
from pavedpath_sandbox.runner.events import Event
from pavedpath_sandbox.runner.machine import addresses, machine
from pavedpath_sandbox.runner.run import STAND_INS, Runner, RunnerError, WorkflowResult
from pavedpath_sandbox.runner.server import GitHubServer, ServerError
from pavedpath_sandbox.sandbox import Sandbox
from rich.console import Console
from rich.markup import escape

from demo.people import Person, RefusedError

ROOT = Path(__file__).resolve().parents[1]
SERVICE = ROOT / "examples" / "orders-service"
REPOSITORY = "acme/orders"
PAVEDPATH = ROOT / ".venv/bin/pavedpath"
ENVIRONMENTS = ("dev", "prod")
TOOLS = ("pipx", "yamllint", "yamale", "jq", "git")
"""Programs that a job of GitHub's finds on its machine, and that come from elsewhere than the toolchain here."""


class StoryError(Exception):
    """Something did not come out as the story tells it."""


@dataclass
class Inbox:
    """Where notifications arrive: a server on loopback, in place of Slack."""

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @contextmanager
    def open(self) -> Generator[str]:
        """Serve; yields the address."""
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                inbox.messages.append(json.loads(body))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hook"
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Stage:
    """What the story is played on."""

    console: Console
    sandbox: Sandbox
    runner: Runner
    alice: Person
    bob: Person
    carol: Person
    owner: Person
    inbox: Inbox
    verbose: bool
    used: set[str] = field(default_factory=set[str])
    ran: list[WorkflowResult] = field(default_factory=list[WorkflowResult])

    def variables(self, environment: str) -> dict[str, str]:
        """Return the variables that point tools at an environment of the sandbox."""
        return {**os.environ, **self.sandbox.environment(environment), "COLUMNS": "120"}

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        """Tell what happens."""
        for line in text.strip().splitlines():
            self.console.print(f"  {line}".rstrip(), markup=False)

    def check(self, holds: bool, what: str) -> None:
        """Go on only if something holds."""
        if not holds:
            raise StoryError(what)
        self.console.print(f"  [green]✓[/green] {what}")

    def hear(self, workflow: str, said: Said) -> None:
        """Show what a job does."""
        if said.result:
            mark = {"success": "[green]✓[/green]", "failure": "[red]✗[/red]"}.get(said.result, "-")
            self.console.print(f"    {mark} {workflow}: {said.title}")
        elif said.step_failed or said.error:
            self.console.print(f"      {said.step_failed or said.error}", style="red", markup=False)
        elif self.verbose and (said.line or said.step):
            self.console.print(f"      {said.line or '> ' + said.step}", style="dim", markup=False)

    def happen(self, event: Event, only: str = "") -> dict[str, WorkflowResult]:
        """Have GitHub start what an event starts; return the results by the workflow's file."""
        self.say(f"{event.name} {event.ref} at {event.sha[:12]} by {event.actor}:")
        results = self.runner.run(event, only)
        self.ran += results
        self.used |= {each for result in results for each in result.stand_ins}
        return {each.file: each for each in results}

    def pavedpath(self, environment: str, *arguments: str, expect: Sequence[int] = (0,)) -> str:
        """Run a command as a person at a laptop would."""
        done = subprocess.run(
            [str(PAVEDPATH), *arguments],
            cwd=ROOT,
            env=self.variables(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode not in expect:
            raise StoryError(
                f"pavedpath {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout


def pushed(sha: str, branch: str, actor: str, before: str, paths: Sequence[str] = ()) -> Event:
    """Describe a push."""
    return Event("push", REPOSITORY, f"refs/heads/{branch}", sha, actor, before=before, paths=paths)


def proposed(stage: Stage, number: int, head: str, base: str, actor: str) -> Event:
    """Describe a pull request that was opened."""
    return Event(
        "pull_request",
        REPOSITORY,
        f"refs/pull/{number}/merge",
        stage.owner.head(head),
        actor,
        before=stage.owner.head(base),
        paths=stage.owner.changed(number),
        base=base,
        head=head,
        number=number,
    )


def service_files(release: str) -> dict[str, bytes | None]:
    """Return the example service, by path, with a line of its own for this telling."""
    found: dict[str, bytes | None] = {
        str(path.relative_to(SERVICE)): path.read_bytes()
        for path in sorted(SERVICE.rglob("*"))
        if path.is_file() and not {"__pycache__", ".pytest_cache", ".ruff_cache"} & set(path.parts)
    }
    found["CHANGES.md"] = f"# Changes\n\n{release}\n".encode()
    return found


def change(stage: Stage, title: str, files: Mapping[str, bytes | None]) -> tuple[str, dict[str, WorkflowResult]]:
    """Bring a change to main as alice would: branch, pull request, checks, bob's review, merge; return what it starts.

    Returns the commit on main and the results of the workflows that it started.
    """
    branch = f"alice/{time.strftime('%H%M%S')}-{len(stage.ran)}"
    stage.alice.commit(branch, title, files)
    number = stage.alice.propose(title, branch)
    stage.say(f"alice opens pull request {number}: {title}")
    try:
        stage.alice.merge(number)
    except RefusedError as error:
        stage.say(f"merging now is refused: {error}")
    else:
        raise StoryError("a pull request was merged without review and checks")
    results = stage.happen(proposed(stage, number, branch, "main", "alice"))
    stage.check(results["ci.yml"].succeeded, "the gate is green")
    stage.bob.approve(number)
    paths = stage.owner.changed(number)
    before = stage.owner.head("main")
    sha = stage.alice.merge(number)
    stage.say(f"bob approves, alice merges: {sha[:12]}")
    return sha, stage.happen(pushed(sha, "main", "alice", before, paths))


def smoke_of(stage: Stage, environment: str) -> str:
    """Return the address by which the service answers in an environment."""
    return f"http://{addresses(stage.sandbox, REPOSITORY)[environment]['INGRESS_HOST']}"


def revision(stage: Stage, environment: str) -> dict[str, Any]:
    """Return what `pavedpath history` says of the revision that runs."""
    told = json.loads(stage.pavedpath(environment, "history", "orders", "--namespace", "orders", "--output", "json"))
    return next(each for each in reversed(told["revisions"]) if each["status"] == "deployed")


def deployed(stage: Stage, environment: str) -> str:
    """Return the commit that was deployed to an environment last, as GitHub's deployments say."""
    for deployment in stage.owner.ask("GET", f"deployments?environment={environment}"):
        statuses = stage.owner.ask("GET", f"deployments/{deployment['id']}/statuses")
        if "success" in [each["state"] for each in statuses]:
            return str(deployment["sha"])
    raise StoryError(f"nothing was deployed to {environment} yet: begin with chapter 1")


def first_change(stage: Stage) -> None:
    """A change goes through checks, image and chart to dev."""
    stage.title("1  A change goes to dev")
    release = time.strftime("as of %Y-%m-%d %H:%M:%S")
    _, results = change(stage, f"feat: take orders ({release})", service_files(release))
    stage.check(results["deploy.yml"].succeeded, "built once, scanned, deployed to dev by digest, smoke test passed")
    stage.say(stage.pavedpath("dev", "smoke", smoke_of(stage, "dev")))


def production(stage: Stage) -> None:
    """Production waits for two approvals, then runs the digests that dev ran."""
    stage.title("2  Production waits for two people, and then runs what dev ran")
    head = deployed(stage, "dev")
    branch = f"promote/{head[:12]}-{time.strftime('%H%M%S')}"
    stage.alice.ask("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": head})
    number = stage.alice.propose(f"Deploy {head[:12]} to prod", branch, "deploy/prod")
    results = stage.happen(proposed(stage, number, branch, "deploy/prod", "alice"))
    stage.check(results["ci.yml"].succeeded, "the gate is green: everything in it is on main")
    for reviewer in (None, stage.bob):
        if reviewer:
            reviewer.approve(number)
        try:
            stage.alice.merge(number, "merge")
        except RefusedError as error:
            stage.say(f"{'bob approves' if reviewer else 'nobody approved'}; still waiting: {error}")
        else:
            raise StoryError("production did not wait for two approvals")
    stage.carol.approve(number)
    before = stage.owner.head("deploy/prod")
    sha = stage.alice.merge(number, "merge")
    stage.say("carol approves, alice merges")
    results = stage.happen(pushed(sha, "deploy/prod", "alice", before))
    stage.check(results["deploy-prod.yml"].succeeded, "deployed to prod, smoke test passed")
    images = [sorted(revision(stage, environment)["images"]) for environment in ENVIRONMENTS]
    stage.check(images[0] == images[1], f"prod runs dev's digests: {', '.join(each[-19:] for each in images[0])}")


def broken_image(stage: Stage) -> None:
    """An image that does not start is rolled back by Helm, once; diagnosed and told."""
    stage.title("3  An image that does not start")
    before, told = revision(stage, "dev"), len(stage.inbox.messages)
    dockerfile = (SERVICE / "services/api/Dockerfile").read_text().replace('"app.py"]', '"missing.py"]')
    _, results = change(stage, "feat: move the entry point", {"services/api/Dockerfile": dockerfile.encode()})
    stage.check(not results["deploy.yml"].succeeded, "the deployment failed")
    after = revision(stage, "dev")
    stage.check(
        before["images"] == after["images"], f"rolled back once: revision {after['revision']} runs the images before"
    )
    stage.check("### Diagnosis of orders" in results["deploy.yml"].summary, "the job's summary has the diagnosis")
    stage.check(len(stage.inbox.messages) > told, "the channel was told")
    stage.say(stage.pavedpath("dev", "smoke", smoke_of(stage, "dev")).strip().splitlines()[-1])


def failing_smoke(stage: Stage) -> None:
    """A service that runs and does not work is rolled back by the pipeline, once."""
    stage.title("4  A service that starts, and does not work")
    before = revision(stage, "dev")
    files = service_files("without a metric")
    for path in ("services/api/app.py", "services/api/tests/test_app.py"):
        files[path] = (SERVICE / path).read_bytes().replace(b"http_requests_total", b"requests_seen")
    _, results = change(stage, "feat: rename the metric", files)
    jobs = {each.job: each.result for each in results["deploy.yml"].jobs}
    stage.check(jobs["dev_deploy"] == "failure", "the smoke test failed")
    after = revision(stage, "dev")
    stage.check(
        before["images"] == after["images"], f"rolled back once: revision {after['revision']} runs the images before"
    )


def rollback_by_hand(stage: Stage) -> None:
    """Somebody starts rollback.yml; a drill shows that rolling back works."""
    stage.title("5  Back by hand, and a drill")
    sha, results = change(stage, "fix: bring the metric back", service_files("repaired"))
    stage.check(results["deploy.yml"].succeeded, "repaired and deployed")
    before = revision(stage, "dev")
    event = Event("workflow_dispatch", REPOSITORY, "refs/heads/main", sha, "bob", inputs={"environment": "dev"})
    results = stage.happen(event, "rollback.yml")
    stage.check(results["rollback.yml"].succeeded, "rollback.yml went back, and the smoke test passed")
    stage.check(revision(stage, "dev")["revision"] > before["revision"], "as a new revision")
    for kind in ("broken-image", "killed-pod"):
        stage.say(stage.pavedpath("dev", "drill", "orders", "--namespace", "orders", "--kind", kind))


def afterwards(stage: Stage) -> None:
    """What can be seen of it all."""
    stage.title("6  What is there now")
    stage.say(stage.pavedpath("dev", "history", "orders", "--namespace", "orders"))
    stage.say(stage.pavedpath("dev", "history", "--repository", REPOSITORY))
    stage.say(stage.pavedpath("dev", "dora", "--repository", REPOSITORY, "--environment", "dev"))
    page = stage.sandbox.layout.root / "demo" / "report.html"
    of_each = [
        argument
        for each in ENVIRONMENTS
        for argument in (
            *("--app", f"{each}=orders/orders"),
            *("--kubeconfig", f"{each}={stage.sandbox.environment(each)['KUBECONFIG']}"),
        )
    ]
    stage.pavedpath("dev", "report", "--out", str(page), "--repository", REPOSITORY, *of_each)
    stage.say(f"the page of it all: {page}")


def what_stood_in(stage: Stage) -> None:
    """Say what was not the real thing, in the chapters that were told."""
    if not stage.ran:
        return
    stage.title("7  What stood in, and what could not run")
    for name in sorted({each.partition("@")[0] for each in stage.used} & set(known(STAND_INS))):
        about = next(
            line.removeprefix("description: ")
            for line in (STAND_INS / name / "action.yml").read_text().splitlines()
            if line.startswith("description: ")
        )
        stage.say(f"{name}: {about}")
    for line in (
        "GitHub's own machines: act runs the jobs here; concurrency groups and time limits are not enforced.",
        "Pull requests and reviews: the sandbox's GitHub, with the rulesets that the stacks made.",
        "Approval by GitHub's reviewers (Enterprise): the plan here is team, a branch with approvals stands for it.",
        "Slack: a server on loopback took the messages.",
        "Jobs of one run share one token and one environment's secrets: act knows no other.",
    ):
        stage.say(line)


def deploy_stacks(console: Console, sandbox: Sandbox) -> None:
    """Bring the stacks up; what stands already is left as it is."""
    for environment, stacks in (("dev", ("shared", "dev")), ("prod", ("shared", "prod"))):
        console.print(f"  bringing up {', '.join(stacks)} (a minute or two each, the first time)")
        with console.status("the engine is at work"):
            done = subprocess.run(
                [str(PAVEDPATH), "stack", "up", *stacks],
                cwd=ROOT,
                env={**os.environ, **sandbox.environment(environment)},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise StoryError(f"pavedpath stack up {' '.join(stacks)}:\n{done.stdout[-4000:]}{done.stderr}")
        console.print(f"  stacks {', '.join(stacks)} are up")


def prepare(owner: Person, hook: str) -> None:
    """Set what a person sets in a new repository by hand: a variable for dbt, and where notifications go."""
    profiles = base64.b64encode((SERVICE / "analytics/profiles.example.yml").read_bytes()).decode()
    variable = {"name": "PROFILES_YML_BASE64", "value": profiles}
    try:
        owner.ask("POST", "actions/variables", variable)
    except RefusedError:
        owner.ask("PATCH", "actions/variables/PROFILES_YML_BASE64", variable)
    key = owner.ask("GET", "actions/secrets/public-key")
    sealed = SealedBox(PublicKey(base64.b64decode(key["key"]))).encrypt(hook.encode())
    body = {"encrypted_value": base64.b64encode(sealed).decode(), "key_id": key["key_id"]}
    owner.ask("PUT", "actions/secrets/NOTIFY_URL", body)


def wheel(directory: Path) -> Path:
    """Build the command as jobs install it; return its folder."""
    target = directory / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(
        [str(Path(sys.executable).parent / "hatchling"), "build", "--target", "wheel", "--directory", str(target)],
        cwd=ROOT / "delivery",
        check=True,
        capture_output=True,
    )
    return target


CHAPTERS = (first_change, production, broken_image, failing_smoke, rollback_by_hand, afterwards, what_stood_in)


def play(verbose: bool, first: int = 1) -> int:
    """Tell the story from a chapter on; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    layout = Layout.find()
    directory = layout.root / "demo"
    sandbox = Sandbox(layout=layout, clusters=ENVIRONMENTS)
    inbox = Inbox()
    console.print("[bold]0  The stacks make the repository, its rules, its workflows and its environments[/bold]")
    sandbox.up()
    deploy_stacks(console, sandbox)
    variables = sandbox.environment()
    root = variables["GITHUB_BASE_URL"].rstrip("/")
    people = {login: Person.at(root, login, layout.person_token(login).read_text(), REPOSITORY) for login in PEOPLE}
    made = machine(sandbox, directory, TOOLS, wheel(directory), addresses(sandbox, REPOSITORY))
    server = GitHubServer(root, variables["GITHUB_TOKEN"])
    with inbox.open() as hook:
        stage = Stage(
            console=console,
            sandbox=sandbox,
            runner=Runner(made, server),
            owner=Person.at(root, "owner", variables["GITHUB_TOKEN"], REPOSITORY),
            inbox=inbox,
            verbose=verbose,
            alice=people["alice"],
            bob=people["bob"],
            carol=people["carol"],
        )
        stage.runner.hear = stage.hear
        prepare(stage.owner, hook)
        try:
            for chapter in CHAPTERS[first - 1 :]:
                chapter(stage)
        except KeyboardInterrupt:
            console.print("\ninterrupted; the next telling starts over")
            return 130
        except (StoryError, RefusedError, RunnerError, NoStandInError, ServerError) as error:
            console.print(f"\n[red]The story ends here:[/red] {escape(str(error))}")
            return 1
    console.print(f"\n{time.monotonic() - started:.0f} s, {len(stage.ran)} runs of workflows")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make demo-delivery", description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="show all that the jobs say")
    parser.add_argument(
        "--first", type=int, default=1, choices=range(1, len(CHAPTERS) + 1), help="chapter to begin with"
    )
    given = parser.parse_args()
    sys.exit(play(given.verbose, given.first))
