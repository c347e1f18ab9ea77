"""Classes of service: Jobs claims by them, and a gang's scheduler orders steps by them."""

from __future__ import annotations

from enum import StrEnum


class ServiceClass(StrEnum):
    """How urgent a request is, by who waits for it."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"
