"""Makes what a team's state needs before the first `up`: the backend's bucket, its key, and the stacks in it.

boto3 and not Pulumi: the state must have a place before Pulumi can run.
Sources: Pulumi, "State and backends" and "Secrets"; those of `bucket` and `key`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.stack.engine import Engine
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.s3 import ClientOf, S3Place, explained
from pavedpath_delivery.state import policies
from pavedpath_delivery.state.bucket import Bucket, log_rules, state_rules
from pavedpath_delivery.state.converge import Converger, Done, Outcome
from pavedpath_delivery.state.key import Key
from pavedpath_delivery.state.project import (
    ProjectFiles,
    check_alias,
    check_bucket,
    default_alias,
    fill_in_provider,
    provider_url,
)

_CLOUD = "https://api.pulumi.com"
# The state is no environment's: every stack of the project is in it.
_ENVIRONMENT = "shared"


@dataclass(frozen=True)
class Wishes:
    """What a person decides about the state's place.

    Args:
        alias: the key's; empty: `alias/pulumi-<project>`.
        owner: the tag `owner`; empty: what the stacks' files say.
        version_days: days that a superseded version of a state is kept.
        log_days: days that access logs are kept.
    """

    alias: str = ""
    owner: str = ""
    version_days: int = 90
    log_days: int = 365


@dataclass(frozen=True)
class Bootstrapped:
    """What there is now (in a dry run: would be); `next` are the steps that are left to a person."""

    backend: str
    things: Sequence[Done] = ()
    providers: Mapping[str, str] = field(default_factory=dict[str, str])
    next: Sequence[str] = ()


def bootstrap(
    engine: Engine,
    wishes: Wishes,
    stacks: Sequence[str],
    report: Callable[[Done], None],
    *,
    dry_run: bool = False,
    clients: ClientOf | None = None,
) -> Bootstrapped:
    """Make or correct what the project's backend needs.

    Args:
        engine: the CLI in the project.
        wishes: what is not written in the project's files.
        stacks: stacks to create in the backend, or to give the key as their secrets provider.
        report: hears of each thing as soon as it is done.
        dry_run: change nothing.
        clients: makes the AWS clients; by default as the backend's address says.

    Raises:
        StackCommandError: no backend is chosen, it is not ours to make, AWS refuses; each with its fix.
    """
    project = ProjectFiles.read(engine.root)
    url = chosen_backend(engine, project)
    if url.startswith("https://"):
        return _cloud(engine, url, stacks, report, dry_run=dry_run)
    place = S3Place.parse(url)
    if place is None:
        return Bootstrapped(
            url,
            next=(
                "This backend needs nothing made. It is not for a team: pavedpath state bootstrap makes s3:// ones;",
                "PULUMI_BACKEND_URL, which the sandbox sets, wins over `backend.url` in Pulumi.yaml.",
            ),
        )
    if place.endpoint:
        raise StackCommandError(
            f"{url}: `endpoint` names a store that is not AWS. Fix: make its bucket with its own tools.", Exit.USAGE
        )
    return _s3(engine, project, url, place, wishes, stacks, Converger(report, dry_run), clients or place.clients())


def chosen_backend(engine: Engine, project: ProjectFiles) -> str:
    """Return the backend that the project or the environment names; a login elsewhere is nobody else's choice.

    Raises:
        StackCommandError: none is named; both lines to choose from are shown.
    """
    if url := engine.environ.get("PULUMI_BACKEND_URL") or project.backend:
        return url
    raise StackCommandError(
        "No backend is chosen. Fix: add one of these to Pulumi.yaml and run this again:\n"
        f"  backend: {{url: 's3://acme-{project.name}-state?region=us-east-1'}}  # a bucket, which this makes\n"
        f"  backend: {{url: '{_CLOUD}'}}  # Pulumi Cloud, which keeps states, locks and secrets itself",
        Exit.USAGE,
    )


def _s3(
    engine: Engine,
    project: ProjectFiles,
    url: str,
    place: S3Place,
    wishes: Wishes,
    stacks: Sequence[str],
    converger: Converger,
    clients: ClientOf,
) -> Bootstrapped:
    logs = f"{place.bucket}-logs"
    check_bucket([place.bucket, logs])
    alias = check_alias(wishes.alias or default_alias(project.name))
    tags = _tags(project, wishes)
    with explained(f"s3://{place.bucket}"):
        s3, kms = clients("s3"), clients("kms")
        region = str(s3.meta.region_name or "")
        if not region or region == "aws-global":
            raise StackCommandError(f"{url}: no region. Fix: add ?region=us-east-1, or set AWS_REGION.", Exit.USAGE)
        caller = clients("sts").get_caller_identity()
        account, partition = str(caller["Account"]), str(caller["Arn"]).split(":")[1]
        team = project.team(account, partition)
        # Looked at first: what cannot be ours must not leave a key behind.
        bucket, log_bucket = (Bucket(s3, name, region, account) for name in (place.bucket, logs))
        bucket.check_free(project.name)
        log_bucket.check_free(project.name)
        key_arn = Key(kms, alias, {**tags, "Name": alias}).settle(converger, policies.key_statements(region, team))
        log_bucket.settle(
            converger,
            "log bucket",
            [
                *log_bucket.closed(),
                log_bucket.encrypted(None),
                log_bucket.guarded(policies.log_bucket_statements(logs, place.bucket, team)),
                log_bucket.expiring(log_rules(wishes.log_days)),
                log_bucket.tagged({**tags, "Name": logs}),
            ],
        )
        bucket.settle(
            converger,
            "bucket",
            [
                *bucket.closed(),
                bucket.versioned(),
                bucket.encrypted(key_arn or alias),
                bucket.guarded(
                    policies.bucket_statements(place.bucket, place.prefix, key_arn or f"the key {alias}", team)
                ),
                bucket.logged(logs),
                bucket.expiring(state_rules(wishes.version_days)),
                bucket.tagged({**tags, "Name": place.bucket}),
            ],
        )
    alias_arn = f"arn:{partition}:kms:{region}:{account}:{alias}"
    names = stacks or list(project.stacks)
    providers = {stack: provider_url(alias_arn, region, place.profile, project.name, stack) for stack in names}
    for stack in stacks:
        settle_stack(engine, project, stack, providers[stack], converger)
    return Bootstrapped(url, tuple(converger.done), providers, _next(project, url, stacks, providers))


def _tags(project: ProjectFiles, wishes: Wishes) -> dict[str, str]:
    owner = wishes.owner or project.owner()
    if not owner:
        raise StackCommandError(
            f"Who owns the state? The stacks' files do not say it in one voice ({project.name}:owner).\n"
            "Fix: --owner TEAM.",
            Exit.USAGE,
        )
    return {"project": project.name, "owner": owner, "environment": _ENVIRONMENT}


def settle_stack(engine: Engine, project: ProjectFiles, stack: str, provider: str, converger: Converger) -> None:
    """Create the stack in the backend with this secrets provider, or give it to the one that is there.

    `pulumi stack init` without a provider would ask for a passphrase even where the stack's file names a key, and take
    the passphrase for the stack's provider if it finds one. With it, it writes `secretsprovider` and `encryptedkey`
    into the stack's file and takes the `encryptionsalt` out.
    """
    made = not _reachable(converger) or stack not in stacks_of(engine)
    named = project.provider(stack)
    changed: tuple[str, ...] = ()
    if made:
        if named != provider and project.has_secrets(stack):
            raise StackCommandError(
                f"{stack}: Pulumi.{stack}.yaml holds values that are encrypted with"
                f" {named or 'a passphrase'}, which a new stack with the key could not read.\n"
                f"Fix: if the stack is in another backend: pavedpath state move {stack} --from URL;"
                " otherwise take the `secure:` values out, run this again, and set them (pulumi config set --secret)."
            )
        changed = ("secrets provider",)
        if not converger.dry_run:
            engine.call("stack", "init", stack, "--no-select", "--secrets-provider", provider, stack=stack)
    elif named != provider:
        changed = ("secrets provider",)
        if not converger.dry_run:
            _change_provider(engine, project, stack, provider)
    outcome = Outcome.MADE if made else Outcome.CORRECTED if changed else Outcome.KEPT
    converger.tell(Done("stack", stack, outcome, changed))


def _reachable(converger: Converger) -> bool:
    """Whether the backend can be asked: in a dry run its bucket may not be there yet."""
    missing = any(done.kind == "bucket" and done.outcome is Outcome.MADE for done in converger.done)
    return not (converger.dry_run and missing)


def stacks_of(engine: Engine) -> frozenset[str]:
    """Return the names of the project's stacks in the backend."""
    return frozenset(str(each["name"]).rpartition("/")[2] for each in json.loads(engine.call("stack", "ls", "--json")))


def _change_provider(engine: Engine, project: ProjectFiles, stack: str, provider: str) -> None:
    state = provider_of(engine.export(stack))
    if state.get("url") == provider and not project.has_secrets(stack):  # the file alone is behind
        path = project.path(stack)
        text = path.read_text() if path.exists() else ""
        path.write_text(fill_in_provider(text, provider, str(state["encryptedkey"])))
    else:
        engine.call("stack", "change-secrets-provider", provider, "--stack", stack, stack=stack)


def provider_of(export: Any) -> Mapping[str, Any]:
    """Return the settings of the secrets provider that a state was written with; empty if it has none."""
    return fields(fields(fields(fields(export).get("deployment")).get("secrets_providers")).get("state"))


def _next(project: ProjectFiles, url: str, stacks: Sequence[str], providers: Mapping[str, str]) -> tuple[str, ...]:
    steps: list[str] = []
    if not project.backend:
        steps.append(f"add to Pulumi.yaml:  backend: {{url: '{url}'}}")
    if stacks:
        files = " ".join(f"Pulumi.{stack}.yaml" for stack in stacks)
        steps.append(f"git add {files}: their secretsprovider and encryptedkey are for all of the team")
        steps.append(f"pulumi up -s {stacks[0]}")
        return tuple(steps)
    steps.append("create the stacks with the key as their secrets provider (or name them to this command):")
    steps += [f"  pulumi stack init {stack} --secrets-provider '{address}'" for stack, address in providers.items()]
    steps.append("a stack that is in this backend already:")
    steps += [f"  pulumi stack change-secrets-provider -s {name} '{address}'" for name, address in providers.items()]
    return tuple(steps)


def _cloud(
    engine: Engine, url: str, stacks: Sequence[str], report: Callable[[Done], None], *, dry_run: bool
) -> Bootstrapped:
    """Check the login; Pulumi Cloud keeps states, locks and secrets itself, so nothing else is made."""
    try:
        user = str(fields(json.loads(engine.call("whoami", "--json"))).get("user", ""))
    except StackCommandError as error:
        given = (
            "PULUMI_ACCESS_TOKEN is set but not accepted" if engine.environ.get("PULUMI_ACCESS_TOKEN") else "no login"
        )
        raise StackCommandError(
            f"{url}: {given}.\nFix: export PULUMI_ACCESS_TOKEN=… (a token of your account or team), or pulumi login.\n"
            f"What pulumi said: {error}",
            Exit.USAGE,
        ) from error
    converger = Converger(report, dry_run)
    converger.tell(Done("login", user or "unknown", Outcome.KEPT))
    known = stacks_of(engine) if stacks else ()
    for stack in stacks:
        missing = stack not in known
        if missing and not dry_run:
            engine.call("stack", "init", stack, "--no-select", stack=stack)
        converger.tell(Done("stack", stack, Outcome.MADE if missing else Outcome.KEPT))
    steps = () if stacks else ("pulumi stack init STACK for each stack (or name them to this command)",)
    return Bootstrapped(url, tuple(converger.done), next=(*steps, "Pulumi Cloud keeps states, locks and secrets."))


def as_json(done: Bootstrapped, *, dry_run: bool) -> dict[str, Any]:
    """Return the result as docs/state.md describes it."""
    return {
        "backend": done.backend,
        "dry_run": dry_run,
        "things": [
            {"kind": d.kind, "name": d.name, "outcome": str(d.outcome), "settings": list(d.settings)}
            for d in done.things
        ],
        "secrets_providers": dict(done.providers),
        "next": list(done.next),
    }
