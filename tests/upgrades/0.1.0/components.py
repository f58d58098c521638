"""Every component of the release with every argument it took, called as its users call it."""

from pavedpath import (
    ChecksWorkflow,
    DeployRole,
    GithubOidcProvider,
    HelmApplication,
    ImageRegistry,
    Namespace,
    NatMode,
    Repository,
    RepositoryEnvironment,
    SopsKey,
    SubnetTier,
    Visibility,
    Vpc,
    tag_everything,
)

ChecksWorkflow({"test": "make test"}).render()
tag_everything({"project": "upgrades", "environment": "it", "owner": "platform"})

Vpc("plain", {"cidr": "10.1.0.0/16", "zones": ["us-east-1a"]})
Vpc("one", {"cidr": "10.2.0.0/16", "zones": ["us-east-1a", "us-east-1b"], "nat": NatMode.ONE})
Vpc("each", {"cidr": "10.3.0.0/20", "zones": ["us-east-1b", "us-east-1a", "us-east-1f"], "nat": NatMode.PER_ZONE})
Vpc("closed", {"cidr": "10.4.0.0/22", "zones": ["us-east-1a"], "tiers": [SubnetTier.PRIVATE, SubnetTier.ISOLATED]})
SopsKey("plain", {"alias": "plain-sops"})
key = SopsKey("full", {"alias": "full/sops", "description": "Opens secrets", "deletion_window_days": 7})
ImageRegistry("plain", {"repositories": ["shop/api"]})
registry = ImageRegistry("full", {"repositories": ["shop/web", "shop/db"], "keep_images": 3, "keep_untagged_days": 1})
provider = GithubOidcProvider("github")
repository = Repository("plain", {"name": "plain", "checks": {"test": "make test"}})
public = Repository(
    "full",
    {
        "name": "full",
        "checks": {"lint": "make lint", "test": "make test"},
        "description": "Every argument",
        "visibility": Visibility.PUBLIC,
        "topics": ["pulumi", "python"],
        "approvals": 2,
    },
)
role = DeployRole(
    "plain",
    {
        "provider_arn": provider.arn,
        "organization": "acme",
        "organization_id": 7,
        "repository": "plain",
        "repository_id": repository.repository_id,
        "environment": "it",
    },
)
DeployRole(
    "full",
    {
        "provider_arn": provider.arn,
        "organization": "acme",
        "organization_id": 7,
        "repository": "full",
        "repository_id": 8,
        "environment": "it",
        "push_repository_arns": registry.repository_arns,
        "decrypt_key_arns": [key.arn],
    },
)
namespace = Namespace("plain", {"name": "plain", "server": "https://cluster.example"})
Namespace("full", {"name": "full", "server": "https://cluster.example", "deployer": "robot"})
RepositoryEnvironment("plain", {"repository": repository.repository_name, "environment": "plain"})
RepositoryEnvironment(
    "full",
    {
        "repository": public.repository_name,  # below Enterprise a private one cannot wait
        "environment": "full",
        "branches": ["main", "release/*"],
        "variables": {"ROLE": role.arn},
        "secrets": {"KUBECONFIG": namespace.kubeconfig},
        "wait_timer_minutes": 5,
    },
)
image = {"image": {"repository": "registry.example/shop", "tag": "1"}}
HelmApplication("plain", {"release": "plain", "chart": "chart", "namespace": namespace.namespace, "values": image})
HelmApplication(
    "full",
    {
        "release": "full",
        "chart": "chart",
        "namespace": namespace.namespace,
        "values": {**image, "replicas": 1},
        "secret_values": {"secrets": {"TOKEN": "sample"}},
        "timeout_seconds": 60,
    },
)
