import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from pipeline.redaction import SECRET_NAME, Redactor

SECRET = 'p@ss/w"ord\\1'


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        json.dumps({"key": SECRET}),
    ],
)
def test_a_secret_is_masked_however_it_is_written(leak: str) -> None:
    redact = Redactor()
    redact.add(SECRET)
    text = redact(f"before {leak} after")
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert "***" in text
    assert "ord" not in text


def test_each_line_of_a_key_is_a_secret() -> None:
    redact = Redactor()
    redact.add("-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n")
    assert "MIIEvQ" not in redact("error near MIIEvQIBADANBg in line 2")


def test_a_secret_inside_another_does_not_unmask_it() -> None:
    redact = Redactor()
    redact.add("token")
    redact.add("token-12345")
    assert "12345" not in redact("token-12345")


def test_short_words_are_left_alone() -> None:
    redact = Redactor()
    redact.add("a")
    redact.add("")
    assert redact("a cat") == "a cat"


def test_only_words_for_people_are_masked_in_a_record() -> None:
    redact = Redactor()
    redact.add("models")
    record = {
        "path": "/models/digits",
        "verdicts": [{"message": "no models here"}],
        "tail": ["models"],
        "n": 1,
    }
    masked = redact.words(record)
    assert masked["path"] == "/models/digits"
    assert masked["verdicts"] == [{"message": "no *** here"}]
    assert masked["tail"] == ["***"]


@pytest.mark.parametrize(
    "name",
    [
        "MY_TOKEN",
        "DJANGO_SECRET_KEY",
        "api_key",
        "DB_PASSWORD",
        "KEY",
        "SIGNING_KEY",
        "REGISTRY_PASSWORD",
        "REGISTRY_PASSWORD_GHCR_IO",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert SECRET_NAME.search(name)


@pytest.mark.parametrize("name", ["PATH", "MONKEY", "TOKENIZER_PATH", "KEYBOARD", "SECRETARY"])
def test_names_of_no_secrets(name: str) -> None:
    assert not SECRET_NAME.search(name)


def test_a_secret_that_is_not_ascii_is_masked_in_both_forms_of_json() -> None:
    redact = Redactor()
    redact.add('pa"ss-é-word')
    for only in (True, False):
        assert "word" not in redact(json.dumps('pa"ss-é-word', ensure_ascii=only))


def test_each_line_of_a_secret_is_told_once() -> None:
    told: list[str] = []
    redact = Redactor(learnt=told.append)
    for secret in ("first line\nsecond line\n", "second line", "abc", "token"):
        redact.add(secret)
    assert told == ["first line", "second line", "token"]


def test_secrets_that_come_at_the_same_time_are_all_masked() -> None:
    redact = Redactor()
    with ThreadPoolExecutor(8) as threads:
        secrets = [f"secret-{number}-of-many" for number in range(100)]
        list(threads.map(redact.add, secrets))
    assert redact(" ".join(secrets)) == " ".join(["***"] * 100)
