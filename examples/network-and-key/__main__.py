"""A network over two zones, and the key of its secrets."""

import pulumi
from pavedpath import NatMode, SopsKey, Vpc, tag_everything

environment = pulumi.get_stack()
tag_everything({"project": pulumi.get_project(), "environment": environment, "owner": "platform"})

vpc = Vpc(environment, {"cidr": "10.20.0.0/16", "zones": ["us-east-1a", "us-east-1b"], "nat": NatMode.ONE})
key = SopsKey(environment, {"alias": f"shop-{environment}-sops"})

pulumi.export("vpc", vpc.vpc_id)
pulumi.export("private subnets", vpc.private_subnet_ids)
pulumi.export("key", key.alias)
