"""What others wrote stays in its place in a summary."""

import re

from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.markdown import cell


@given(st.text(st.sampled_from("ab\\\\|<[`\n\r\t \u2028"), max_size=12))
def test_no_text_leaves_its_cell(text: str) -> None:
    shown = cell(text)
    assert shown.splitlines() in ([], [shown])
    assert "<" not in shown
    assert "`" not in shown
    # An even number of backslashes before it leaves a bar, or a bracket, as it is.
    assert not re.search(r"(?<!\\)(?:\\\\)*[|\[]", shown)
