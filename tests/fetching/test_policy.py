"""Which addresses the operator's settings allow."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.policy import AddressPolicy
from deployments.settings.fetching import FetchSettings

HOSTS = ("example.com", "*.media.example", "192.0.2.7", "2001:db8::1")


def allowed(address: str, hosts: tuple[str, ...] | None = HOSTS, enabled: bool = True) -> bool:
    try:
        AddressPolicy(enabled, hosts, True).check(address)
    except FetchError as error:
        assert error.outcome is Outcome.REFUSED and "data URI" in error.reason
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "EXAMPLE.com.",
        "example.com:8443",
        "a.media.example",
        "a.b.media.example",
        "192.0.2.7",
        "0xc0.0.2.7",
        "[2001:DB8::1]",
    ],
)
def test_hosts_of_the_list(host: str) -> None:
    assert allowed(f"https://{host}/a.png")


@pytest.mark.parametrize(
    "host",
    [
        "www.example.com",
        "notexample.com",
        "example.com.evil.test",
        "media.example",
        "xmedia.example",
        "a.media.example.test",
        "192.0.2.8",
        "[2001:db8::2]",
    ],
)
def test_hosts_that_are_not_of_the_list(host: str) -> None:
    assert not allowed(f"https://{host}/example.com?example.com")
    assert allowed(f"https://{host}/", hosts=None)


def test_nothing_is_fetched_if_that_is_off() -> None:
    assert not allowed("https://example.com/a.png", enabled=False)
    assert not allowed("https://example.com/a.png", hosts=())


def test_by_default_the_public_internet_and_nothing_else() -> None:
    settings = FetchSettings()
    assert settings.enabled and settings.hosts is None
    assert not settings.allow_private and not settings.roots and settings.proxy is None


def test_hosts_are_read_in_any_case() -> None:
    assert FetchSettings(hosts=("Example.COM.", "*.A.test")).hosts == ("example.com", "*.a.test")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hosts": ["https://example.com"]}, "without a port"),
        ({"hosts": ["example.com:443"]}, "without a port"),
        ({"hosts": ["a*.example.com"]}, "without a port"),
        ({"hosts": ["*"]}, "without a port"),
        ({"hosts": [""]}, "without a port"),
        ({"roots": ["media"]}, "an absolute path"),
        ({"proxy": "proxy:3128"}, "expected one such as"),
        ({"proxy": "socks5://proxy"}, "expected one such as"),
        ({"timeouts_s": {"image": 0}}, "greater than 0"),
        ({"redirects": 21}, "less than or equal to 20"),
    ],
)
def test_settings_that_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FetchSettings(**fields)
