"""Plans: gangs, cards and memory for an objective; what does not fit is refused with the arithmetic."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from cosmos3_core.catalog import CATALOG
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.guidance import BranchOwners
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.planning.hardware import HARDWARE
from cosmos3_core.planning.memory import weight_bytes
from cosmos3_core.planning.placement import GENERATOR, Card
from cosmos3_core.planning.plan import (
    Objective,
    Plan,
    PlanError,
    codec_activations,
    plan,
    plan_for,
    rank_memory,
    step_shape,
    workloads_of,
)
from cosmos3_core.sampling.guidance import Guidance

NANO, SUPER, EDGE = (CATALOG[f"nvidia/Cosmos3-{name}"] for name in ("Nano", "Super", "Edge"))
CARDS = [name for name in HARDWARE if name != "cpu"]
H100 = HARDWARE["h100-80gb"]


def stages(card: Card) -> list[str]:
    return sorted(share.stage for share in card.shares)


def counted(found: Plan) -> Counter[str]:
    return Counter(share.stage for card in found.cards for share in card.shares)


# The objectives


def test_latency_is_one_gang_over_the_whole_node() -> None:
    found = plan_for("nvidia/Cosmos3-Nano", "h100-80gb", 8, "latency")
    assert (found.gangs, found.degrees) == (1, Degrees(cfg=2, ulysses=4))
    assert stages(found.cards[0]) == ["Decoder", "Encoder", GENERATOR, "Reasoner"]
    assert all(stages(card) == [GENERATOR] for card in found.cards[1:])


def test_throughput_is_as_many_smallest_gangs_as_fit() -> None:
    found = plan_for("nvidia/Cosmos3-Nano", "h100-80gb", 8, "throughput")
    assert (found.gangs, found.degrees) == (8, Degrees())


def test_a_gang_makes_a_video_sooner_and_fewer_of_them() -> None:
    """Eight gangs of one make 1.4 times (720p) to 4 times (256p) as many videos as one gang of eight (survey B.3)."""
    soon, many = (
        plan_for("nvidia/Cosmos3-Nano", "h200-141gb", 8, objective) for objective in ("latency", "throughput")
    )
    for one, eight in list(zip(soon.forecasts, many.forecasts, strict=True))[1:]:
        assert one.seconds < eight.seconds
        assert 1.2 < eight.per_hour / one.per_hour < 5


def test_a_plan_says_what_a_gang_does_to_small_shapes() -> None:
    found = plan_for("nvidia/Cosmos3-Nano", "h200-141gb", 8, "latency")
    image = found.forecasts[0]
    assert image.seconds >= image.alone
    assert any(note.startswith("Small shapes lose by sharding: t2i 480p takes") for note in found.notes)
    assert not any("sharding" in note for note in plan(NANO, H100, 8, "throughput").notes)


def test_guidance_is_the_first_axis() -> None:
    assert plan(NANO, H100, 2, "latency").degrees == Degrees(cfg=2)
    assert plan(NANO, H100, 3, "latency").degrees == Degrees(cfg=2)
    assert plan(NANO, H100, 4, "latency").degrees == Degrees(cfg=2, ulysses=2)


def test_tensor_parallelism_only_where_the_weights_do_not_fit() -> None:
    for gpu in CARDS:
        for objective in ("latency", "throughput"):
            assert plan_for("nvidia/Cosmos3-Super", gpu, 8, objective).degrees.tp == 1
    small = replace(H100, memory_bytes=70_000_000_000)
    assert rank_memory(SUPER, Degrees()).total > small.memory_bytes
    assert plan(SUPER, small, 8, "throughput").degrees == Degrees(tp=2)
    assert plan(SUPER, small, 8, "latency").degrees == Degrees(tp=2, cfg=2)


def test_a_gang_stays_within_a_node() -> None:
    found = plan_for("nvidia/Cosmos3-Super", "b300", 16, "latency")
    assert (found.gangs, found.degrees.world_size) == (2, 8)


def test_an_idle_card_goes_to_the_reasoner() -> None:
    found = plan_for("nvidia/Cosmos3-Super", "h100-80gb", 8, "latency")
    assert counted(found) == {GENERATOR: 4, "Encoder": 1, "Decoder": 1, "Reasoner": 2}


def test_edge_is_planned_for_what_it_was_trained_for() -> None:
    found = plan(EDGE, H100, 1, "latency")
    assert [forecast.workload.name for forecast in found.forecasts] == ["t2i 480p", "t2v 256p", "t2v 480p"]
    assert all(forecast.published is None for forecast in found.forecasts)


def test_published_seconds_stand_beside_the_estimates() -> None:
    found = plan_for("nvidia/Cosmos3-Nano", "b200-180gb", 8, "latency")
    assert [forecast.published for forecast in found.forecasts] == [7.58, 3.49, 10.09, 22.87]
    assert [forecast.published_alone for forecast in found.forecasts] == [1.20, 4.03, 32.04, 107.84]


# Checkpoints for one task


def test_each_is_planned_for_its_task() -> None:
    names = {
        "Super-Text2Image": ["t2i 480p", "t2i 768p"],
        "Super-Text2Image-4Step": ["t2i 768p"],
        "Super-Image2Video": ["i2v 256p", "i2v 480p", "i2v 720p"],
        "Super-Image2Video-4Step": ["i2v 480p"],
        "Nano-Policy-DROID": ["policy 480p"],
        "Edge-Policy-DROID": ["policy 480p"],
    }
    for name, workloads in names.items():
        entry = CATALOG[f"nvidia/Cosmos3-{name}"]
        assert [workload.name for workload in workloads_of(entry)] == workloads
        assert all(forecast.published is None for forecast in plan(entry, HARDWARE["b300"], 1, "latency").forecasts)


def test_what_cannot_chat_is_planned_without_a_reasoner() -> None:
    for name in ("Super-Text2Image", "Super-Image2Video-4Step"):
        assert counted(plan_for(f"nvidia/Cosmos3-{name}", "h100-80gb", 2, "latency")) == {
            GENERATOR: 1,
            "Encoder": 1,
            "Decoder": 1,
        }


def test_a_distilled_checkpoint_takes_four_steps_of_one_branch() -> None:
    whole, distilled = (CATALOG[f"nvidia/Cosmos3-Super-Image2Video{suffix}"] for suffix in ("", "-4Step"))
    many, few = (
        next(forecast for forecast in plan(entry, H100, 2, "latency").forecasts if forecast.workload.tier == "480")
        for entry in (whole, distilled)
    )
    assert few.workload.steps == 4
    assert len(step_shape(distilled, few.workload).text_tokens) == 1
    assert few.seconds < many.seconds / 10
    # There is nothing for guidance parallelism to share.
    assert plan(distilled, HARDWARE["h200-141gb"], 4, "latency").degrees == Degrees(ulysses=4)


def test_images_need_less_of_a_decoder_than_videos() -> None:
    images, videos = (CATALOG[f"nvidia/Cosmos3-Super-{name}"] for name in ("Text2Image", "Image2Video"))
    assert codec_activations(images)[1] < codec_activations(videos)[1] / 3


def test_a_plan_says_who_computes_which_branch_of_transfer() -> None:
    """Branch i goes to the ranks with coordinate i mod cfg, as `parallel.guidance.BranchOwners` has it."""
    note = next(note for note in plan(NANO, H100, 8, "latency").notes if note.startswith("Transfer"))
    assert "ranks 1 to 4 compute the conditional and the uncontrolled one; ranks 5 to 8 compute the uncond" in note
    branches = Guidance(3.0, control_scale=1.5).branches
    for rank in (0, 7):
        owners = BranchOwners(Mesh(Degrees(cfg=2, ulysses=4), rank))
        own = [branch.value for index, branch in enumerate(branches) if owners.owns(index)]
        assert own == (["conditional", "uncontrolled"] if rank == 0 else ["unconditional"])
    assert not any("Transfer" in note for note in plan(NANO, H100, 8, "throughput").notes)
    policy = CATALOG["nvidia/Cosmos3-Nano-Policy-DROID"]
    assert not any("Transfer" in note for note in plan(policy, H100, 8, "latency").notes)


# Memory


@pytest.mark.parametrize("gpu", CARDS)
@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_no_plan_is_larger_than_its_cards(gpu: str, name: str, objective: Objective) -> None:
    for gpus in range(1, 13):
        try:
            found = plan_for(name, gpu, gpus, objective)
        except PlanError:
            assert "Super" in name and gpus < 4
            continue
        assert len(found.cards) == gpus
        ranks = [share for card in found.cards for share in card.shares if share.stage == GENERATOR]
        assert len(ranks) == found.gangs * found.degrees.world_size
        assert len({(share.gang, share.rank) for share in ranks}) == len(ranks)
        assert counted(found)["Encoder"] == counted(found)["Decoder"] == 1
        for card in found.cards:
            assert card.used_fraction <= 1
            assert card.used_bytes <= HARDWARE[gpu].memory_bytes
            assert stages(card).count(GENERATOR) <= 1


def test_a_rank_has_the_weights_of_the_real_tower() -> None:
    for degrees in (Degrees(), Degrees(tp=2), Degrees(cfg=2, ulysses=4)):
        assert rank_memory(SUPER, degrees).weights == weight_bytes(SUPER.config, degrees, 0, 2)


# Refusals


def test_what_does_not_fit_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(PlanError) as caught:
        plan_for("nvidia/Cosmos3-Super", "h200-141gb", 2, "latency")
    text = str(caught.value)
    assert "does not fit 2 x h200-141gb of 141 GB" in text
    assert "a Generator's rank: 62.6 weights + 1.1 keys and values + 4.8 tasks + 9.1 activations + 0.5 context" in text
    assert "the Encoder: 63.3 weights + 3.6 activations + 0.5 context = 67.5 GB" in text
    assert text.endswith("3 such cards would do, without a Reasoner 2")
    assert plan_for("nvidia/Cosmos3-Super", "h200-141gb", 3, "latency").gangs == 1
    assert counted(plan_for("nvidia/Cosmos3-Super", "h200-141gb", 2, "latency", reasoner=False))["Reasoner"] == 0


def test_a_card_that_is_too_small_in_any_number_is_said_to_be() -> None:
    tiny = replace(H100, name="small-16gb", memory_bytes=16_000_000_000)
    with pytest.raises(PlanError, match="no number of such cards would do"):
        plan(NANO, tiny, 8, "latency")


@pytest.mark.parametrize(
    ("checkpoint", "gpu", "gpus", "objective", "message"),
    [
        ("nvidia/Cosmos3", "h100-80gb", 1, "latency", "checkpoint is 'nvidia/Cosmos3'; plans are made for nvidia/"),
        ("nvidia/Cosmos3-Nano", "h100", 1, "latency", "gpu is 'h100'; expected one of h100-80gb, "),
        ("nvidia/Cosmos3-Nano", "cpu", 1, "latency", "gpu is 'cpu'"),
        ("nvidia/Cosmos3-Nano", "h100-80gb", 0, "latency", "gpus is 0; expected 1 to "),
        ("nvidia/Cosmos3-Nano", "h100-80gb", 1, "speed", "objective is 'speed'; expected latency or throughput"),
    ],
)
def test_wrong_input_is_refused_with_what_would_be_right(
    checkpoint: str, gpu: str, gpus: int, objective: str, message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        plan_for(checkpoint, gpu, gpus, objective)
