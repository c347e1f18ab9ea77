"""Files of the server: only regular ones below the operator's folders, whatever an address or a link says."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.local_file import _below, _read, read_local

NO_FILE = "names no file that this server may read"
LIMIT = 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that clients may name files in, beside one that they may not."""
    folder = tmp_path / "media"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a picture")
    (folder / "inner" / "b c#?.png").write_bytes(b"another")
    (folder / "inner" / "%2e%2e").write_bytes(b"dots")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.png").write_bytes(b"secret")
    (tmp_path / "media-too").mkdir()
    (tmp_path / "media-too" / "a.png").write_bytes(b"secret")
    return folder


def anything(count: int) -> None:
    """Lets all bytes be read."""


def read(address: str, root: Path) -> bytes:
    return read_local(address, [root], LIMIT, anything)


def refusal(address: str, root: Path) -> str:
    with pytest.raises(FetchError) as caught:
        read(address, root)
    assert "secret" not in caught.value.reason and str(root) not in caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"a picture"),
        ("./a.png", b"a picture"),
        ("inner/../a.png", b"a picture"),
        ("/a.png", b"a picture"),
        ("inner/b%20c%23%3f.png", b"another"),
        ("inner/%252e%252e", b"dots"),
    ],
)
def test_files_below_a_root(name: str, content: bytes, root: Path) -> None:
    for start in ("file://", "FILE://", "file://localhost", "file:"):
        assert read(f"{start}{root}/{name}", root) == content
    if "%" not in name:
        assert read(f"{root}/{name}", root) == content
    assert (
        read_local(f"file://{root}/{name}", [root.parent / "absent", root / "inner", root], LIMIT, anything) == content
    )


@pytest.mark.parametrize(
    "name",
    [
        "../secret/a.png",
        "inner/../../secret/a.png",
        "%2e%2e/secret/a.png",
        "%2E%2e%2Fsecret%2fa.png",
        "..%2fsecret/a.png",
        "%252e%252e/secret/a.png",
        ".../secret/a.png",
        "../media-too/a.png",
        "../media/../secret/a.png",
        "absent.png",
        "a.png/b",
        "",
        ".",
        "inner",
        "a.png%00.jpg",
        "%ff%fe",
        "..\\secret\\a.png",
    ],
)
def test_names_that_lead_to_no_file_below_the_root(name: str, root: Path) -> None:
    assert refusal(f"file://{root}/{name}", root) == NO_FILE


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "//etc/passwd", "/dev/zero", "/proc/self/environ", "/", "/\udc80", "/\ud800"]
)
def test_paths_outside(path: str, root: Path) -> None:
    assert refusal(path, root) == NO_FILE


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("file://example.com/a.png", "another host"),
        ("file://127.0.0.1/a.png", "another host"),
        ("file://[::1/a.png", "not a valid file URL"),
        ("file:a.png", "no absolute path"),
        ("file:", "no absolute path"),
        ("file:///a.png?x", "percent-encoded"),
        ("file:///a.png#x", "percent-encoded"),
        ("file:///\ud800", "not a valid file URL"),
        ("file:///" + "a" * 4096, "longer than 4096"),
    ],
)
def test_addresses_that_are_no_files(address: str, says: str, root: Path) -> None:
    assert says in refusal(address, root)


def test_links_are_followed_only_below_the_root(root: Path) -> None:
    (root / "inside.png").symlink_to("inner/../a.png")
    (root / "folder").symlink_to(root / "inner")
    assert read(f"{root}/inside.png", root) == b"a picture"
    assert read(f"file://{root}/folder/b%20c%23%3f.png", root) == b"another"
    links = {"out.png": "../secret/a.png", "out": "../secret", "self": "self", "proc": "/proc/self/root"}
    for name, target in links.items():
        (root / name).symlink_to(target)
    for name in ("out.png", "out/a.png", "self", "proc/etc/passwd"):
        assert refusal(f"file://{root}/{name}", root) == NO_FILE


def test_a_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert read(f"{tmp_path}/link/a.png", tmp_path / "link") == b"a picture"
    assert read(f"{root}/a.png", tmp_path / "link") == b"a picture"
    assert read(f"{tmp_path}/link/a.png", tmp_path / "media" / ".." / "link") == b"a picture"
    assert refusal(f"{tmp_path}/link/../secret/a.png", tmp_path / "link") == NO_FILE


@pytest.mark.parametrize("swapped", ["inner", "inner/b c#?.png"])
def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(swapped: str, root: Path, tmp_path: Path) -> None:
    inside = _below(root, root, f"{root}/inner/b c#?.png")
    assert _read(root, inside, LIMIT, anything) == b"another"
    (tmp_path / "secret" / "b c#?.png").write_bytes(b"secret")
    os.rename(root / swapped, tmp_path / "away")
    (root / swapped).symlink_to(tmp_path / "secret" / Path(swapped).relative_to("inner"))
    assert (root / "inner" / "b c#?.png").read_bytes() == b"secret"
    with pytest.raises(OSError):
        _read(root, inside, LIMIT, anything)


def test_what_is_no_regular_file_is_not_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        # The path of a socket must be short.
        monkeypatch.chdir(root)
        listener.bind("socket")
        started = time.monotonic()
        for name in ("fifo", "socket"):
            assert refusal(f"{root}/{name}", root) == NO_FILE
        assert time.monotonic() - started < 1
    for device in ("null", "zero", "random"):
        assert refusal(f"/dev/{device}", Path("/dev")) == NO_FILE
    assert refusal("/proc/self/fd/0", Path("/proc")) == NO_FILE


def test_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "a.png").chmod(0)
    if os.access(root / "a.png", os.R_OK):
        pytest.skip("the superuser reads everything")
    assert refusal(f"{root}/a.png", root) == NO_FILE


def test_the_size_of_a_file_is_bounded(root: Path) -> None:
    (root / "a.png").write_bytes(bytes(LIMIT))
    assert read(f"{root}/a.png", root) == bytes(LIMIT)
    (root / "a.png").write_bytes(bytes(LIMIT + 1))
    assert "more than 100 bytes" in refusal(f"{root}/a.png", root)
    os.truncate(root / "a.png", 2**40)
    assert "more than 100 bytes" in refusal(f"{root}/a.png", root)


def test_a_file_whose_size_is_not_what_it_says(tmp_path: Path) -> None:
    # The kernel's files have a size of 0.
    with pytest.raises(FetchError, match="changed while it was read"):
        read_local("/proc/self/status", [Path("/proc")], LIMIT, anything)


def test_without_a_root_there_are_no_files(root: Path) -> None:
    with pytest.raises(FetchError, match="reads none for its clients") as caught:
        read_local(f"{root}/a.png", [], LIMIT, anything)
    assert caught.value.outcome is Outcome.REFUSED
