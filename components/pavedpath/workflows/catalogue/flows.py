"""The flows of a change: a feature goes by pull request, a release by tag, a hotfix by a branch from a release.

- feature: a branch, a pull request with `ci.yml`, merged into the default branch, deployed by `deploy.yml`;
- release: `pavedpath release vX.Y.Z`, or an annotated tag that is pushed, on a commit of the default branch. The tag
  must be a person's or an app's: what GITHUB_TOKEN pushes starts nothing;
- hotfix: a branch `hotfix/<name>` from the release that is in production, when the default branch has moved on.
"""

import textwrap
from collections.abc import Sequence

from pavedpath.workflows.catalogue import images, jobs, steps
from pavedpath.workflows.catalogue.blueprint import HOW_TO_CHANGE, Blueprint
from pavedpath.workflows.catalogue.deploy import chain, outputs_of, resolved
from pavedpath.workflows.expressions import github, output_of, output_of_step
from pavedpath.workflows.model import Access, Concurrency, Job, Push, Run, Scope, Step, Workflow

RELEASES = "v*.*.*"
"""Tags that release; protect them, so that only chosen actors make one."""

HOTFIXES = "hotfix/**"


def release(blueprint: Blueprint, *, hotfixes: bool = False) -> Workflow:
    """Return release.yml: a tag vX.Y.Z names the images of its commit, makes the release and deploys where tags may.

    Nothing is built: the images are those that the default branch built, and those that the environment before the
    first one of the tags ran. The tag's commit must be on the default branch; with `hotfixes` it may be on one of
    their branches, whose images no environment ran before.
    """
    needs = ["release"]
    made = {"release": _release(blueprint, hotfixes=hotfixes)}
    made |= chain(
        blueprint, blueprint.released, needs, outputs_of(blueprint, "release"), output_of("release", "commit")
    )
    return Workflow(
        file="release.yml",
        name="release",
        on=[Push(tags=[RELEASES])],
        jobs=made,
        how_to_change=HOW_TO_CHANGE,
        why="Names and releases what was built before; a tag that GITHUB_TOKEN pushed would not start this.",
    )


def hotfix(blueprint: Blueprint) -> Workflow:
    """Return hotfix.yml: a branch hotfix/<name> from a release is tested, built and scanned; a tag on it releases it.

    Its images get the tag `sha-<commit>`. Bring the change to the default branch, too: the next release is from there.
    """
    checks = {"base": _from_release(), **jobs.check_jobs(blueprint.service, blueprint.requirements)}
    return Workflow(
        file="hotfix.yml",
        name="hotfix",
        on=[Push(branches=[HOTFIXES])],
        concurrency=Concurrency(group=f"hotfix-{github('ref')}"),
        jobs=checks | images.pushed(blueprint, (), None) | {"publish": _published(blueprint, list(checks))},
        how_to_change=HOW_TO_CHANGE,
        why="Tests, builds and scans a hotfix; the tag of its release deploys it.",
    )


def _release(blueprint: Blueprint, *, hotfixes: bool) -> Job:
    names = blueprint.names
    targets = blueprint.service.targets
    index = next((targets.index(each) for each in blueprint.released), 0)
    tag = images.ran_tag(targets[index - 1].environment) if index and not hotfixes else "sha-${COMMIT:0:12}"
    digests = {name: output_of_step(steps.job_id("resolve", name), "image") for name in names}
    wanted = {name: output_of_step(steps.job_id("tags", name), "tags") for name in names}
    naming: list[Step] = [*resolved(blueprint, tag), *images.tags_found(blueprint), steps.promote(digests, wanted)]
    outputs = {steps.job_id("image", name): digest for name, digest in digests.items()}
    return Job(
        name="release",
        concurrency=images.publishing(blueprint),
        timeout_minutes=15,
        outputs={"commit": output_of_step("commit", "commit"), **outputs},
        steps=[
            steps.checkout(history=True),
            _on_branch(blueprint, hotfixes=hotfixes),
            steps.command(),
            *([blueprint.registry.login(), *naming] if names else []),
            Run(
                name="Release",
                env={
                    "GITHUB_TOKEN": github("token"),
                    "VERSION": github("ref_name"),
                    "BRANCH": output_of_step("commit", "branch"),
                    **({"HOTFIX": output_of_step("commit", "hotfix")} if hotfixes else {}),
                    **{steps.variable_of("NAME", name): full for name, full in names.items()},
                },
                permissions={Scope.CONTENTS: Access.WRITE},
                run=steps.joined(
                    'pavedpath release "$VERSION"',
                    '--branch "$BRANCH"',
                    "${HOTFIX:+--hotfix}" if hotfixes else "",
                    *(f'--image "${steps.variable_of("NAME", name)}"' for name in names),
                ),
            ),
        ],
    )


def _on_branch(blueprint: Blueprint, *, hotfixes: bool) -> Run:
    main = blueprint.default_branch
    if hotfixes:
        find = f"""
        if git merge-base --is-ancestor "$COMMIT" origin/{main}; then
          branch={main} hotfix=
        else
          branch="$(git branch --remotes --contains "$COMMIT" --list 'origin/hotfix/*' --format '%(refname:lstrip=3)')"
          branch="${{branch%%$'\\n'*}}" hotfix=true
          test -n "$branch" || {{ echo "::error::The tag is neither on {main} nor on a hotfix branch."; exit 1; }}
        fi
        """
    else:
        find = f"""
        git merge-base --is-ancestor "$COMMIT" origin/{main}
        branch={main} hotfix=
        """
    return Run(
        name=f"Refuse a commit that is not on {main}" + (" or a hotfix branch" if hotfixes else ""),
        id="commit",
        env={"COMMIT": github("sha")},
        outputs=("commit", "branch", "hotfix"),
        run=textwrap.dedent(find)
        + 'printf \'%s\\n\' "commit=$COMMIT" "branch=$branch" "hotfix=$hotfix" >> "$GITHUB_OUTPUT"',
    )


def _from_release() -> Job:
    return Job(
        name="base",
        timeout_minutes=5,
        steps=[
            steps.checkout(history=True),
            Run(
                name="Refuse a branch that is from no release",
                run="git describe --tags --abbrev=0 --match 'v[0-9]*.[0-9]*.[0-9]*' HEAD",
            ),
        ],
    )


def _published(blueprint: Blueprint, needs: Sequence[str]) -> Job:
    built = blueprint.built
    return Job(
        name="publish",
        needs=(*needs, *(steps.job_id("image", name) for name in built)),
        timeout_minutes=15,
        steps=[
            steps.command(),
            blueprint.registry.login(),
            steps.record_tested(built),
            images.named(blueprint, built, github("sha"), name="Name what was tested and scanned"),
        ],
    )
