"""The robot embodiments: domain ids and action widths (spec 8.1), and the viewpoint sentences (spec 8.6)."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.errors import RequestError


@dataclass(frozen=True)
class Embodiment:
    """One action space.

    Attributes:
        domain: index of the embodiment's projection matrices.
        width: number of meaningful action channels; None where it depends on the dataset.
    """

    domain: int
    width: int | None


EMBODIMENTS: dict[str, Embodiment] = {
    "no_action": Embodiment(0, None),
    "av": Embodiment(1, 9),
    "camera_pose": Embodiment(2, 9),
    "hand_pose": Embodiment(3, 57),
    "pusht": Embodiment(4, 2),
    "libero": Embodiment(5, None),
    "umi": Embodiment(6, 10),
    "bridge_orig_lerobot": Embodiment(7, 10),
    "droid_lerobot": Embodiment(8, 10),
    "robomind-franka": Embodiment(8, 10),
    "embodiment_b": Embodiment(9, 30),
    "galbot": Embodiment(9, 30),
    "robomind-franka-dual": Embodiment(12, 20),
    "robomind-ur": Embodiment(13, 10),
    "agibotworld": Embodiment(15, 29),
    "embodiment_c_gripper": Embodiment(15, 29),
    "embodiment_c_gripper_ext": Embodiment(15, 29),
    "agibot_gear_gripper": Embodiment(15, 29),
    "agibot_gear_gripper_ext": Embodiment(15, 29),
    "xdof_yam": Embodiment(16, 20),
    "molmoact2_yam": Embodiment(16, 20),
    "abc_yam": Embodiment(16, 20),
    "robotwin": Embodiment(17, 14),
    "fractal": Embodiment(20, 10),
    "drawanything": Embodiment(21, 3),
    "behavior1k_lerobot": Embodiment(22, 23),
    "maniparena": Embodiment(23, 20),
}

VIEW_POINTS = {
    "ego_view": "This video is captured from a first-person perspective looking at the scene.",
    "third_person_view": (
        "This video is captured from a third-person perspective looking towards the agent from the front."
    ),
    "wrist_view": "This video is captured from a wrist-mounted camera.",
    "concat_view": "This video contains concatenated views from multiple camera perspectives.",
}


def find_embodiment(name: str | None, domain: int | None, domains: int) -> Embodiment:
    """The embodiment a request names; an explicit domain id wins over a name.

    Args:
        name: a key of `EMBODIMENTS`, in any case.
        domain: an index of the checkpoint's projection matrices.
        domains: how many matrices the checkpoint has.

    Raises:
        RequestError: neither is given, the id is out of range, or without an id the name is unknown.
    """
    if domain is not None:
        if not 0 <= domain < domains:
            raise RequestError("domain_id", f"is {domain}; expected 0 to {domains - 1}")
        widths = {e.width for e in EMBODIMENTS.values() if e.domain == domain}
        return Embodiment(domain, widths.pop() if len(widths) == 1 else None)
    if name is None:
        raise RequestError("domain_name", f"is missing; expected one of {', '.join(EMBODIMENTS)}, or a domain_id")
    if name.lower() not in EMBODIMENTS:
        raise RequestError("domain_name", f"is {name!r}; expected one of {', '.join(EMBODIMENTS)}")
    return EMBODIMENTS[name.lower()]
