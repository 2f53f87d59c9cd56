"""Pretrain a small encoder on texts of your own: half an hour on a CPU for 10 MB.

python examples/pretrain.py TEXTS [KEY=VALUE ...]; TEXTS is a .txt or .jsonl file, or a folder of them.
"""

import subprocess
import sys

from unilatent import train


def main(texts: str, *overrides: str) -> None:
    words, corpus = "data/words", "data/corpus"
    subprocess.run(["unilatent", "prepare", "vocabulary", words, "--input", texts, "--size", "8000"], check=True)
    prepared = ["--input", texts, "--tokenizer", words, "--max-length", "128", "--valid-share", "0.05"]
    subprocess.run(["unilatent", "prepare", "pretrain-text", corpus, *prepared], check=True)
    result = train("pretrain_laptop", "runs/encoder", [f"task.data={corpus}", *overrides])
    print(f"{result.run}: {result.step} updates; fine-tune it with model.init={result.run}")


if __name__ == "__main__":  # processes that read data import this file
    main(*sys.argv[1:])
