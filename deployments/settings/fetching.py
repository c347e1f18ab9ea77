"""The settings of the guarded fetching of media; see `deployments.fetching`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from deployments.settings.base import MEGABYTE, Bytes, Settings

FETCHED_FACTOR = 2
"""A file that is fetched arrives in pieces, and is then put together."""
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:.]*:[0-9a-f:.]*")


class FetchTimeouts(Settings):
    """How long one file may take to fetch, in seconds, redirects and all; vLLM's own limits.

    Attributes:
        image, audio: where the field that names the file says that it is one.
        video: all other files.
    """

    image: Annotated[float, Field(gt=0, le=600)] = 5.0
    audio: Annotated[float, Field(gt=0, le=600)] = 10.0
    video: Annotated[float, Field(gt=0, le=600)] = 30.0


class FetchSettings(Settings):
    """Media that requests name by their address, which each Ingress replica fetches for itself.

    Attributes:
        enabled: whether http and https are fetched at all.
        hosts: the only hosts to fetch from, such as `example.com` or `*.example.com`, on any port; null is all. vLLM
            calls it `--allowed-media-domains`.
        allow_private: whether hosts that are not on the public internet may be fetched from.
        roots: folders of the Ingress' machine whose files `file://` and paths may name; vLLM calls it
            `--allowed-local-media-path`.
        proxy: URL of the proxy to fetch through, which then decides what a host's name means. The environment's
            proxies are not used.
        redirects: how many redirects of one file are followed.
        max_bytes: the most that one file may have.
        timeouts_s: how long one file may take.
        per_request: how many files of one request are fetched side by side.
        concurrent: how many files a replica fetches side by side; a request that waits too long for its turn gets 429.
        cache_bytes: what a replica keeps of fetched files, for requests that name the same addresses.
        cache_s: how long an address stands for the file that it led to, in seconds.
    """

    enabled: bool = True
    hosts: tuple[str, ...] | None = None
    allow_private: bool = False
    roots: tuple[Path, ...] = ()
    proxy: str | None = None
    redirects: Annotated[int, Field(ge=0, le=20)] = 10
    max_bytes: Annotated[int, Field(ge=1)] = 128 * MEGABYTE
    timeouts_s: FetchTimeouts = FetchTimeouts()
    per_request: Annotated[int, Field(ge=1)] = 4
    concurrent: Annotated[int, Field(ge=1)] = 32
    cache_bytes: Bytes = 256 * MEGABYTE
    cache_s: Annotated[float, Field(ge=0)] = 60.0

    @field_validator("hosts")
    @classmethod
    def _host_names(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if hosts is None:
            return None
        lowered = tuple(host.lower().removesuffix(".") for host in hosts)
        for host in lowered:
            if not _HOST.fullmatch(host):
                raise ValueError(f"has {host!r}; expected a host such as example.com or *.example.com, without a port")
        return lowered

    @field_validator("roots")
    @classmethod
    def _absolute(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        for root in roots:
            if not root.is_absolute():
                raise ValueError(f"has {str(root)!r}; expected an absolute path")
        return roots

    @field_validator("proxy")
    @classmethod
    def _proxy_url(cls, proxy: str | None) -> str | None:
        if proxy is not None and not proxy.startswith(("http://", "https://")):
            raise ValueError("is not an http or https URL; expected one such as http://proxy:3128")
        return proxy
