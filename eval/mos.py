"""Predicted mean opinion scores, 1 (bad) to 5 (excellent), without a reference: DistillMOS and DNSMOS.

Both predict what listeners would say of quality and noise, not whether the words are right.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from latent.audio.files import Samples
from s2s.errors import InputError
from s2s.packages import load, version_of

SAMPLE_RATE = 16000

Scorer = Callable[[Samples], float]
"""From samples `(L,)` at 16 kHz to a score."""


def open_distillmos() -> tuple[Scorer, str]:
    """DistillMOS (Stahl and Gamper, 2025) and its signature."""
    if not find_spec("distillmos"):
        raise InputError("DistillMOS is not installed: pip install --no-deps distillmos xls-r-sqa")
    with contextlib.redirect_stdout(None):  # it prints the path of its weights
        model = _import_without_torchaudio("distillmos").ConvTransformerSQAModel()
    model.eval()

    def score(samples: Samples) -> float:
        with torch.inference_mode():
            return float(model(torch.from_numpy(samples)[None]))

    return score, f"distillmos {version_of('distillmos')}"


def _import_without_torchaudio(name: str) -> Any:
    """The package imports torchaudio for its command line only, and often torchaudio does not fit our torch."""
    absent = "torchaudio" not in sys.modules
    if absent:
        sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        return load(name, "speech-eval")
    finally:
        if absent:
            del sys.modules["torchaudio"]


def open_dnsmos() -> tuple[Scorer, str]:
    """The overall score of DNSMOS P.835 (Reddy et al., 2022) and its signature.

    The network takes 9.01 s: a shorter clip is repeated, a longer one is averaged over windows that begin every second.
    A polynomial maps its output to the scale of the listeners.
    """
    found = find_spec("speechmos")
    if not found or not found.origin:
        raise InputError("speechmos, which holds DNSMOS, is not installed: pip install --no-deps speechmos")
    path = Path(found.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    runtime = load("onnxruntime", "speech-eval")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    window = int(9.01 * SAMPLE_RATE)

    def score(samples: Samples) -> float:
        clipped = np.clip(samples, -1, 1).astype(np.float32)
        while len(clipped) < window:
            clipped = np.concatenate([clipped, clipped])
        starts = range(0, len(clipped) - window + 1, SAMPLE_RATE)
        overall = [float(session.run(None, {"input_1": clipped[None, s : s + window]})[0][0][2]) for s in starts]
        return float(np.mean(np.polyval([-0.06766283, 1.11546468, 0.04602535], overall)))

    return score, f"DNSMOS P.835 OVRL, speechmos {version_of('speechmos')}"
