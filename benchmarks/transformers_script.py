"""Summaries of a file by `transformers`, as a script for it would be written; a peer of `unilatent decode`.

    python benchmarks/transformers_script.py BART TOKENIZER INPUT LENGTHS

BART and TOKENIZER are folders, INPUT has JSON lines with `src`. Sources are sorted by length and generated in batches
of 64, with beam 5. The weights are random, so LENGTHS, a JSON file, says how many tokens each output gets; a batch
stops after the longest of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BartForConditionalGeneration

BATCH, BEAM, MAX_SOURCE = 64, 5, 96


def main() -> None:
    """Read, generate, and print a text for every line."""
    bart, folder, source, lengths_file = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BartForConditionalGeneration.from_pretrained(bart).eval()
    texts = [json.loads(line)["src"] for line in Path(source).read_text(encoding="utf-8").splitlines()]
    lengths = json.loads(Path(lengths_file).read_text())
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    made: dict[int, str] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        longest = max(lengths[row] for row in rows)
        chosen = [texts[row] for row in rows]
        batch = tokenizer(chosen, padding=True, truncation=True, max_length=MAX_SOURCE, return_tensors="pt")
        with torch.inference_mode():
            outputs = model.generate(
                batch["input_ids"],
                attention_mask=batch["attention_mask"],
                num_beams=BEAM,
                min_new_tokens=longest,
                max_new_tokens=longest,
                no_repeat_ngram_size=3,
            )
        made |= dict(zip(rows, tokenizer.batch_decode(outputs, skip_special_tokens=True), strict=True))
    for row in range(len(texts)):
        print(json.dumps({"tgt": made[row]}))


if __name__ == "__main__":
    main()
