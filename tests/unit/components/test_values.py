from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.helm import ValuesFiles, ValuesFilesError, merge

values = st.dictionaries(
    st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3)
)


@given(values, values)
def test_the_upper_tree_wins_and_nothing_is_lost(base: dict[str, object], over: dict[str, object]) -> None:
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in over.items():
        below = base.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        assert merged[key] == ({**below, **value} if both else value)  # pyright: ignore[reportGeneralTypeIssues, reportUnknownArgumentType]  # both are mappings here


def test_every_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("- a\n- list\n")
    with pytest.raises(ValuesFilesError) as caught:
        ValuesFiles.read(tmp_path, "dev", with_secrets=True)
    assert len(caught.value.problems) == 2
    assert "it holds list" in caught.value.problems[0]
    assert "dev.secrets.yaml: cannot be read" in caught.value.problems[1]


@given(st.binary(max_size=50))
def test_rubbish_never_reaches_the_user_as_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
) -> None:
    directory = tmp_path_factory.mktemp("values")
    (directory / "dev.yaml").write_bytes(rubbish)
    try:
        files = ValuesFiles.read(directory, "dev", with_secrets=False)
    except ValuesFilesError:
        return
    assert files.secrets is None
