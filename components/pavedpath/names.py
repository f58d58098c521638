"""Which names the services take: rules of plain data, so that settings and components refuse the same ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .problem import Problem


@dataclass(frozen=True)
class NameRule:
    """What one service takes as a name.

    Attributes:
        pattern: regular expression that the whole name must match.
        why: what refuses it, for the message.
        fix: what to write instead.
    """

    pattern: str
    why: str
    fix: str

    def check(self, argument: str, name: str) -> Iterator[Problem]:
        """Yield a problem if the name is refused."""
        if not re.fullmatch(self.pattern, name):
            yield Problem(argument, name, self.why, self.fix)


ORGANIZATION = NameRule(
    # Source: GitHub, "Username considerations": alphanumerics and single hyphens, not at an end, up to 39.
    r"(?=.{1,39}$)[A-Za-z0-9](?:-?[A-Za-z0-9])*",
    "it is no GitHub organisation's name",
    "use up to 39 letters, digits and single hyphens",
)
REPOSITORY = NameRule(
    # Source: GitHub refuses anything else on creation; a name may not end in .git or .wiki.
    r"(?!\.{1,2}$)(?!.*\.(?:git|wiki)$)[A-Za-z0-9._-]{1,100}",
    "GitHub refuses this name",
    "use up to 100 of letters, digits, . _ -",
)
LOGIN = NameRule(
    # Source: GitHub, "Username considerations"; an underscore parts an enterprise's short code from a managed user, and
    # counts with it.
    r"(?=.{1,39}$)[A-Za-z0-9](?:-?[A-Za-z0-9])*(?:_[A-Za-z0-9]{3,8})?",
    "no GitHub user can be called so",
    "give the login without @: up to 39 letters, digits and single hyphens",
)
TEAM_SLUG = NameRule(
    r"[a-z0-9_]+(?:-+[a-z0-9_]+)*",  # what GitHub makes of a team's name
    "no team has such a slug",
    "give the slug, as it stands in the team's address, or its numeric id",
)
TOPIC = NameRule(
    # Source: GitHub, "Classifying your repository with topics".
    r"[a-z0-9][a-z0-9-]{0,49}",
    "GitHub refuses this topic",
    "use up to 50 of a-z, 0-9 and -, not - in front",
)
ENVIRONMENT = NameRule(
    # GitHub takes more; this name is also part of a branch, of an OIDC subject and of logical names.
    r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?",
    "it becomes part of a branch and of an OIDC subject, which must be exact",
    "use up to 63 letters, digits, _ and -, not _ or - at an end",
)
SECRET = NameRule(
    # Source: GitHub, "Secrets reference"; stored in upper case, so another spelling would differ at every preview.
    r"(?!GITHUB_)[A-Z_][A-Z0-9_]*",
    "GitHub refuses this name",
    "use upper case letters, digits and _; not GITHUB_ in front",
)
SUBJECT_PART = NameRule(
    r"[^\s:*?/]{1,255}",
    "it becomes part of an OIDC subject, which must be exact",
    "give one name without wildcards, slashes, colons or spaces",
)
IMAGE_REPOSITORY = NameRule(
    # Source: AWS, API reference of ECR CreateRepository, repositoryName.
    r"(?=.{2,256}$)[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*",
    "ECR refuses this name",
    "use lower case letters, digits, . _ - and /",
)
NAMESPACE = NameRule(
    r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?",  # RFC 1123 label
    "Kubernetes refuses this name",
    "use up to 63 of a-z, 0-9 and -, not - at an end",
)
RELEASE = NameRule(
    # Source: Helm, pkg/chart/v2/util.ValidateReleaseName: 53 characters, since Kubernetes appends to it.
    r"[a-z0-9](?:[-a-z0-9]{0,51}[a-z0-9])?",
    "Helm refuses this name",
    "use up to 53 of a-z, 0-9 and -, not - at an end",
)
AWS_ACCOUNT = NameRule(r"[0-9]{12}", "it is no AWS account id", "give the 12 digits, as a string")
AWS_ORGANIZATION = NameRule(
    r"o-[a-z0-9]{10,32}",  # AWS, API reference of Organizations, Organization.Id
    "it is no AWS organisation's id",
    "give the id that `aws organizations describe-organization` prints, for example o-a1b2c3d4e5",
)
AWS_REGION = NameRule(r"[a-z]{2}(?:-[a-z]+)+-[0-9]", "it is no AWS region", "give a name like us-east-1")
BUCKET = NameRule(
    # Source: AWS, "General purpose bucket naming rules"; a dot breaks TLS to the bucket's own host name.
    r"(?!xn--|sthree-|amzn-s3-demo-)(?!.*(?:-s3alias|--ol-s3|--x-s3|--table-s3)$)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "S3 refuses this name, or TLS to it would fail",
    "use 3 to 63 of a-z, 0-9 and -, not - at an end, no dots",
)
GIT_REF = NameRule(
    # Source: git, "git-check-ref-format"; a wildcard in a name that must be exact could never match one.
    r"(?!refs/|[/.-]|.*(?://|\.\.|@\{|/\.|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]{1,200}(?<![/.])",
    "it is no exact name of a branch or tag",
    "give one name, without refs/heads/ or refs/tags/ in front and without wildcards",
)
