"""Base64 and data URIs as people send them, and what is neither."""

from __future__ import annotations

import base64
import textwrap
import time
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.wire.data_uri import DataUri, is_data_uri, read_base64, read_data_uri, read_inline

# Every value of six bits occurs, so both characters that the alphabets differ in, and it needs padding.
CONTENT = bytes(range(256)) + b"\xfb"
PLAIN = base64.b64encode(CONTENT).decode()
URLSAFE = base64.urlsafe_b64encode(CONTENT).decode()
WRAPPED = "\n".join(textwrap.wrap(PLAIN, 76))
SPELLINGS = {
    "as the standard has it": PLAIN,
    "MIME": WRAPPED.replace("\n", "\r\n") + "\r\n",
    "PEM": "\n".join(textwrap.wrap(PLAIN, 64)),
    "old Mac": WRAPPED.replace("\n", "\r"),
    "indented, as in YAML": textwrap.indent(WRAPPED, "    "),
    "tabs": WRAPPED.replace("\n", "\n\t"),
    "spaces alone": WRAPPED.replace("\n", " "),
    "surrounded by spaces": f"  {PLAIN} ",
    "without padding": PLAIN.rstrip("="),
    "with too much padding": PLAIN + "==",
    "padding in a line of its own": PLAIN.rstrip("=") + "\n=\n=",
    "the alphabet for URLs": URLSAFE,
    "of JWT": URLSAFE.rstrip("="),
    "both alphabets": URLSAFE[:200] + PLAIN[200:],
    "percent-encoded": quote(PLAIN, safe=""),
    "percent-encoded in lower case": quote(PLAIN, safe="").replace("%2B", "%2b").replace("%2F", "%2f"),
    "wrapped, then percent-encoded": quote(WRAPPED, safe=""),
    "padding percent-encoded alone": PLAIN.replace("=", "%3D"),
    "pluses lost in a form": PLAIN.replace("+", " "),
}
HEADS = (
    "data:image/png;base64,",
    "DATA:IMAGE/PNG;BASE64,",
    "data:image/png;charset=utf-8;base64,",
    "data:image/png;name=a%2Cb.png;base64,",
    "data:image/png; base64,",
    "data:image/png;base64;charset=utf-8,",
    "data: image/png ; base64 ,",
    "data:image%2Fpng;base64,",
    "data%3Aimage%2Fpng%3Bbase64%2C",
    "data%3aimage%2fpng%3bcharset%3dutf-8%3bbase64,",
    "\n  data:image/png;base64,",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings(spelling: str) -> None:
    assert read_base64(SPELLINGS[spelling]) == CONTENT
    assert read_inline(SPELLINGS[spelling]) == DataUri("", CONTENT)
    assert read_data_uri("data:image/png;base64," + SPELLINGS[spelling]) == DataUri("image", CONTENT)


@pytest.mark.parametrize("head", HEADS)
def test_heads(head: str) -> None:
    for encoded in (PLAIN, quote(PLAIN, safe=""), WRAPPED):
        assert is_data_uri(head + encoded)
        assert read_data_uri(head + encoded) == read_inline(head + encoded) == DataUri("image", CONTENT)


def test_a_head_without_a_type() -> None:
    assert read_data_uri("data:;base64," + PLAIN) == DataUri("", CONTENT)


@given(st.binary(max_size=200), st.sampled_from(["", "\n", "\r\n", " \n"]), st.booleans(), st.booleans())
def test_any_bytes_in_any_spelling(content: bytes, separator: str, urlsafe: bool, padded: bool) -> None:
    encoded = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(content).decode()
    wrapped = separator.join(textwrap.wrap(encoded if padded else encoded.rstrip("="), 20)) + separator
    assert read_base64(wrapped) == content


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello, world!!", "holds characters that base64 never has"),
        ("aGk=aGk=", "goes on after its padding"),
        ("=aGk", "goes on after its padding"),
        ("aGkx_", "characters are missing"),
        ("A", "characters are missing"),
        ("aGk\u00e9", "holds characters that base64 never has"),
        ("\ud800aGk", "holds characters that base64 never has"),
        ("aGk\0", "holds characters that base64 never has"),
        ("%41%42%43%44", "holds characters that base64 never has"),
        ("aGk%3", "holds characters that base64 never has"),
        ('"aGk="', "holds characters that base64 never has"),
        ("<svg>", "holds characters that base64 never has"),
    ],
)
def test_what_is_no_base64(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=f"^is not valid base64: .*{says}"):
        read_base64(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://example.org/a.png", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("/etc/passwd", "is not a data URI"),
        ("", "is not a data URI"),
        ("data", "is not a data URI"),
        ("data:image/png;base64", "without base64"),
        ("data:image/svg+xml,%3Csvg%3E", "without base64"),
        ("data:image/png;base64 aGk=", "without base64"),
        ("data:base64,aGk=", "without base64"),
        ("data:image/png;" + "x" * 5000 + ";base64,aGk=", "without base64"),
        ("data%3Aimage/svg+xml%2C%3Csvg%3E", "without base64"),
    ],
)
def test_what_is_no_data_uri(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_data_uri(text)


@given(st.text())
def test_any_text(text: str) -> None:
    for read in (read_base64, read_data_uri, read_inline):
        try:
            read(text)
        except ValueError as error:
            assert str(error).startswith("is "), error


@pytest.mark.parametrize("text", ["%41" * 2**20, "%" * 2**20, "," * 2**20, ";" * 2**20, " " * 2**20, "=" * 2**20])
def test_hostile_text_costs_no_more_than_its_size(text: str) -> None:
    tracemalloc.start()
    try:
        started = time.process_time()
        for read in (read_base64, read_data_uri):
            for head in ("", "data:image/png;base64,", "data%3A"):
                try:
                    read(head + text)
                except ValueError as error:
                    assert len(str(error)) < 200
        assert time.process_time() - started < 5
        assert tracemalloc.get_traced_memory()[1] < 5 * len(text)
    finally:
        tracemalloc.stop()
