import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy.secrets import HIDDEN, Hider, decrypt, texts
from pavedpath_delivery.kit.errors import DeliveryError, Exit

SECRETS = st.text(min_size=8, max_size=30).filter(lambda text: text not in HIDDEN)


@given(st.lists(SECRETS, min_size=1, max_size=4), st.data())
def test_no_form_of_a_secret_gets_through(secrets: list[str], data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from(secrets))
    forms = [secret, json.dumps(secret), base64.b64encode(secret.encode()).decode(), f"'{secret}' is not of type"]
    hidden = Hider(secrets)(" ".join(forms))
    assert secret not in hidden
    assert base64.b64encode(secret.encode()).decode() not in hidden


@given(st.text())
def test_what_holds_none_stays_as_it_is(text: str) -> None:
    assert Hider()(text) == text
    assert Hider(["", "a", "1", "dev"])(text) == text


def test_a_secret_of_many_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvgIBADANBg\n-----END KEY-----\n"
    assert "MIIEvg" not in Hider([key])("  key: |\n    -----BEGIN KEY-----\n    MIIEvgIBADANBg")


def test_a_secret_that_holds_another_is_hidden_whole() -> None:
    assert Hider(["hunter2", "hunter2-long"])("hunter2-long hunter2") == f"{HIDDEN} {HIDDEN}"


def test_the_leaves_of_a_tree() -> None:
    assert list(texts({"a": ["x", 12345], "b": {"c": None, "d": True}})) == ["x", "12345"]


def _sops(folder: Path, text: str) -> dict[str, str]:
    (folder / "sops").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "sops").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_file_is_opened_by_sops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = _sops(tmp_path, """echo '{"secrets": {"A": "b"}}'""")
    monkeypatch.setenv("PATH", environ["PATH"])
    assert decrypt(tmp_path / "dev.secrets.yaml", environ) == {"secrets": {"A": "b"}}


def test_a_file_that_does_not_open_is_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = _sops(tmp_path, "echo 'Failed to get the data key:\n  | AccessDeniedException' >&2; exit 128")
    monkeypatch.setenv("PATH", environ["PATH"])
    with pytest.raises(DeliveryError, match=r"dev\.secrets\.yaml: sops cannot open it: .*AccessDenied") as refused:
        decrypt(tmp_path / "dev.secrets.yaml", environ)
    assert refused.value.code is Exit.USAGE
