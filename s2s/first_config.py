"""A first configuration for one's own data: looks at them, suggests an encoder, limits and the length of training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from s2s.data.fields import SOURCE, TARGET, Fields
from s2s.data.records import Records, open_records
from s2s.data.splits import NAMES
from s2s.data.tokenizer import Tokenizer
from s2s.data.words import bleu_tokenization, words
from s2s.errors import InputError

_LOOKED_AT = 2000
"""Records whose texts are measured."""
_POSITIONS = 512
"""Positions of BERT, which source and target share."""
_ENGLISH = {"the", "of", "and", "to", "a", "in", "is", "for", "that", "with"}
_PERCENTILES = (50, 95, 99, 100)


@dataclass(frozen=True)
class Survey:
    """What the first records of a data set hold.

    Args:
        rows: Number of records, if known.
        columns: What each field holds, by name.
        chosen: The fields of source and target.
        lengths: Percentiles 50, 95, 99 and 100 of the tokens of both.
        measured: How the tokens were counted.
        script: The script of the targets, roughly.
        model: The encoder to start from.
    """

    rows: int | None
    columns: dict[str, str]
    chosen: tuple[str, str]
    lengths: tuple[Sequence[int], Sequence[int]]
    measured: str
    script: str
    model: str

    @property
    def limits(self) -> tuple[int, int]:
        """Slots for source and target: 99 % of the targets fit, and 95 % of the sources if there is room."""
        target = min(_rounded(self.lengths[1][2] + 1), _POSITIONS // 2)
        return min(_rounded(self.lengths[0][1] + 2), _POSITIONS - target), target


def _rounded(slots: int) -> int:
    return 8 * math.ceil(slots / 8)


def survey(data: str, source_field: str | None, target_field: str | None, model: str | None) -> Survey:
    """Look at the first records of a data set; InputError if it cannot be read or lacks source and target."""
    records = open_records(data, "train")
    first = list(itertools.islice(records, _LOOKED_AT))
    where, record = first[0]
    chosen = Fields(source_field or SOURCE, target_field or TARGET).of(record, where)
    texts = [[_as_one(field.text(row, place)) for place, row in first] for field in chosen]
    script = _script(texts[1])
    model = model or _encoder(script)
    lengths, measured = _count_tokens(texts, model)
    return Survey(
        rows=records.count() if len(first) == _LOOKED_AT else len(first),
        columns={str(name): _describe(value) for name, value in record.items()},
        chosen=(chosen[0].written, chosen[1].written),
        lengths=(lengths[0], lengths[1]),
        measured=f"{measured}, {len(first):,} records",
        script=script,
        model=model,
    )


def _as_one(text: str | list[str]) -> str:
    return text if isinstance(text, str) else " ".join(text)


def _describe(value: Any) -> str:
    shown = " ".join(str(value).split())
    return f"{type(value).__name__}, {shown if len(shown) <= 60 else shown[:56] + ' ...'}"


def _script(texts: Sequence[str]) -> str:
    if (tokenize := bleu_tokenization(texts)) != "13a":
        return "Chinese" if tokenize == "zh" else "without blanks between words"
    found = [word for text in texts for word in words(text)]
    if sum(word in _ENGLISH for word in found) >= 0.05 * len(found):
        return "English"
    ascii_share = sum(word.isascii() for word in found) / max(1, len(found))
    return "Latin, perhaps English" if ascii_share > 0.99 else "another language or several"


def _encoder(script: str) -> str:
    """A public encoder for a script; on a processor a small one where there is one."""
    if "English" in script:
        return "bert-base-uncased" if torch.cuda.is_available() else "sentence-transformers/all-MiniLM-L6-v2"
    return "bert-base-chinese" if script == "Chinese" else "bert-base-multilingual-cased"


def _count_tokens(texts: list[list[str]], model: str) -> tuple[list[list[int]], str]:
    try:
        tokenizer = Tokenizer.load(model)
        counts = [[len(ids) for ids in tokenizer.encode_many(side)] for side in texts]
        measured = "tokens of the encoder below"
    except InputError:  # no network, say; training will report it
        counts = [[math.ceil(1.35 * len(words(text))) for text in side] for side in texts]
        measured = "tokens, guessed from words because the tokenizer could not be read"
    return [[int(value) for value in np.percentile(side, _PERCENTILES)] for side in counts], measured


def validation_of(data: str) -> str | None:
    """The validation data that belong to training data: their own split, or the file beside them with its name."""
    path = Path(data)
    if path.is_file():
        names = [path.with_name(path.name.replace("train", name)) for name in NAMES["valid"] if "train" in path.name]
        return next((str(other) for other in names if other.is_file()), None)
    try:
        found: Records = open_records(data, "valid")
    except InputError:
        return None
    return data if found.split else None


def first_config(found: Survey, data: str, valid: str | None, by_rouge: bool) -> str:
    """The text of a configuration that trains as it is.

    Args:
        valid: Validation data, if there are any.
        by_rouge: Whether the packages that measure ROUGE are installed.
    """
    (source, target), (max_source, max_target) = found.chosen, found.limits
    on_gpu = torch.cuda.is_available()
    rows = found.rows or _LOOKED_AT
    epochs = max(3, min(20, 20_000 // rows))
    batch = 16_384 if on_gpu else 4_096
    slots = min(found.lengths[0][0] + 2, max_source) + 2 * min(found.lengths[1][0] + 1, max_target)
    updates = max(1, rows * slots * epochs // batch)
    best = "keep_best_by: rouge_l  # the weights with the best outputs; or loss, bleu, chrf, wer"
    lines = [
        f"# A first configuration for {data}, by `unilatent init`. `unilatent options` explains all options.",
        f"# {f'{found.rows:,}' if found.rows else 'many'} records with these fields:",
        *(f"#   {name}: {about}" for name, about in found.columns.items()),
        f"# Language of the targets: {found.script}.",
        f"# Lengths ({found.measured}):",
        f"#   {'':7}{'half':>8}{'95 %':>8}{'99 %':>8}{'longest':>9}",
        *(
            f"#   {name:7}{lengths[0]:8}{lengths[1]:8}{lengths[2]:8}{lengths[3]:9}"
            for name, lengths in zip(("source", "target"), found.lengths, strict=True)
        ),
        "",
        "task:",
        f"  train: {_scalar(data)}",
        f"  valid: {_scalar(valid)}" if valid else "  # valid: FILE  # none was found; the last weights are kept",
        f"  source_field: {_scalar(source)}" if "{" not in source else f"  source_template: {_scalar(source)}",
        f"  target_field: {_scalar(target)}",
        f"  max_source: {max_source}  # slots, special tokens counted; longer sources lose their end",
        f"  max_target: {max_target}  # 99 % of the targets fit",
        "",
        "model:",
        f"  init: {_scalar(found.model)}  # the encoder to start from: a name on the hub, or a folder",
        "",
        "optim:",
        f"  lr: {'1.0e-4' if 'minilm' in found.model.lower() else '5.0e-5'}",
        f"  warmup_steps: {max(1, updates // 10)}",
        "",
        "train:",
        f"  epochs: {epochs}  # about {updates:,} updates",
        f"  max_tokens: {batch}  # slots of a batch; fewer need less memory",
        *(["  precision: bf16  # float16 on GPUs without bfloat16"] if on_gpu else []),
        *([f"  {best}" if by_rouge else f"  # {best} (needs the extra eval)"] if valid else []),
        *(["  patience: 5  # stop after so many validations without improvement"] if valid else []),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _scalar(value: str | None) -> str:
    """A string as YAML writes it on one line."""
    return yaml.safe_dump(value, allow_unicode=True, width=math.inf).removesuffix("...\n").strip()
