"""Question generation from few pairs: copying against none and features against none, each pair held out once.

    python benchmarks/questions.py sample:questions /tmp/questions

Divides the pairs of a prepared corpus into parts by md5 of their questions; each part is written by models that are
trained on the others, from random weights, with a vocabulary of the words that come at least twice there. Writes
references and the outputs of each system, and prints the command that compares them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from s2s.data.jsonl import read_records
from s2s.generation.generator import Generator
from s2s.run import parse_config, train_run
from s2s.shipped import data_path

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SYSTEMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "copy": {"copying": "pointer_generator"},
    "features": {"features": {"names": ["case"]}},
    "both": {"copying": "pointer_generator", "features": {"names": ["case"]}},
}
"""Options of the task by name of the system."""
NETWORKS: dict[str, dict[str, Any]] = {
    "transformer": {"encoder_layers": 2, "decoder_layers": 2, "num_heads": 4, "intermediate_size": 256},
    "gru": {"name": "recurrent_encoder_decoder", "embedding_size": 128, "share_embeddings": True},
}
"""Options of the model by name of the network."""


def pairs_of(corpus: str) -> list[dict[str, Any]]:
    """All pairs of a folder, in the order of their ids."""
    files = (Path(data_path(f"{corpus}/{split}.jsonl")) for split in ("train", "valid", "test"))
    return sorted((record for path in files for _, record in read_records(path)), key=lambda pair: str(pair["id"]))


def part_of(pair: dict[str, Any], parts: int) -> int:
    """The part in which a pair is held out."""
    return int(hashlib.md5(str(pair["tgt"]).encode()).hexdigest(), 16) % parts


def write(folder: Path, pairs: list[dict[str, Any]]) -> None:
    """Write the training data and a tokenizer of the words that come at least twice in them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    split = pre_tokenizers.BertPreTokenizer()
    texts = (str(pair[side]).lower() for pair in pairs for side in ("src", "tgt"))
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    words = sorted(word for word, count in counts.items() if count > 1)
    backend = Tokenizer(models.WordLevel({word: id for id, word in enumerate([*SPECIAL, *words])}, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.Lowercase(), split
    backend.add_special_tokens(SPECIAL)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")


def train(folder: Path, run: Path, system: str, network: str, epochs: int) -> None:
    """Train a model on the data of a folder."""
    task = {"train": str(folder / "train.jsonl"), "tokenizer": str(folder), "method": "encoder_decoder"}
    tree: dict[str, Any] = {
        "task": task | {"max_source": 128, "max_target": 32, **SYSTEMS[system]},
        "model": {"hidden_size": 128, "hidden_dropout": 0.3, **NETWORKS[network]},
        "optim": {"lr": 2e-3, "warmup_steps": 50},
        "train": {"epochs": epochs, "max_sentences": 16, "device": "cpu", "workers": 0},
    }
    train_run(parse_config(tree), run)


def write_outputs(path: Path, texts: dict[str, str]) -> None:
    """Write texts by their ids, as `decode` does."""
    path.write_text("".join(json.dumps({"id": id, "tgt": text}) + "\n" for id, text in texts.items()), "utf-8")


def main() -> None:
    """Train and decode for each part and system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a prepared folder, or sample:questions")
    parser.add_argument("folder", type=Path, help="a new folder for data, runs and outputs")
    parser.add_argument("--network", choices=NETWORKS, default="transformer", help="what is trained")
    parser.add_argument("--parts", type=int, default=4, help="how many parts are held out, one after the other")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the pairs in each training")
    arguments = parser.parse_args()
    pairs = pairs_of(arguments.corpus)
    written: dict[str, dict[str, str]] = {system: {} for system in SYSTEMS}
    for part in range(arguments.parts):
        data = arguments.folder / str(part)
        write(data, [pair for pair in pairs if part_of(pair, arguments.parts) != part])
        held_out = [pair for pair in pairs if part_of(pair, arguments.parts) == part]
        for system, texts in written.items():
            run = data / system
            train(data, run, system, arguments.network, arguments.epochs)
            made = Generator.load(run, device="cpu", beam_size=5).generate([pair["src"] for pair in held_out])
            texts.update((pair["id"], one.text) for pair, one in zip(held_out, made, strict=True))
            print(f"part {part + 1} of {arguments.parts}, {system}: {len(made)} written", flush=True)
    for system, texts in written.items():
        write_outputs(arguments.folder / f"{system}.jsonl", texts)
    (arguments.folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
    systems = " ".join(f"--hyp {system}={arguments.folder}/{system}.jsonl" for system in SYSTEMS)
    print(f"unilatent evaluate --task generic --ref {arguments.folder}/pairs.jsonl {systems} --baseline plain")


if __name__ == "__main__":
    main()
