"""The precision of weights, as verbs that use a model take it."""

from __future__ import annotations

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
