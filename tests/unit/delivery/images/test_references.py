import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.images.references import TAG, Reference

DIGEST = f"sha256:{'ab' * 32}"
hosts = st.sampled_from(["ghcr.io", "localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "r.example:443"])
paths = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,5})?(/[a-z0-9]{1,5}){0,2}", fullmatch=True)


@given(hosts, paths, st.from_regex(TAG, fullmatch=True) | st.just(""), st.sampled_from(["", DIGEST]))
def test_a_reference_is_what_it_was_written_as(host: str, path: str, tag: str, digest: str) -> None:
    text = f"{host}/{path}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"
    reference = Reference.parse(text)
    assert (reference.name.host, reference.name.path, reference.tag, reference.digest) == (host, path, tag, digest)
    assert str(reference) == text
    assert Reference.parse(str(reference)) == reference


@given(st.text(alphabet="aA0.:/@-_[]\n ", max_size=30))
def test_what_is_none_is_refused_with_a_reason(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ValueError as error:
        said = str(error)
    else:
        said = repr(text)
        assert not set("\n[] ") & set(str(reference))
    assert repr(text) in said


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("redis", "docker.io", "library/redis"),
        ("acme/api:v1", "docker.io", "acme/api"),
        ("docker.io/redis", "docker.io", "redis"),
        ("index.docker.io/library/redis", "docker.io", "library/redis"),
        ("ghcr.io/Acme/Orders", "ghcr.io", "acme/orders"),
    ],
)
def test_short_and_capital_names(text: str, host: str, path: str) -> None:
    name = Reference.parse(text).name
    assert (name.host, name.path) == (host, path)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.8.8.8", "http://127.8.8.8"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("localhost:5000", "http://localhost:5000"),
        ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ("localhost.example.com", "https://localhost.example.com"),
    ],
)
def test_only_this_machine_is_spoken_to_without_tls(host: str, url: str) -> None:
    assert Reference.parse(f"{host}/a/b").name.base_url == url


@pytest.mark.parametrize("text", ["", "ghcr.io/", "a//b", "ghcr.io/a:", "ghcr.io/a@sha256:1", "ghcr.io/a b", "-x.y/a"])
def test_no_references(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        Reference.parse(text)
