"""Learn to ask from a few answers and their questions, then ask about a text. Minutes on a CPU, with a small encoder.

python examples/ask_questions.py ENCODER [KEY=VALUE ...], as in `sentence-transformers/all-MiniLM-L6-v2 train.epochs=4`.
Rows of your own may have the fields context, answer and question: give their file as task.train=FILE.
"""

import sys

from unilatent import Generator, train

CONFIG = {
    "task": {"train": "sample:questions/train.jsonl", "valid": "sample:questions/valid.jsonl", "max_source": 256},
    "optim": {"lr": 3e-4, "warmup_steps": 20},
    "train": {"epochs": 8, "max_sentences": 8},
}
ANSWER = "A list can be changed after it was made: items can be added, replaced and removed. A tuple cannot."


def main(encoder: str, *overrides: str) -> None:
    run = train(CONFIG, "runs/questions", [f"model.init={encoder}", *overrides]).run
    for question, score in Generator.load(run).generate(ANSWER, num_hypotheses=3).nbest:
        print(f"{score:8.2f}  {question}")


if __name__ == "__main__":  # processes that read data import this file
    main(*sys.argv[1:])
