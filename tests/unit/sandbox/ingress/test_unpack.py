"""Layers laid over each other in a directory, and nothing outside of it."""

import contextlib
import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath_sandbox import registry
from pavedpath_sandbox.ingress.unpack import Store, apply
from pavedpath_sandbox.registry import ImageError, Registry, digest_of, encode

Member = tuple[str, bytes | None] | tarfile.TarInfo


def layer(*members: Member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def lay(root: Path, *layers: bytes) -> None:
    root.mkdir(exist_ok=True)
    for each in layers:
        with tarfile.open(fileobj=io.BytesIO(each)) as archive:
            apply(archive, root)


def tree(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_later_layers_replace_and_whiteouts_remove(tmp_path: Path) -> None:
    root = tmp_path / "root"
    lay(
        root,
        layer(("a/one", b"1"), ("a/two", b"2"), ("b/three", b"3"), ("c", b"file")),
        layer(("./a/.wh.one", b""), ("b/.wh..wh..opq", b""), ("b/new", b"n"), ("c/now-a-directory", b"d")),
        layer(("a/two", b"two"), ("a/.wh.not-there", b"")),
    )
    assert tree(root) == {"a/two": "two", "b/new": "n", "c/now-a-directory": "d"}


def test_an_opaque_whiteout_hides_only_lower_layers(tmp_path: Path) -> None:
    lay(tmp_path / "r", layer(("d/old", b"o")), layer(("d/new", b"n"), ("d/.wh..wh..opq", b"")))
    assert tree(tmp_path / "r") == {"d/new": "n"}


def test_links_are_meant_from_the_images_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    lay(root, layer(("usr/bin/tool", b"t"), link("bin", "/usr/bin"), link("usr/alias", "bin/tool")))
    lay(root, layer(("bin/other", b"o"), link("usr/hard", "usr/bin/tool", tarfile.LNKTYPE)))
    assert (root / "bin").readlink() == Path("usr/bin")
    assert tree(root)["usr/bin/other"] == "o"
    assert (root / "usr/alias").read_text() == "t"
    assert (root / "usr/hard").read_text() == "t"


@pytest.mark.parametrize(
    "layers",
    [
        [layer(("../evil", b"x"))],
        [layer(("a/../../evil", b"x"))],
        [layer(link("a", "../../evil"))],
        [layer(link("d/a", "../../evil"), ("d/a", b"x"))],
        [layer(link("a", "../evil", tarfile.LNKTYPE))],
        [layer((".wh...", b""))],
    ],
)
def test_what_leads_out_is_refused(tmp_path: Path, layers: list[bytes]) -> None:
    (tmp_path / "evil").write_text("before")
    with pytest.raises(ImageError, match=r"leads? out of it"):
        lay(tmp_path / "root", *layers)
    assert (tmp_path / "evil").read_text() == "before"


def test_a_link_that_was_there_before_does_not_lead_a_layer_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (root / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageError, match="leads out of it"):
        lay(root, layer(("a/evil", b"x")))
    assert list((tmp_path / "outside").iterdir()) == []


def test_devices_and_odd_modes_do_not_come_through(tmp_path: Path) -> None:
    fifo, setuid = tarfile.TarInfo("fifo"), tarfile.TarInfo("setuid")
    fifo.type, setuid.mode = tarfile.FIFOTYPE, 0o4755
    lay(tmp_path / "r", layer(fifo, setuid))
    assert os.listdir(tmp_path / "r") == ["setuid"]
    assert (tmp_path / "r/setuid").stat().st_mode & 0o7777 == 0o755


parts = st.sampled_from(["a", "b", "..", ".wh.a", ".wh..wh..opq", ".", ".wh.", ".wh...", ".wh.."])
paths = st.lists(parts, min_size=1, max_size=4).map("/".join)
members = st.one_of(
    st.tuples(paths, st.one_of(st.none(), st.just(b"x"))),
    st.builds(link, paths, paths.map(lambda p: f"/{p}")),
    st.builds(link, paths, paths),
    st.builds(link, paths, paths, st.just(tarfile.LNKTYPE)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(members, max_size=5), max_size=3))
def test_no_layer_touches_anything_outside(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[Member]]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    for name in ("a", "b"):
        (outside / name).write_text("mine")
    with contextlib.suppress(ImageError, OSError):
        lay(outside / "root", *(layer(*each) for each in layers))
    assert {path.name for path in outside.iterdir()} <= {"a", "b", "root"}
    assert [(outside / name).read_text() for name in ("a", "b")] == ["mine", "mine"]


class Served:
    """A registry's answers, with counts; `damage` changes what a blob says."""

    def __init__(self, *layers: bytes, kind: str = registry.LAYER) -> None:
        packed = [gzip.compress(each) for each in layers]
        config = encode({"config": {"Cmd": ["x"], "Env": ["A=b=c"]}})
        self.blobs = {digest_of(each): each for each in (config, *packed)}
        self.manifest = encode(
            {
                "config": {"digest": digest_of(config)},
                "layers": [{"mediaType": kind, "digest": digest_of(each)} for each in packed],
            }
        )
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        name = request.url.path.rpartition("/")[2]
        if "/manifests/" in request.url.path:
            return httpx.Response(200, content=self.manifest) if name != "gone" else httpx.Response(404)
        return httpx.Response(200, content=self.blobs[name])


@pytest.fixture
def store(tmp_path: Path) -> Callable[[Served], Store]:
    def make(served: Served) -> Store:
        client = httpx.Client(base_url="http://r", transport=httpx.MockTransport(served))
        return Store(tmp_path / "images", Registry("127.0.0.1:1", client))

    return make


def reference(version: str) -> registry.Reference:
    found = registry.parse(f"127.0.0.1:1/shop:{version}")
    assert found is not None
    return found


def test_an_image_is_unpacked_once(store: Callable[[Served], Store], tmp_path: Path) -> None:
    served = Served(layer(("app/main.py", b"print()")))
    images = store(served)
    first = images.get(reference("1"))
    blobs = [path for path in served.asked if "/blobs/" in path]
    assert images.get(reference("2")) == first
    assert [path for path in served.asked if "/blobs/" in path] == blobs
    assert (first.root / "app/main.py").read_text() == "print()"
    assert first.environment == {"A": "b=c"}
    assert [path.name for path in (tmp_path / "images").iterdir()] == [first.digest.replace(":", "-")]


def test_a_damaged_layer_leaves_nothing(store: Callable[[Served], Store], tmp_path: Path) -> None:
    served = Served(layer(("a", b"1")))
    last = list(served.blobs)[-1]
    served.blobs[last] = gzip.compress(layer(("a", b"2")))
    with pytest.raises(ImageError, match="is damaged"):
        store(served).get(reference("1"))
    assert list((tmp_path / "images").iterdir()) == []


def test_what_is_not_there_or_packed_in_another_way(store: Callable[[Served], Store]) -> None:
    with pytest.raises(ImageError, match="gone is not in the registry"):
        store(Served()).get(reference("gone"))
    with pytest.raises(ImageError, match="zstd"):
        store(Served(layer(), kind="application/vnd.oci.image.layer.v1.tar+zstd")).get(reference("1"))


def test_of_an_index_the_image_for_this_kind_of_machine_is_taken() -> None:
    manifest = encode({"layers": []})
    entries = [
        {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": digest_of(manifest), "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:" + "1" * 64, "platform": {"os": "unknown", "architecture": "unknown"}},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        index = json.dumps({"mediaType": registry.INDEX, "manifests": entries}).encode()
        return httpx.Response(200, content=manifest if "sha256:" in request.url.path else index)

    client = httpx.Client(base_url="http://r", transport=httpx.MockTransport(answer))
    assert Registry("r", client).manifest(reference("1"))[0] == digest_of(manifest)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("127.0.0.1:5000/a/b:1", True),
        ("localhost:5000/a@sha256:" + "a" * 64, True),
        ("127.0.0.1:5001/a", False),
        ("example.com/a:1", False),
        ("app:1", None),
        ("library/app", None),
        ("127.0.0.1:5000/UPPER", None),
    ],
)
def test_names_of_images(text: str, known: bool | None) -> None:
    found = registry.parse(text)
    assert (None if found is None else found.on("127.0.0.1:5000")) == known
