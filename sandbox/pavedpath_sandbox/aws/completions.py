"""Adds to moto what the program's resources need: what it takes and forgets, and what it judges otherwise than AWS.

`install` checks that what it wraps still has the shape it was written for.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from typing import Any, cast

import xmltodict
from flask import has_request_context, request
from moto.awslambda.models import FunctionUrlConfig, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.responses import DynamoHandler
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.launch_templates import LaunchTemplateBackend
from moto.ec2.models.subnets import Subnet
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses.fleets import Fleets
from moto.events.models import Rule
from moto.iam.access_control import IAMPolicy
from moto.kms.responses import KmsResponse
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.sqs.models import Queue

from . import budgets, clock, fleets, lambdas, queues, shortcuts, transactions
from .conditions import UnknownConditionError, holds
from .determinism import require

LOG = logging.getLogger("pavedpath_sandbox.aws")
_ROTATION_DAYS = 365  # https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html

_installed: list[bool] = []


def install() -> None:
    """Put the hooks in place, once per process.

    Raises:
        MotoChangedError: the installed moto differs from what the hooks were written for.
    """
    if _installed:
        return
    _wrap(S3Response, "_bucket_response_put", _tags_of_a_new_bucket)
    _wrap(S3Response, "get_bucket_notification", _event_bridge)
    _wrap(FakeBucket, "get_permission", _conditional_permission)
    _wrap(Subnet, "get_filter_value", _association_filter)
    _wrap_property(Subnet, "ipv6_cidr_block_association_set", _association_states)
    _wrap(VPCBackend, "modify_vpc_endpoint", _routes_of_an_endpoint)
    _wrap(KmsResponse, "enable_key_rotation", _rotation_period)
    _wrap(KmsResponse, "get_key_rotation_status", _rotation_status)
    _wrap(BudgetsResponse, "create_budget", budgets.tags_of_a_new_budget)
    budgets.install()
    _wrap(Fleets, "create_fleet", fleets.create)
    _wrap(LaunchTemplateBackend, "create_launch_template", fleets.template)
    _wrap(InstanceBackend, "terminate_instances", fleets.ended)
    _wrap_property(Queue, "attributes", queues.attributes)
    _wrap(Queue, "_set_attributes", queues.set_attributes)
    _wrap(FunctionUrlConfig, "to_dict", lambdas.url)
    _wrap(LambdaFunction, "__init__", lambdas.remember)
    _wrap(LambdaFunction, "update_configuration", lambdas.update)
    _wrap(LambdaFunction, "get_configuration", lambdas.configuration)
    _wrap(LambdaResponse, "invoke", lambdas.invoke)
    _wrap(Rule, "send_to_targets", lambdas.send_to_targets)
    _wrap(DynamoDBBackend, "transact_write_items", transactions.transact)
    _wrap(DynamoHandler, "serialized", transactions.plain)
    transactions.install()
    queues.install()
    clock.install()
    shortcuts.install()
    _installed.append(True)


def _wrap(owner: type[Any], name: str, wrapper: Callable[..., Any]) -> None:
    original = getattr(owner, name, None)
    require(callable(original), f"{owner.__name__}.{name} is gone")

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(self, original, *args, **kwargs)

    setattr(owner, name, wrapped)


def _wrap_property(owner: type[Any], name: str, wrapper: Callable[[Any], Any]) -> None:
    original = getattr(owner, name, None)
    require(isinstance(original, property), f"{owner.__name__}.{name} is no property")
    read = cast("Callable[[Any], Any]", cast("property", original).fget)
    setattr(owner, name, property(lambda self: wrapper(read(self))))


def _tags_of_a_new_bucket(
    self: Any, original: Callable[..., Any], call: Any, bucket_name: str, querystring: dict[str, Any]
) -> Any:
    """CreateBucket has a member Tags since November 2025."""
    answer = original(self, call, bucket_name, querystring)
    if not querystring and self.body:
        parsed = xmltodict.parse(self.body, force_list=("Tag",))
        configuration = cast("dict[str, Any]", parsed.get("CreateBucketConfiguration") or {})
        if given := configuration.get("Tags"):
            self.backend.put_bucket_tagging(bucket_name, {each["Key"]: each["Value"] or "" for each in given["Tag"]})
    return answer


def _event_bridge(self: Any, original: Callable[..., Any]) -> Any:
    configuration = self.backend.get_bucket_notification_configuration(self.bucket_name)
    if configuration and configuration.event_bridge is not None:
        serialized = self.serialized

        def with_event_bridge(answer: ActionResult) -> Any:
            result = cast("dict[str, object]", answer.result)
            return serialized(ActionResult({**result, "EventBridgeConfiguration": {}}))

        self.serialized = with_event_bridge
    return original(self)


def _association_filter(
    self: Any, original: Callable[..., Any], filter_name: str, method_name: str | None = None
) -> Any:
    if filter_name == "ipv6-cidr-block-association.association-id":
        return list(self.ipv6_cidr_block_associations)
    return original(self, filter_name, method_name)


def _association_states(associations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """moto puts the whole state where the state's name belongs."""
    for each in associations:
        state = each["ipv6CidrBlockState"]["state"]
        each["ipv6CidrBlockState"] = state if isinstance(state, dict) else {"State": state}
    return associations


def _routes_of_an_endpoint(self: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A gateway endpoint's route tables hold a route to it, which its deletion takes away: those added later too."""
    given = inspect.signature(original).bind(self, *args, **kwargs).arguments
    (endpoint,) = self.describe_vpc_endpoints(vpc_end_point_ids=[given["vpc_id"]])
    before = set(endpoint.route_table_ids or [])
    answer = original(self, *args, **kwargs)
    if prefixes := endpoint.destination_prefix_list_id:
        after = set(endpoint.route_table_ids)
        for table in sorted(after - before):
            self.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefixes)
        for table in sorted(before - after):
            self.delete_route(table, prefixes)
    return answer


def _rotation_period(self: Any, original: Callable[..., Any]) -> Any:
    answer = original(self)
    _rotated_key(self).rotation_period_in_days = self._get_param("RotationPeriodInDays", _ROTATION_DAYS)
    return answer


def _rotation_status(self: Any, original: Callable[..., Any]) -> Any:
    status = cast("dict[str, object]", json.loads(original(self)))
    key = _rotated_key(self)
    if status["KeyRotationEnabled"]:
        status["RotationPeriodInDays"] = getattr(key, "rotation_period_in_days", _ROTATION_DAYS)
    return json.dumps({"KeyId": key.id, **status})


def _rotated_key(response: Any) -> Any:
    backend = response.kms_backend
    return backend.keys[backend.get_key_id(response._get_param("KeyId"))]


def _conditional_permission(self: Any, original: Callable[..., Any], action: str, resource: str) -> Any:
    """moto takes a statement whose conditions are not met for a denial."""
    if self.policy is None:
        return original(self, action, resource)
    document = cast("dict[str, Any]", json.loads(self.policy))
    given: object = document["Statement"]
    statements = cast("list[dict[str, Any]]", given if isinstance(given, list) else [given])
    applying = [_unconditional(each) for each in statements if _applies(self, each)]
    return IAMPolicy(json.dumps({**document, "Statement": applying})).is_action_permitted(action, resource)


def _unconditional(statement: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != "Condition"}


def _applies(bucket: Any, statement: dict[str, Any]) -> bool:
    def context(key: str) -> str | None:
        if key == "aws:securetransport":
            return "true"  # the sandbox stands for endpoints that are reached with TLS
        if key == "aws:principalaccount":
            return bucket.account_id  # others are refused before
        if key.startswith("s3:x-amz-"):
            return request.headers.get(key.removeprefix("s3:")) if has_request_context() else None
        raise UnknownConditionError(f"the key {key}")

    try:
        return holds(statement.get("Condition") or {}, context)
    except UnknownConditionError as error:
        LOG.warning("bucket %s: a statement of its policy has no effect here, %s is not known", bucket.name, error)
        return False
