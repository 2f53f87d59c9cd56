#!/usr/bin/env python
"""Print what the shipped summarizer writes for some texts: the given ones, or a few unseen packages of the sample.

python scripts/first_summaries.py [TEXT ...]
"""

from __future__ import annotations

import sys

from s2s.data.jsonl import read_records
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.shipped import data_path

SAMPLE = "sample:en/test.jsonl"
COUNT = 5
WIDTH = 200


def main() -> None:
    unseen = [record["src"] for _, record in read_records(data_path(SAMPLE))]
    texts = sys.argv[1:] or unseen[:: len(unseen) // COUNT][:COUNT]
    try:
        summaries = Generator.load("summarizer").generate(texts)
    except InputError as error:
        sys.exit(f"error: {error}")
    for text, made in zip(texts, summaries, strict=True):
        source = " ".join(text.split())
        print(f"\n  text     {source if len(source) <= WIDTH else source[: WIDTH - 1] + '…'}")
        print(f"  summary  {made.text}")


if __name__ == "__main__":
    main()
