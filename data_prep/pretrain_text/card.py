"""The data card of a pretraining corpus, from its statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_LAYOUT = """\
Rows of the Parquet files are inputs of an encoder: `ids` is [CLS] first segment [SEP] second segment [SEP], `split` is
where the second segment begins, or the row's length if it has one segment. Segments are runs of whole, consecutive
sentences of one document; only a sentence longer than an input is divided. The order of rows is random and depends only
on their content and the seed. `tokenizer/` is the tokenizer."""

_DUPLICATES = """\
One of several documents with the same tokens is kept. Validation documents are drawn by their content and the seed."""

_EXCLUSION = """\
A document is left out when it shares a run of {exclude_words} words with a text of these files, or all words of
a text that has fewer, but at least {exclude_shortest}. Only letters and digits count, without case.
"""


def card(stats: Mapping[str, Any]) -> str:
    """The card as Markdown, from the content of stats.json."""
    plan = stats["plan"]
    settings = {
        "maximum slots of an input": plan["max_length"],
        "minimum tokens of an input": plan["min_tokens"],
        "document": f"a {plan['document']}" if plan["document"] != "block" else "lines between blank ones",
        "share of documents for validation": plan["valid_share"],
        "seed": plan["seed"],
        "tokenizer": plan["tokenizer"],
    }
    parts = ["# Text for pretraining", _LAYOUT, "## Sizes", "\n".join(_sizes(stats["splits"]))]
    parts += ["## Input", "\n".join(_inputs(stats["inputs"]))]
    parts += ["\n".join(f"- {name}: {value}" for name, value in settings.items())]
    parts += ["## Left out", "\n".join(_left_out(stats)), _DUPLICATES]
    if plan["exclude"]:
        parts += ["## Test sets kept out", "\n".join(_excluded(stats))]
    return "\n\n".join(parts) + "\n"


def _sizes(splits: Mapping[str, Any]) -> Iterator[str]:
    yield "| split | shards | documents | examples | tokens | unknown | slots: mean, median, 95 % | two segments |"
    yield f"|{'---|' * 8}"
    for name, facts in splits.items():
        examples, tokens = max(1, facts["examples"]), max(1, facts["tokens"])
        ends = np.cumsum(facts["lengths"])
        median, most = (int(np.searchsorted(ends, share * ends[-1])) for share in (0.5, 0.95))
        yield (
            f"| {name} | {facts['shards']} | {facts['documents']:,} | {facts['examples']:,} | {facts['tokens']:,} "
            f"| {facts['unknown'] / tokens:.3%} | {facts['tokens'] / examples:.1f}, {median}, {most} "
            f"| {facts['two_segments'] / examples:.1%} |"
        )


def _inputs(inputs: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield "| input | documents | MB |"
    yield "|---|---|---|"
    for name, counts in inputs.items():
        yield f"| {name} | {counts['documents read']:,} | {counts['bytes read'] / 1e6:,.2f} |"


def _left_out(stats: Mapping[str, Any]) -> Iterator[str]:
    for name, count in sorted(stats["counts"].items()):
        if name.startswith(("left out", "cut")) and count:
            yield f"- {name}: {count:,}"
    duplicates = sum(facts["duplicates"] for facts in stats["splits"].values())
    yield f"- left out: duplicates of another document: {duplicates:,}"


def _excluded(stats: Mapping[str, Any]) -> Iterator[str]:
    plan = stats["plan"]
    yield _EXCLUSION.format(**plan)
    yield "| file | texts looked for | too short to be looked for | documents left out |"
    yield "|---|---|---|---|"
    for facts in plan["excluded"]:
        count = stats["counts"].get(f"left out: documents that share words with {facts['file']}", 0)
        yield f"| {facts['file']} | {facts['texts']:,} | {facts['too_short']:,} | {count:,} |"
