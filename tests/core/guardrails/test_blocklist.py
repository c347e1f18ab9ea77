"""Which texts hold a word of a list."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosmos3_core.guardrails.blocklist import Blocklist
from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import GuardrailError

LIST = Blocklist(["grimflax", "Forbidden  Orchard", "zap", "Übeltat", "禁止語"])


@pytest.mark.parametrize(
    "text",
    [
        "a grimflax",
        "GRIMFLAX!",
        "grimflaxes",
        "grimmflax",
        "the grimflax's eye",
        '{"subject":"grimflax","colour":"red"}',
        "gr1mfl4x",
        "gri\u200bmflax",
        "grìmfláx",
        "\uff47\uff52\uff49\uff4d\uff46\uff4c\uff41\uff58",
        "g r i m f l a x",
        "look: g.r.i.m.f.l.a.x",
        "grim-flax",
        "griiiimflax",
        "zap",
        "zaps",
        "2 @ z@p",
        "forbidden orchard",
        "a forbidden\n\torchard at night",
        "f0rbidden 0rchard",
        "übeltat",
        "ubeltat",
        "これは禁止語です",
    ],
)
def test_a_word_is_found_however_it_is_written(text: str) -> None:
    verdict = LIST.check(text)
    assert not verdict.allowed and verdict.outcome is Outcome.BLOCKED
    # The reason does not teach how to get past the list.
    assert verdict.reason == "holds a word of the list"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a robot arm on a table",
        "grim flaxen hair",
        "zapper",
        "zip zop",
        "orchard, forbidden",
        "forbidden fruit of an orchard",
        "a b c d e f",
        "1280x720, 24 fps, 189 frames",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ],
)
def test_other_words_are_allowed(text: str) -> None:
    assert LIST.check(text).allowed


def test_a_list_is_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("# a remark\n\ngrimflax\n", encoding="utf-8")
    one = Blocklist.read(file)
    assert not one.check("grimflax").allowed and one.check("a remark, zap").allowed
    (tmp_path / "two.txt").write_text("zap\n", encoding="utf-8")
    both = Blocklist.read(tmp_path)
    assert not both.check("grimflax").allowed and not both.check("zap").allowed
    assert len({one.sha256, both.sha256}) == 2 and len(one.sha256) == 64


@pytest.mark.parametrize("content", [b"", b"# only a remark\n", b"\xff\xfe\x00", b"...\n"])
def test_a_list_that_says_nothing_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content)
    with pytest.raises(GuardrailError, match="blocklist"):
        Blocklist.read(file)


def test_long_prompts_are_read_in_bounded_time() -> None:
    prompt = '{"subject": "' + "a robot walks over the bridge, slowly; " * 400 + '"}'
    done = subprocess.run([sys.executable, "-c", READ_LONG], input=prompt, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5


LONG = 100_000
WRITTEN = [f"w{number}ord" for number in range(3000)] + [f"two w{number}" for number in range(3000)]
HARD = Blocklist(
    [*WRITTEN, "two two two q", "aaaaaaaab" * 3 + "c", "aaaaaaaac", "禁止語", *("ーロ" * size for size in range(3, 9))]
)


@pytest.mark.parametrize(
    "part",
    [
        "x",
        "a",
        "X.",
        "x ",
        "x y z of ",
        "two ",
        "aaaaaaaab",
        "aaaaaaaax ",
        "\u0301\u0316",
        "\U0001d165\U0001d16d",
        "㌖",
        "\ufdfa",
        "㍿",
        "⒳",
        "ーロ禁",
        "각",
        "!a",
        "1 ",
        "".join(map(chr, range(0x4E00, 0x9000))),
    ],
)
def test_no_text_takes_long(part: str) -> None:
    text = (part * (LONG // len(part) + 1))[:LONG]
    started = time.process_time()
    HARD.check(text)
    assert time.process_time() - started < 1


def test_one_letter_too_many_is_ignored_at_each_place() -> None:
    word = "grimflaxen"
    made = Blocklist([word])
    assert not any(made.check(f"{word[:place]}q{word[place:]}").allowed for place in range(len(word) + 1))
    assert made.check("grimqqflaxen").allowed and made.check("qgrimflaxenq").allowed


READ_LONG = """
import sys, time
from cosmos3_core.guardrails.blocklist import Blocklist
entries = [f"w{number}ord" for number in range(5000)] + [f"two w{number}" for number in range(5000)]
made, text = Blocklist(entries), sys.stdin.read()
started = time.perf_counter()
assert made.check(text).allowed
assert "torch" not in sys.modules
print(time.perf_counter() - started)
"""
