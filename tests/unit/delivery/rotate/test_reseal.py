"""A file of secrets rotated by a stand-in for sops that seals by writing the value's length of dots before it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.rotate import reseal, sealed, sidecar
from pavedpath_delivery.rotate.sealed import KeyPath

from tests.unit.delivery.virtual import VirtualClock

LAST_CHANGE = datetime(2025, 6, 1, tzinfo=UTC)
URL: KeyPath = ("secrets", "DATABASE_URL")
KEY: KeyPath = ("secrets", "SESSION_KEY")


class Killed(BaseException):
    """The run ended here."""


class Sops(reseal.Sops):
    """Opens ENC[AES256_GCM,data:VALUE,…] by taking the value out of it."""

    def decrypt(self, path: Path) -> dict[KeyPath, Json]:
        return {at: text.partition("data:")[2].partition(",")[0] for at, text in sealed.read(path).leaves.items()}

    def set(self, path: Path, at: KeyPath, value: str) -> None:
        text = re.sub(rf"({at[-1]}: ENC\[AES256_GCM,data:)[^,]*", rf"\g<1>{value}", path.read_text())
        path.write_text(text.replace(LAST_CHANGE.isoformat(), "2026-01-01T00:00:00+00:00"))


SOPS = Sops("sops", {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dev.secrets.yaml"
    leaves = "".join(f"  {at[-1]}: ENC[AES256_GCM,data:old,type:str]\n" for at in (URL, KEY))
    path.write_text(f"secrets:\n{leaves}sops: {{lastmodified: '{LAST_CHANGE.isoformat()}', mac: m}}\n")
    return path


def test_a_secret_gets_its_value_and_its_time(file: Path) -> None:
    clock = VirtualClock()
    reseal.rotate(SOPS, file, {KEY: "new"}, clock, data_key=False)
    assert SOPS.decrypt(file) == {URL: "old", KEY: "new"}
    assert sidecar.read(file).rotated == {"secrets.DATABASE_URL": LAST_CHANGE, "secrets.SESSION_KEY": clock.now()}
    assert sorted(each.name for each in file.parent.iterdir()) == ["dev.rotated.yaml", "dev.secrets.yaml"]


def test_killed_once_the_file_is_new_no_secret_looks_younger_than_it_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(reseal, "_sync", killed)  # right after the file is in its place
        with pytest.raises(Killed):
            reseal.rotate(SOPS, file, {KEY: "new"}, VirtualClock(), data_key=False)
    assert SOPS.decrypt(file) == {URL: "old", KEY: "new"}
    assert sidecar.read(file).rotated == {"secrets.DATABASE_URL": LAST_CHANGE, "secrets.SESSION_KEY": LAST_CHANGE}
    clock = VirtualClock()
    clock.sleep(timedelta(days=1).total_seconds())
    reseal.rotate(SOPS, file, {KEY: "newer"}, clock, data_key=False)
    assert sidecar.read(file).rotated == {"secrets.DATABASE_URL": LAST_CHANGE, "secrets.SESSION_KEY": clock.now()}


def test_what_is_refused_leaves_no_trace(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(DeliveryError, match="had this value already"):
        reseal.rotate(SOPS, file, {KEY: "old"}, VirtualClock(), data_key=False)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before
