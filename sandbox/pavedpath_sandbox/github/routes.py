"""Which handler serves which operation of GitHub's description."""

from collections.abc import Callable
from functools import partial

from pavedpath_sandbox.github.call import Call, Reply
from pavedpath_sandbox.github.handlers import (
    accounts,
    actions_settings,
    apps,
    checks,
    collaborators,
    contents,
    deployments,
    environments,
    git,
    hooks,
    labels,
    pulls,
    releases,
    repositories,
    reviews,
    rulesets,
    runners,
    runs,
    scopes,
    secrets,
    teams,
    variables,
    workflows,
)

Handler = Callable[[Call], Reply]

_SCOPES = {"repo": scopes.of_repository, "environment": scopes.of_environment, "org": scopes.of_organization}


def _secrets_and_variables() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {}
    for level, scope in _SCOPES.items():
        handlers |= {
            f"actions/list-{level}-secrets": partial(secrets.listing, scope=scope),
            f"actions/get-{level}-public-key": partial(secrets.public_key, scope=scope),
            f"actions/get-{level}-secret": partial(secrets.get, scope=scope),
            f"actions/create-or-update-{level}-secret": partial(secrets.put, scope=scope),
            f"actions/delete-{level}-secret": partial(secrets.delete, scope=scope),
            f"actions/list-{level}-variables": partial(variables.listing, scope=scope),
            f"actions/get-{level}-variable": partial(variables.get, scope=scope),
            f"actions/create-{level}-variable": partial(variables.create, scope=scope),
            f"actions/update-{level}-variable": partial(variables.update, scope=scope),
            f"actions/delete-{level}-variable": partial(variables.delete, scope=scope),
        }
    for kind in ("secret", "variable"):
        handlers |= {
            f"actions/list-selected-repos-for-org-{kind}": partial(scopes.list_selected, kind=kind),
            f"actions/set-selected-repos-for-org-{kind}": partial(scopes.set_selected, kind=kind),
            f"actions/add-selected-repo-to-org-{kind}": partial(scopes.change_selected, kind=kind, add=True),
            f"actions/remove-selected-repo-from-org-{kind}": partial(scopes.change_selected, kind=kind, add=False),
        }
    return handlers | {
        "actions/list-repo-organization-secrets": secrets.listing_shared,
        "actions/list-repo-organization-variables": variables.listing_shared,
    }


def _hooks() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {"repos/test-push-webhook": partial(hooks.test_push, scope=scopes.of_repository)}
    for group, level in (("repos", "repo"), ("orgs", "org")):
        scope = _SCOPES[level]
        handlers |= {
            f"{group}/list-webhooks": partial(hooks.listing, scope=scope),
            f"{group}/create-webhook": partial(hooks.create, scope=scope),
            f"{group}/get-webhook": partial(hooks.get, scope=scope),
            f"{group}/update-webhook": partial(hooks.update, scope=scope),
            f"{group}/delete-webhook": partial(hooks.delete, scope=scope),
            f"{group}/get-webhook-config-for-{level}": partial(hooks.get_config, scope=scope),
            f"{group}/update-webhook-config-for-{level}": partial(hooks.update_config, scope=scope),
            f"{group}/ping-webhook": partial(hooks.ping, scope=scope),
            f"{group}/list-webhook-deliveries": partial(hooks.list_deliveries, scope=scope),
            f"{group}/get-webhook-delivery": partial(hooks.get_delivery, scope=scope),
            f"{group}/redeliver-webhook-delivery": partial(hooks.redeliver_delivery, scope=scope),
        }
    return handlers


def _rulesets() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {"repos/get-branch-rules": rulesets.branch_rules}
    for level, scope in (("repo", rulesets.of_repository), ("org", rulesets.of_organization)):
        handlers |= {
            f"repos/get-{level}-rulesets": partial(rulesets.listing, scope=scope),
            f"repos/create-{level}-ruleset": partial(rulesets.create, scope=scope),
            f"repos/get-{level}-ruleset": partial(rulesets.get, scope=scope),
            f"repos/update-{level}-ruleset": partial(rulesets.update, scope=scope),
            f"repos/delete-{level}-ruleset": partial(rulesets.delete, scope=scope),
        }
    return handlers


def _actions_settings() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {
        "actions/list-selected-repositories-enabled-github-actions-organization": actions_settings.list_enabled,
        "actions/set-selected-repositories-enabled-github-actions-organization": actions_settings.set_enabled,
        "actions/enable-selected-repository-github-actions-organization": partial(
            actions_settings.change_enabled, add=True
        ),
        "actions/disable-selected-repository-github-actions-organization": partial(
            actions_settings.change_enabled, add=False
        ),
        "actions/get-custom-oidc-sub-claim-for-repo": partial(actions_settings.get_subject, scope=scopes.of_repository),
        "actions/set-custom-oidc-sub-claim-for-repo": partial(actions_settings.set_subject, scope=scopes.of_repository),
        "oidc/get-oidc-custom-sub-template-for-org": partial(
            actions_settings.get_subject, scope=scopes.of_organization
        ),
        "oidc/update-oidc-custom-sub-template-for-org": partial(
            actions_settings.set_subject, scope=scopes.of_organization
        ),
    }
    groups = {
        "workflow-access-to-{}": "access",
        "github-actions-default-workflow-permissions-{}": "workflow",
        "fork-pr-contributor-approval-permissions-{}": "fork-approval",
        "private-repo-fork-pr-workflows-settings-{}": "fork-private",
    }
    for level, scope in (("repository", scopes.of_repository), ("organization", scopes.of_organization)):
        handlers |= {
            f"actions/get-github-actions-permissions-{level}": partial(actions_settings.get_permissions, scope=scope),
            f"actions/set-github-actions-permissions-{level}": partial(actions_settings.set_permissions, scope=scope),
            f"actions/get-allowed-actions-{level}": partial(actions_settings.get_selected_actions, scope=scope),
            f"actions/set-allowed-actions-{level}": partial(actions_settings.set_selected_actions, scope=scope),
            f"actions/get-artifact-and-log-retention-settings-{level}": partial(
                actions_settings.get_retention, scope=scope
            ),
            f"actions/set-artifact-and-log-retention-settings-{level}": partial(
                actions_settings.set_retention, scope=scope
            ),
        }
        for template, name in groups.items():
            if name == "access" and level == "organization":
                continue  # GitHub has no such setting of organisations
            identity = template.format(level)
            handlers |= {
                f"actions/get-{identity}": partial(actions_settings.get_group, scope=scope, name=name),
                f"actions/set-{identity}": partial(actions_settings.set_group, scope=scope, name=name),
            }
    return handlers


def _runners() -> dict[str, Handler]:
    handlers: dict[str, Handler] = {}
    for level in ("repo", "org"):
        scope = _SCOPES[level]
        handlers |= {
            f"actions/list-self-hosted-runners-for-{level}": partial(runners.listing, scope=scope),
            f"actions/get-self-hosted-runner-for-{level}": partial(runners.get, scope=scope),
            f"actions/delete-self-hosted-runner-from-{level}": partial(runners.delete, scope=scope),
            f"actions/generate-runner-jitconfig-for-{level}": partial(runners.generate_jitconfig, scope=scope),
            f"actions/create-registration-token-for-{level}": partial(runners.token, scope=scope),
            f"actions/create-remove-token-for-{level}": partial(runners.token, scope=scope),
            f"actions/list-labels-for-self-hosted-runner-for-{level}": partial(runners.list_labels, scope=scope),
            f"actions/add-custom-labels-to-self-hosted-runner-for-{level}": partial(
                runners.change_labels, scope=scope, keep=True
            ),
            f"actions/set-custom-labels-for-self-hosted-runner-for-{level}": partial(
                runners.change_labels, scope=scope, keep=False
            ),
            f"actions/remove-all-custom-labels-from-self-hosted-runner-for-{level}": partial(
                runners.change_labels, scope=scope, keep=False
            ),
            f"actions/remove-custom-label-from-self-hosted-runner-for-{level}": partial(
                runners.remove_label, scope=scope
            ),
        }
    return handlers | {
        "actions/list-self-hosted-runner-groups-for-org": runners.list_groups,
        "actions/create-self-hosted-runner-group-for-org": runners.create_group,
        "actions/get-self-hosted-runner-group-for-org": runners.get_group,
        "actions/update-self-hosted-runner-group-for-org": runners.update_group,
        "actions/delete-self-hosted-runner-group-from-org": runners.delete_group,
        "actions/list-self-hosted-runners-in-group-for-org": runners.list_group_runners,
        "actions/set-self-hosted-runners-in-group-for-org": runners.set_group_runners,
        "actions/add-self-hosted-runner-to-group-for-org": partial(runners.change_group_runner, add=True),
        "actions/remove-self-hosted-runner-from-group-for-org": partial(runners.change_group_runner, add=False),
        "actions/list-repo-access-to-self-hosted-runner-group-in-org": runners.list_group_repositories,
        "actions/set-repo-access-to-self-hosted-runner-group-in-org": runners.set_group_repositories,
        "actions/add-repo-access-to-self-hosted-runner-group-in-org": partial(
            runners.change_group_repository, add=True
        ),
        "actions/remove-repo-access-to-self-hosted-runner-group-in-org": partial(
            runners.change_group_repository, add=False
        ),
    }


_RUNS: dict[str, Handler] = {
    "actions/list-workflow-runs-for-repo": runs.listing,
    "actions/get-workflow-run": runs.get,
    "actions/delete-workflow-run": runs.delete,
    "actions/cancel-workflow-run": runs.cancel_run,
    "actions/force-cancel-workflow-run": runs.cancel_run,
    "actions/re-run-workflow": runs.rerun_all,
    "actions/re-run-workflow-failed-jobs": runs.rerun_failed,
    "actions/re-run-job-for-workflow-run": runs.rerun_job,
    "actions/list-jobs-for-workflow-run": runs.list_jobs,
    "actions/list-jobs-for-workflow-run-attempt": runs.list_attempt_jobs,
    "actions/get-job-for-workflow-run": runs.get_job,
    "actions/get-workflow-run-attempt": runs.get_attempt,
    "actions/get-pending-deployments-for-run": runs.list_pending,
    "actions/review-pending-deployments-for-run": runs.review_pending,
    "actions/get-reviews-for-run": runs.list_approvals,
    "actions/list-repo-workflows": workflows.listing,
    "actions/get-workflow": workflows.get,
    "actions/enable-workflow": partial(workflows.switch, state="active"),
    "actions/disable-workflow": partial(workflows.switch, state="disabled_manually"),
    "actions/list-workflow-runs": workflows.list_runs,
    "actions/create-workflow-dispatch": workflows.dispatch,
}

_DELIVERY: dict[str, Handler] = {
    "repos/list-deployments": deployments.listing,
    "repos/create-deployment": deployments.create,
    "repos/get-deployment": deployments.get,
    "repos/delete-deployment": deployments.delete,
    "repos/list-deployment-statuses": deployments.list_statuses,
    "repos/create-deployment-status": deployments.create_status,
    "repos/get-deployment-status": deployments.get_status,
    "repos/create-commit-status": checks.create_status,
    "repos/list-commit-statuses-for-ref": checks.list_statuses,
    "repos/get-combined-status-for-ref": checks.combined_status,
    "checks/create": checks.create,
    "checks/get": checks.get,
    "checks/update": checks.update,
    "checks/list-annotations": checks.list_annotations,
    "checks/list-for-ref": checks.list_for_ref,
    "checks/list-for-suite": checks.list_for_suite,
    "checks/get-suite": checks.get_suite,
    "checks/list-suites-for-ref": checks.list_suites,
    "checks/create-suite": checks.create_suite,
    "repos/list-releases": releases.listing,
    "repos/create-release": releases.create,
    "repos/get-release": releases.get,
    "repos/get-release-by-tag": releases.get_by_tag,
    "repos/get-latest-release": releases.get_latest,
    "repos/update-release": releases.update,
    "repos/delete-release": releases.delete,
    "repos/list-release-assets": releases.list_assets,
    "repos/generate-release-notes": releases.generate_notes,
}

_PULLS: dict[str, Handler] = {
    "pulls/list": pulls.listing,
    "pulls/create": pulls.create,
    "pulls/get": pulls.get,
    "pulls/update": pulls.update,
    "pulls/list-commits": pulls.list_commits,
    "pulls/list-files": pulls.list_files,
    "pulls/check-if-merged": pulls.check_merged,
    "pulls/merge": pulls.merge,
    "pulls/update-branch": pulls.update_branch,
    "pulls/list-requested-reviewers": pulls.list_requested,
    "pulls/request-reviewers": pulls.request_reviewers,
    "pulls/remove-requested-reviewers": pulls.remove_reviewers,
    "pulls/list-reviews": reviews.list_reviews,
    "pulls/create-review": reviews.create_review,
    "pulls/get-review": reviews.get_review,
    "pulls/submit-review": reviews.submit_review,
    "pulls/delete-pending-review": reviews.delete_review,
    "pulls/dismiss-review": reviews.dismiss_review,
    "repos/list-pull-requests-associated-with-commit": pulls.of_commit,
    "issues/list-comments": reviews.list_comments,
    "issues/create-comment": reviews.create_comment,
    "issues/get-comment": reviews.get_comment,
    "issues/update-comment": reviews.update_comment,
    "issues/delete-comment": reviews.delete_comment,
}

_APPS: dict[str, Handler] = {
    "apps/get-authenticated": apps.get_app,
    "apps/list-installations": apps.list_installations,
    "apps/get-installation": apps.get_installation,
    "apps/get-org-installation": apps.installation_here,
    "apps/get-repo-installation": apps.installation_here,
    "apps/create-installation-access-token": apps.create_token,
}

_PLAIN: dict[str, Handler] = {
    "meta/get": accounts.meta,
    "rate-limit/get": accounts.rate_limit,
    "users/get-authenticated": accounts.get_authenticated,
    "users/get-by-username": accounts.get_user,
    "users/list-gpg-keys-for-user": accounts.no_keys,
    "users/list-public-keys-for-user": accounts.no_keys,
    "orgs/get": accounts.get_organization,
    "orgs/update": accounts.update_organization,
    "orgs/list-for-authenticated-user": accounts.list_organizations,
    "orgs/list-members": accounts.list_members,
    "orgs/check-membership-for-user": accounts.check_member,
    "orgs/remove-member": accounts.remove_member,
    "orgs/get-membership-for-user": accounts.get_membership,
    "orgs/get-membership-for-authenticated-user": accounts.get_own_membership,
    "orgs/set-membership-for-user": accounts.set_membership,
    "orgs/remove-membership-for-user": accounts.remove_member,
    "repos/list-for-org": repositories.listing,
    "repos/create-in-org": repositories.create,
    "repos/get": repositories.get,
    "repos/update": repositories.update,
    "repos/delete": repositories.delete,
    "repos/get-all-topics": repositories.get_topics,
    "repos/replace-all-topics": repositories.replace_topics,
    "repos/get-pages": repositories.no_pages,
    "repos/check-vulnerability-alerts": repositories.check_vulnerability_alerts,
    "repos/enable-vulnerability-alerts": partial(repositories.switch, name="vulnerability_alerts", on=True),
    "repos/disable-vulnerability-alerts": partial(repositories.switch, name="vulnerability_alerts", on=False),
    "repos/check-automated-security-fixes": repositories.check_security_fixes,
    "repos/enable-automated-security-fixes": partial(repositories.switch, name="automated_security_fixes", on=True),
    "repos/disable-automated-security-fixes": partial(repositories.switch, name="automated_security_fixes", on=False),
    "repos/list-branches": git.list_branches,
    "repos/get-branch": git.get_branch,
    "repos/list-tags": git.list_tags,
    "repos/list-commits": git.list_commits,
    "repos/get-commit": git.get_commit,
    "repos/compare-commits-with-basehead": git.compare,
    "git/get-ref": git.get_ref,
    "git/list-matching-refs": git.matching_refs,
    "git/create-ref": git.create_ref,
    "git/update-ref": git.update_ref,
    "git/delete-ref": git.delete_ref,
    "git/create-blob": git.create_blob,
    "git/get-blob": git.get_blob,
    "git/create-commit": git.create_commit,
    "git/get-commit": git.get_git_commit,
    "git/create-tree": git.create_tree,
    "git/get-tree": git.get_tree,
    "git/create-tag": git.create_tag,
    "git/get-tag": git.get_tag,
    "repos/get-content": contents.get,
    "repos/create-or-update-file-contents": contents.put,
    "repos/delete-file": contents.delete,
    "repos/get-all-environments": environments.listing,
    "repos/get-environment": environments.get,
    "repos/create-or-update-environment": environments.put,
    "repos/delete-an-environment": environments.delete,
    "repos/list-deployment-branch-policies": environments.list_policies,
    "repos/create-deployment-branch-policy": environments.create_policy,
    "repos/get-deployment-branch-policy": environments.get_policy,
    "repos/update-deployment-branch-policy": environments.update_policy,
    "repos/delete-deployment-branch-policy": environments.delete_policy,
    "repos/list-collaborators": collaborators.listing,
    "repos/check-collaborator": collaborators.check,
    "repos/add-collaborator": collaborators.put,
    "repos/remove-collaborator": collaborators.remove,
    "repos/get-collaborator-permission-level": collaborators.permission,
    "repos/list-invitations": collaborators.list_invitations,
    "repos/list-teams": teams.teams_of_repository,
    "issues/list-labels-for-repo": labels.listing,
    "issues/create-label": labels.create,
    "issues/get-label": labels.get,
    "issues/update-label": labels.update,
    "issues/delete-label": labels.delete,
    "teams/list": teams.listing,
    "teams/create": teams.create,
    "teams/get-by-name": teams.get,
    "teams/update-in-org": teams.update,
    "teams/delete-in-org": teams.delete,
    "teams/list-child-in-org": teams.list_children,
    "teams/list-members-in-org": teams.list_members,
    "teams/get-membership-for-user-in-org": teams.get_membership,
    "teams/add-or-update-membership-for-user-in-org": teams.set_membership,
    "teams/remove-membership-for-user-in-org": teams.remove_membership,
    "teams/list-repos-in-org": teams.list_repositories,
    "teams/check-permissions-for-repo-in-org": teams.check_repository,
    "teams/add-or-update-repo-permissions-in-org": teams.put_repository,
    "teams/remove-repo-in-org": teams.remove_repository,
}

OPEN = {"meta/get", "rate-limit/get", *_APPS}
"""Operations that need no user: those open to everybody, and those of an app, which sends a JSON Web Token."""

HANDLERS: dict[str, Handler] = {
    **_PLAIN,
    **_RUNS,
    **_DELIVERY,
    **_PULLS,
    **_APPS,
    **_runners(),
    **_secrets_and_variables(),
    **_hooks(),
    **_rulesets(),
    **_actions_settings(),
}
