"""A repository whose main branch takes reviewed and checked pull requests only, and its two environments."""

import pulumi
from pavedpath import Repository, RepositoryEnvironment

shop = Repository(
    "shop",
    {
        "name": "shop",
        "description": "The shop",
        "checks": {"lint": "make lint", "test": "make test"},
        "approvals": 2,
    },
)
for environment, branches in {"dev": ["main"], "prod": ["release/*"]}.items():
    RepositoryEnvironment(
        environment,
        {
            "repository": shop.repository_name,
            "environment": environment,
            "branches": branches,
            "variables": {"AWS_REGION": "us-east-1"},
        },
    )

pulumi.export("url", shop.url)
pulumi.export("ruleset", shop.ruleset)
