"""Infrastructure and delivery as typed Pulumi components.

Every component has one shape, `Name(name, args, opts=None)`; its arguments are a TypedDict, checked in full before
the first resource is registered.
"""

from .errors import InvalidArgumentsError, Problem
from .helm import HelmApplication, HelmApplicationArgs, ValuesFiles, ValuesFilesError
from .namespace import Namespace, NamespaceArgs
from .oidc import DeployRole, DeployRoleArgs, GithubOidcProvider
from .registry import ImageRegistry, ImageRegistryArgs
from .repository import Repository, RepositoryArgs, RepositoryEnvironment, RepositoryEnvironmentArgs, Visibility
from .sops import SopsFile, SopsFileError, SopsKey, SopsKeyArgs
from .subnets import SubnetTier
from .tagging import tag_everything
from .vpc import NatMode, Vpc, VpcArgs
from .workflows import ChecksWorkflow

__all__ = [
    "ChecksWorkflow",
    "DeployRole",
    "DeployRoleArgs",
    "GithubOidcProvider",
    "HelmApplication",
    "HelmApplicationArgs",
    "ImageRegistry",
    "ImageRegistryArgs",
    "InvalidArgumentsError",
    "Namespace",
    "NamespaceArgs",
    "NatMode",
    "Problem",
    "Repository",
    "RepositoryArgs",
    "RepositoryEnvironment",
    "RepositoryEnvironmentArgs",
    "SopsFile",
    "SopsFileError",
    "SopsKey",
    "SopsKeyArgs",
    "SubnetTier",
    "ValuesFiles",
    "ValuesFilesError",
    "Visibility",
    "Vpc",
    "VpcArgs",
    "tag_everything",
]
