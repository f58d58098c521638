"""How many webhooks the fleet's receiver takes, and how long the slowest ones wait, over HTTP on this machine.

Each receiver runs in a process of its own, behind the same small server, and the same deliveries come over the same
number of connections: the whole life of many jobs, signed, in bodies as long as GitHub's. The baseline does nothing
but verify the signature. The others are the function's own code with its own adapters: once on the simulator's model
of DynamoDB and SQS in memory, which leaves the receiver's own cost, and once on moto's servers, whose own work then is
most of the time. Real DynamoDB and SQS are some 10 ms away and do that work elsewhere.

`python -m bench.fleet_receiver` prints the table alone.
"""

import hashlib
import hmac
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from pavedpath_runners.adapters.clock import SystemClock
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.adapters.sqs import JobQueue
from pavedpath_runners.adapters.telemetry import EmbeddedMetrics, Redaction
from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.functions.webhook import Webhook, WebhookSecrets
from rich.console import Console
from rich.table import Table

CONNECTIONS = 4
ROUNDS = 6
JOBS = 120
SECONDS = 2.0
"""In each round the deliveries of so many jobs are sent to each receiver, or as many as fit into that time."""
RECEIVERS = {
    "signature": "verifies the signature alone",
    "memory": "the function, DynamoDB and SQS in memory",
    "moto": "the function, DynamoDB and SQS in moto",
}
_SECRET = b"the webhook's secret of the measurement"
_LABELS = ("self-hosted", "linux", "arm64", "bench")
_PADDING = [{"name": f"Run step {number}", "status": "completed", "number": number} for number in range(180)]
"""Makes a body as long as GitHub's are, some 12 KB."""

FLEET = Fleet(
    name="bench",
    organization="acme",
    pools=(Pool("small", _LABELS, ("c7g.large",), ("subnet-1",), "lt-1", maximum=1000),),
    repositories=("orders",),
)

Answer = Callable[[Mapping[str, str], bytes], int]


@dataclass(frozen=True)
class Load:
    """What one receiver did."""

    deliveries: int
    per_second: float
    median: float
    """Milliseconds from sending a delivery to its answer."""
    p99: float


# The receivers


def signature() -> Answer:
    """The least that a receiver must do."""

    def answer(headers: Mapping[str, str], body: bytes) -> int:
        signed = "sha256=" + hmac.new(_SECRET, body, hashlib.sha256).hexdigest()
        return 200 if hmac.compare_digest(signed, headers.get("x-hub-signature-256", "")) else 401

    return answer


def memory() -> Answer:
    """The function on the simulator's tables, which are dictionaries."""
    from pavedpath_runners.control import ControlPlane
    from pavedpath_runners.ports import World
    from pavedpath_runners.simulator.dynamodb import DynamoDB
    from pavedpath_runners.simulator.engine import Engine
    from pavedpath_runners.simulator.sqs import SQS

    engine = Engine(seed=1, start=time.time(), journal=False)
    # The models are for one thread; a lock stands for what a server does by itself.
    lock = threading.Lock()
    table = _Locked(DynamoDB(engine), lock)
    queue = _Locked(SQS(engine, fifo=True, visibility=60, receives=5), lock)
    clock, nothing = SystemClock(), cast("Any", _Unreachable())
    telemetry = EmbeddedMetrics(sys.stdout, clock, FLEET.name, Redaction())
    ledger = TableLedger(cast("Any", table), "ledger", clock)
    world = World(clock, ledger, nothing, nothing, nothing, JobQueue(cast("Any", queue), "queue"), telemetry)
    secrets = WebhookSecrets(cast("Any", _Secret()), "webhook", clock)
    return _answer(Webhook(secrets, FLEET, ControlPlane(FLEET, world), clock, telemetry).answer)


def moto(endpoint: str) -> Answer:
    """The function as Lambda has it, its environment's variables included, on moto's server."""
    import boto3
    from pavedpath_runners.functions import webhook

    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    client = cast("Any", boto3).client
    client("dynamodb").create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "open", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "open",
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    client("ssm").put_parameter(Name="fleet", Value=FLEET.to_json(), Type="String")
    manager = client("secretsmanager")
    os.environ |= {
        "PAVEDPATH_FLEET_PARAMETER": "fleet",
        "PAVEDPATH_TABLE": "ledger",
        "PAVEDPATH_QUEUE_URL": client("sqs").create_queue(QueueName="l.fifo", Attributes={"FifoQueue": "true"})[
            "QueueUrl"
        ],
        "PAVEDPATH_WEBHOOK_SECRET": manager.create_secret(Name="webhook", SecretString=_SECRET.decode())["ARN"],
        "PAVEDPATH_APP_KEY_SECRET": manager.create_secret(Name="key", SecretString="none")["ARN"],
    }
    context = cast("Any", None)  # the webhook's function does not look at it
    return _answer(lambda event: webhook.handler(event, context))


class _Locked:
    """A client that one thread at a time calls."""

    def __init__(self, client: object, lock: threading.Lock) -> None:
        self._client, self._lock = client, lock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def locked(**request: Any) -> Any:
            with self._lock:
                return method(**request)

        return locked


class _Secret:
    """Secrets Manager with the one secret."""

    def get_secret_value(self, **_: str) -> Mapping[str, Any]:
        from datetime import UTC, datetime

        return {"SecretString": _SECRET.decode(), "CreatedDate": datetime(2026, 1, 1, tzinfo=UTC)}


class _Unreachable:
    """What a receiver must not call: it fails if it does."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the receiver calls {name}")


def _answer(handle: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Answer:
    def answer(headers: Mapping[str, str], body: bytes) -> int:
        event = {
            "headers": headers,
            "requestContext": {"http": {"method": "POST"}},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        return handle(event)["statusCode"]

    return answer


def serve(answer: Answer) -> None:
    """Serve on a port of 127.0.0.1, which is printed, until the standard input ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(answer(headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the method's
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # five by default: more connections at once would be refused, or wait a second

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, file=sys.__stdout__, flush=True)
    sys.stdin.read()


# The deliveries


def deliveries(jobs: range) -> Sequence[tuple[dict[str, str], bytes]]:
    """The whole life of each job: queued, in progress, completed, signed as GitHub does."""
    return [_delivery(job, action) for job in jobs for action in ("queued", "in_progress", "completed")]


def _delivery(job: int, action: str) -> tuple[dict[str, str], bytes]:
    # The times are of now, since an old job is refused as a replay.
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    body = json.dumps(
        {
            "action": action,
            "workflow_job": {
                "id": job,
                "run_id": job,
                "status": action,
                "conclusion": "success" if action == "completed" else None,
                "labels": _LABELS,
                "created_at": at,
                "started_at": at,
                "completed_at": at if action == "completed" else None,
                "runner_name": None if action == "queued" else f"bench-{job}-1",
                "steps": _PADDING,
            },
            "repository": {"full_name": "acme/orders", "private": True, "owner": {"login": "acme"}},
        }
    ).encode()
    headers = {
        "content-type": "application/json",
        "x-github-event": "workflow_job",
        "x-github-delivery": f"{job}-{action.replace('_', '-')}",
        "x-hub-signature-256": "sha256=" + hmac.new(_SECRET, body, hashlib.sha256).hexdigest(),
    }
    return headers, body


@dataclass
class Sent:
    """What was sent to one receiver, in all rounds."""

    times: list[float] = field(default_factory=list[float])
    """Seconds from sending each delivery to its answer."""
    seconds: float = 0.0

    def load(self) -> Load:
        """Return what it comes to."""
        centiles = statistics.quantiles(self.times, n=100)
        return Load(len(self.times), len(self.times) / self.seconds, 1000 * centiles[49], 1000 * centiles[98])


def send(port: int, jobs: range, seconds: float, sent: Sent, connections: int = CONNECTIONS) -> None:
    """Send the deliveries of jobs over some connections at once, each as fast as it is answered.

    Raises:
        SystemExit: a delivery was not taken.
    """
    batches = [deliveries(jobs[each::connections]) for each in range(connections)]
    wrong: list[str] = []
    start = time.perf_counter()
    threads = [
        threading.Thread(target=_send, args=(port, batch, start + seconds, sent.times, wrong), daemon=True)
        for batch in batches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 30)
    sent.seconds += time.perf_counter() - start
    if wrong:
        raise SystemExit(f"{len(sent.times)} deliveries were taken; refused: {wrong[:3]}")


def _send(
    port: int, batch: Sequence[tuple[dict[str, str], bytes]], until: float, times: list[float], wrong: list[str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for headers, body in batch:
        begin = time.perf_counter()
        if begin > until or wrong:
            return
        try:
            connection.request("POST", "/", body, headers)
            answered = connection.getresponse()
            answered.read()
        except (OSError, http.client.HTTPException) as error:
            wrong.append(f"{headers['x-github-delivery']}: {error}")
            return
        times.append(time.perf_counter() - begin)
        if answered.status != 200:
            wrong.append(f"{headers['x-github-delivery']}: {answered.status}")


# The measurement


@contextmanager
def _process(*command: str) -> Generator[str]:
    """Run a program that prints one line when it is ready, and yield that line."""
    running = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = running.stdout.readline() if running.stdout else ""
        if not line:
            raise SystemExit(f"{' '.join(command)} does not start")
        yield line
    finally:
        running.terminate()
        running.wait(10)


def measure() -> dict[str, Load]:
    """Measure the receivers in turns, so that what else this machine does falls upon all of them alike."""
    with ExitStack() as stack:
        line = stack.enter_context(_process("pavedpath_sandbox.aws", "--port", "0"))
        endpoint = f"http://127.0.0.1:{json.loads(line)['port']}"
        commands = {"signature": ("signature",), "memory": ("memory",), "moto": ("moto", endpoint)}
        ports = {
            kind: int(stack.enter_context(_process("bench.fleet_receiver", *command)))
            for kind, command in commands.items()
        }
        sent = {kind: Sent() for kind in ports}
        for number in range(ROUNDS):
            jobs = range(1 + number * JOBS, 1 + (number + 1) * JOBS)
            for kind, port in ports.items():
                send(port, jobs, SECONDS, sent[kind])
    return {kind: each.load() for kind, each in sent.items()}


def table(found: Mapping[str, Load]) -> Table:
    """Build the table of the receivers; each ratio is to the baseline of the same run."""
    made = Table(title=f"Webhooks over HTTP, {CONNECTIONS} connections", title_justify="left")
    for column in ("receiver", "deliveries", "a second", "ratio", "median ms", "p99 ms", "ratio"):
        made.add_column(column, justify="left" if column == "receiver" else "right")
    base = found["signature"]
    for kind, load in found.items():
        made.add_row(
            RECEIVERS[kind],
            str(load.deliveries),
            f"{load.per_second:.0f}",
            f"{load.per_second / base.per_second:.2f}",
            f"{load.median:.1f}",
            f"{load.p99:.1f}",
            f"{load.p99 / base.p99:.1f}",
        )
    return made


def main(arguments: Sequence[str]) -> None:
    """Serve one receiver, or measure them all."""
    if not arguments:
        Console(width=110).print(table(measure()))
        return
    with Path(os.devnull).open("w") as log:
        sys.stdout = log  # the function's log: what it costs to write is measured, too
        match arguments:
            case ["moto", endpoint]:
                serve(moto(endpoint))
            case ["memory"]:
                serve(memory())
            case _:
                serve(signature())


if __name__ == "__main__":
    main(sys.argv[1:])
