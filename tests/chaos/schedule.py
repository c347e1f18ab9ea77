"""What happens in a run of chaos, drawn from a seed before it begins: each client's jobs, and who is killed when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

Fate = Literal["poll", "stream", "image", "twice", "cancel", "disconnect"]
Victim = Literal["Ingress", "Jobs", "Encoder", "leader", "rank", "Decoder"]
VICTIMS: tuple[Victim, ...] = get_args(Victim)

CLIENTS = 20
FATES: dict[Fate, int] = {"poll": 70, "stream": 30, "image": 40, "twice": 20, "cancel": 25, "disconnect": 15}
SIDES = range(64, 129, 16)
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 20.0, 40.0
MOST_KILLS = 200
# Each client begins a job shortly before each kill: on a fast machine, too, every kill meets many of them.
LONGEST_LEAD_S = 3.0


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


def draw(seed: int) -> Schedule:
    """The schedule of a seed, the same on every machine."""
    chance = random.Random(seed)
    kills: list[Kill] = []
    while len(kills) < MOST_KILLS:
        # Each kind once, in a new order each time: a short run kills all of them.
        for victim in chance.sample(VICTIMS, len(VICTIMS)):
            kills.append(Kill(chance.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S), victim, chance.random()))
    times = list(accumulate(kill.pause_s for kill in kills))
    fates = [fate for fate, count in FATES.items() for _ in range(count)]
    chance.shuffle(fates)
    plans = [
        Plan(
            name=f"chaos-{seed}-{number}",
            fate=fate,
            begins_s=times[number // CLIENTS] - chance.uniform(0.0, LONGEST_LEAD_S),
            width=chance.choice(SIDES),
            height=chance.choice(SIDES),
            steps=chance.randint(1, 4),
            frames=chance.choice((5, 9)),
            seed=number,
            patience_s=chance.uniform(0.1, 2.0),
        )
        for number, fate in enumerate(fates)
    ]
    return Schedule(tuple(tuple(plans[client::CLIENTS]) for client in range(CLIENTS)), tuple(kills))
