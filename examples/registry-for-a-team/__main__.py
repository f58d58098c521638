"""Image repositories of a team, and the role by which its workflows push to them without a stored key."""

import pulumi
import pulumi_github as github
from pavedpath import DeployRole, GithubOidcProvider, ImageRegistry, Repository

organization = github.get_organization_output(name="acme", summary_only=True)
storefront = Repository("storefront", {"name": "storefront", "checks": {"test": "make test"}})
images = ImageRegistry("storefront", {"repositories": ["storefront/api", "storefront/web"], "keep_images": 20})
provider = GithubOidcProvider("github")  # an account holds one: give `existing_arn` where it is there already
role = DeployRole(
    "storefront",
    {
        "provider_arn": provider.arn,
        "organization": "acme",
        "organization_id": organization.id.apply(int),
        "repository": "storefront",
        "repository_id": storefront.repository_id,
        "environment": "dev",
        "push_repository_arns": images.repository_arns,
    },
)

pulumi.export("images", images.repository_urls)
pulumi.export("role", role.arn)
