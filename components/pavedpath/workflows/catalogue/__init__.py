"""The pipelines: functions that return workflows, and `python_service`, which composes them.

Every function takes a `Blueprint`: a `Service` and how GitHub delivers it. What they return is plain values, to be
changed with `dataclasses.replace` before `checking.problems` and `rendering.render` get them.
"""

from .blueprint import Blueprint
from .charts import ChartStore, charts
from .ci import ci, image_pipeline
from .deploy import deploy, rollback
from .flows import hotfix, release
from .helm import delivery_mk, helm_cd, helm_ci
from .locked import locked
from .platform import build_and_deploy, code_quality, run_tests
from .previews import Previews, previews
from .python_service import EnvironmentRules, PythonServiceOptions, RepositoryRules, ServiceDelivery, python_service
from .scanning import company_lint, secret_scan, secret_scan_job
from .steps import DOCKER_HUB, GITHUB_REGISTRY, Registry

__all__ = [
    "DOCKER_HUB",
    "GITHUB_REGISTRY",
    "Blueprint",
    "ChartStore",
    "EnvironmentRules",
    "Previews",
    "PythonServiceOptions",
    "Registry",
    "RepositoryRules",
    "ServiceDelivery",
    "build_and_deploy",
    "charts",
    "ci",
    "code_quality",
    "company_lint",
    "delivery_mk",
    "deploy",
    "helm_cd",
    "helm_ci",
    "hotfix",
    "image_pipeline",
    "locked",
    "previews",
    "python_service",
    "release",
    "rollback",
    "run_tests",
    "secret_scan",
    "secret_scan_job",
]
