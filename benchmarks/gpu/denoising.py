"""Denoising steps of the published workloads, ours and diffusers' in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks.gpu import ours
from benchmarks.gpu.bench import Bench, Prompts
from benchmarks.gpu.profiling import LARGEST, kernels_of
from benchmarks.gpu.results import ItemResult, Measurement
from benchmarks.gpu.sizes import CHECKPOINT, Shape
from benchmarks.gpu.timing import seconds_of
from cosmos3_core.planning.cost import step_flops
from cosmos3_core.planning.published import published_seconds
from cosmos3_core.stages.encoded import EncodedRequest

# Steps of these are short enough to profile.
PROFILED = ("t2i", "256p")
OURS, PEER = "ours", "diffusers"


@dataclass
class Side:
    """One of the two implementations with a request of its own.

    Attributes:
        step: makes its next step.
        seconds: how long each step took.
        peak_bytes: the most memory that the device held during a step; 0 on a CPU.
    """

    step: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def run(self, bench: Bench) -> None:
        """Make one step and measure it."""
        bench.reset_peak()
        self.seconds.append(seconds_of(bench, self.step))
        self.peak_bytes = max(self.peak_bytes, bench.peak_bytes())


def video(bench: Bench, result: ItemResult) -> None:
    """Some steps of both, evenly in turns; the first step of each does not count."""
    shape = bench.size.shapes[result.id]
    sides = _sides(bench, result, shape)
    try:
        _take_turns(bench, result, sides, in_turns(shape.our_steps, shape.peer_steps))
    finally:
        result.notes["first step, s"] = {name: side.seconds[0] for name, side in sides.items() if side.seconds}
        result.notes["peak memory, bytes"] = {name: side.peak_bytes for name, side in sides.items()}
        _record(bench, result, shape, {name: side.seconds[1:] for name, side in sides.items()})
    _profile(bench, result, shape)


def image(bench: Bench, result: ItemResult) -> None:
    """A cold step, one with texts of new lengths, and whole runs: ours, diffusers', ours again."""
    shape = bench.size.shapes[result.id]
    sides = _sides(bench, result, shape)
    _take_turns(bench, result, sides, (OURS, PEER))
    result.notes["first step, cold, s"] = {name: side.seconds[0] for name, side in sides.items()}
    _new_text_length(bench, result, shape)
    runs: dict[str, list[list[float]]] = {OURS: [], PEER: []}
    for name in (OURS, PEER, OURS):
        sides = _sides(bench, result, shape)
        _take_turns(bench, result, sides, [name] * (shape.our_steps if name == OURS else shape.peer_steps))
        if name in sides:
            runs[name].append(sides[name].seconds)
            result.notes.setdefault("peak memory, bytes", {})[name] = sides[name].peak_bytes
    result.measurements.append(
        Measurement(
            f"a run of {shape.our_steps} steps",
            [sum(run) for run in runs[OURS]],
            prediction_s=shape.our_steps * bench.cost.step_seconds(bench.size.geometry(shape)),
            peer=[sum(run) * shape.our_steps / shape.peer_steps for run in runs[PEER]],
        )
    )
    _record(bench, result, shape, {name: [s for run in every for s in run] for name, every in runs.items()})
    _profile(bench, result, shape)


def in_turns(mine: int, theirs: int) -> list[str]:
    """So many steps of each, spread evenly over the whole."""
    places = [((index + 0.5) / mine, OURS) for index in range(mine)]
    places += [((index + 0.5) / theirs, PEER) for index in range(theirs)]
    return [name for _, name in sorted(places)]


def _request(bench: Bench, shape: Shape, prompts: Prompts) -> EncodedRequest:
    return ours.encoded_request(bench.size.config, shape, bench.texts(prompts), bench.device)


def _sides(bench: Bench, result: ItemResult, shape: Shape) -> dict[str, Side]:
    """Both implementations at the start of the same request; ours alone where diffusers does not work."""
    prompts = bench.prompts(bench.size.text_tokens)
    task = bench.denoiser.start(_request(bench, shape, prompts))
    sides = {OURS: Side(lambda: bench.denoiser.step(task))}
    try:
        peer, peer_task = bench.peer, bench.peer.start(shape, prompts)
        sides[PEER] = Side(lambda: peer.step(peer_task))
    except Exception as error:
        result.omitted[PEER] = f"{type(error).__name__}: {error}"
    return sides


def _take_turns(bench: Bench, result: ItemResult, sides: dict[str, Side], order: Iterable[str]) -> None:
    """Make the steps in this order; diffusers drops out when it fails."""
    for name in order:
        try:
            if name in sides:
                sides[name].run(bench)
        except Exception as error:
            if name == OURS:
                raise
            result.omitted[PEER] = f"{type(error).__name__}: {error}"
            del sides[PEER]


def _new_text_length(bench: Bench, result: ItemResult, shape: Shape) -> None:
    """The first and the second prefill and step with texts of lengths that no item before has had."""
    prompts = bench.prompts(bench.size.new_text_tokens)
    prefills = [seconds_of(bench, lambda: bench.texts(prompts)) for _ in range(2)]
    task = bench.denoiser.start(_request(bench, shape, prompts))
    steps = [seconds_of(bench, lambda: bench.denoiser.step(task)) for _ in range(2)]
    result.notes["new text length, first and second, s"] = {"prefill": prefills, "step": steps}


def _record(bench: Bench, result: ItemResult, shape: Shape, seconds: dict[str, list[float]]) -> None:
    """One measurement of a step, next to what the cost model and NVIDIA say of a request."""
    if not seconds[OURS]:
        return
    geometry = bench.size.geometry(shape)
    step = Measurement(
        "a step with both guidance branches",
        seconds[OURS],
        prediction_s=bench.cost.step_seconds(geometry),
        flops=step_flops(bench.size.config, geometry),
        peer=seconds.get(PEER, []),
    )
    result.measurements.append(step)
    published = shape.published and published_seconds(CHECKPOINT, bench.hardware.name, shape.published, 1)
    result.notes |= {
        "tokens": geometry.tokens,
        "all steps of a request, s": step.median_s * shape.schedule_steps,
        "predicted request with decoding, s": bench.cost.request_seconds(geometry, shape.schedule_steps, shape.pixels),
        "published request of vLLM-Omni with decoding, s": published,
    }


def _profile(bench: Bench, result: ItemResult, shape: Shape) -> None:
    """The largest kernels of our second step, and how long the device works in it."""
    if result.id not in PROFILED:
        return
    task = bench.denoiser.start(_request(bench, shape, bench.prompts(bench.size.text_tokens)))
    bench.denoiser.step(task)
    kernels = kernels_of(bench, lambda: bench.denoiser.step(task))
    result.kernels["our step"] = kernels[:LARGEST]
    result.notes["profiled step"] = {
        "kernels": sum(kernel.count for kernel in kernels),
        "device, s": sum(kernel.seconds for kernel in kernels),
    }
