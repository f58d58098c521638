"""The cache never shows what is not finished."""

from pathlib import Path

from tests.unit.toolchain.conftest import package
from toolchain.store import Store


def made(store: Store, **contents: bytes) -> dict[str, Path]:
    store.parts.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for name, content in contents.items():
        files[name] = store.parts / name
        files[name].write_bytes(content)
    return files


def test_what_is_published_is_found_and_runs(store: Store) -> None:
    one = package(files=("a", "b"))
    assert store.find(one) is None
    entry = store.publish(one, "build", made(store, a=b"A", b=b"BB"))
    assert store.find(one) == entry
    assert entry.source == "build"
    assert [path.read_bytes() for path in entry.files] == [b"A", b"BB"]
    assert all(path.stat().st_mode & 0o111 for path in entry.files)
    assert not any((store.root / "tmp").iterdir())


def test_one_binary_under_several_names_is_stored_once(store: Store) -> None:
    path = made(store, x=b"X")["x"]
    entry = store.publish(package(files=("a", "b", "c")), "build", dict.fromkeys(("a", "b", "c"), path))
    assert len({file.stat().st_ino for file in entry.files}) == 1


def test_another_version_or_a_damaged_file_is_not_found(store: Store) -> None:
    one = package()
    entry = store.publish(one, "build", made(store, thing=b"whole"))
    assert store.find(package(version="1.2.4")) is None
    entry.files[0].write_bytes(b"half")
    assert store.find(one) is None
    assert store.publish(one, "download", made(store, thing=b"again")).source == "download"


def test_what_was_interrupted_is_swept_and_never_found(store: Store) -> None:
    left = store.root / "tmp" / "thing-abc" / "package"
    left.mkdir(parents=True)
    (left / "thing").write_bytes(b"half")
    assert store.find(package()) is None
    store.sweep()
    assert not left.exists()


def test_an_entry_without_its_record_is_not_found(store: Store) -> None:
    entry = store.publish(package(), "build", made(store, thing=b"whole"))
    (entry.directory / "package.json").write_text("{")
    assert store.find(package()) is None
