"""The KMS key of the state: it encrypts the bucket's objects and, as Pulumi's secrets provider, the stacks' secrets.

Sources: AWS, "Rotate AWS KMS keys", "Aliases in AWS KMS"; Pulumi, "Secrets" (awskms).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pavedpath_delivery.stack.errors import StackCommandError
from pavedpath_delivery.stack.s3 import code_of
from pavedpath_delivery.state.converge import Converger, Setting, merged_tags
from pavedpath_delivery.state.policies import Statement, merged, same

# Fewest that KMS takes; for a key that nothing was ever encrypted with.
_SHORTEST_WINDOW_DAYS = 7
# AWS, "Eventual consistency" in KMS: most changes are known within seconds, some after minutes.
_ALIAS_SECONDS = 60


@dataclass(frozen=True)
class Key:
    """The key behind an alias of this account and region.

    Args:
        kms: the client.
        alias: with its prefix `alias/`.
        tags: what the key carries; `project` and `Name` are how a key is found again that got no alias.
    """

    kms: Any
    alias: str
    tags: dict[str, str]

    def settle(self, converger: Converger, statements: Sequence[Statement]) -> str:
        """Make the key if there is none, bring it into shape, and return its ARN (empty if there is none: dry run)."""
        found = self._behind_alias()
        made = found is None
        if found is None:
            found = self._without_alias()
            if not converger.dry_run:
                found = self._named(found or self._create(statements))
        arn, key_id = (str(found["Arn"]), str(found["KeyId"])) if found else ("", "")
        converger.settle("key", self.alias, self._settings(key_id, statements), made=made)
        return arn

    def _behind_alias(self) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            found = self.kms.describe_key(KeyId=self.alias)["KeyMetadata"]
        except ClientError as error:
            if code_of(error) == "NotFoundException":
                return None
            raise
        self._check(found)
        return found

    def _check(self, key: dict[str, Any]) -> None:
        state, arn = key["KeyState"], key["Arn"]
        if state == "PendingDeletion":
            raise StackCommandError(
                f"{self.alias}: its key {arn} is being deleted, and with it everything that it encrypts.\n"
                f"Fix: aws kms cancel-key-deletion --key-id {arn} && aws kms enable-key --key-id {arn};"
                " or, if it encrypts nothing you need: --alias with another name."
            )
        if state != "Enabled":
            raise StackCommandError(
                f"{self.alias}: its key {arn} is {state}.\nFix: aws kms enable-key --key-id {arn}; or --alias."
            )
        if key.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT" or key.get("KeyUsage") != "ENCRYPT_DECRYPT":
            raise StackCommandError(
                f"{self.alias}: its key {arn} is for {key.get('KeyUsage')} with {key.get('KeySpec')}; Pulumi needs a"
                " symmetric one for encryption.\nFix: --alias with another name."
            )

    def _without_alias(self) -> dict[str, Any] | None:
        """Return the key that a run made which was killed before it gave the alias; the oldest of several."""
        marks = {name: self.tags[name] for name in ("project", "Name")}
        mine = [key for key in self._every_key() if marks.items() <= self._tags(str(key["KeyId"])).items()]
        usable = [key for key in mine if key["KeyState"] == "Enabled" and not self._aliases(str(key["KeyId"]))]
        return min(usable, key=lambda key: key["CreationDate"], default=None)

    def _every_key(self) -> Iterator[dict[str, Any]]:
        for page in self.kms.get_paginator("list_keys").paginate():
            for key in page["Keys"]:
                if self._tags(str(key["KeyId"])):
                    yield self.kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]

    def _aliases(self, key_id: str) -> list[str]:
        pages = self.kms.get_paginator("list_aliases").paginate(KeyId=key_id)
        return [alias["AliasName"] for page in pages for alias in page["Aliases"]]

    def _tags(self, key_id: str) -> dict[str, str]:
        from botocore.exceptions import ClientError

        try:
            pages = list(self.kms.get_paginator("list_resource_tags").paginate(KeyId=key_id))
        except ClientError as error:
            if code_of(error) == "AccessDeniedException":  # a key that hides from this identity is not one of ours
                return {}
            raise
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page.get("Tags", [])}

    def _create(self, statements: Sequence[Statement]) -> dict[str, Any]:
        return self.kms.create_key(
            Description=f"Pulumi state of {self.tags['project']} ({self.alias})",
            KeyUsage="ENCRYPT_DECRYPT",
            Policy=merged(None, statements),
            Tags=[{"TagKey": name, "TagValue": value} for name, value in self.tags.items()],
        )["KeyMetadata"]

    def _named(self, key: dict[str, Any]) -> dict[str, Any]:
        """Give the key its alias; if another run did so meanwhile with a key of its own, that key is it."""
        from botocore.exceptions import ClientError

        try:
            self.kms.create_alias(AliasName=self.alias, TargetKeyId=key["KeyId"])
        except ClientError as error:
            if code_of(error) != "AlreadyExistsException":
                raise
            winner = self.kms.describe_key(KeyId=self.alias)["KeyMetadata"]
            if winner["KeyId"] != key["KeyId"]:  # nothing was encrypted with this one: it never had a name
                self.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=_SHORTEST_WINDOW_DAYS)
            return winner
        self._await_alias()
        return key

    def _await_alias(self) -> None:
        """Wait until every part of KMS knows the new alias, by which Pulumi is about to ask for the key."""
        from botocore.exceptions import ClientError

        for _ in range(_ALIAS_SECONDS):
            try:
                self.kms.describe_key(KeyId=self.alias)
            except ClientError as error:
                if code_of(error) != "NotFoundException":
                    raise
                time.sleep(1)
            else:
                return

    def _settings(self, key_id: str, statements: Sequence[Statement]) -> list[Setting]:
        return [
            Setting(
                "rotation every year",
                lambda: self.kms.get_key_rotation_status(KeyId=key_id)["KeyRotationEnabled"],
                lambda _: True,
                lambda _: self.kms.enable_key_rotation(KeyId=key_id),
            ),
            Setting(
                "policy",
                lambda: self.kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"],
                lambda current: merged(current, statements),
                lambda value: self.kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=value),
                same,
            ),
            Setting(
                "tags",
                lambda: self._tags(key_id),
                lambda current: merged_tags(current, self.tags),
                lambda value: self.kms.tag_resource(
                    KeyId=key_id, Tags=[{"TagKey": name, "TagValue": item} for name, item in value.items()]
                ),
            ),
        ]
