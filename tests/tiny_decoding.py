"""A task of single words and a tiny random UniLM, to decode files with; run as a program, it is one rank of a job."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_models import tiny_unilm

from s2s.data.batch import Feeding, SourceBatch, TokenBatch
from s2s.data.jsonl import text_field
from s2s.decoding.base import Decoder
from s2s.decoding.beam import BeamSearch
from s2s.generation.decode import DecodeOptions, Summary, decode_file
from s2s.generation.generator import Generator
from s2s.models.unilm import UniLM
from s2s.ranks import Ranks, join_ranks
from s2s.tasks.base import Dataset, GenerationTask

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(60))]
MAX_SOURCE = 14


@dataclass(frozen=True)
class Words:
    id: str
    tokens: list[int]
    prefix: list[int]
    num_cut: int


class WordTask(GenerationTask):
    """Sources are words of a fixed list."""

    def dataset(self, split: str, seed: int) -> Dataset:
        raise NotImplementedError

    def collate(self, examples: Sequence[Any]) -> TokenBatch:
        raise NotImplementedError

    def model_defaults(self) -> dict[str, int]:
        return {"vocab_size": len(WORDS)}

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def source(self, record: dict[str, Any], where: str, id: str = "") -> Words:
        words = text_field(record, "src", where)
        ids = [WORDS.index(word) for word in (words.split() if isinstance(words, str) else words)]
        kept = ids[: MAX_SOURCE - 2]
        return Words(str(record.get(self.id_field, id or where)), [1, *kept, 2], [], len(ids) - len(kept))

    def collate_sources(self, examples: Sequence[Words]) -> SourceBatch:
        width = max(len(example.tokens) for example in examples)
        return SourceBatch(
            ids=[example.id for example in examples],
            tokens=torch.tensor([example.tokens + [0] * (width - len(example.tokens)) for example in examples]),
            lengths=torch.tensor([len(example.tokens) for example in examples]),
            feeding=Feeding(end=2, mask=3),
            prefixes=[example.prefix for example in examples],
        )

    def text(self, tokens: Sequence[int]) -> str:
        return " ".join(WORDS[token] for token in tokens)

    def token_id(self, token: str) -> int:
        return WORDS.index(token)


def model_of_words(seed: int = 0) -> UniLM:
    """A random model that ends at different lengths."""
    model = tiny_unilm(seed, vocab_size=len(WORDS), hidden_size=16, num_layers=2, intermediate_size=24)
    with torch.no_grad():
        model.head.bias[2] = 3.0
    return model


def beam(**options: Any) -> BeamSearch:
    return BeamSearch(BeamSearch.Config(**{"beam_size": 3, "max_length": 12, **options}), WORDS.index)


def generator_of_words(search: Any, settings: dict[str, Any] | None = None) -> Generator:
    """What `Generator.load` makes of a run."""
    config: Any = None
    return Generator(config, WordTask(config), model_of_words(), search, torch.device("cpu"), settings or {})


def alone() -> Ranks:
    return Ranks(0, 1, torch.device("cpu"))


def decode(
    source: Any, output: Any, decoder: Decoder | None = None, ranks: Ranks | None = None, **options: Any
) -> Summary:
    """Decode with small windows and batches, so that a few lines make many of them."""
    trace = options.pop("trace", None)
    settings = options.pop("settings", {"decoder": {"beam_size": 3}})
    small = DecodeOptions(**{"window": 7, "max_tokens": 40, "max_sentences": 3, **options})
    generator = generator_of_words(decoder or beam(), settings)
    return decode_file(generator, source, output, small, ranks or alone(), trace)


def write_input(path: Path, lines: int, seed: int = 0) -> None:
    """Records of various lengths, each tenth one broken."""
    generator = torch.Generator().manual_seed(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            length = int(torch.randint(1, 20, (), generator=generator))
            words = [WORDS[4 + int(i)] for i in torch.randint(0, 60, (length,), generator=generator)]
            record = {"id": f"line-{number}", "src": "" if number % 10 == 9 else " ".join(words)}
            file.write(json.dumps(record) + "\n")


def be_killed(source: str, output: str, times: int, seed: int) -> None:
    """Decode in a child process that is killed again and again, each time after a random while; then to the end."""
    delays = torch.rand(times, generator=torch.Generator().manual_seed(seed)) * 0.12
    kills = 0
    for delay in [*delays.tolist(), None]:
        child = os.fork()
        if child == 0:
            decode(source, output)
            os._exit(0)
        if delay is not None:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
    print(kills)


def main() -> None:
    torch.set_num_threads(1)
    logging.disable()
    source, output, times, seed = sys.argv[1:]
    if int(times):
        be_killed(source, output, int(times), int(seed))
    else:
        with join_ranks("cpu") as ranks:
            decode(source, output, ranks=ranks)


if __name__ == "__main__":
    main()
