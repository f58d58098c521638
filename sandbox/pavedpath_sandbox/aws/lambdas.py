"""Lambda as the part `functions` needs it: moto keeps what is deployed, and that part runs it.

moto would run a function in a container, at once, with the server's only lock held. Here an invocation that nobody
waits for is laid down until the part has done it, and what the part must know is one snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from moto.awslambda.models import lambda_backends
from moto.events.models import events_backends
from moto.events.utils import EventTemplateParser
from moto.logs.models import logs_backends
from moto.moto_api._internal import mock_random
from moto.scheduler.models import scheduler_backends

Json = dict[str, Any]
LOGGING: Json = {"LogFormat": "Text"}
_address: list[str] = [""]
_pending: dict[str, Json] = {}


def serve_at(address: str) -> None:
    """Say where the part `functions` answers (`http://127.0.0.1:PORT`); empty: there is none."""
    _address[0] = address


def forget() -> None:
    """Start as a new process does."""
    _pending.clear()


# What moto's answers lack


def url(self: Any, original: Callable[..., Any]) -> Json:
    """A function URL's configuration, with an address that answers here."""
    shown = cast("Json", original(self))
    return {**shown, "FunctionUrl": f"{_address[0]}/{url_id(self)}/"} if _address[0] else shown


def url_id(config: Any) -> str:
    """The id of a function URL: the first label of the host that it has on AWS."""
    return str(config.url).removeprefix("https://").partition(".")[0]


def remember(self: Any, original: Callable[..., Any], account_id: str, spec: Json, *more: Any, **named: Any) -> None:
    """A new function keeps its logging configuration and the queue of its lost events."""
    original(self, account_id, spec, *more, **named)
    self.logging_config = spec.get("LoggingConfig") or {}
    self.dead_letter_config = spec.get("DeadLetterConfig")


def update(self: Any, original: Callable[..., Any], config_updates: Json) -> Any:
    """moto passes over changes of these."""
    fields = {
        "LoggingConfig": "logging_config",
        "DeadLetterConfig": "dead_letter_config",
        "TracingConfig": "tracing_config",
        "KMSKeyArn": "kms_key_arn",
    }
    for name, field in fields.items():
        if name in config_updates:
            setattr(self, field, config_updates[name])
    if "EphemeralStorage" in config_updates:
        self.ephemeral_storage = config_updates["EphemeralStorage"]["Size"]
    return original(self, config_updates)


def configuration(self: Any, original: Callable[..., Any], on_create: bool = False) -> Json:
    """A function's configuration with what moto leaves out."""
    shown = cast("Json", original(self, on_create))
    shown["LoggingConfig"] = {"LogGroup": self.logs_group_name, **LOGGING, **self.logging_config}
    if self.dead_letter_config and self.dead_letter_config.get("TargetArn"):
        shown["DeadLetterConfig"] = self.dead_letter_config
    return shown


# Invocations that nobody waits for


def defer(function_arn: str, payload: str) -> None:
    """Lay an invocation down for the part."""
    _pending[str(mock_random.uuid4())] = {"function": function_arn, "payload": payload}


def done(identity: str) -> bool:
    """Whether there was such an invocation; it is there no more."""
    return _pending.pop(identity, None) is not None


def invoke(self: Any, original: Callable[..., Any]) -> Any:
    """Invoke: what is to be waited for never comes here, the server hands it to the part before."""
    del original
    name = self.path.rsplit("/", 2)[-2]
    function = self.backend.get_function(name, self._get_param("Qualifier"))
    kind = self.headers.get("X-Amz-Invocation-Type", "RequestResponse")
    if kind == "DryRun":
        return 204, {"status": 204}, ""
    if kind == "Event":
        body: object = self.body
        defer(function.function_arn, body.decode() if isinstance(body, bytes) else str(body or "{}"))
        return 202, {"status": 202}, ""
    raise NotImplementedError("functions run in the sandbox's part `functions`: `pavedpath-sandbox up functions`")


def send_to_targets(
    self: Any, original: Callable[..., Any], original_event: Json, transform_input: bool = True
) -> None:
    """A rule's targets that are functions; moto serves the others."""
    functions = [each for each in self.targets if _is_function(each["Arn"])]
    if functions and self.state == "ENABLED" and self.event_pattern.matches_event(original_event):
        for target in functions:
            defer(target["Arn"], _input(target, original_event, transform_input))
    kept, self.targets = self.targets, [each for each in self.targets if each not in functions]
    try:
        original(self, original_event, transform_input)
    finally:
        self.targets = kept


def _is_function(arn: str) -> bool:
    return arn.split(":")[2:3] == ["lambda"]


def _input(target: Json, event: Json, transform: bool) -> str:
    if target.get("Input"):
        return str(target["Input"])
    moment: object = event.get("time")
    if isinstance(moment, int | float):
        event = {**event, "time": datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    transformer = target.get("InputTransformer")
    if transform and transformer:
        event = EventTemplateParser.parse(
            input_template=transformer.get("InputTemplate"),
            input_paths_map=transformer.get("InputPathsMap", {}),
            event=cast("Any", event),
        )
    return json.dumps(event)


# What the part reads


def snapshot() -> Json:
    """Everything that the part must know of all accounts and regions."""
    found: Json = {"functions": [], "mappings": [], "schedules": []}
    for account, region, backend in _each(lambda_backends):
        found["functions"] += [_function(account, region, each) for each in backend.list_functions()]
        found["mappings"] += [_mapping(account, region, each) for each in backend.list_event_source_mappings("", "")]
    for _, _, backend in _each(scheduler_backends):
        for group in backend.schedule_groups.values():
            found["schedules"] += [_schedule(each) for each in group.schedules.values()]
    for _, _, backend in _each(events_backends):
        for bus in backend.event_buses.values():
            found["schedules"] += [one for each in bus.rules.values() for one in _scheduled(each)]
    found["pending"] = [{"id": identity, **each} for identity, each in _pending.items()]
    return found


def _each(backends: Any) -> list[tuple[str, str, Any]]:
    return [(account, region, backend) for account, regions in backends.items() for region, backend in regions.items()]


def _function(account: str, region: str, function: Any) -> Json:
    shown = function.get_configuration()
    config = function.url_config
    reserved: object = function.reserved_concurrency
    return {
        "account": account,
        "region": region,
        "name": function.function_name,
        "arn": function.function_arn.split(":$")[0],
        "handler": function.handler,
        "runtime": function.run_time or "",
        "package": function.package_type,
        "timeout": float(function.timeout),
        "memory": int(function.memory_size),
        "environment": function.environment_vars,
        "reserved": None if reserved is None else int(cast("Any", reserved)),
        "code": getattr(function, "code_digest", ""),
        "log_group": shown["LoggingConfig"]["LogGroup"],
        "url": "" if config is None else url_id(config),
        "url_authentication": "" if config is None else config.config.get("AuthType") or "NONE",
    }


def _mapping(account: str, region: str, mapping: Any) -> Json:
    scaling = cast("Json", mapping.scaling_config or {})
    return {
        "id": mapping.uuid,
        "account": account,
        "region": region,
        "function": mapping.function_arn.split(":$")[0],
        "source": mapping.event_source_arn,
        "enabled": bool(mapping.enabled),
        "batch_size": int(mapping.batch_size),
        "window": float(mapping.max_batch_window or 0),
        "maximum_concurrency": scaling.get("MaximumConcurrency"),
        "item_failures": "ReportBatchItemFailures" in (mapping.function_response_types or []),
    }


def _schedule(schedule: Any) -> Json:
    return {
        "arn": schedule.arn,
        "source": "aws.scheduler",
        "expression": schedule.schedule_expression,
        "enabled": schedule.state == "ENABLED",
        "function": schedule.target["Arn"],
        "input": schedule.target.get("Input") or "",
    }


def _scheduled(rule: Any) -> list[Json]:
    """A rule of EventBridge with a schedule in the place of a pattern."""
    if not rule.scheduled_expression:
        return []
    common: Json = {"source": "aws.events", "expression": rule.scheduled_expression, "enabled": rule.state == "ENABLED"}
    return [
        {"arn": rule.arn, "function": each["Arn"], "input": each.get("Input") or "", **common} for each in rule.targets
    ]


def code(digest: str) -> bytes | None:
    """The deployed archive of that SHA-256 in hexadecimal."""
    for _, _, backend in _each(lambda_backends):
        for function in backend.list_functions():
            if getattr(function, "code_digest", "") == digest:
                return cast("bytes", function.code_bytes)
    return None


def write_log(account: str, region: str, group: str, stream: str, lines: list[tuple[int, str]]) -> bool:
    """Append lines (milliseconds, text) to a stream of a log group; False if there is no such group."""
    backend = cast("Any", logs_backends[account][region])
    if group not in backend.groups:
        return False
    backend.ensure_log_stream(group, stream)
    backend.put_log_events(group, stream, [{"timestamp": moment, "message": text} for moment, text in lines])
    return True
