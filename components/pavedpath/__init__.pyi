from .errors import InvalidArgumentsError, Problem
from .helm import HelmApplication, HelmApplicationArgs, ValuesFiles, ValuesFilesError
from .namespace import Namespace, NamespaceArgs
from .oidc import DeployRole, DeployRoleArgs, GithubOidcProvider
from .registry import ImageRegistry, ImageRegistryArgs
from .repository import Repository, RepositoryArgs, RepositoryEnvironment, RepositoryEnvironmentArgs, Visibility
from .sops import SopsFile, SopsFileError, SopsKey, SopsKeyArgs
from .subnets import NatMode, SubnetTier
from .tagging import tag_everything
from .vpc import Vpc, VpcArgs
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
