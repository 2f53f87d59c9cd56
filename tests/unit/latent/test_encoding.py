"""Recordings to a store of latents."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import tiny_sigma_vae

pytest.importorskip("soundfile")
import tiny_voice

from latent.audio.files import load_audio, write_audio
from latent.audio_tokenizer import encode_samples
from latent.data.latent_store import LatentStore, StoreFacts, write_store
from latent.data.manifest import read_manifest
from latent.encoding import encode_corpus, encode_recordings
from s2s.durable import claimed
from s2s.errors import InputError


def test_recordings_encoded_in_chunks_are_the_means_of_the_whole(tmp_path: Path) -> None:
    vae = tiny_sigma_vae(latent_size=3, sample_rate=2000).eval()
    lines = []
    for index, count in enumerate([1001, 64]):
        samples = np.random.default_rng(index).standard_normal(count).astype(np.float32) * 0.1
        write_audio(tmp_path / f"{index}.wav", samples, 2000)
        lines.append(json.dumps({"id": str(index), "audio": f"{index}.wav", "text": "noise", "speaker": "fan"}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    spoken = read_manifest(tmp_path / "manifest.jsonl")
    facts = StoreFacts("tests", 3, 2000, vae.hop_length, vae.config.sigma_rule, vae.config.std)
    found = write_store(tmp_path / "store", facts, encode_recordings(vae, spoken))
    assert found.num_frames == 126 + 8
    store = LatentStore(tmp_path / "store")
    for index, utterance in enumerate(spoken):
        audio = torch.from_numpy(load_audio(utterance.audio, 2000))[None, None]
        with torch.no_grad():
            whole = vae.encode(audio)[0]
            torch.testing.assert_close(torch.from_numpy(store.mean(index)), whole, rtol=1e-4, atol=1e-5)
            in_chunks = encode_samples(vae, audio[0, 0].numpy(), "cpu", chunk_seconds=0.1)
            torch.testing.assert_close(in_chunks, whole, rtol=1e-4, atol=1e-5)


def test_manifests_with_one_id_are_told_apart(tmp_path: Path) -> None:
    first = tiny_voice.write_recordings(tmp_path / "a")
    second = tiny_voice.write_recordings(tmp_path / "b")
    run = tiny_voice.write_run(tiny_voice.tokenizer_config(first), tmp_path / "tokenizer")
    with pytest.raises(
        InputError, match=r"b/manifest\.jsonl: 'id' 'ann0' is in .*a/manifest\.jsonl too; ids must differ"
    ):
        encode_corpus([first, second], run, tmp_path / "store")
    second.write_text(second.read_text().replace('"id": "', '"id": "other-'))
    refused = pytest.raises(InputError, match=r"store: another process is writing it")
    with claimed(tmp_path / "store", tmp_path / "store/.lock"), refused:
        encode_corpus([first, second], run, tmp_path / "store")
    facts = encode_corpus([first, second], run, tmp_path / "store")
    assert [said.id for said in LatentStore(tmp_path / "store").utterances][3:5] == ["bob3", "other-ann0"]
    assert facts.num_frames == sum(said.frames for said in LatentStore(tmp_path / "store").utterances)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tts_backbone_num_hidden_layers": 1}, "is VibeVoice-Realtime, whose encoders were not released"),
        ({"model_type": "bert"}, "expected the configuration of a VibeVoice, found one of model_type"),
    ],
)
def test_released_weights_without_encoders_are_refused_before_anything_is_written(
    tmp_path: Path, config: dict[str, object], message: str
) -> None:
    (tmp_path / "released").mkdir()
    (tmp_path / "released/config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        encode_corpus([], tmp_path / "released", tmp_path / "store")
    assert not (tmp_path / "store").exists()
