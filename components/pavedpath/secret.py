"""A secret in AWS Secrets Manager that changes by itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component
from .errors import Problem
from .iam import EVERYONE, ResourceStatement, deny_without_tls, resource_policy
from .names import NameRule
from .shapes import read

_NAME = NameRule(
    # Source: AWS, API reference of Secrets Manager CreateSecret, Name: a hyphen and six characters at the end are
    # taken for the suffix of an ARN.
    r"(?!.*-[A-Za-z0-9]{6}$)[A-Za-z0-9/_+=.@-]{1,512}",
    "Secrets Manager refuses this name, or takes its end for a part of an ARN",
    "use letters, digits, / _ + = . @ -, without a hyphen and six characters at the end",
)
_LAMBDA = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9-_]{1,64}(?::[A-Za-z0-9-_]+)?")
_ROTATE_DAYS = 30


class RotatingSecretArgs(TypedDict):
    """Arguments of `RotatingSecret`."""

    name: str
    """Name of the secret, for example dev/storefront/database."""
    description: NotRequired[str]
    """What it is for. Default: none."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """ARN of the KMS key that encrypts it. Default: the account's own aws/secretsmanager."""
    recovery_window_days: NotRequired[int]
    """Days during which a deleted secret can be restored, 7 to 30; its name is taken as long. Default: 30."""
    initial_value: NotRequired[pulumi.Input[str]]
    """First value, often JSON; it is treated as secret in any case, and no later change of it is applied, as the value
    in AWS has moved on. Default: none, it is set elsewhere."""
    rotation_lambda_arn: NotRequired[pulumi.Input[str]]
    """ARN of the Lambda function that makes each next value, and may be invoked by Secrets Manager. Default: none."""
    rotate_every_days: NotRequired[int]
    """Days between two values, 1 to 1000; the first rotation is at once. Default: 30 where there is a function."""


@dataclass(frozen=True)
class _RotatingSecret:
    name: str
    description: str | None = None
    kms_key_arn: pulumi.Input[str] | None = None
    recovery_window_days: int = 30
    initial_value: pulumi.Input[str] | None = None
    rotation_lambda_arn: pulumi.Input[str] | None = None
    rotate_every_days: int | None = None

    def problems(self) -> Iterator[Problem]:
        yield from _NAME.check("name", self.name)
        if not 7 <= self.recovery_window_days <= 30:
            why = "Secrets Manager takes 7 to 30 days"
            yield Problem("recovery_window_days", self.recovery_window_days, why, "choose 7 to 30")
        days, function = self.rotate_every_days, self.rotation_lambda_arn
        if days is not None and not 1 <= days <= 1000:
            yield Problem("rotate_every_days", days, "Secrets Manager takes 1 to 1000 days", "choose 30, for example")
        if days is not None and function is None:
            yield Problem("rotate_every_days", days, "nothing would make a new value", "give rotation_lambda_arn too")
        if isinstance(function, str) and not _LAMBDA.fullmatch(function):
            fix = "give arn:aws:lambda:REGION:ACCOUNT:function:NAME"
            yield Problem("rotation_lambda_arn", function, "it is no ARN of a Lambda function", fix)


def access_policy(arn: str) -> str:
    """Render the policy of the secret with this ARN: nobody without TLS, and nobody of another account.

    Who may read it within the account, identity policies say.
    """
    account = arn.split(":")[4]
    everything = ["secretsmanager:*"]
    return resource_policy(
        [
            deny_without_tls(everything, ["*"]),
            ResourceStatement(
                "DenyOtherAccounts",
                EVERYONE,
                everything,
                ["*"],
                # AWS's own services have no account of a principal; they come on behalf of this one.
                conditions={
                    "StringNotEquals": {"aws:PrincipalAccount": account},
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
                deny=True,
            ),
        ]
    )


class RotatingSecret(Component):
    """A secret in AWS Secrets Manager, closed to other accounts, whose value changes on schedule.

    Creates: the secret and its policy; with `initial_value` its first version, a secret in the state; with
    `rotation_lambda_arn` the rotation, whose first run is at once. Values made by rotation never reach the state.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the secret, complete, as a policy names it."""
    secret_name: pulumi.Output[str]
    """Name of the secret."""

    def __init__(self, name: str, args: RotatingSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_RotatingSecret, args, "RotatingSecret", name)
        super().__init__(name, opts)
        secret = aws.secretsmanager.Secret(
            name,
            name=parsed.name,
            description=parsed.description,
            kms_key_id=parsed.kms_key_arn,
            recovery_window_in_days=parsed.recovery_window_days,
            opts=self.keeper(),
        )
        aws.secretsmanager.SecretPolicy(
            name,
            secret_arn=secret.arn,
            policy=secret.arn.apply(access_policy),
            block_public_policy=True,
            opts=self.child(),
        )
        versions: list[pulumi.Resource] = []
        if parsed.initial_value is not None:
            first = aws.secretsmanager.SecretVersion(
                name,
                secret_id=secret.id,
                secret_string=pulumi.Output.secret(parsed.initial_value),
                # The value in AWS has moved on: the first one again would undo every rotation.
                opts=self.child(ignore_changes=["secretString"]),
            )
            versions.append(first)
        if parsed.rotation_lambda_arn is not None:
            days = _ROTATE_DAYS if parsed.rotate_every_days is None else parsed.rotate_every_days
            aws.secretsmanager.SecretRotation(
                name,
                secret_id=secret.id,
                rotation_lambda_arn=parsed.rotation_lambda_arn,
                rotation_rules={"automatically_after_days": days},
                opts=self.child(depends_on=versions),
            )
        self.arn = secret.arn
        self.secret_name = secret.name
        self.register_outputs({"arn": self.arn, "secret_name": self.secret_name})
