"""Write `docs/parity.md`: every mode of both families against its reference, with the measured errors.

Run as `python -m tests.parity.report`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.environment import describe
from cosmos3_core.tiny import TinyFamily
from cosmos3_core.tiny.checkpoint import write_checkpoint
from tests.parity.cases import CONTROL_GUIDANCE, GUIDANCE, STEPS, Oracle
from tests.parity.compare import Pair, compare
from tests.parity.suite import EVERY_CASE, cases_of

FAMILIES: tuple[TinyFamily, ...] = ("nano", "edge")
SEED = 2
COLUMNS = ("vision", "sound", "action")
INTRODUCTION = f"""# Parity with diffusers

Final latents of `LocalPipeline` and of a reference on the same tiny random weights and the same noise, fp32 on a CPU,
guidance {GUIDANCE:g}, control guidance {CONTROL_GUIDANCE:g}, {STEPS} or more steps (4 for distilled checkpoints and
for most embodiments): the norm of the difference over the norm of the reference's result. `0` is equality to the bit;
empty is a modality that the mode does not have. A soundtrack that is given is compared as it is encoded. The frame
rate is 16, and the sides of most latents are odd, unless the name says otherwise. Of a transfer in parts, the latents
of every part are compared. The last column is the largest difference of decoded frames in grey levels of 255.

The references:

{{meanings}}

Modes with pictures differ by about 2e-6: our VAE encodes them with other last bits, and `pipeline` lets rounding move
what is given, while we put it back after every step (`decisions/002-last-bits.md`). The attention of `weighted` is a
plain softmax, with last bits of its own.

Written by `make parity` ({{versions}})."""


def measure(family: TinyFamily, folder: Path) -> dict[str, dict[str, float]]:
    """Errors by case."""
    pair = Pair.load(write_checkpoint(folder / family, family))
    errors: dict[str, dict[str, float]] = {}
    for case in cases_of(family):
        errors[case.name] = compare(*pair.run(case, SEED))
        print(f"{family}: {case.name}: {errors[case.name]}", file=sys.stderr)
    return errors


def cell(errors: dict[str, float], column: str) -> str:
    """An error, `0` where the results are equal to the bit."""
    if column not in errors:
        return ""
    return "0" if errors[column] == 0 else f"{errors[column]:.1e}"


def page(results: dict[TinyFamily, dict[str, dict[str, float]]]) -> str:
    """The page."""
    environment = describe()
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    meanings = "\n".join(f"- **{oracle.value}**: {oracle.meaning}." for oracle in Oracle)
    lines = [INTRODUCTION.format(meanings=meanings, versions=versions)]
    oracles = {case.name: case.oracle.value for case in EVERY_CASE}
    for family, cases in results.items():
        lines += ["", f"## {family.capitalize()}-like", "", "| mode | reference | vision | sound | action | frames |"]
        lines += ["|---|---|---|---|---|---|"]
        for name, errors in cases.items():
            cells = " | ".join(cell(errors, column) for column in COLUMNS)
            lines.append(f"| {name} | {oracles[name]} | {cells} | {errors['grey levels']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure both families and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/parity.md"))
    output = parser.parse_args().output
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        results = {family: measure(family, Path(folder)) for family in FAMILIES}
    output.write_text(page(results), encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()
