"""What happens in a run of chaos, drawn from a seed before it begins: each client's jobs, and who is killed when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

Fate = Literal["poll", "stream", "image", "twice", "cancel", "disconnect"]
Victim = Literal["Ingress", "Jobs", "Encoder", "leader", "rank", "Decoder"]
VICTIMS: tuple[Victim, ...] = get_args(Victim)

SIDES = range(64, 129, 16)
MOST_KILLS = 200


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        clients: how many there are.
        fates: jobs of each kind. Each client has as many of all of them as there will be kills.
        pauses_s: the shortest and the longest time between kills.
        leads_s: each client begins a job so many seconds before each kill, or after it if negative. So every kill meets
            many jobs on a fast machine too, and those that begin while a process is replaced meet the bound.
    """

    clients: int
    fates: dict[Fate, int]
    pauses_s: tuple[float, float]
    leads_s: tuple[float, float]


# Every kind of process is killed once, each time under a job of each client.
SHORT = Size(
    clients=12,
    fates={"poll": 26, "stream": 10, "image": 14, "twice": 8, "cancel": 8, "disconnect": 6},
    pauses_s=(18.0, 26.0),
    leads_s=(-2.0, 3.0),
)
LONG = Size(
    clients=20,
    fates={"poll": 70, "stream": 30, "image": 40, "twice": 20, "cancel": 25, "disconnect": 15},
    pauses_s=(20.0, 40.0),
    leads_s=(0.0, 3.0),
)


@dataclass(frozen=True)
class Plan:
    """A job: what it makes, and what its client does about it, after some seconds where that is to go away.

    It begins no earlier than `begins_s` after the run, and when its client is done with the one before.
    """

    name: str
    fate: Fate
    begins_s: float
    width: int
    height: int
    steps: int
    frames: int
    seed: int
    patience_s: float


@dataclass(frozen=True)
class Kill:
    """A kill, seconds after the one before it; `choice` in [0, 1) picks among several processes of that kind."""

    pause_s: float
    victim: Victim
    choice: float


@dataclass(frozen=True)
class Schedule:
    """A run: the jobs of each client in their order, and more kills than there will be time for."""

    clients: tuple[tuple[Plan, ...], ...]
    kills: tuple[Kill, ...]


def draw(seed: int, size: Size) -> Schedule:
    """The schedule of a seed, the same on every machine."""
    chance = random.Random(seed)
    kills: list[Kill] = []
    while len(kills) < MOST_KILLS:
        # Each kind once, in a new order each time: a short run kills all of them.
        for victim in chance.sample(VICTIMS, len(VICTIMS)):
            kills.append(Kill(chance.uniform(*size.pauses_s), victim, chance.random()))
    times = list(accumulate(kill.pause_s for kill in kills))
    fates = [fate for fate, count in size.fates.items() for _ in range(count)]
    chance.shuffle(fates)
    plans = [
        Plan(
            name=f"chaos-{seed}-{number}",
            fate=fate,
            begins_s=times[number // size.clients] - chance.uniform(*size.leads_s),
            width=chance.choice(SIDES),
            height=chance.choice(SIDES),
            steps=chance.randint(1, 4),
            frames=chance.choice((5, 9)),
            seed=number,
            patience_s=chance.uniform(0.1, 2.0),
        )
        for number, fate in enumerate(fates)
    ]
    return Schedule(tuple(tuple(plans[client :: size.clients]) for client in range(size.clients)), tuple(kills))
