"""A run of one's own that listens: from a recording to its text by the protocol of all recognizers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_voice import RATE, tokenizer_config, write_recognizer, write_run

from eval.recognizers import open_recognizer as open_for_evaluation
from latent.audio.files import load_audio
from latent.audio.recording import Recording
from latent.data.latent_store import TOKENIZER
from latent.recognition.recognizers import open_recognizer
from latent.recognition.trained import TrainedRecognizer
from s2s.errors import InputError


@pytest.fixture(scope="module", params=[False, True], ids=["unilm", "latent_lm"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, their tokenizer and a recognizer of random weights, in a folder; the store is gone."""
    return write_recognizer(tmp_path_factory.mktemp("made"), latent_lm=request.param)


def test_recordings_are_heard_together_as_alone(made: Path) -> None:
    recognizer = open_recognizer(made / "listener", device="cpu")
    assert isinstance(recognizer, TrainedRecognizer)
    assert recognizer.sample_rate == RATE
    paths = sorted((made / "recordings").glob("*.wav"))
    requests = [recognizer.request(path.stem, Recording(path)) for path in paths]
    together = {index: transcript.text for index, transcript in recognizer.recognize(requests)}
    alone = {index: recognizer.transcribe(path).text for index, path in enumerate(paths)}
    assert together == alone
    assert len(set(alone.values())) > 1
    (segment,) = recognizer.transcribe(paths[0]).segments
    assert (segment.start, segment.end) == (0.0, pytest.approx(requests[0].seconds, abs=0.01))


def test_an_evaluation_takes_it_by_its_folder(made: Path) -> None:
    path = made / "recordings" / "ann0.wav"
    recognizer = open_for_evaluation(str(made / "listener"), "en")
    assert recognizer.signature.startswith("listener (")
    assert isinstance(recognizer(load_audio(path, 16000)), str)


def test_what_it_cannot_hear_is_told(made: Path, tmp_path: Path) -> None:
    recognizer = open_recognizer(made / "listener", device="cpu")
    with pytest.raises(InputError, match=r"lasts 4\.0 s, listener hears at most 2\.5 s; cut it in silence"):
        recognizer.transcribe(np.zeros(4 * RATE, np.float32), RATE)
    with pytest.raises(InputError, match="knows no hot words"):
        recognizer.check_context("Tea Brew")
    shutil.copytree(made / "listener", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / TOKENIZER)
    with pytest.raises(InputError, match=r"bare: holds no audio_tokenizer/; give the run of its audio tokenizer"):
        open_recognizer(tmp_path / "bare", device="cpu")
    assert open_recognizer(tmp_path / "bare", made / "tokenizer", device="cpu").sample_rate == RATE
    write_run(tokenizer_config(made / "recordings" / "manifest.jsonl", latent_size=5), tmp_path / "other")
    with pytest.raises(InputError, match=r"is not the audio tokenizer of .*: latent_size must be 3, found 5"):
        open_recognizer(tmp_path / "bare", tmp_path / "other", device="cpu")


def test_other_tokenizer_or_weights_are_another_job(made: Path) -> None:
    first = open_recognizer(made / "listener", device="cpu").fingerprint()
    other = open_recognizer(made / "listener", device="cpu", overrides=["decoder.beam_size=1"]).fingerprint()
    assert first != other
    assert json.loads(json.dumps(first)) == first
