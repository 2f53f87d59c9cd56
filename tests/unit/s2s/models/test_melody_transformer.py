"""The model of melodies: what it writes has the syllables of its lyrics, and is scored as in training."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from tiny_melodies import MOST_NOTES, VOCABULARY, lyrics_of, tiny_model

from s2s.data.melody import Note, as_text, num_syllables, read_notes
from s2s.data.melody_batch import MelodyBatch
from s2s.data.melody_vocabulary import END, STREAMS
from s2s.decoding.base import Search
from s2s.errors import ConfigError, InputError
from s2s.models.melody_state import first_token
from s2s.registry import DECODERS

SEARCHES: list[tuple[str, dict[str, Any]]] = [
    ("beam", {"beam_size": 3, "num_hypotheses": 3}),
    ("wide_beam", {"beam_size": 3, "num_hypotheses": 3, "min_length": 9}),
    ("diverse_beam", {}),
    ("constrained_beam", {}),
    ("stochastic_beam", {}),
    ("mbr", {}),
    ("sampling", {"num_hypotheses": 3}),
    ("sampling", {"top_p": 0.9, "typical_p": 0.5, "repetition_penalty": 2.0}),
]


def search(name: str, options: dict[str, Any]) -> Search:
    cls: Any = DECODERS[name]
    made: Search = cls(cls.Config(**{"max_length": len(STREAMS) * MOST_NOTES + 1, **options}))
    made.write_with(lambda tokens: as_text(VOCABULARY.notes(tokens)))
    return made


def check_syllables(name: str, options: dict[str, Any], seed: int) -> None:
    counts = [1 + seed % 6, 1 + seed // 6 % 6]
    model = tiny_model(seed, (0.02, 1.0, 5.0)[seed % 3])
    for count, found in zip(counts, search(name, options)(model, lyrics_of(counts)), strict=True):
        assert found
        for hypothesis in found:
            notes = VOCABULARY.notes(hypothesis.tokens)
            assert num_syllables(notes) == count
            assert read_notes(as_text(notes), "no syllable ends in a rest") == notes
            assert hypothesis.finished
            assert len(hypothesis.tokens) == len(STREAMS) * len(notes)


@pytest.mark.parametrize(("name", "options"), SEARCHES, ids=[name for name, _ in SEARCHES])
def test_random_models_write_as_many_syllables_as_the_line_has(name: str, options: dict[str, Any]) -> None:
    for seed in range(6):
        check_syllables(name, options, seed)


@pytest.mark.slow
def test_a_thousand_random_models_write_as_many_syllables_as_the_line_has() -> None:
    for seed in range(1000):
        check_syllables(*SEARCHES[seed % len(SEARCHES)], seed)


def test_a_short_budget_forces_a_note_for_each_syllable() -> None:
    found = search("sampling", {"max_length": 3 * 5 + 1})(tiny_model(1), lyrics_of([5]))
    assert len(VOCABULARY.notes(found[0][0].tokens)) == 5


def test_a_line_with_more_syllables_than_notes_is_refused() -> None:
    message = r"a line of 6 syllables needs as many notes, decoder\.max_length=16 allows 5"
    with pytest.raises(InputError, match=message):
        search("sampling", {"max_length": 16})(tiny_model(1), lyrics_of([6]))


@pytest.mark.parametrize("name", ["beam", "constrained_beam"])
def test_ngram_blocking_which_would_break_melodies_is_refused(name: str) -> None:
    class Line:
        prefix: list[int] = []  # noqa: RUF012
        gives_form = True

    with pytest.raises(InputError, match=r"^song:1: decoder\.no_repeat_ngram_size must be 0 for this task"):
        search(name, {"no_repeat_ngram_size": 3}).check(Line(), "song:1")


def test_steps_score_a_melody_as_training_does() -> None:
    model = tiny_model(3)
    context = [Note(60, Fraction(1), True), Note(64, Fraction(1, 2), True)]
    notes = read_notes("C4:1 R:1~D4:1/2~E4:1 G4:1/2", "here")
    sources, values = lyrics_of([3, 3], context), torch.from_numpy(VOCABULARY.values(notes))
    batch = MelodyBatch(["0", "1"], sources.lyrics, values.expand(2, -1, -1), torch.tensor([5, 5]))
    with torch.no_grad():
        features = model.note_features(batch)
        trained = [model.stream_logits(stream, features, batch.notes).log_softmax(-1) for stream in range(3)]
    state = model.start(sources, len(STREAMS) * MOST_NOTES + 1)
    last = None
    for note, row in enumerate(values):
        for stream, value in enumerate(row.tolist()):
            scores = model.step(state, last).log_softmax(-1)
            first = first_token(stream, VOCABULARY.sizes)
            found = scores[:, 0, first : first + VOCABULARY.sizes[stream]]
            torch.testing.assert_close(found, trained[stream][:, note])
            last = torch.full((2, 1), first + value)
    assert model.step(state, last).softmax(-1)[:, 0, END].tolist() == [1.0, 1.0]


def test_padding_changes_nothing() -> None:
    model, alone, together = tiny_model(4), lyrics_of([2]), lyrics_of([2, 6])
    for options in ({"seed": 1}, {"seed": 2}):
        one, other = (search("sampling", options)(model, batch)[0][0] for batch in (alone, together))
        assert one.tokens == other.tokens
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_sizes_that_contradict_the_task_are_refused() -> None:
    cls = type(tiny_model(0))
    sizes = {"stream_sizes": (129, 2, 2), "num_letters": 5, "max_syllables": 6, "max_notes": 7}
    with pytest.raises(ConfigError, match=r"model\.num_letters: must be 5, as the task's letters say, found 9"):
        cls.resolve(cls.Config(num_letters=9), sizes)
    with pytest.raises(ConfigError, match=r"model\.name: must be another, this one writes melodies"):
        cls.resolve(cls.Config(), {"vocab_size": 5})
