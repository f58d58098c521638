"""Images built without a container engine: what a Dockerfile may say, and the same bytes for the same files."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from pavedpath_sandbox import images
from pavedpath_sandbox.cli import app
from pavedpath_sandbox.dockerfile import Copy, DockerfileError, Install, read
from pavedpath_sandbox.images import BuildError, Built, build, push
from pavedpath_sandbox.registry import digest_of
from typer.testing import CliRunner


def test_what_is_read() -> None:
    recipe = read(
        """
        # syntax=docker/dockerfile:1
        ARG BASE=3.12
        FROM --platform=$TARGETPLATFORM python:${BASE}-slim@sha256:"""
        + "a" * 64
        + """
        ARG VERSION=0 WHO
        LABEL org.opencontainers.image.version="${VERSION}" a=b
        ENV MODE=fast NAME="two words" \\
            # a comment in between
            EMPTY=${WHO:-nobody}
        WORKDIR /srv
        WORKDIR app
        COPY --chmod=0755 pyproject.toml src ./
        COPY ["a file", "/etc/name"]
        RUN --mount=type=cache,target=/var/cache/pip pip install --no-cache-dir -r requirements.txt
        RUN python -m pip install --target /opt/more httpx
        USER 10001:10001
        EXPOSE 8000 53/udp
        ENTRYPOINT ["python", "-m", "orders"]
        CMD ["api"]
        """,
        {"VERSION": "1.2"},
    )
    assert recipe.steps == [
        Copy(("pyproject.toml", "src"), "/srv/app/", "0755"),
        Copy(("a file",), "/etc/name"),
        Install(("--no-cache-dir", "-r", "requirements.txt"), "/usr/local/lib/site-packages"),
        Install(("httpx",), "/opt/more"),
    ]
    assert recipe.config() == {
        "Env": [
            "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
            "MODE=fast",
            "NAME=two words",
            "EMPTY=nobody",
            "PYTHONPATH=/usr/local/lib/site-packages",
        ],
        "Entrypoint": ["python", "-m", "orders"],
        "Cmd": ["api"],
        "WorkingDir": "/srv/app",
        "User": "10001:10001",
        "Labels": {"org.opencontainers.image.version": "1.2", "a": "b"},
        "ExposedPorts": {"8000/tcp": {}, "53/udp": {}},
    }


def test_everything_that_needs_an_engine_is_named_at_once() -> None:
    text = """
    FROM debian:12
    FROM scratch
    RUN apt-get update
    RUN pip install x && rm -rf /
    COPY --from=other a b
    VOLUME /data
    COPY alone
    """
    with pytest.raises(DockerfileError) as caught:
        read(text)
    said = str(caught.value).splitlines()
    assert len(said) == 7
    for line, word in zip(said, ["debian", "one FROM", "RUN", "RUN", "--from", "VOLUME", "sources"], strict=True):
        assert word in line
    with pytest.raises(DockerfileError, match="no FROM"):
        read("")
    with pytest.raises(DockerfileError, match="before FROM"):
        read("COPY a b")


def test_a_command_as_text_runs_in_a_shell_and_an_entrypoint_forgets_the_bases_command() -> None:
    assert read("FROM python\nCMD run it").command == ["/bin/sh", "-c", "run it"]
    assert read("FROM python").command == ["python3"]
    assert read('FROM python:3\nENTRYPOINT ["x"]').command == []


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "src" / "__pycache__").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("print('hello')\n")
    (folder / "src" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "src" / "run.sh").chmod(0o700)
    (folder / "src" / "__pycache__" / "main.pyc").write_text("")
    (folder / "src" / "notes.txt").write_text("")
    (folder / ".env").write_text("SECRET=1")
    (folder / ".dockerignore").write_text("# no\n**/*.txt\n.env\n!src/keep.txt\n")
    (folder / "src" / "keep.txt").write_text("kept")
    (folder / "Dockerfile").write_text('FROM scratch\nWORKDIR /app\nCOPY . .\nCMD ["./src/run.sh"]\n')
    return folder


def layer(built: Built) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(built.layer))) as archive:
        return {member.name: member for member in archive}


def test_files_come_in_without_what_is_ignored(context: Path) -> None:
    found = layer(build(context, context / "Dockerfile"))
    names = {
        "app",
        "app/src",
        "app/src/main.py",
        "app/src/run.sh",
        "app/src/keep.txt",
        "app/Dockerfile",
        "app/.dockerignore",
    }
    assert set(found) == names
    assert [oct(found[name].mode) for name in ("app/src/main.py", "app/src/run.sh")] == ["0o644", "0o755"]
    assert {(member.uid, member.mtime) for member in found.values()} == {(0, 0)}


def test_the_same_files_are_the_same_image(context: Path) -> None:
    first = build(context, context / "Dockerfile")
    for path in context.rglob("*"):
        os.utime(path, (1, 1))
    assert build(context, context / "Dockerfile") == first
    (context / "src" / "main.py").write_text("other")
    assert build(context, context / "Dockerfile").digest != first.digest


def test_an_index_has_an_image_for_each_platform_of_the_same_layer(context: Path) -> None:
    built = build(context, context / "Dockerfile", labels={"org.opencontainers.image.revision": "abc"})
    index = json.loads(built.index)
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]
    assert [each["digest"] for each in index["manifests"]] == [digest_of(each) for each in built.manifests]
    manifests = [json.loads(each) for each in built.manifests]
    assert {each["layers"][0]["digest"] for each in manifests} == {digest_of(built.layer)}
    config = json.loads(built.configs[0])
    assert config["rootfs"]["diff_ids"] == [digest_of(gzip.decompress(built.layer))]
    assert config["config"]["Labels"] == {"org.opencontainers.image.revision": "abc"}


def test_packages_are_installed_from_the_context(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = context / "package"
    package.mkdir()
    (package / "setup.cfg").write_text("")
    wheel = context / "tiny-1.0-py3-none-any.whl"
    make_wheel(wheel)
    (context / "Dockerfile").write_text(f"FROM python\nRUN pip install --no-index --no-deps ./{wheel.name}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    first = build(context, context / "Dockerfile")
    names = set(layer(first))
    assert "usr/local/lib/site-packages/tiny.py" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith("RECORD")]
    assert build(context, context / "Dockerfile") == first
    (context / "Dockerfile").write_text("FROM python\nRUN pip install --no-index nothing-of-that-name\n")
    with pytest.raises(BuildError, match="nothing-of-that-name"):
        build(context, context / "Dockerfile")


def make_wheel(path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny.py", "x = 1\n")
        info = "tiny-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_what_cannot_be_built(context: Path) -> None:
    (context / "src" / "fast.so").write_bytes(b"")
    with pytest.raises(BuildError, match=r"fast.so is made for one platform alone"):
        build(context, context / "Dockerfile")
    assert build(context, context / "Dockerfile", platforms=["linux/amd64"])
    (context / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    with pytest.raises(BuildError, match="no such file"):
        build(context, context / "Dockerfile")
    (context / "link").symlink_to("/etc/hostname")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY link /\n")
    with pytest.raises(BuildError, match="leads out"):
        build(context, context / "Dockerfile")


def test_it_is_pushed_to_loopback_alone(context: Path) -> None:
    with pytest.raises(BuildError, match=r"example\.com/a:1"):
        push(build(context, context / "Dockerfile"), ["example.com/a:1"])


def test_the_command_prints_the_digest_and_leaves_metadata(context: Path, tmp_path: Path) -> None:
    out = tmp_path / "metadata.json"
    arguments = ["build", str(context), "--tag", "127.0.0.1:1/a:1", "--metadata-file", str(out), "--label", "a=b=c"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    digest = images.build(context, context / "Dockerfile", labels={"a": "b=c"}).digest
    assert done.stdout.strip() == digest
    assert json.loads(out.read_text()) == {"containerimage.digest": digest, "image.name": "127.0.0.1:1/a:1"}
    (context / "Dockerfile").write_text("FROM scratch\nRUN make\n")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "line 2: RUN needs a container engine" in done.stderr
