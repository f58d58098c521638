from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.identity import Identity, WrongEnvironmentError, conflicts, identity_of, read_identities, require
from stacks.settings import ENVIRONMENTS, ROOT

DEV = Identity("111111111111", "us-east-1", "dev", "10.10.0.0/16")
PROD = Identity("222222222222", "us-east-1", "prod", "10.20.0.0/16")
BOTH = {"dev": DEV, "prod": PROD}


def test_the_committed_environments_share_nothing() -> None:
    identities = read_identities(ROOT)
    assert set(identities) == set(ENVIRONMENTS)
    assert all(all(vars(identity).values()) for identity in identities.values())
    assert list(conflicts("dev", identities)) == []


@pytest.mark.parametrize(
    ("prod", "parts"),
    [
        (Identity(DEV.account, "us-east-1", "prod", PROD.cidr), ["pavedpath:account = 111111111111: dev and prod"]),
        (Identity(PROD.account, "us-east-1", "dev", PROD.cidr), ["pavedpath:cluster = dev: dev and prod"]),
        (Identity(PROD.account, "us-east-1", "prod", "10.10.128.0/20"), ["pavedpath:network.cidr", "10.10.128.0/20"]),
    ],
)
def test_what_two_environments_claim_is_a_mistake(prod: Identity, parts: list[str]) -> None:
    (message,) = conflicts("dev", {"dev": DEV, "prod": prod})
    for part in (*parts, "Fix: "):
        assert part in message


def test_a_stack_without_a_region_would_go_where_the_shell_says() -> None:
    nowhere = Identity(DEV.account, "", DEV.cluster, DEV.cidr)
    assert list(conflicts("dev", {"dev": nowhere, "prod": PROD})) == [
        "aws:region: it is required and not given. Fix: add it"
    ]
    assert list(conflicts("prod", {"dev": nowhere, "prod": PROD})) == []


def test_its_own_account_and_cluster_pass() -> None:
    require({"account": PROD.account, "cluster": PROD.cluster}, "prod", BOTH)


@pytest.mark.parametrize(
    ("key", "found", "part"),
    [
        ("account", DEV.account, "with account '111111111111', which is dev's"),
        ("account", "333333333333", "which is no environment's"),
        ("cluster", "dev", "with cluster 'dev', which is dev's"),
    ],
)
def test_another_ones_is_refused_and_the_message_says_whose(key: str, found: str, part: str) -> None:
    with pytest.raises(WrongEnvironmentError, match="stack prod belongs to ") as caught:
        require({key: found}, "prod", BOTH)  # pyright: ignore[reportArgumentType]  # the parameters above are the two keys
    assert part in str(caught.value)
    assert str(caught.value).endswith(" Nothing was changed.")


def test_both_are_named_at_once() -> None:
    with pytest.raises(WrongEnvironmentError) as caught:
        require({"account": DEV.account, "cluster": DEV.cluster}, "prod", BOTH)
    assert str(caught.value).count("Fix: ") == 2


@given(st.dictionaries(st.sampled_from(["pavedpath:network", "pavedpath:account", "aws:region"]), st.text()))
def test_rubbish_states_nothing_or_text(config: dict[str, str]) -> None:
    assert all(isinstance(value, str) for value in vars(identity_of(config)).values())
    list(conflicts("dev", {"dev": identity_of(config), "prod": PROD}))


@given(st.text())
def test_a_file_that_is_rubbish_states_nothing(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root: Path = tmp_path_factory.mktemp("root")
    (root / "Pulumi.dev.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert read_identities(root)["dev"] == Identity()
