import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.sops import SopsFile, SopsFileError, map_leaves

ARN = "arn:aws:kms:us-east-1:123456789012:key/one"


def write(path: Path, document: object) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def sealed(path: Path) -> SopsFile:
    return SopsFile.read(write(path / "dev.secrets.yaml", {"a": {"b": "ENC[x]"}, "sops": {"kms": [{"arn": ARN}]}}))


def test_keys_are_known_without_decryption(tmp_path: Path) -> None:
    file = sealed(tmp_path)
    assert (file.tree, file.key_arns) == ({"a": {"b": "ENC[x]"}}, [ARN])


def test_keys_of_key_groups_count(tmp_path: Path) -> None:
    groups: dict[str, object] = {"key_groups": [{"kms": [{"arn": ARN}]}, {"age": []}]}
    assert SopsFile.read(write(tmp_path / "x.yaml", {"a": "ENC[x]", "sops": groups})).key_arns == [ARN]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"password": "in the clear"}, "it is not encrypted"),
        (["a list"], "it is not encrypted"),
        ({"a": "ENC[x]", "sops": {"age": []}}, "no KMS key opens it"),
        ({"a": "ENC[x]", "sops": {"kms": ["oops"], "key_groups": "oops"}}, "no KMS key opens it"),
    ],
)
def test_what_is_no_sops_file_is_refused_without_its_values(tmp_path: Path, document: object, why: str) -> None:
    with pytest.raises(SopsFileError, match=why) as caught:
        SopsFile.read(write(tmp_path / "x.yaml", document))
    assert "in the clear" not in str(caught.value)


def test_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [unclosed secret")
    with pytest.raises(SopsFileError, match="not YAML") as caught:
        SopsFile.read(tmp_path / "x.yaml")
    assert "unclosed" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SopsFileError, match="No such file"):
        SopsFile.read(tmp_path / "x.yaml")


def test_a_file_of_another_key_is_refused_before_sops_is_asked(tmp_path: Path) -> None:
    with pytest.raises(SopsFileError, match="but this stack's key is arn:other"):
        sealed(tmp_path).decrypt("arn:other")


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        ("MAC mismatch. File has 1, computed 2", "changed without sops"),
        ("api error AccessDeniedException: no", "KMS refuses this identity"),
        ("api error NotFoundException: gone", "cannot open it"),
        ("something else", "could not decrypt it: something else"),
    ],
)
def test_what_sops_says_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, why: str) -> None:
    def fail(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SopsFileError, match=why):
        sealed(tmp_path).decrypt(ARN)


def test_no_sops_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SopsFileError, match="no program sops on PATH"):
        sealed(tmp_path).decrypt(ARN)


trees = st.recursive(
    st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=3), trees, max_size=3))
def test_leaves_are_found_by_their_own_path(tree: dict[str, Any]) -> None:
    def leaf(path: tuple[str | int, ...]) -> object:
        value: Any = tree
        for step in path:
            value = value[step]
        return value

    assert map_leaves(tree, leaf) == tree
