"""Turns are stretches of sound above the noise, wherever the audio was cut; samples of telephones are G.711."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.audio.arriving import SampleBytes
from latent.audio.files import Samples
from latent.audio.g711 import Law, expanded
from latent.audio.turns import TurnDetector, TurnSettings

RATE = 8000


def sound(*parts: tuple[float, float], seed: int = 0) -> Samples:
    """Noise: pairs of seconds and dB re full scale."""
    generator = np.random.default_rng(seed)
    pieces = [10 ** (level / 20) * generator.standard_normal(round(seconds * RATE)) for seconds, level in parts]
    return np.concatenate(pieces).astype(np.float32)


def turns(samples: Samples, cuts: list[int] = [], **options: float) -> list[tuple[float, float | None, Samples]]:  # noqa: B006
    """Starts, ends and samples of the turns."""
    detector, found = TurnDetector(RATE, TurnSettings(**options)), list[tuple[float, float | None, list[Samples]]]()
    for piece in (one for part in np.split(samples, sorted(cuts)) for one in detector.push(part)):
        if piece.start is not None:
            found.append((piece.start, None, []))
        start, _, held = found.pop()
        found.append((start, piece.end, [*held, piece.samples]))
    return [(start, end, np.concatenate(held)) for start, end, held in found]


TWO = sound((1.0, -60), (0.8, -25), (0.3, -60), (0.5, -30), (1.2, -60), (0.6, -20), (1.0, -60))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(TWO)), max_size=8))
def test_turns_do_not_depend_on_the_pieces_and_hold_what_is_between_their_times(cuts: list[int]) -> None:
    found = turns(TWO, cuts)
    assert [(round(start, 2), round(end or 0, 2)) for start, end, _ in found] == [(0.7, 3.1), (3.5, 4.9)]
    for start, end, samples in found:
        assert end is not None
        np.testing.assert_array_equal(samples, TWO[round(start * RATE) : round(end * RATE)])


def test_settings_move_the_ends_and_split_at_shorter_silence() -> None:
    found = turns(TWO, prefix_seconds=0.0, silence_seconds=0.2)
    assert [(round(start, 2), round(end or 0, 2)) for start, end, _ in found] == [(1, 2), (2.1, 2.8), (3.8, 4.6)]
    assert len(turns(TWO, threshold=1.0)) == 2
    assert not turns(sound((1.0, -60), (1.0, -45), (1.0, -60)), threshold=1.0)
    assert turns(sound((1.0, -60), (1.0, -45), (1.0, -60)), threshold=0.5)


def test_steady_noise_clicks_and_silence_are_no_turns_and_lasting_noise_ends_one() -> None:
    assert not turns(sound((5.0, -40)))
    assert not turns(np.zeros(5 * RATE, np.float32))
    assert not turns(sound((1.0, -60), (0.03, -10), (1.0, -60)))
    ((start, end, _),) = turns(sound((1.0, -66), (12.0, -40)))
    assert (round(start, 1), end is not None and end < 9) == (0.7, True), "a fan was switched on"


def test_a_turn_that_goes_on_is_given_while_it_lasts() -> None:
    ((start, end, samples),) = turns(sound((0.5, -60), (1.0, -20)))
    assert (round(start, 2), end, len(samples)) == (0.2, None, round(1.3 * RATE))


@pytest.mark.parametrize(("law", "subtype"), [("mu", "ULAW"), ("a", "ALAW")])
def test_every_code_of_g711_is_the_sample_that_libsndfile_reads_and_wav_files_may_have_it(
    law: Law, subtype: str
) -> None:
    soundfile, codes = pytest.importorskip("soundfile"), bytes(range(256))
    how = {"format": "RAW", "subtype": subtype, "samplerate": RATE, "channels": 1}
    wanted, _ = soundfile.read(io.BytesIO(codes), dtype="float32", **how)
    np.testing.assert_array_equal(expanded(codes, law), wanted)
    file = io.BytesIO()
    soundfile.write(file, wanted, RATE, format="WAV", subtype=subtype)
    stream = SampleBytes("call", None, "")
    np.testing.assert_array_equal(stream.push(file.getvalue())[:256], wanted)
    assert stream.format is not None
    assert (stream.format.sample_rate, stream.format.law) == (RATE, law)
