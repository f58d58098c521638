"""Every guard is needed: with any one of them taken out, the test that is named for it fails."""

import pytest

from tests.unit.runners.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.guard.replace(" ", "-"))
def test_a_missing_guard_is_noticed(mutation: Mutation) -> None:
    """The test itself passes with the guard: it runs with all others, where it stands."""
    with pytest.MonkeyPatch.context() as patch:
        mutation.apply(patch)
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            mutation.noticed_by()
