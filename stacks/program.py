"""One program for every stack: the stack's name decides what is composed."""

import os

import pulumi
from pavedpath import tag_everything

from .identity import conflicts, identity_of, read_identities
from .parsing import SettingsError, parse_settings
from .settings import ENVIRONMENTS, PROJECT, ROOT, EnvironmentSettings, SharedSettings


def main() -> None:
    """Compose the stack that the engine asks for.

    Raises:
        SettingsError: unknown stack, or settings that cannot be used; before any resource.
    """
    # Paths in settings and values are written from the project's root, which is not where the engine runs a program.
    os.chdir(ROOT)
    stack = pulumi.get_stack()
    if stack == "shared":
        _shared(stack)
    elif stack in ENVIRONMENTS:
        _environment(stack)
    else:
        raise SettingsError(f"stack '{stack}' is not one of this program's: shared, {', '.join(ENVIRONMENTS)}.")


# Each stack imports its own components alone: the SDKs of the others take seconds.
def _shared(stack: str) -> None:
    from .shared import deploy
    from .shared_arguments import checks

    config, secret_keys = pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()
    settings = parse_settings(SharedSettings, stack, config, secret_keys, checks)
    _tag(stack, settings.owner)
    deploy(settings, read_identities(ROOT))


def _environment(stack: str) -> None:
    from .applications import Applications
    from .environment import deploy
    from .environment_arguments import checks

    config, secret_keys = pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env()
    identities = {**read_identities(ROOT), stack: identity_of(config)}
    applications = Applications(stack)
    settings = parse_settings(
        EnvironmentSettings,
        stack,
        config,
        secret_keys,
        lambda parsed: checks(parsed, stack, identities[stack], applications),
        conflicts(stack, identities),
    )
    _tag(stack, settings.owner)
    deploy(settings, stack, identities, applications)


def _tag(stack: str, owner: str) -> None:
    tag_everything({"project": PROJECT, "environment": stack, "owner": owner})
