from hypothesis import given
from hypothesis import strategies as st
from pavedpath.names import LOGIN, ORGANIZATION, NameRule


def accepted(rule: NameRule, name: str) -> bool:
    return not list(rule.check("it", name))


@given(st.sampled_from([LOGIN, ORGANIZATION]), st.text("aZ09-", min_size=1, max_size=80))
def test_names_of_accounts_are_letters_digits_and_single_hyphens_up_to_39(rule: NameRule, name: str) -> None:
    hyphens = name.startswith("-") or name.endswith("-") or "--" in name
    assert accepted(rule, name) == (len(name) <= 39 and not hyphens)


@given(st.integers(1, 45), st.integers(1, 12))
def test_the_short_code_of_a_managed_user_counts_with_the_login(login: int, code: int) -> None:
    assert accepted(LOGIN, f"{'a' * login}_{'b' * code}") == (3 <= code <= 8 and login + 1 + code <= 39)
