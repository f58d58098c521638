import base64
import json
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy.secrets import HIDDEN, Hider
from pavedpath_delivery.smoke.scrub import is_secret_name, scrub_object, scrub_text, scrub_values, values_of

NONE = Hider()
SECRET = "correct-horse"


@pytest.mark.parametrize(
    "name",
    [
        *("password", "DB_PASSWORD", "dbPassword", "api-key", "API_KEY", "token", "GITHUB_TOKEN", "clientSecret"),
        *("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "brokerUrl", "Authorization", "session_id", "CELERY_BROKER_URL"),
        *("SECRET_KEY_BASE", "JWT_SIGNING_KEY", "FERNET_KEY", "SLACK_WEBHOOK_URL", "API_TOKEN_V2", "PASSWORD_1"),
        *("passwords", "KUBECONFIG", "MONGO_URI", "POSTGRES_URL", "PGPASSWORD", "SMTP_PASS"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "replicas",
        "secretName",
        "automountServiceAccountToken",
        "image",
        "LOG_LEVEL",
        "key",
        "author",
        "URL",
        "passive",
        "keys",
        "id",
    ],
)
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}",
        f"DB_PASSWORD: {SECRET}",
        f'{{"apiKey": "{SECRET}"}}',
        f"token = '{SECRET}' and more",
        f"Authorization: Bearer {SECRET}",
        f"connecting to postgres://shop:{SECRET}@db/shop",
        f"connecting to postgres://shop:pa@{SECRET}@db/shop",
        f"SECRET_KEY_BASE={SECRET}",
        f"exec: migrate --db-password {SECRET} --verbose",
        f"sent basic {base64.b64encode(SECRET.encode()).decode()}",
    ],
)
def test_a_secret_is_found_by_its_name_or_place(text: str) -> None:
    assert SECRET not in scrub_text(text, NONE)
    assert base64.b64encode(SECRET.encode()).decode() not in scrub_text(text, NONE)


@pytest.mark.parametrize("word", ["a", "a-", "password", "token_1", "a:", "://", '"'])
def test_a_long_word_is_no_long_work(word: str) -> None:
    began = time.process_time()
    scrub_text(word * (20_000 // len(word)), NONE)
    assert time.process_time() - began < 20  # hundredths of one; where the work grows with the square, hundreds


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1" * 18,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_a_secret_is_found_by_its_form(secret: str) -> None:
    scrubbed = scrub_text(f"before {secret} after", NONE)
    assert secret.splitlines()[-1] not in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")


def test_the_next_line_is_no_value() -> None:
    assert scrub_text("secrets:\n  A: b\nimage: x:1\n", NONE) == "secrets:\n  A: b\nimage: x:1\n"


@given(
    st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=4), st.text(max_size=20), st.text(max_size=20)
)
def test_a_known_value_is_nowhere(secret: str, before: str, after: str) -> None:
    hide = Hider([secret])
    text = f"{before}{secret}{after} {json.dumps(secret)} {base64.b64encode(secret.encode()).decode()}"
    scrubbed = scrub_text(text, hide)
    assert secret not in scrubbed.replace(HIDDEN, "\0")  # what stands on both sides of it must not come together


def test_objects_keep_references_and_lose_values() -> None:
    tree = {
        "metadata": {"managedFields": [1], "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRET}},
        "spec": {
            "env": [
                {"name": "DB_PASSWORD", "value": SECRET},
                {"name": "LOG_LEVEL", "value": "debug"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "token"}}},
            ],
            "volumes": [{"secret": {"secretName": "shop"}}],
        },
        "data": {"api_key": SECRET, "mode": "fast"},
    }
    found = scrub_object(tree)
    assert SECRET not in yaml.safe_dump(found)
    assert found["metadata"] == {"annotations": {}}
    assert found["spec"]["env"][1]["value"] == "debug"
    assert found["spec"]["env"][2]["valueFrom"] == {"secretKeyRef": {"name": "shop", "key": "token"}}
    assert found["spec"]["volumes"] == [{"secret": {"secretName": "shop"}}]
    assert found["data"]["mode"] == "fast"


def test_values_below_a_secrets_name_are_masked_and_their_names_stay() -> None:
    values = {"secrets": {"A": SECRET, "B": {"c": [SECRET, None, True]}}, "image": {"tag": "1"}, "env": [{"x": 1}]}
    assert scrub_values(values) == {
        "secrets": {"A": HIDDEN, "B": {"c": [HIDDEN, None, True]}},
        "image": {"tag": "1"},
        "env": [{"x": 1}],
    }


def test_the_values_of_secrets() -> None:
    raw = base64.b64encode(b"\xff\xfe\xfd").decode()
    listed = [
        {"data": {"a": base64.b64encode(SECRET.encode()).decode(), "b": raw}},
        {"type": "helm.sh/release.v1", "data": {"release": "AAAA"}},
        {},
    ]
    assert values_of(listed) == {SECRET, raw}
