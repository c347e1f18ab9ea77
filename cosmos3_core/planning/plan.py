"""Plan a deployment for a checkpoint, a kind of card, their number and an objective: gangs, cards, memory, seconds.

Larger gangs give lower latency and need less memory a rank; the most gangs of the smallest size give the highest
throughput. A gang is split by guidance first, then by sequence up to the number of K/V heads, and by tensor only where
the weights do not fit otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from cosmos3_core.catalog import (
    ALL_MODES,
    CATALOG,
    SOUND_DECODER_PARAMETERS,
    VIDEO_DECODER_PARAMETERS,
    VIDEO_ENCODER_PARAMETERS,
    CatalogEntry,
)
from cosmos3_core.errors import CosmosError
from cosmos3_core.modes import Mode
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.hardware import CPU, HARDWARE, Hardware
from cosmos3_core.planning.memory import (
    BF16_BYTES,
    FP32_BYTES,
    StepShape,
    activation_bytes,
    reasoner_bytes,
    task_bytes,
    understanding_bytes,
    weight_bytes,
)
from cosmos3_core.planning.placement import Card, Demand, Memory, place
from cosmos3_core.planning.published import OTHER_WORKLOADS, WORKLOADS, Workload, published_seconds
from cosmos3_core.sampling.guidance import Guidance

Objective = Literal["latency", "throughput"]
# A gang stays within a node.
GPUS_PER_NODE = 8
# A larger number is a typing error.
MAX_GPUS = 1024
TEXT_TOKENS = 1000

# Bytes. Contexts, the buffers of a gang and vLLM's activations are estimates. The activations of the codecs are peaks
# of live tensors at 1280x720 and 189 frames, or one, traced on the meta device, and grow with the frame's pixels.
CONTEXT, GANG_BUFFERS = 500_000_000, 500_000_000
ENCODING, DECODING, VLLM_ACTIVATIONS = 3_640_000_000, 9_940_000_000, 3_000_000_000
ENCODING_IMAGE, DECODING_IMAGE = 900_000_000, 2_680_000_000
RANK_KEY_VALUES = 1024**3
# One more than runs at a time, so that a small task can overtake a large one. Presets cut texts at this length.
RESIDENT_TASKS, LONGEST_TEXT = 2, 4096
# The shortest useful context of a chat. The Reasoner may also use what is left of its card.
REASONER_TOKENS = 8192
REASONER = "Reasoner"
ORIGIN = (
    "Estimates are formulas fitted to the seconds that NVIDIA published for vLLM-Omni, with 1,000 tokens of text "
    "assumed and guidance at every step; this project has not measured them yet."
)


class PlanError(CosmosError, ValueError):
    """A plan that cannot be made as asked; the message has the arithmetic."""


@dataclass(frozen=True)
class Forecast:
    """Estimated seconds of a workload, with the published ones where there are any.

    Attributes:
        workload: the kind of request.
        seconds: estimate from prompt to frames on a gang of the plan.
        published: the published seconds on as many cards.
        alone: the estimate on one card.
        published_alone: the published seconds on one card.
        per_hour: requests that all gangs complete in an hour.
    """

    workload: Workload
    seconds: float
    published: float | None
    alone: float
    published_alone: float | None
    per_hour: float


@dataclass(frozen=True)
class Plan:
    """Which cards the stages get.

    Attributes:
        entry, hardware, objective: what was asked for.
        degrees: each gang's degrees.
        gangs: number of gangs.
        cards: every card with the stages on it.
        forecasts: one for each workload that the checkpoint was trained for.
        notes: sentences that explain the numbers.
    """

    entry: CatalogEntry
    hardware: Hardware
    objective: Objective
    degrees: Degrees
    gangs: int
    cards: tuple[Card, ...]
    forecasts: tuple[Forecast, ...]
    notes: tuple[str, ...]


def plan_for(checkpoint: str, gpu: str, gpus: int, objective: str, reasoner: bool = True) -> Plan:
    """A plan by names, such as `nvidia/Cosmos3-Nano` on 8 `h100-80gb` for `latency`.

    Raises:
        PlanError: an unknown name, no card, or stages that do not fit.
    """
    cards = [name for name in HARDWARE if name != CPU.name]
    if checkpoint not in CATALOG:
        raise PlanError(f"checkpoint is {checkpoint!r}; plans are made for {', '.join(CATALOG)}")
    if gpu not in cards:
        raise PlanError(f"gpu is {gpu!r}; expected one of {', '.join(cards)}")
    if not 1 <= gpus <= MAX_GPUS:
        raise PlanError(f"gpus is {gpus}; expected 1 to {MAX_GPUS}")
    for known in get_args(Objective):
        if objective == known:
            return plan(CATALOG[checkpoint], HARDWARE[gpu], gpus, known, reasoner)
    raise PlanError(f"objective is {objective!r}; expected {' or '.join(get_args(Objective))}")


def plan(entry: CatalogEntry, hardware: Hardware, gpus: int, objective: Objective, reasoner: bool = True) -> Plan:
    """The best plan for an objective.

    Args:
        entry: the checkpoint.
        hardware: the kind of all cards.
        gpus: number of cards.
        objective: `latency` makes the largest video soonest, `throughput` makes the most of them.
        reasoner: whether the plan has a Reasoner, where the checkpoint can chat.

    Raises:
        PlanError: the stages do not fit.
    """
    reasoner = reasoner and entry.chats
    found = _search(entry, hardware, gpus, objective, reasoner)
    if found is None:
        raise PlanError(_refusal(entry, hardware, gpus, objective, reasoner))
    degrees, gangs, cards = found
    forecasts = tuple(_forecasts(entry, hardware, degrees, gangs, _shared(cards)))
    notes = (
        *_notes_on_gangs(degrees, forecasts),
        *_notes_on_branches(entry, degrees),
        *_notes_on_cards(entry, hardware, cards),
        ORIGIN,
    )
    return Plan(entry, hardware, objective, degrees, gangs, tuple(cards), forecasts, notes)


def _search(
    entry: CatalogEntry, hardware: Hardware, gpus: int, objective: Objective, reasoner: bool
) -> tuple[Degrees, int, list[Card]] | None:
    """The first gang in the objective's order that can be placed, and the largest number of such gangs that can."""
    candidates = list(_candidates(entry, hardware, min(gpus, GPUS_PER_NODE)))
    if objective == "latency":
        largest = largest_request(entry)
        candidates.sort(key=lambda degrees: _request_seconds(entry, hardware, degrees, largest))
    for degrees in candidates:
        rank = rank_memory(entry, degrees)
        for gangs in range(gpus // degrees.world_size, 0, -1):
            placed = [
                cards
                for others in _other_stages(entry, reasoner)
                if (cards := place(gangs, degrees.world_size, rank, others, gpus, hardware.memory_bytes))
            ]
            if placed:
                # The Reasoner gets a card that nothing else needs.
                return degrees, gangs, min(placed, key=lambda cards: (_shared(cards), _idle(cards)))
    return None


def _shared(cards: Sequence[Card]) -> bool:
    """Whether other stages share cards with ranks."""
    return any(len(card.shares) > 1 and card.shares[0].rank is not None for card in cards)


def _idle(cards: Sequence[Card]) -> int:
    return sum(not card.shares for card in cards)


def _candidates(entry: CatalogEntry, hardware: Hardware, gpus: int) -> Iterator[Degrees]:
    """Gangs of at most `gpus` ranks, smallest first, each with as little tensor parallelism as makes a rank fit."""
    heads, branches = entry.config.num_key_value_heads, _branches(entry)
    for cfg, ulysses in sorted({(1, 1), *((branches, ulysses) for ulysses in range(1, heads + 1))}):
        for tp in range(1, heads // ulysses + 1):
            degrees = Degrees(tp=tp, cfg=cfg, ulysses=ulysses)
            if degrees.world_size <= gpus and rank_memory(entry, degrees).total <= hardware.memory_bytes:
                yield degrees
                break


# Memory


def workloads_of(entry: CatalogEntry) -> tuple[Workload, ...]:
    """The workloads that a checkpoint was trained for, those that something was published about first."""
    made = {mode.row.output for mode in entry.modes}
    kinds = WORKLOADS if entry.modes == ALL_MODES else (*WORKLOADS, *OTHER_WORKLOADS)
    fitting = (kind for kind in kinds if kind.output in made and kind.tier in entry.tiers)
    return tuple(_as_made_by(entry, kind) for kind in fitting)


def _as_made_by(entry: CatalogEntry, kind: Workload) -> Workload:
    steps = kind.steps if entry.levels is None else len(entry.levels)
    name = kind.name if Mode.TEXT_TO_VIDEO in entry.modes else kind.name.replace("t2v", "i2v")
    return replace(kind, name=name, steps=steps)


def largest_request(entry: CatalogEntry) -> Workload:
    """The largest workload that a checkpoint was trained for."""
    return max(workloads_of(entry), key=lambda workload: workload.pixels)


def _branches(entry: CatalogEntry) -> int:
    """Guidance branches of a step: a distilled checkpoint has one."""
    return 2 if entry.levels is None else 1


def step_shape(entry: CatalogEntry, workload: Workload, text_tokens: int = TEXT_TOKENS) -> StepShape:
    """Shape of a workload's step, with 1,000 tokens of text in each guidance branch (survey B.3)."""
    tokens = workload.layout(entry.config).tokens(entry.config.latent_patch_size)
    return StepShape(tokens, (text_tokens,) * _branches(entry))


def rank_memory(entry: CatalogEntry, degrees: Degrees) -> Memory:
    """Memory of a rank: its part of the tower, kept prompts, tasks of the largest request, the peak of its step."""
    config, largest = entry.config, largest_request(entry)
    layout, step = largest.layout(config), step_shape(entry, largest)
    latents = config.latent_channel * layout.frames * layout.height * layout.width
    longest = step_shape(entry, largest, LONGEST_TEXT)
    return Memory(
        weights=max(weight_bytes(config, degrees, rank, BF16_BYTES) for rank in range(degrees.world_size)),
        key_values=RANK_KEY_VALUES,
        tasks=RESIDENT_TASKS * task_bytes(config, latents, longest, degrees, BF16_BYTES),
        activations=activation_bytes(config, step, degrees, BF16_BYTES),
        context=CONTEXT + (GANG_BUFFERS if degrees.world_size > 1 else 0),
    )


def _other_stages(entry: CatalogEntry, reasoner: bool) -> Iterator[list[Demand]]:
    """Encoder, Decoder and Reasoner, the Reasoner on 1, 2, 4 and 8 cards."""
    encoding, decoding = codec_activations(entry)
    sound = SOUND_DECODER_PARAMETERS * FP32_BYTES if entry.sound else 0
    encoder = understanding_bytes(entry.config, BF16_BYTES) + VIDEO_ENCODER_PARAMETERS * BF16_BYTES
    decoder = VIDEO_DECODER_PARAMETERS * BF16_BYTES + sound
    stages = [
        Demand("Encoder", Memory(weights=encoder, activations=encoding, context=CONTEXT)),
        Demand("Decoder", Memory(weights=decoder, activations=decoding, context=CONTEXT)),
    ]
    for cards in (1, 2, 4, 8) if reasoner else ():
        yield [*stages, Demand(REASONER, reasoner_memory(entry, cards), cards)]
    if not reasoner:
        yield stages


def codec_activations(entry: CatalogEntry) -> tuple[int, int]:
    """Bytes of the temporary tensors of encoding and of decoding the largest request."""
    largest = largest_request(entry)
    encoding, decoding = (ENCODING, DECODING) if largest.frames > 1 else (ENCODING_IMAGE, DECODING_IMAGE)
    frame = largest.canvas.width * largest.canvas.height / (1280 * 720)
    return round(encoding * frame), round(decoding * frame)


def reasoner_memory(entry: CatalogEntry, cards: int) -> Memory:
    """Memory that vLLM takes of each of its cards, with its own ViT; the cards divide weights, keys and values."""
    weights = reasoner_bytes(entry.config, entry.vision_parameters, BF16_BYTES)
    key_values = entry.config.key_value_bytes(REASONER_TOKENS, BF16_BYTES)
    return Memory(
        weights=weights // cards, activations=VLLM_ACTIVATIONS, context=CONTEXT, key_values=key_values // cards
    )


# Seconds


def _request_seconds(entry: CatalogEntry, hardware: Hardware, degrees: Degrees, workload: Workload) -> float:
    model = CostModel(entry.config, hardware, degrees)
    return model.request_seconds(step_shape(entry, workload), workload.steps, workload.pixels)


def _forecasts(
    entry: CatalogEntry, hardware: Hardware, degrees: Degrees, gangs: int, shared: bool
) -> Iterator[Forecast]:
    model = CostModel(entry.config, hardware, degrees)
    for workload in workloads_of(entry):
        seconds = _request_seconds(entry, hardware, degrees, workload)
        # A gang that shares its cards waits while they encode and decode.
        busy = seconds if shared else workload.steps * model.step_seconds(step_shape(entry, workload))
        yield Forecast(
            workload=workload,
            seconds=seconds,
            published=published_seconds(entry.id, hardware.name, workload, degrees.world_size),
            alone=_request_seconds(entry, hardware, Degrees(), workload),
            published_alone=published_seconds(entry.id, hardware.name, workload, 1),
            per_hour=3600 * gangs / busy,
        )


# Sentences


def _notes_on_gangs(degrees: Degrees, forecasts: Sequence[Forecast]) -> Iterator[str]:
    image, largest, size = forecasts[0], forecasts[-1], degrees.world_size
    if size > 1 and image.seconds >= image.alone:
        yield (
            f"Small shapes lose by sharding: {image.workload.name} takes {image.seconds:.1f} s on this gang and "
            f"{image.alone:.1f} s on one card. Where they matter, plan for throughput."
        )
    elif size > 1 and image is not largest:
        yield (
            f"Small shapes gain less by sharding: {image.workload.name} is {image.alone / image.seconds:.1f} times as "
            f"fast on {size} cards as on one, {largest.workload.name} {largest.alone / largest.seconds:.1f} times."
        )


def _notes_on_branches(entry: CatalogEntry, degrees: Degrees) -> Iterator[str]:
    """Who computes what, where a step has more branches than a gang has shares for (spec 9.4)."""
    if degrees.cfg == 1 or Mode.TRANSFER not in entry.modes:
        return
    branches = Guidance(3.0, control_scale=1.5).branches
    shares = [branches[first :: degrees.cfg] for first in range(degrees.cfg)]
    ranks = [
        [rank + 1 for rank in range(degrees.world_size) if degrees.coordinates(rank).cfg == share]
        for share in range(degrees.cfg)
    ]
    parts = "; ".join(
        f"{_numbered(own)} the {' and the '.join(share)} one" for own, share in zip(ranks, shares, strict=True)
    )
    yield (
        f"Transfer with control guidance has {len(branches)} branches a step (uncontrolled: the prompt without the "
        f"controls). Of each gang, {parts}. Such a step takes as long as two branches, and a step of a request with "
        "only one kind of guidance as long as one."
    )


def _numbered(ranks: Sequence[int]) -> str:
    return f"rank {ranks[0]} computes" if len(ranks) == 1 else f"ranks {ranks[0]} to {ranks[-1]} compute"


def _notes_on_cards(entry: CatalogEntry, hardware: Hardware, cards: Sequence[Card]) -> Iterator[str]:
    chatting = [card for card in cards if any(share.stage == REASONER for share in card.shares)]
    if _shared(cards):
        yield (
            "Other stages share cards with ranks, and a gang waits while they work"
            + (": where chat is busy, give the Reasoner a card of its own." if chatting else ".")
        )
    if chatting:
        left = sum(hardware.memory_bytes - card.used_bytes for card in chatting)
        more = REASONER_TOKENS + left // entry.config.key_value_bytes(1, BF16_BYTES)
        yield (
            f"The Reasoner has keys and values for {REASONER_TOKENS:,} tokens; with what is left of its cards it may "
            f"have {more:,}."
        )
    if idle := _idle(cards):
        yield f"Nothing is on {idle} of {len(cards)} cards: another gang does not fit them."


def _refusal(entry: CatalogEntry, hardware: Hardware, gpus: int, objective: Objective, reasoner: bool) -> str:
    """Why nothing fits, and what would."""
    stages = {"a Generator's rank": rank_memory(entry, Degrees())}
    stages |= {f"the {demand.stage}": demand.memory for demand in next(_other_stages(entry, reasoner))}
    needs = "; ".join(f"{name}: {memory}" for name, memory in stages.items())
    enough = _enough(entry, hardware, gpus, objective, reasoner)
    ways = [f"{enough} such cards would do" if enough else "no number of such cards would do"]
    if reasoner and (without := _enough(entry, hardware, gpus - 1, objective, False)):
        ways.append(f"without a Reasoner {without}")
    card = f"{hardware.memory_bytes / 1e9:.0f} GB"
    return f"{entry.id} does not fit {gpus} x {hardware.name} of {card}: {needs}; {', '.join(ways)}"


def _enough(entry: CatalogEntry, hardware: Hardware, fewer: int, objective: Objective, reasoner: bool) -> int | None:
    """The smallest number of cards above `fewer` that a plan exists for, within two nodes."""
    counts = range(fewer + 1, 2 * GPUS_PER_NODE + 1)
    return next((gpus for gpus in counts if _search(entry, hardware, gpus, objective, reasoner)), None)
