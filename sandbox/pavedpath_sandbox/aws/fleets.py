"""CreateFleet of the type instant as EC2 has it: a client token is one fleet, the whole launch template holds, and
capacity can be lacking where a test or a demonstration says so. And EventBridge hears of a machine's end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason
from moto.ec2.utils import convert_tag_spec, random_fleet_id
from moto.events.models import events_backends
from moto.ssm.models import ssm_backends

Json = dict[str, Any]
MARKETS = ("spot", "on-demand")
_RESOLVE = "resolve:ssm:"
_ENDED = frozenset({"shutting-down", "terminated"})
_TAKEN_AWAY = "Server.SpotInstanceTermination"
_lacking: set[tuple[str, str, str]] = set()


class CapacityError(ValueError):
    """What was said about capacity cannot be understood; the message says why."""


def set_capacity(wanted: Json) -> list[dict[str, str]]:
    """Say that machines are (not) `available`: by `instance_type`, `zone` and `market`, each `*` for all of them.

    Returns what lacks now. The same three with `available` true take it back; all three `*` take everything back.

    Raises:
        CapacityError: a field is unknown, or has no such value.
    """
    unknown = sorted(set(wanted) - {"instance_type", "zone", "market", "available"})
    kind, zone, market = (str(wanted.get(name, "*")) for name in ("instance_type", "zone", "market"))
    available: object = wanted.get("available")
    wrong = [f"{name} is unknown" for name in unknown]
    wrong += [] if market in {"*", *MARKETS} else [f"market is {market!r}, not one of *, {', '.join(MARKETS)}"]
    wrong += [] if isinstance(available, bool) else ["available must be true or false"]
    if wrong:
        raise CapacityError("; ".join(wrong))
    if not available:
        _lacking.add((kind, zone, market))
    elif (kind, zone, market) == ("*", "*", "*"):
        _lacking.clear()
    else:
        _lacking.discard((kind, zone, market))
    return [dict(zip(("instance_type", "zone", "market"), each, strict=True)) for each in sorted(_lacking)]


def forget() -> None:
    """Start as a new process does."""
    _lacking.clear()


def _lacks(kind: str, zone: str, market: str) -> bool:
    return any(each[0] in {"*", kind} and each[1] in {"*", zone} and each[2] in {"*", market} for each in _lacking)


@dataclass(frozen=True)
class _Choice:
    """One override of a launch template: what could be launched."""

    specification: Json
    """The launch template and its version, as the answer shows it."""
    override: Json
    data: Json
    """The template's data with the override in it."""

    def shown(self) -> Json:
        return {"LaunchTemplateSpecification": self.specification, "Overrides": self.override}


def template(self: Any, original: Callable[..., Any], name: str, description: str, data: Json, tags: Any) -> Any:
    """A launch template's own tags are no part of what it launches."""
    given = cast("list[Json]", data.get("TagSpecifications") or [])
    kept = [each for each in given if each["ResourceType"] != "launch-template"]
    rest = {key: value for key, value in data.items() if key != "TagSpecifications"}
    return original(self, name, description, {**rest, **({"TagSpecifications": kept} if kept else {})}, tags)


def create(self: Any, original: Callable[..., Any]) -> Any:
    """CreateFleet; other types than instant are moto's."""
    if self._get_param("Type", if_none="maintain") != "instant":
        return original(self)
    self.error_on_dryrun()
    names = ("LaunchTemplateConfigs", "TargetCapacitySpecification", "SpotOptions", "OnDemandOptions")
    asked = {name: self._get_param(name) for name in (*names, "TagSpecifications")}
    backend, token = self.ec2_backend, self._get_param("ClientToken")
    remembered = cast("dict[str, tuple[str, Any]]", cast("Json", vars(backend)).setdefault("fleet_tokens", {}))
    fingerprint = json.dumps(asked, sort_keys=True, default=str)
    if token in remembered:
        before, answer = remembered[token]
        if before != fingerprint:
            message = (
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            )
            raise EC2ClientError("IdempotentParameterMismatch", message)
        return ActionResult(answer)
    answer = _launch(backend, asked)
    if token:
        remembered[token] = (fingerprint, answer)
    return ActionResult(answer)


def ended(self: Any, original: Callable[..., Any], instance_ids: list[str]) -> Any:
    """TerminateInstances, and EC2's event of each machine that was not ended before.

    Here machines have ended at once; the event of `shutting-down` and those of other changes are not sent.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html
    """
    changed = original(self, instance_ids)
    for instance, before in changed:
        if before.name not in _ENDED:
            detail = json.dumps({"instance-id": instance.id, "state": "terminated"})
            kind = "EC2 Instance State-change Notification"
            event = {"Source": "aws.ec2", "DetailType": kind, "Detail": detail}
            events_backends[self.account_id][self.region_name].put_events([event])
    return changed


def reclaim(wanted: Json) -> str:
    """Take a spot machine (`instance`, its id) away, as EC2 does when it needs it; returns its id.

    Raises:
        CapacityError: there is no such machine, or it was not bought on the spot market.
    """
    identity = str(wanted.get("instance", ""))
    backends = [backend for regions in list(ec2_backends.values()) for backend in list(regions.values())]
    found = ((backend, backend.get_instance_by_id(identity)) for backend in cast("list[Any]", backends))
    backend, instance = next((each for each in found if each[1] is not None), (None, None))
    if backend is None or instance is None:
        raise CapacityError(f"there is no instance {identity!r}")
    if instance.lifecycle != "spot":
        raise CapacityError(f"{identity} is no spot machine: EC2 takes only these away")
    if instance.state not in _ENDED:
        backend.terminate_instances([identity])
        instance.state_reason = StateReason(f"{_TAKEN_AWAY}: Spot instance termination", _TAKEN_AWAY)
    return identity


def _launch(backend: Any, asked: Json) -> Json:
    fleet = random_fleet_id()
    choices = [each for config in asked["LaunchTemplateConfigs"] for each in _choices(backend, config)]
    tags = convert_tag_spec(asked["TagSpecifications"] or [])
    instances: list[Json] = []
    errors: list[Json] = []
    for market, count in _targets(asked["TargetCapacitySpecification"]).items():
        options: Json = asked["SpotOptions" if market == "spot" else "OnDemandOptions"] or {}
        for _ in range(count):
            for choice in _in_order(choices, options):
                zone = backend.get_subnet(choice.data["SubnetId"]).availability_zone
                if _lacks(choice.data["InstanceType"], zone, market):
                    errors.append(_lacking_error(choice, zone, market))
                    continue
                made = _run(backend, choice, market, fleet, tags)
                shown: Json = {"LaunchTemplateAndOverrides": choice.shown(), "Lifecycle": market}
                instances.append({**shown, "InstanceIds": [made.id], "InstanceType": made.instance_type})
                break
    return {"FleetId": fleet, "Instances": instances, "Errors": errors}


def _targets(specification: Json) -> dict[str, int]:
    """How many machines of each market; what is not said of either is of the default's."""
    default = specification.get("DefaultTargetCapacityType") or "on-demand"
    spot, on_demand = (int(specification.get(f"{name}TargetCapacity") or 0) for name in ("Spot", "OnDemand"))
    rest = max(0, int(specification["TotalTargetCapacity"]) - spot - on_demand)
    counts = {"spot": spot, "on-demand": on_demand}
    counts[default] += rest
    return {market: count for market, count in counts.items() if count}


def _in_order(choices: list[_Choice], options: Json) -> list[_Choice]:
    """By priority where the strategy says so, else as they were given: the price is the same for all here."""
    if "prioritized" not in str(options.get("AllocationStrategy", "")):
        return choices
    return sorted(choices, key=lambda each: float(each.override.get("Priority") or "inf"))


def _lacking_error(choice: _Choice, zone: str, market: str) -> Json:
    kind = choice.data["InstanceType"]
    message = (
        f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone}). Our "
        "system will be working on provisioning additional capacity."
    )
    code = {"ErrorCode": "InsufficientInstanceCapacity", "ErrorMessage": message}
    return {"LaunchTemplateAndOverrides": choice.shown(), "Lifecycle": market, **code}


def _choices(backend: Any, config: Json) -> Iterator[_Choice]:
    given = config["LaunchTemplateSpecification"]
    version = backend._get_template_from_args(given)
    template = version.template
    shown = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}
    for override in cast("list[Json]", config.get("Overrides") or [{}]):
        given_here = {name: value for name, value in override.items() if value is not None}
        data = cast("Json", {**version.data, **given_here})
        if missing := [name for name in ("ImageId", "InstanceType", "SubnetId") if not data.get(name)]:
            message = f"neither the launch template {template.id} nor its override has {', '.join(missing)}"
            raise EC2ClientError("InvalidParameterValue", message)
        yield _Choice(shown, dict(override), {**data, "ImageId": _image(backend, data["ImageId"])})


def _image(backend: Any, image: str) -> str:
    """The image that a parameter of Systems Manager names (`resolve:ssm:NAME`, with `:VERSION` at its end)."""
    if not image.startswith(_RESOLVE):
        return image
    name = image.removeprefix(_RESOLVE)
    try:
        parameter = ssm_backends[backend.account_id][backend.region_name].get_parameter(name)
    except ServiceException:
        parameter = None
    if parameter is None:
        raise EC2ClientError("InvalidParameterValue", f"the parameter {name} of the image {image} does not exist")
    return str(parameter.value)


def _run(backend: Any, choice: _Choice, market: str, fleet: str, tags: dict[str, dict[str, str]]) -> Any:
    data = choice.data
    of_template = convert_tag_spec(data.get("TagSpecifications") or [])
    merged = {kind: {**of_template.get(kind, {}), **tags.get(kind, {})} for kind in ("instance", "volume")}
    # moto is told of the fleet by this tag alone: it looks a fleet up when its machine ends, and knows none of these.
    merged["instance"]["aws:ec2:fleet-id"] = fleet
    interfaces = cast("list[Json]", data.get("NetworkInterfaces") or [{}])
    of_interfaces = [one for each in interfaces for one in cast("list[str]", each.get("Groups") or [])]
    groups = cast("list[str]", data.get("SecurityGroupIds") or of_interfaces)
    monitoring, specification = cast("Json", data.get("Monitoring") or {}), choice.specification
    more: Json = {}
    if mappings := cast("list[Json]", data.get("BlockDeviceMappings") or []):
        sized = [{**each, "Ebs": {"VolumeSize": 8, **cast("Json", each.get("Ebs") or {})}} for each in mappings]
        more["block_device_mappings"] = sized
    reservation = backend.run_instances(
        data["ImageId"],
        1,
        data.get("UserData"),
        [],
        instance_type=data["InstanceType"],
        is_instance_type_default=False,
        region_name=backend.region_name,
        subnet_id=data["SubnetId"],
        key_name=data.get("KeyName"),
        security_group_ids=list(groups),
        associate_public_ip=interfaces[0].get("AssociatePublicIpAddress"),
        tags=merged,
        ebs_optimized=data.get("EbsOptimized") or False,
        instance_initiated_shutdown_behavior=data.get("InstanceInitiatedShutdownBehavior"),
        launch_template={name: specification[name] for name in ("LaunchTemplateId", "Version")},
        monitoring_state="enabled" if monitoring.get("Enabled") else "disabled",
        metadata_options=data.get("MetadataOptions") or {},
        lifecycle="spot" if market == "spot" else None,
        **more,
    )
    made = reservation.instances[0]
    if profile := cast("Json", data.get("IamInstanceProfile") or {}):
        backend.associate_iam_instance_profile(
            instance_id=made.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
    return made
