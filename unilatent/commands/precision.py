"""How verbs that use a model take it to be computed: the precision of weights, and the library of products."""

from __future__ import annotations

import os
from enum import Enum
from typing import Annotated

import typer


class Precision(str, Enum):
    """Inference precision."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"


InferencePrecision = Annotated[Precision, typer.Option(help="Precision of the weights; int8 is for CPUs.")]
SpeechPrecision = Annotated[
    Precision | None,
    typer.Option(
        help="Precision of the weights but for audio tokenizers; int8 is for CPUs.",
        show_default="float32; of released weights on GPUs bfloat16",
    ),
]


def _fix_products(given: bool) -> bool:
    if given:
        os.environ.setdefault("UNILATENT_PRODUCTS", "mkl")  # of s2s.nn.products, which loads torch
    return given


NoTuning = Annotated[
    bool,
    typer.Option(
        "--no-tuning",
        callback=_fix_products,
        help="On a CPU, multiply as torch does (MKL), without timing whether oneDNN is faster on this machine.",
    ),
]
"""The callback acts, so the verb has nothing to do."""
