"""The sweep: which files are strays, and which are not."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from deployments.wire.media_store import MediaStore, local_path
from tests.jobs.replicas import a_job, run, started


def test_the_sweep_removes_strays_and_nothing_else(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    ids = {name: f"video_gen_{character * 32}" for name, character in [("ended", "a"), ("runs", "b"), ("gone", "c")]}
    names = [f"inputs/{job}.image" for job in ids.values()]
    names += [f"snapshots/{job}.safetensors" for job in ids.values()]
    names += [f"outputs/{job}.{attempt}.mp4" for job in ids.values() for attempt in ("1", "2")]
    names += [f"inputs/.{ids['runs']}.image.123.partial", "outputs/mine.mp4", "other/video.mp4"]
    for name in names:
        path = Path(local_path(media.put(name, b"x")) or "")
        os.utime(path, (time.time() - 120,) * 2)
    fresh = media.put(f"inputs/{'video_gen_' + 'd' * 32}.image", b"x")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60, "sweep_interval_s": 600}) as replica:
            for loop in replica._loops:
                loop.cancel()
            for name in ("ended", "runs"):
                replica.store.create(a_job(tmp_path, ids[name]))
            result = {"uri": media.uri(f"outputs/{ids['ended']}.2.mp4")}
            replica.store.record(ids["ended"], "done", {}, status="completed", result=result)
            before = {path.relative_to(tmp_path / "media").as_posix() for path in (tmp_path / "media").rglob("*.*")}
            replica._sweep._strays_at = -math.inf
            await replica._sweep.run()
            after = {path.relative_to(tmp_path / "media").as_posix() for path in (tmp_path / "media").rglob("*.*")}
        assert before - after == {
            f"inputs/{ids['gone']}.image",
            f"snapshots/{ids['gone']}.safetensors",
            f"snapshots/{ids['ended']}.safetensors",
            f"outputs/{ids['gone']}.1.mp4",
            f"outputs/{ids['gone']}.2.mp4",
            f"outputs/{ids['ended']}.1.mp4",
            f"inputs/.{ids['runs']}.image.123.partial",
        }
        assert Path(local_path(fresh) or "").exists()

    run(test)


def test_a_snapshot_that_comes_after_the_end_of_its_job_is_swept_at_once(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    gone, ended, runs, partial = (f"video_gen_{character * 32}" for character in "abcd")

    async def test() -> None:
        async with started(tmp_path) as replica:
            for loop in replica._loops:
                loop.cancel()
            await replica._sweep.run()
            for job in (ended, runs):
                replica.store.create(a_job(tmp_path, job))
            replica.store.record(ended, "failed", {}, status="failed", error={})
            for job in (gone, ended, runs):
                media.put(f"snapshots/{job}.safetensors", b"state")
            media.put(f"snapshots/.{partial}.safetensors.123.partial", b"sta")
            before = {file.name for file in media.files("snapshots")}
            await replica._sweep.run()
            after = {file.name for file in media.files("snapshots")}
        assert before - after == {f"snapshots/{gone}.safetensors", f"snapshots/{ended}.safetensors"}

    run(test)


def test_a_result_is_kept_although_its_folder_had_another_url(tmp_path: Path) -> None:
    old, new = MediaStore(f"file://{tmp_path / 'old'}"), tmp_path / "media"
    job = f"video_gen_{'a' * 32}"
    kept, stray = (Path(local_path(old.put(f"outputs/{job}.{n}.mp4", b"x")) or "") for n in (1, 2))
    for path in (kept, stray):
        os.utime(path, (time.time() - 120,) * 2)
    new.symlink_to(tmp_path / "old")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60, "sweep_interval_s": 600}) as replica:
            for loop in replica._loops:
                loop.cancel()
            replica.store.create(a_job(tmp_path, job))
            result = {"uri": old.uri(f"outputs/{kept.name}")}
            replica.store.record(job, "done", {}, status="completed", result=result)
            replica._sweep._strays_at = -math.inf
            await replica._sweep.run()
            assert kept.exists() and not stray.exists()

    run(test)


def test_another_databases_media_are_not_swept(tmp_path: Path) -> None:
    media = MediaStore(f"file://{tmp_path / 'media'}")
    path = Path(local_path(media.put(f"outputs/video_gen_{'a' * 32}.mp4", b"x")) or "")
    os.utime(path, (time.time() - 120,) * 2)
    media.put("database", b"another one")

    async def test() -> None:
        async with started(tmp_path, retention={"stray_after_s": 60}) as replica:
            await replica._sweep.run()
            assert path.exists() and (await replica.stats())["strays"] == 0

    run(test)
