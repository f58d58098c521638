from .alerts import DeploymentAlerts, DeploymentAlertsArgs, DeploymentTarget
from .budget import Budget, BudgetArgs
from .chart_registry import ChartMuseum, ChartMuseumArgs, ChartRegistry, ChartRegistryArgs
from .charts import Chart, ChartError, ChartLogin
from .errors import InvalidArgumentsError, Problem
from .external_secrets import ExternalSecrets, ExternalSecretsArgs
from .ghcr import GhcrPackage, ImageTags, image_tags
from .helm import HelmApplication, HelmApplicationArgs, ValuesFiles, ValuesFilesError, check_values_directory
from .iam import StatementArgs
from .managed_files import Ecosystem, Updates
from .namespace import Namespace, NamespaceArgs
from .oidc import DeployRole, DeployRoleArgs, GithubOidcProvider, GithubOidcProviderArgs
from .plans import Approval, Feature, Plan, Visibility
from .registry import ImageRegistry, ImageRegistryArgs
from .repository import Repository, RepositoryArgs
from .repository_access import AllowedActions, Permission
from .repository_environment import RepositoryEnvironment, RepositoryEnvironmentArgs
from .rulesets import ActorKind, BypassMode, BypassRole, MergeMethod
from .runner_fleet import RunnerFleet
from .runner_fleet_arguments import (
    GithubAppArgs,
    RequestBudgetArgs,
    RunnerFleetArgs,
    RunnerPoolArgs,
    RunnerReleaseArgs,
    WarmPoolArgs,
)
from .runner_group import RunnerGroup, RunnerGroupArgs
from .secret import RotatingSecret, RotatingSecretArgs
from .sops import SopsFile, SopsFileError, SopsKey, SopsKeyArgs, creation_rules
from .subnets import NatMode, SubnetTier
from .tagging import tag_everything
from .team import Team, TeamArgs, TeamPrivacy
from .vpc import SubnetAddressesArgs, Vpc, VpcArgs
from .workflows import ChecksWorkflow

__all__ = [
    "ActorKind",
    "AllowedActions",
    "Approval",
    "Budget",
    "BudgetArgs",
    "BypassMode",
    "BypassRole",
    "Chart",
    "ChartError",
    "ChartLogin",
    "ChartMuseum",
    "ChartMuseumArgs",
    "ChartRegistry",
    "ChartRegistryArgs",
    "ChecksWorkflow",
    "DeployRole",
    "DeployRoleArgs",
    "DeploymentAlerts",
    "DeploymentAlertsArgs",
    "DeploymentTarget",
    "Ecosystem",
    "ExternalSecrets",
    "ExternalSecretsArgs",
    "Feature",
    "GhcrPackage",
    "GithubAppArgs",
    "GithubOidcProvider",
    "GithubOidcProviderArgs",
    "HelmApplication",
    "HelmApplicationArgs",
    "ImageRegistry",
    "ImageRegistryArgs",
    "ImageTags",
    "InvalidArgumentsError",
    "MergeMethod",
    "Namespace",
    "NamespaceArgs",
    "NatMode",
    "Permission",
    "Plan",
    "Problem",
    "Repository",
    "RepositoryArgs",
    "RepositoryEnvironment",
    "RepositoryEnvironmentArgs",
    "RequestBudgetArgs",
    "RotatingSecret",
    "RotatingSecretArgs",
    "RunnerFleet",
    "RunnerFleetArgs",
    "RunnerGroup",
    "RunnerGroupArgs",
    "RunnerPoolArgs",
    "RunnerReleaseArgs",
    "SopsFile",
    "SopsFileError",
    "SopsKey",
    "SopsKeyArgs",
    "StatementArgs",
    "SubnetAddressesArgs",
    "SubnetTier",
    "Team",
    "TeamArgs",
    "TeamPrivacy",
    "Updates",
    "ValuesFiles",
    "ValuesFilesError",
    "Visibility",
    "Vpc",
    "VpcArgs",
    "WarmPoolArgs",
    "check_values_directory",
    "creation_rules",
    "image_tags",
    "tag_everything",
]
