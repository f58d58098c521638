"""Applications that really run in a sandbox's cluster: their objects, and waiting for them."""

import json
import textwrap
import time
from collections.abc import Callable
from typing import Any

import httpx
import yaml


def apply(api: httpx.Client, text: str, namespace: str = "default") -> None:
    for document in yaml.safe_load_all(text):
        kind, name = document["kind"], document["metadata"]["name"]
        base = {"Deployment": "/apis/apps/v1", "Ingress": "/apis/networking.k8s.io/v1", "Job": "/apis/batch/v1"}
        plural = "ingresses" if kind == "Ingress" else f"{kind.lower()}s"
        path = f"{base.get(kind, '/api/v1')}/namespaces/{namespace}/{plural}/{name}"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        query = {"fieldManager": "test", "force": "true"}
        answer = api.patch(path, params=query, content=json.dumps(document), headers=headers)
        assert answer.is_success, answer.text


def exposed(name: str, host: str) -> str:
    return textwrap.dedent(f"""
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}}}
        spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: http}}]}}
        ---
        apiVersion: networking.k8s.io/v1
        kind: Ingress
        metadata: {{name: {name}}}
        spec:
          rules:
            - host: {host}
              http:
                paths:
                  - {{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{name: http}}}}}}}}
    """)


def eventually(what: Callable[[], Any], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return value


def pods(api: httpx.Client, name: str) -> list[dict[str, Any]]:
    found = api.get("/api/v1/namespaces/default/pods", params={"labelSelector": f"app={name}"}).json()["items"]
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
