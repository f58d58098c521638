"""Which names the services take: rules of plain data, so that settings and components refuse the same ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import Problem


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
    r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}",
    "it is no GitHub organisation's name",
    "use up to 39 letters, digits and single hyphens",
)
REPOSITORY = NameRule(
    # Source: GitHub refuses anything else on creation; a name may not end in .git or .wiki.
    r"(?!\.{1,2}$)(?!.*\.(?:git|wiki)$)[A-Za-z0-9._-]{1,100}",
    "GitHub refuses this name",
    "use up to 100 of letters, digits, . _ -",
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
