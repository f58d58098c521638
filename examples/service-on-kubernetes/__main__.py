"""A namespace with a deploy-only identity, and a service in it."""

import pulumi
from pavedpath import HelmApplication, Namespace

namespace = Namespace("hello", {"name": "hello", "server": pulumi.Config().require("server")})
hello = HelmApplication(
    "hello",
    {
        "release": "hello",
        "chart": "chart",
        "namespace": namespace.namespace,
        "values": {"image": "registry.k8s.io/e2e-test-images/agnhost:2.53", "replicas": 2},
        "timeout_seconds": 120,
    },
)

pulumi.export("status", hello.status)
pulumi.export("revision", hello.revision)
pulumi.export("kubeconfig", namespace.kubeconfig)
