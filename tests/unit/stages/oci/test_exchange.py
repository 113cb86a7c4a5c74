from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipeline.errors import RemoteError
from stages.oci.endpoint import Endpoint, is_loopback, without_query
from stages.oci.exchange import Answer


def answer(**headers: str) -> Answer:
    return Answer(
        "http://localhost/", 429, {name.replace("_", "-"): value for name, value in headers.items()}, b""
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("12", 12.0), ("soon", None), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)]
)
def test_retry_after_is_read(text: str, seconds: float | None) -> None:
    assert answer(Retry_After=text).retry_after_s == seconds


def test_retry_after_may_be_a_moment() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    waited = answer(Retry_After=moment).retry_after_s
    assert waited is not None
    assert 3500 < waited <= 3600


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:password@host:1/a?token=x#y", "https://host:1/a"),
        ("http://host/a", "http://host/a"),
        ("https://user:password@[", "an address that is none"),
    ],
)
def test_urls_for_people_hold_no_secrets(url: str, shown: str) -> None:
    assert without_query(url) == shown


def test_an_address_that_is_none_gets_nothing() -> None:
    endpoint = Endpoint(host="registry.example.com", api_host="registry.example.com")
    with pytest.raises(RemoteError, match="an address that is none"):
        endpoint.require_allowed("http://[")
    assert not is_loopback("[")


def test_a_status_without_a_name_is_a_number() -> None:
    assert Answer("", 404, {}, b"").phrase == "404 Not Found"
    assert Answer("", 599, {}, b"").phrase == "599"
