"""The settings of intake: how much of what clients send is held at a time, where, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from deployments.settings.base import MEGABYTE, Settings


class IntakeSettings(Settings):
    """What clients send, while it is on its way and until it is in the media store or with the Reasoner.

    Attributes:
        request_bytes: the most that the body of a request may have, and the media of a request together.
        spill_bytes: what an uploaded file may take of memory; a larger one goes to the disk.
        replica_bytes: the memory that an Ingress replica uses for requests' bodies and media.
        disk_bytes: the disk that it uses for them.
        folder: the folder for them on the replica's disk; null is the machine's temporary folder. Its files have no
            names, so nothing is left of them when the process ends.
        share: the part of `replica_bytes` and `disk_bytes` that one API key may take; where there are no keys, one
            client's address.
        idle_s: how long a client may send nothing, and how long it may be slower than `least_bytes_per_s`.
        least_bytes_per_s: how fast a body has to come on the whole.
        arrival_s: how long a client may take to send any body; the more it declares, the faster it has to come.
        window_bytes: what is on its way at a time of one body, and of one answer, between Serve's HTTP server and an
            Ingress replica.
        stall_s: how long a client may read nothing of its answer.
        connections: how many requests Serve's HTTP server handles at a time on a node; fewer than an Ingress replica
            handles, so that requests for the graph's health still have a place there.
        connections_share: the part of `connections` that one address may have. Requests for the graph's health are
            not counted.
    """

    request_bytes: Annotated[int, Field(ge=1)] = 512 * MEGABYTE
    spill_bytes: Annotated[int, Field(ge=0)] = MEGABYTE
    replica_bytes: Annotated[int, Field(ge=1)] = 2560 * MEGABYTE
    disk_bytes: Annotated[int, Field(ge=1)] = 8192 * MEGABYTE
    folder: Path | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    idle_s: Annotated[float, Field(gt=0)] = 30.0
    least_bytes_per_s: Annotated[int, Field(ge=0)] = 4096
    arrival_s: Annotated[float, Field(gt=0)] = 600.0
    window_bytes: Annotated[int, Field(ge=65536)] = 256 * 1024
    stall_s: Annotated[float, Field(gt=0)] = 60.0
    connections: Annotated[int, Field(ge=1)] = 900
    connections_share: Annotated[float, Field(gt=0, le=1)] = 0.9

    @property
    def each_replica_bytes(self) -> int:
        """The memory of a replica that one client may take."""
        return int(self.replica_bytes * self.share)

    @property
    def each_disk_bytes(self) -> int:
        """The disk of a replica that one client may take."""
        return int(self.disk_bytes * self.share)

    @property
    def each_connections(self) -> int:
        """The requests at a time that one address may have."""
        return max(1, int(self.connections * self.connections_share))

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Self:
        if self.each_disk_bytes < self.request_bytes:
            raise ValueError("has less disk_bytes times share than request_bytes, so the largest upload never fits")
        return self
