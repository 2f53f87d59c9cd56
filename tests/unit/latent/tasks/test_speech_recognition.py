"""From stored latents to a recognizer that has learned five clips by heart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latent.criteria.hybrid_ctc import HybridCTC
from latent.data.latent_store import StoreFacts, write_store
from latent.data.manifest import Utterance
from latent.data.written import character_tokenizer, written
from latent.decoding.ctc import _hypothesis
from latent.models.latent_lm_listener import LatentLMListener
from latent.models.latent_unilm import LatentUniLM
from latent.tasks.speech_recognition import MaskingSection, SpeechRecognition, hidden
from s2s.errors import ConfigError, InputError
from s2s.run import build_model, build_task, load_run, parse_config, resolve, train_run

FACTS = StoreFacts("tests", latent_size=4, sample_rate=2000, hop_length=40, sigma_rule="gaussian", std=0.1)
TEXTS = ["so", "no, no!", "a bus", "us", "bob"]


def utterances(texts: list[str], size: int = 4) -> list[tuple[Utterance, np.ndarray]]:
    """Clips in which each character sounds for three latents, as a vector of its own."""
    signs = {sign: np.random.default_rng(ord(sign)).standard_normal(size) * 2 for sign in "abnosu ,!."}
    return [
        (
            Utterance(str(index), Path("none.wav"), 1.0, text, "ann"),
            np.repeat([signs[sign] for sign in text], 3, axis=0),
        )
        for index, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    write_store(folder, FACTS, utterances(TEXTS))
    return folder


def tree(store: Path, **task: Any) -> dict[str, Any]:
    return {
        "task": {
            "name": "speech_recognition",
            "train": str(store),
            "valid": str(store),
            "max_source": 32,
            "max_target": 10,
            "masking": {"spans": 0, "bands": 0},
            **task,
        },
        "model": {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "intermediate_size": 64,
            "relative_buckets": 16,
            "max_relative_distance": 32,
            "hidden_dropout": 0,
            "attention_dropout": 0,
        },
        "decoder": {"beam_size": 2},
        "optim": {"lr": 5e-3, "warmup_steps": 10},
        "train": {"max_steps": 150, "max_tokens": 512, "validate_every": 150, "device": "cpu", "keep_best_by": "wer"},
    }


def task(store: Path, **options: Any) -> SpeechRecognition:
    return SpeechRecognition(SpeechRecognition.Config(train=str(store), valid=str(store), **options))


def recognize(run: Path, store: Path, rows: list[int]) -> list[list[int]]:
    _, heard, model, search = load_run(run)
    assert isinstance(heard, SpeechRecognition)
    sources = heard.collate_sources([one.example for one in heard.references("valid", rows)])
    return [hypotheses[0].tokens for hypotheses in search(model, sources)]  # type: ignore[arg-type]


def latent_lm(store: Path, **task: Any) -> dict[str, Any]:
    """The same task for a LatentLM."""
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "intermediate_size": 64}
    given = tree(store, **{"method": "causal", **task})
    return {**given, "model": {"name": "latent_lm_listener", "initializer_range": 0.1, **sizes}}


@pytest.fixture(scope="module", params=[tree, latent_lm], ids=["unilm", "latent_lm"])
def run(request: pytest.FixtureRequest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "listener"
    train_run(parse_config(request.param(store)), folder)
    return folder


def test_a_tiny_model_learns_five_clips_without_a_word_error(run: Path, store: Path) -> None:
    _, heard, _, _ = load_run(run)
    found = recognize(run, store, list(range(len(TEXTS))))
    assert [heard.text(tokens) for tokens in found] == ["so", "no no", "a bus", "us", "bob"]


def test_a_recording_is_heard_in_a_batch_as_alone(run: Path, store: Path) -> None:
    together = recognize(run, store, [0, 1, 2, 3, 4])
    assert together == [recognize(run, store, [row])[0] for row in range(5)]


@pytest.mark.parametrize("decoder", ["ctc", "joint_ctc"])
def test_ctc_reads_the_same_clips_and_batch_equals_single(run: Path, store: Path, decoder: str) -> None:
    _, heard, model, search = load_run(run, [f"decoder.name={decoder}"])
    assert isinstance(heard, SpeechRecognition)
    examples = [one.example for one in heard.references("valid", range(5))]
    together = [one[0].tokens for one in search(model, heard.collate_sources(examples))]  # type: ignore[arg-type]
    alone = [search(model, heard.collate_sources([one]))[0][0].tokens for one in examples]  # type: ignore[arg-type]
    assert together == alone
    assert [heard.text(tokens) for tokens in together] == ["so", "no no", "a bus", "us", "bob"]


def test_a_path_of_ctc_gives_repeated_tokens_only_across_a_blank() -> None:
    assert _hypothesis([0, 5, 5, 0, 5, 6, 6, 0, 0, 7], -1.0, 0).tokens == [5, 5, 6, 7]
    assert _hypothesis([0, 0], -1.0, 0).tokens == []


@pytest.mark.parametrize("method", ["causal", "masked", "pseudo_masked"])
def test_each_latent_stands_in_its_slot_and_is_what_the_model_reads(store: Path, method: str) -> None:
    config = parse_config(tree(store, method=method))
    whole = build_task(config)
    assert isinstance(whole, SpeechRecognition)
    dataset = whole.dataset("valid", 1)
    batch = whole.collate([dataset.example(index, 0) for index in (1, 3)])
    frames = 3 * len(TEXTS[1])
    width = batch.tokens.shape[1]
    assert batch.latent_slots.tolist() == [*range(1, 1 + frames), *range(width + 1, width + 1 + 6)]
    torch.manual_seed(0)
    model = build_model(resolve(config, whole.model_defaults())).eval()
    assert isinstance(model, LatentUniLM)
    scores = model(batch)
    torch.testing.assert_close(scores, model(replace(batch, tokens=_other_tokens_at(batch))))
    changed = batch.latents.clone()
    changed[frames:] += 1  # of the second row
    after = model(replace(batch, latents=changed))
    first = batch.slots < width
    torch.testing.assert_close(scores[first], after[first])
    assert (scores[~first] - after[~first]).abs().max() > 1e-4


def _other_tokens_at(batch: Any) -> torch.Tensor:
    tokens = batch.tokens.flatten().clone()
    tokens[batch.latent_slots] = 5
    return tokens.view_as(batch.tokens)


def test_a_latent_lm_reads_latents_from_left_to_right_and_writes_as_it_learned(store: Path) -> None:
    config = parse_config(latent_lm(store, target_mask_prob=0))
    whole = build_task(config)
    assert isinstance(whole, SpeechRecognition)
    dataset, rows = whole.dataset("valid", 1), (1, 3)
    batch = whole.collate([dataset.example(index, 0) for index in rows])
    torch.manual_seed(0)
    model = build_model(resolve(config, whole.model_defaults())).eval()
    assert isinstance(model, LatentLMListener)
    assert not any("head" in name for name, _ in model.named_parameters())
    taught = model.logits(model.features(batch)).split((batch.text_lengths + 1).tolist())
    sources = whole.collate_sources([one.example for one in whole.references("valid", rows)])
    state = model.start(sources, 10)
    written = [model.step(state, None)]
    for place in range(int(batch.text_lengths.max())):
        written.append(model.step(state, batch.texts[:, place : place + 1]))
    for row, scores in enumerate(taught):
        torch.testing.assert_close(torch.cat(written, 1)[row, : len(scores)], scores, atol=1e-5, rtol=1e-4)
    frames = model.frame_scores(sources)
    later = sources.latents.clone()
    later[8:] += 1
    torch.testing.assert_close(model.frame_scores(replace(sources, latents=later))[:8], frames[:8])


def test_a_latent_lm_is_refused_with_a_method_that_does_not_read_from_left_to_right(
    store: Path, tmp_path: Path
) -> None:
    for method in ("masked", "pseudo_masked"):
        with pytest.raises(ConfigError, match=r"task\.method: must be causal for the model 'latent_lm_listener'"):
            train_run(parse_config(latent_lm(store, method=method)), tmp_path / method)
        assert not (tmp_path / method).exists()


def test_ctc_is_that_of_each_row_alone(store: Path) -> None:
    config = parse_config(tree(store))
    whole = build_task(config)
    model = build_model(resolve(config, whole.model_defaults())).eval()
    criterion = HybridCTC(HybridCTC.Config(ctc_weight=1.0))
    dataset = whole.dataset("valid", 1)
    examples = [dataset.example(index, 0) for index in range(5)]
    together = criterion(model, whole.collate(examples))
    alone = [criterion(model, whole.collate([example])) for example in examples]
    for name in ("loss", "ctc_loss"):
        torch.testing.assert_close(together[name], sum(one[name] for one in alone))
    heard = whole.collate(examples[:1])
    features = model.features(replace(heard, slots=heard.latent_slots))
    log_probs = model.logits(features).log_softmax(-1).double().detach()
    assert float(alone[0]["ctc_loss"].detach()) == pytest.approx(-_paths(log_probs, heard.texts[0].tolist()), rel=1e-4)


def _paths(log_probs: torch.Tensor, text: list[int]) -> float:
    """The log-probability of a text by the sum over all its alignments, written out (blank 0)."""
    states = [0, *[item for token in text for item in (token, 0)]]
    reached = {0: log_probs[0, 0], 1: log_probs[0, states[1]]}
    for frame in log_probs[1:]:
        following: dict[int, list[torch.Tensor]] = {}
        for state, value in reached.items():
            for step in (0, 1, 2):
                to = state + step
                may_skip = step < 2 or (to < len(states) and states[to] not in (0, states[state]))
                if to < len(states) and may_skip:
                    following.setdefault(to, []).append(value + frame[states[to]])
        reached = {state: torch.logsumexp(torch.stack(values), 0) for state, values in following.items()}
    return float(torch.logsumexp(torch.stack([reached[len(states) - 1], reached[len(states) - 2]]), 0))


def test_masking_hides_what_it_says_and_depends_on_seed_epoch_and_index_alone(store: Path) -> None:
    whole = task(store, masking=MaskingSection(spans=1, longest=4, bands=1, widest=2))
    dataset = whole.dataset("train", 1)
    drawn = [dataset.example(1, epoch).latents for epoch in (3, 3, 4)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    fixed = whole.dataset("valid", 1)
    np.testing.assert_array_equal(fixed.example(1, 0).latents, fixed.example(1, 1).latents)


@given(
    frames=st.integers(1, 30),
    size=st.integers(1, 8),
    spans=st.integers(0, 3),
    bands=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_hidden_latents_are_the_mean_and_others_unchanged(
    frames: int, size: int, spans: int, bands: int, seed: int
) -> None:
    latents = np.random.default_rng(seed).standard_normal((frames, size)).astype(np.float32)
    masking = MaskingSection(spans=spans, longest=5, bands=bands, widest=3)
    found = hidden(latents, masking, 0.5, np.random.default_rng(seed))
    changed = found != latents
    assert (found[changed] == np.float32(0.5)).all()
    rows, columns = changed.all(1), changed.all(0)
    assert not changed[~rows][:, ~columns].any()
    assert rows.sum() <= 5 * spans + frames * bool(columns.all())
    assert columns.sum() <= 3 * bands + size * bool(rows.all())


@pytest.mark.parametrize(
    ("text", "words", "as_written"),
    [
        ("It’s 2 o'clock — “now”!", "it's two o'clock now", "It's 2 o'clock - \"now\"!"),
        ("Café,  NOËL", "café noël", "Café, NOËL"),
        ("...", "", "..."),
    ],
)
def test_texts_are_what_can_be_heard_or_stay(text: str, words: str, as_written: str) -> None:
    assert written(text, "en", "words") == words
    assert written(text, "en", "as_written") == as_written


@given(
    st.lists(st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="[]"), min_size=1), min_size=1)
)
def test_characters_give_back_their_texts(texts: list[str]) -> None:
    texts = [" ".join(text.split()) for text in texts]
    tokenizer = character_tokenizer(texts)
    for text in texts:
        assert not text or tokenizer.text(tokenizer.encode_many([text])[0]) == text


def test_a_store_without_words_is_refused_and_single_ones_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_store(tmp_path / "silent", FACTS, utterances(["...", "!"]))
    with pytest.raises(InputError, match=r"silent: no utterance has words and fits into task\.max_source=512"):
        task(tmp_path / "silent").dataset("train", 1)
    write_store(tmp_path / "mixed", FACTS, utterances(["so", "...", "bus bus bus"]))
    assert len(task(tmp_path / "mixed", max_source=20).dataset("train", 1)) == 1
    assert "2 of 3 utterances have no words or do not fit" in caplog.text


def test_latents_of_another_size_are_refused(store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "wide", replace(FACTS, latent_size=5), utterances(TEXTS, 5))
    mixed = SpeechRecognition(SpeechRecognition.Config(train=str(store), valid=str(tmp_path / "wide")))
    with pytest.raises(ConfigError, match=r"task\.valid: must have 4 numbers per latent as task\.train, found 5"):
        mixed.dataset("valid", 1)
    config = parse_config({**tree(store), "model": {"latent_size": 5}})
    with pytest.raises(ConfigError, match=r"model\.latent_size: must be 4 as in the task's data, found 5"):
        resolve(config, build_task(config).model_defaults())


def test_text_is_no_source_and_says_which_verb_hears(store: Path) -> None:
    with pytest.raises(InputError, match=r"in\.jsonl:1: this run hears recordings .* use `unilatent transcribe`"):
        task(store).source({"src": "hello"}, "in.jsonl:1")


def test_word_pieces_are_units_if_a_tokenizer_is_named(store: Path, tmp_path: Path) -> None:
    items = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "so", "no", "a", "b", "##us", "us", "bo", "##b"]
    (tmp_path / "pieces").mkdir()
    (tmp_path / "pieces" / "vocab.txt").write_text("\n".join(items), encoding="utf-8")
    whole = task(store, tokenizer=str(tmp_path / "pieces"))
    found = [reference.target for reference in whole.references("valid", range(5))]
    tokens = [whole.tokenizer.tokens(whole.dataset("valid", 1).example(index, 0).text) for index in range(5)]
    assert found == ["so", "no no", "a bus", "us", "bob"]
    assert tokens == [["so"], ["no", "no"], ["a", "b", "##us"], ["us"], ["bo", "##b"]]
