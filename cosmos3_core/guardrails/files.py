"""The files of a guardrail: where they are, and the hash by which a record knows them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cosmos3_core.guardrails.verdict import GuardrailError


def existing(path: Path, name: str) -> Path:
    """The path, absolute.

    Raises:
        GuardrailError: there is nothing.
    """
    found = path.expanduser().absolute()
    if not found.exists():
        raise GuardrailError(f"{name}: there is no {path}; name the folder of its files")
    return found


def sha256_of(path: Path) -> str:
    """Hash of a file, or of the names and contents of all files in a folder."""
    if path.is_file():
        return _digest(path)
    total = hashlib.sha256()
    for file in sorted(found for found in path.rglob("*") if found.is_file()):
        total.update(f"{file.relative_to(path).as_posix()}\0{_digest(file)}\n".encode())
    return total.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
