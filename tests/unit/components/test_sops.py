import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.sops import SopsFile, SopsFileError, creation_rules, key_policy, map_leaves, secrets_path_regex

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
        ("api error IncorrectKeyException: other", "its alias points to another KMS key"),
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


ALIAS = "arn:aws:kms:us-east-1:123456789012:alias/pavedpath-dev-sops"


class TestKeysOfTheFile:
    def test_either_the_key_or_its_alias_is_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess[str]:
            return subprocess.CompletedProcess(args, 0, '{"a": {"b": "open"}}', "")

        monkeypatch.setattr(subprocess, "run", answer)
        file = SopsFile.read(write(tmp_path / "x.yaml", {"a": "ENC[x]", "sops": {"kms": [{"arn": ALIAS}]}}))
        assert file.decrypt(ARN, ALIAS) == {"a": {"b": "open"}}
        with pytest.raises(SopsFileError, match="but this stack's key is arn:one or arn:two"):
            file.decrypt("arn:one", "arn:two")

    def test_a_key_of_the_environment_is_no_problem(self, tmp_path: Path) -> None:
        assert list(sealed(tmp_path).foreign_keys("123456789012", "us-east-1")) == []

    @pytest.mark.parametrize(
        ("account", "region"), [("210987654321", "us-east-1"), ("123456789012", "eu-west-1"), ("", "")]
    )
    def test_one_of_another_account_or_region_is(self, tmp_path: Path, account: str, region: str) -> None:
        (problem,) = sealed(tmp_path).foreign_keys(account, region)
        assert problem.value == ARN
        assert problem.why.startswith("a key of account 123456789012 in us-east-1 opens it")

    def test_every_foreign_key_is_named_even_beside_the_right_one(self, tmp_path: Path) -> None:
        keys = [{"arn": arn} for arn in (ARN, ALIAS.replace("123456789012", "210987654321"), "nonsense")]
        file = SopsFile.read(write(tmp_path / "x.yaml", {"a": "ENC[x]", "sops": {"kms": keys}}))
        assert [problem.value for problem in file.foreign_keys("123456789012", "us-east-1")] == [
            keys[1]["arn"],
            "nonsense",
        ]

    @pytest.mark.parametrize("kind", ["age", "pgp", "hc_vault", "gcp_kms", "azure_kv", "hckms"])
    @pytest.mark.parametrize("grouped", [False, True])
    def test_any_other_kind_of_recipient_is_named_without_what_it_holds(
        self, tmp_path: Path, kind: str, *, grouped: bool
    ) -> None:
        other: dict[str, object] = {kind: [{"recipient": "their-key", "enc": "sealed data key"}]}
        keys: dict[str, object] = {"kms": [{"arn": ARN}], "version": "3.11.0", "mac": "ENC[m]"}
        metadata = {"key_groups": [keys, other]} if grouped else keys | other
        file = SopsFile.read(write(tmp_path / "x.yaml", {"a": "ENC[x]", "sops": metadata}))
        (problem,) = file.foreign_keys("123456789012", "us-east-1")
        assert (problem.argument, problem.value) == (str(file.path), kind)
        assert "no KMS key" in problem.why
        assert not re.search("their-key|sealed data key", str(problem))

    def test_empty_lists_of_other_kinds_are_no_problem(self, tmp_path: Path) -> None:
        empty: dict[str, object] = {"kms": [{"arn": ARN}], "age": [], "pgp": None, "key_groups": [{"hc_vault": []}]}
        file = SopsFile.read(write(tmp_path / "x.yaml", {"a": "ENC[x]", "sops": empty}))
        assert list(file.foreign_keys("123456789012", "us-east-1")) == []


class TestCreationRules:
    def test_each_environment_has_its_own_key(self) -> None:
        prod = ALIAS.replace("dev", "prod")
        rules = yaml.safe_load(creation_rules({"dev": ALIAS, "prod": prod}, {"prod": "^secret/"}))["creation_rules"]
        assert rules == [
            {"path_regex": secrets_path_regex("dev"), "kms": ALIAS},
            {"path_regex": "^secret/", "kms": prod},
        ]

    def test_every_mistake_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"dev.*no KMS key or alias.*tset.*it has no key.*dev.*regular expression"):
            creation_rules({"dev": "alias/dev"}, {"dev": "(", "tset": "x"})

    @given(st.from_regex(r"[a-z0-9][a-z0-9.-]{0,10}", fullmatch=True), st.sampled_from(["yaml", "yml"]))
    def test_a_path_belongs_to_its_own_environment_alone(self, environment: str, suffix: str) -> None:
        def matches(path: str) -> bool:
            return re.search(secrets_path_regex(environment), path) is not None

        assert matches(f"{environment}.secrets.{suffix}")
        assert matches(f"etc/app/{environment}.secrets.{suffix}")
        assert not any(
            matches(path)
            for path in (
                f"x{environment}.secrets.{suffix}",
                f"{environment}x.secrets.{suffix}",
                f"{environment}.{suffix}",
            )
        )


ACCOUNT = "123456789012"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PEOPLE = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("ann", "bob", "eve")]
USES = {"kms:Decrypt", "kms:Encrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey", "kms:CreateGrant", "kms:ReplicateKey"}


def allows(policy: dict[str, Any], who: str, action: str, *, by_iam: bool) -> bool:
    """Evaluate a key policy as AWS does; `by_iam` says whether the account's IAM policies allow it, too."""
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        condition = statement.get("Condition", {}).get("ArnEquals", {}).get("aws:PrincipalArn", who)
        assert set(statement.get("Condition", {})) <= {"ArnEquals"}
        assert "*" not in "".join(statement["Action"])
        for principal in statement["Principal"]["AWS"]:
            named = principal == who or (principal == ROOT and by_iam)
            if named and condition == who and action in statement["Action"]:
                return True
    return False


groups = st.sets(st.sampled_from(PEOPLE)).map(sorted)


class TestKeyPolicy:
    @given(groups, groups, groups, st.sampled_from(PEOPLE), st.booleans())
    def test_each_may_do_what_its_group_may_and_nothing_else(
        self, administrators: list[str], encrypters: list[str], decrypters: list[str], who: str, by_iam: bool
    ) -> None:
        policy = json.loads(key_policy(ARN, administrators, encrypters, decrypters))

        def may(action: str) -> bool:
            return allows(policy, who, action, by_iam=by_iam)

        def expected(group: list[str]) -> bool:
            return who in group if group else by_iam

        assert may("kms:Decrypt") == expected(decrypters)
        assert may("kms:Encrypt") == expected(encrypters)
        for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource"):
            assert may(action) == expected(administrators)
        assert not any(may(action) for action in USES - {"kms:Decrypt", "kms:Encrypt"})

    @given(groups, groups, groups)
    def test_the_root_user_can_always_repair_it(
        self, administrators: list[str], encrypters: list[str], decrypters: list[str]
    ) -> None:
        policy = json.loads(key_policy(ARN, administrators, encrypters, decrypters))
        assert allows(policy, ROOT, "kms:PutKeyPolicy", by_iam=True)
        assert allows(policy, ROOT, "kms:Decrypt", by_iam=True) == (not decrypters)
