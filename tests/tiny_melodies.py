"""Generated tunes, and a tiny model that writes melodies, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from s2s.data.batch import Feeding
from s2s.data.melody import REST, Note, as_text
from s2s.data.melody_batch import Lyrics, LyricsBatch, LyricsLine
from s2s.data.melody_vocabulary import END, MelodyVocabulary
from s2s.models.melody_transformer import MelodyTransformer

VOCABULARY = MelodyVocabulary(tuple("abc"), (Fraction(1, 2), Fraction(1)))
MOST_NOTES = 7


def tiny_model(seed: int, spread: float = 1.0) -> MelodyTransformer:
    """A model with random weights."""
    torch.manual_seed(seed)
    config = MelodyTransformer.Config(
        stream_sizes=VOCABULARY.sizes,
        num_letters=VOCABULARY.num_letters,
        max_syllables=6,
        max_notes=MOST_NOTES,
        hidden_size=4,
        num_heads=1,
        encoder_layers=1,
        decoder_layers=1,
        intermediate_size=4,
        initializer_range=spread,
    )
    return MelodyTransformer(config).eval()


def lyrics_of(counts: Sequence[int], context: Sequence[Note] = ()) -> LyricsBatch:
    """Lines with so many syllables."""
    lines = []
    for number, count in enumerate(counts):
        letters, owners = VOCABULARY.spelled(["a"] * count)
        lines.append(LyricsLine(str(number), letters.tolist(), owners, VOCABULARY.values(context)))
    lyrics = Lyrics.of(lines)
    return LyricsBatch(
        ids=[line.id for line in lines],
        tokens=lyrics.letters,
        lengths=(lyrics.letters > 0).sum(1),
        feeding=Feeding(end=END, start=END),
        prefixes=[[] for _ in lines],
        lyrics=lyrics,
    )


def generated_line(generator: np.random.Generator, syllables: int) -> list[Note]:
    """A walk over a scale; a syllable sometimes has a rest before it, or two notes."""
    notes: list[Note] = []
    place = 7
    for _ in range(syllables):
        if generator.random() < 0.1:
            notes.append(Note(REST, Fraction(1), False))
        for last in (False, True) if generator.random() < 0.2 else (True,):
            place = int(np.clip(place + generator.integers(-2, 3), 0, 14))
            notes.append(Note(60 + (0, 2, 4, 5, 7, 9, 11)[place % 7] + 12 * (place // 7), Fraction(1, 2 - last), last))
    return notes


def write_tunes(path: Path, tunes: int, seed: int = 0) -> Path:
    """JSON lines of generated tunes of two lines."""
    generator, records = np.random.default_rng(seed), []
    for tune in range(tunes):
        context: list[Note] = []
        for line in range(2):
            syllables = int(generator.integers(3, 7))
            notes = generated_line(generator, syllables)
            record = {"id": f"{tune}.{line}", "src": " ".join(["la-", "la"] * 3).split(), "tune": str(tune)}
            record |= {"src": record["src"][:syllables], "tgt": as_text(notes), "context": as_text(context)}
            records.append(record)
            context += notes
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path
