"""What the pages about failures quote is what the program says."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "docs" / "troubleshooting.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
ROOMS = [ROOT / "delivery" / "pavedpath_delivery", ROOT / "components" / "pavedpath"]
OTHERS = {
    "API rate limit exceeded": "GitHub",
    "chart version not ok. Needs a version bump!": "chart-testing",
    "context deadline exceeded": "Helm",
    "Could not find profile named": "dbt",
    "CrashLoopBackOff": "Kubernetes",
    "CreateContainerConfigError": "Kubernetes",
    "Credentials could not be loaded": "aws-actions/configure-aws-credentials",
    "Env var required but not provided": "dbt",
    "ErrImagePull": "Kubernetes",
    "exceeded quota:": "Kubernetes",
    "exec format error": "Linux",
    "fatal: No names found": "git",
    "FailedCreate:": "Kubernetes",
    "ImagePullBackOff": "Kubernetes",
    'is forbidden: User "system:serviceaccount:': "Kubernetes",
    "no match for platform": "containerd",
    "no master key was able to decrypt the file": "SOPS",
    "Not authorized to perform sts:AssumeRoleWithWebIdentity": "AWS",
    "OOMKilled": "Kubernetes",
    "toomanyrequests": "Docker Hub",
    "Unauthorized": "Kubernetes",
    "Unschedulable": "Kubernetes",
}
"""Words of other programs, by who says them."""


def literals() -> str:
    """Return every text in the sources, joined over its lines; `…` stands for what is filled in."""
    found: list[str] = []
    for path in (path for room in ROOMS for path in room.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def quoted() -> list[tuple[str, str]]:
    """Return each text in the first column of a table that reads like a message, cut where something is filled in."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for line in page.read_text().splitlines():
            cell = line.split(" | ")[0] if line.startswith("| ") else ""
            for text in re.findall(r"`([^`]+)`", cell):
                pieces = [piece.strip(" ()'") for piece in re.split(r"…|sha-", text)]
                found += [(page.name, piece) for piece in pieces if " " in piece or piece in OTHERS]
    return found


def test_a_message_that_is_quoted_is_said() -> None:
    said, quotes = literals(), quoted()
    assert len(quotes) > 40
    wrong = [
        f"{page}: {text}"
        for page, text in quotes
        if text not in said and not any(other in text or text in other for other in OTHERS)
    ]
    assert wrong == []


def test_every_alert_has_its_section() -> None:
    from pavedpath.alerts import RUNBOOK

    page = ROOT / "docs" / "runbooks" / "alerts.md"
    assert set(re.findall(r"^## (\w+)$", page.read_text(), re.MULTILINE)) == set(RUNBOOK)
