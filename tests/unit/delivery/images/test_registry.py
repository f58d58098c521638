"""The client against registries that are slow, strict, old, or lie."""

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.images.auth import challenge
from pavedpath_delivery.images.manifests import IMAGE, INDEX, Descriptor, Manifest, digest_of, referrers_tag
from pavedpath_delivery.images.patience import ATTEMPTS
from pavedpath_delivery.kit.errors import DeliveryError

from tests.unit.delivery.images.fake_registry import HOST, FakeRegistry, put_image, put_index
from tests.unit.delivery.virtual import VirtualClock

NAME = f"{HOST}/acme/api"


def blob(content: bytes) -> Descriptor:
    return Descriptor(digest_of(content), len(content), "application/octet-stream", {})


def test_what_is_put_is_got_to_the_byte(tmp_path: Path) -> None:
    fake = FakeRegistry()
    repository = fake.open(NAME)
    (tmp_path / "blob").write_bytes(b"x" * 3_000_000)
    described = blob(b"x" * 3_000_000)
    repository.push_blob(described.digest, tmp_path / "blob")
    assert repository.has_blob(described.digest)
    repository.save_blob(described, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b"x" * 3_000_000
    index = put_index(fake.at(NAME), "one")
    assert repository.manifest(index.digest) == index
    assert repository.put_manifest(index, "v1.0.0") is False
    assert repository.digest("v1.0.0") == index.digest
    assert repository.manifest("v1.0.1") is None
    assert repository.digest("v1.0.1") is None
    assert [len(fake.open(NAME).tags()), repository.tags()] == [1, ["v1.0.0"]]


def test_tags_come_in_pages() -> None:
    fake = FakeRegistry(page=2)
    stored = fake.at(NAME)
    digest = put_image(stored, "one").digest
    stored.tags |= {f"v1.0.{number}": digest for number in range(5)}
    assert len(fake.open(NAME).tags()) == 5
    assert fake.open(f"{HOST}/none").tags() == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_waited_for_as_long_as_it_says(status: int) -> None:
    fake, clock = FakeRegistry(), VirtualClock()
    digest = put_image(fake.at(NAME), "one").digest
    later = "Thu, 01 Jan 2026 00:00:40 GMT"
    answers = [httpx.Response(status, headers={"Retry-After": after}) for after in ("30", later, "")]
    fake.fail("GET", "manifests", *answers, httpx.ConnectError("refused"))
    assert fake.open(NAME, clock).manifest(digest)
    assert clock.elapsed == 30 + 10 + 4 + 8


def test_patience_ends() -> None:
    fake, clock = FakeRegistry(), VirtualClock()
    fake.fail("HEAD", "manifests", *[httpx.Response(503)] * 20)
    with pytest.raises(DeliveryError, match=f"answered 503, {ATTEMPTS} times"):
        fake.open(NAME, clock).digest("v1")
    assert clock.elapsed == 31
    fake.faults.clear()
    fake.fail("GET", "manifests", httpx.Response(429, headers={"Retry-After": "3600"}))
    with pytest.raises(DeliveryError, match="asks to wait 3600 s"):
        fake.open(NAME, clock).manifest("v1")


def test_an_upload_that_breaks_off_is_begun_anew(tmp_path: Path) -> None:
    fake, clock = FakeRegistry(), VirtualClock()
    fake.fail("PUT", "uploads", httpx.WriteError("broken pipe"), httpx.Response(500))
    fake.open(NAME, clock).push_blob(digest_of(b"a"), b"a")
    assert fake.at(NAME).blobs == {digest_of(b"a"): b"a"}
    assert [each.split()[0] for each in fake.writes()] == ["POST", "PUT"] * 3


class Broken(httpx.SyncByteStream):
    def __iter__(self) -> Any:
        yield b"half"
        raise httpx.ReadError("reset")


def test_a_download_that_breaks_off_is_begun_anew(tmp_path: Path) -> None:
    fake, clock = FakeRegistry(), VirtualClock()
    content = b"whole"
    fake.at(NAME).blobs[digest_of(content)] = content
    fake.fail("GET", "blobs", httpx.Response(200, stream=Broken()))
    fake.open(NAME, clock).save_blob(blob(content), tmp_path / "blob")
    assert (tmp_path / "blob").read_bytes() == content


def test_other_content_than_the_digest_names_is_never_taken(tmp_path: Path) -> None:
    fake = FakeRegistry()
    repository, image = fake.open(NAME), put_image(fake.at(NAME), "one")
    described = blob(b"true")
    lies = [
        ("blobs", lambda: repository.save_blob(described, tmp_path / "blob")),
        ("blobs", lambda: repository.read_blob(described)),
        ("manifests", lambda: repository.manifest(image.digest)),
    ]
    for path, read in lies:
        fake.fail("GET", path, httpx.Response(200, content=b"{}", headers={"Content-Type": IMAGE}))
        with pytest.raises(DeliveryError, match="not to be trusted"):
            read()
    fake.fail("PUT", "manifests", httpx.Response(201, headers={"Docker-Content-Digest": digest_of(b"x")}))
    with pytest.raises(DeliveryError, match="not to be trusted"):
        repository.put_manifest(image)


def test_a_manifest_is_of_one_type_only() -> None:
    content = json.dumps({"mediaType": INDEX}).encode()
    manifest = Manifest(content, IMAGE, digest_of(content))
    with pytest.raises(DeliveryError, match="its registry"):
        _ = manifest.blobs


def test_a_refusal_is_told_in_the_registrys_words() -> None:
    fake = FakeRegistry()
    index = put_index(FakeRegistry().at(NAME), "one")
    with pytest.raises(DeliveryError, match=r"refused to PUT .* \(400\): MANIFEST_BLOB_UNKNOWN"):
        fake.open(NAME).put_manifest(index)
    fake.fail("GET", "tags", httpx.Response(403, text="<html>"))
    with pytest.raises(DeliveryError, match=f"Fix: docker login {HOST}"):
        fake.open(NAME).tags()


# Credentials


@pytest.fixture
def login(tmp_path: Path) -> dict[str, str]:
    pair = base64.b64encode(b"me:password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": pair}}}))
    return {"DOCKER_CONFIG": str(tmp_path)}


BASIC = f"Basic {base64.b64encode(b'me:password').decode()}"


def guarded(fake: FakeRegistry, header: str, accepted: str) -> None:
    """Ask for credentials at every request that does not bring the accepted ones."""

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != HOST or request.headers.get("Authorization") == accepted:
            return None
        return httpx.Response(401, headers={"WWW-Authenticate": header})

    fake.faults.append(fault)


def test_basic(login: dict[str, str]) -> None:
    fake = FakeRegistry()
    guarded(fake, 'Basic realm="r"', BASIC)
    repository = fake.open(NAME, environ=login)
    assert repository.tags() == []
    assert repository.tags() == []
    assert len(fake.requests) == 3  # the second time it is known
    with pytest.raises(DeliveryError, match="docker login"):
        fake.open(NAME).tags()


def token_service(fake: FakeRegistry, seen: list[httpx.Request], **answer: str) -> None:
    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != "auth.example":
            return None
        seen.append(request)
        return httpx.Response(200, json=answer)

    fake.faults.append(fault)


SCOPE = "repository:acme/api:pull"
BEARER = f'Bearer realm="https://auth.example/token",service="{HOST}",scope="{SCOPE} repository:acme/base:pull"'


def test_a_bearer_token_is_fetched_with_the_credentials(login: dict[str, str]) -> None:
    fake, seen = FakeRegistry(), list[httpx.Request]()
    token_service(fake, seen, token="t1")
    guarded(fake, BEARER, "Bearer t1")
    repository = fake.open(NAME, environ=login)
    assert repository.tags() == []
    assert repository.has_blob(digest_of(b"")) is False
    assert len(seen) == 1
    assert seen[0].headers["Authorization"] == BASIC
    assert seen[0].url.params.get_list("scope") == [SCOPE, "repository:acme/base:pull"]
    assert seen[0].url.params["service"] == HOST


def test_an_upload_is_sent_again_with_its_token(login: dict[str, str], tmp_path: Path) -> None:
    fake, seen = FakeRegistry(), list[httpx.Request]()
    token_service(fake, seen, access_token="t2")
    guarded(fake, BEARER, "Bearer t2")
    (tmp_path / "blob").write_bytes(b"content")
    repository = fake.open(NAME, environ=login)
    fake.fail("PUT", "uploads", httpx.Response(401, headers={"WWW-Authenticate": BEARER}))  # the first one expired
    repository.push_blob(digest_of(b"content"), tmp_path / "blob")
    assert list(fake.at(NAME).blobs.values()) == [b"content"]
    assert len(seen) == 2


def test_an_identity_token_is_traded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {HOST: {"identitytoken": "identity"}}}))
    fake, seen = FakeRegistry(), list[httpx.Request]()
    token_service(fake, seen, access_token="t3")
    guarded(fake, BEARER, "Bearer t3")
    assert fake.open(NAME, environ={"DOCKER_CONFIG": str(tmp_path)}).tags() == []
    form = parse_qs(seen[0].content.decode())
    assert (seen[0].method, form["grant_type"], form["refresh_token"]) == ("POST", ["refresh_token"], ["identity"])


def test_credentials_go_over_tls_only(login: dict[str, str]) -> None:
    fake = FakeRegistry()
    guarded(fake, BEARER.replace("https", "http"), "never")
    with pytest.raises(DeliveryError, match="over TLS only"):
        fake.open(NAME, environ=login).tags()
    assert not any("auth.example" in each for each in fake.requests)


def test_a_token_service_that_refuses_or_is_busy(login: dict[str, str]) -> None:
    fake, clock = FakeRegistry(), VirtualClock()
    guarded(fake, BEARER, "Bearer t1")
    fake.fail("GET", "auth.example", httpx.Response(503), httpx.Response(401, json={"errors": "password is wrong"}))
    with pytest.raises(DeliveryError, match=r"gave no token for .* \(401\)") as error:
        fake.open(NAME, clock, login).tags()
    assert clock.elapsed == 1
    assert "password" not in str(error.value)


def test_credentials_stay_with_their_registry(login: dict[str, str], tmp_path: Path) -> None:
    fake = FakeRegistry()
    content = b"layer"
    elsewhere: list[httpx.Request] = []

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.url.host != HOST:
            elsewhere.append(request)
            return httpx.Response(200 if request.method == "GET" else 201, content=content)
        if request.headers.get("Authorization") != BASIC:
            return httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
        if request.method == "GET":
            return httpx.Response(307, headers={"Location": "https://store.example/layer"})
        return httpx.Response(202, headers={"Location": "https://store.example/upload"})

    fake.faults.append(fault)
    repository = fake.open(NAME, environ=login)
    repository.save_blob(blob(content), tmp_path / "blob")
    repository.push_blob(digest_of(content), content)
    assert [each.method for each in elsewhere] == ["GET", "PUT"]
    assert not any("Authorization" in each.headers for each in elsewhere)


@given(st.text(max_size=40))
def test_any_challenge_is_survived(header: str) -> None:
    safe = header.encode("ascii", "ignore").decode().replace("\r", "").replace("\n", "").replace("\0", "")
    scheme, _ = challenge(httpx.Response(401, headers={"WWW-Authenticate": safe}))
    assert scheme in ("", "basic", "bearer")


def test_an_upload_that_is_sent_elsewhere_gets_no_credentials_and_never_leaves_tls(login: dict[str, str]) -> None:
    fake = FakeRegistry()
    guarded(fake, "Basic", BASIC)
    for place in (f"http://{HOST}/v2/acme/api/upload", "http://store.example/upload"):
        fake.fail("POST", "uploads", httpx.Response(202, headers={"Location": place}))
        with pytest.raises(DeliveryError, match="without TLS"):
            fake.open(NAME, environ=login).push_blob(digest_of(b"a"), b"a")
    seen: list[httpx.Request] = []

    def elsewhere(request: httpx.Request) -> httpx.Response | None:
        if request.url.port != 8443:
            return None
        seen.append(request)
        return httpx.Response(201)

    fake.faults.insert(0, elsewhere)
    fake.fail("POST", "uploads", httpx.Response(202, headers={"Location": f"https://{HOST}:8443/upload"}))
    fake.faults.insert(0, fake.faults.pop())
    fake.open(NAME, environ=login).push_blob(digest_of(b"a"), b"a")
    assert ["Authorization" in each.headers for each in seen] == [False]


def test_a_registry_that_goes_in_circles_or_leaves_the_place_out_is_told() -> None:
    fake = FakeRegistry()
    fake.fail("GET", "tags", *[httpx.Response(307, headers={"Location": "/v2/acme/api/tags/list"})] * 200)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        fake.open(NAME).tags()
    fake.fail("POST", "uploads", httpx.Response(202))
    with pytest.raises(DeliveryError, match="does not say where uploads go"):
        fake.open(NAME).push_blob(digest_of(b"a"), b"a")


@pytest.mark.parametrize("digest", ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../other", "nothing"])
def test_what_is_no_digest_is_refused_before_it_is_asked_for(digest: str) -> None:
    with pytest.raises(DeliveryError, match="no descriptor"):
        Descriptor.parse({"digest": digest, "size": 1, "mediaType": IMAGE})


GITHUB = "ghcr.io/acme/api"


@pytest.mark.parametrize("at_token", [True, False], ids=["token", "registry"])
def test_github_denies_a_package_that_is_not_there_yet(login: dict[str, str], at_token: bool) -> None:
    fake = FakeRegistry()

    def denied(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/token":
            return httpx.Response(403 if at_token else 200, json={"token": "t"})
        if request.method not in ("GET", "HEAD"):
            return None
        if "Authorization" in request.headers:
            return httpx.Response(403, json={"errors": [{"code": "DENIED", "message": "denied"}]})
        header = 'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/api:pull"'
        return httpx.Response(401, headers={"WWW-Authenticate": header})

    fake.faults.append(denied)
    repository = fake.open(GITHUB, environ=login)
    assert repository.digest("v1") is None
    assert repository.manifest("v1") is None
    assert repository.tags() == []
    assert repository.referrers(digest_of(b"")) == []
    assert repository.has_blob(digest_of(b"")) is False
    with pytest.raises(DeliveryError):
        repository.read_blob(blob(b""))


def test_nobody_else_who_denies_says_that_nothing_is_there(login: dict[str, str]) -> None:
    fake = FakeRegistry()
    fake.fail("HEAD", "manifests", httpx.Response(403))
    with pytest.raises(DeliveryError, match="docker login"):
        fake.open(NAME).digest("v1")
    fake = FakeRegistry()
    fake.fail("PUT", "manifests", httpx.Response(403))
    with pytest.raises(DeliveryError, match="docker login"):
        fake.open(GITHUB).put_manifest(put_image(fake.at(GITHUB), "one"))


# Referrers


def artifact(subject: Manifest, word: str) -> Manifest:
    return Manifest.make(
        {"schemaVersion": 2, "mediaType": IMAGE, "layers": [], "subject": subject.descriptor(), "artifactType": word}
    )


@pytest.mark.parametrize("api", [True, False])
def test_what_refers_to_an_image_is_found(api: bool) -> None:
    fake = FakeRegistry(referrers_api=api)
    repository, image = fake.open(NAME), put_image(fake.at(NAME), "one")
    assert repository.referrers(image.digest) == []
    artifacts = [artifact(image, word) for word in ("a", "b")]
    for each in [*artifacts, artifacts[0]]:
        repository.attach(each, artifactType="x")
    assert {each.digest for each in repository.referrers(image.digest)} == {each.digest for each in artifacts}
    assert (referrers_tag(image.digest) in fake.at(NAME).tags) is not api


def test_ghcr_sends_a_browser_elsewhere() -> None:
    fake = FakeRegistry(referrers_api=False)
    repository, image = fake.open(NAME), put_image(fake.at(NAME), "one")
    repository.attach(artifact(image, "a"))
    fake.fail("GET", "/referrers/", httpx.Response(303, headers={"Location": "https://web.example/packages"}))
    assert len(repository.referrers(image.digest)) == 1
    assert not any("web.example" in each for each in fake.requests)


def test_no_access_is_not_taken_for_no_evidence() -> None:
    fake = FakeRegistry()
    fake.fail("GET", "/referrers/", httpx.Response(403))
    with pytest.raises(DeliveryError, match="docker login"):
        fake.open(NAME).referrers(digest_of(b""))


def test_two_who_write_the_list_at_once_both_end_up_in_it() -> None:
    fake = FakeRegistry(referrers_api=False)
    stored = fake.at(NAME)
    repository, image = fake.open(NAME), put_image(stored, "one")
    tag = referrers_tag(image.digest)
    theirs = artifact(image, "theirs")
    other = Manifest.make({"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs.descriptor()]})
    overwrites = 2

    def race(request: httpx.Request) -> httpx.Response | None:
        nonlocal overwrites
        # Right after ours was written, someone who had read the old list writes theirs.
        if request.method == "GET" and request.url.path.endswith(tag) and tag in stored.tags and overwrites:
            overwrites -= 1
            stored.manifests |= {each.digest: (each.content, each.media_type) for each in (theirs, other)}
            stored.tags[tag] = other.digest
        return None

    fake.faults.append(race)
    mine = artifact(image, "mine")
    repository.attach(mine)
    assert {each.digest for each in repository.referrers(image.digest)} == {mine.digest, theirs.digest}


def test_a_list_that_never_holds_is_given_up() -> None:
    fake = FakeRegistry(referrers_api=False)
    repository, image = fake.open(NAME), put_image(fake.at(NAME), "one")
    tag = referrers_tag(image.digest)
    fake.fail("PUT", f"manifests/{tag}", *[httpx.Response(201)] * 20)
    with pytest.raises(DeliveryError, match="one after the other"):
        repository.attach(artifact(image, "mine"))
