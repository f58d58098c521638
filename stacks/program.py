"""One program for every stack: the stack's name decides what is composed."""

import os

import pulumi
from pavedpath import tag_everything

from .settings import ENVIRONMENTS, PROJECT, ROOT, EnvironmentSettings, SettingsError, SharedSettings, parse_settings


def main() -> None:
    """Compose the stack that the engine asks for.

    Raises:
        SettingsError: unknown stack, or settings that cannot be used; before any resource.
    """
    # Paths in settings and values are written from the project's root, which is not where the engine runs a program.
    os.chdir(ROOT)
    stack = pulumi.get_stack()
    config = pulumi.runtime.get_config_env()
    secret_keys = pulumi.runtime.get_config_secret_keys_env()
    if stack == "shared":
        settings = parse_settings(SharedSettings, stack, config, secret_keys)
        from .shared import deploy

        _tag(stack, settings.owner)
        deploy(settings)
    elif stack in ENVIRONMENTS:
        environment_settings = parse_settings(EnvironmentSettings, stack, config, secret_keys)
        from .environment import deploy as deploy_environment

        _tag(stack, environment_settings.owner)
        deploy_environment(environment_settings, stack)
    else:
        raise SettingsError(f"stack '{stack}' is not one of this program's: shared, {', '.join(ENVIRONMENTS)}.")


def _tag(stack: str, owner: str) -> None:
    tag_everything({"project": PROJECT, "environment": stack, "owner": owner})
