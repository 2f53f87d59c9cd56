"""Requests come and go while others are spoken: what each gives does not depend on it, and nothing is left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import tensors_in_use

pytest.importorskip("soundfile")
import tiny_voice

from latent.data.speech_prompts import SpeechRequest
from latent.decoding.audio import AudioChunk
from latent.models.latent_lm import LatentLM
from latent.models.sigma_vae import SigmaVAE
from latent.synthesis.session import OneByOne, SpeechSession
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice

ROWS = 3
MOST = [25, 9, 14, 3, 30, 12]


@cache
def voice(timed: bool, guided: bool = True) -> Voice:
    """In float64: a recurrent model with random weights makes much of a difference of rounding."""
    options = ["num_inference_steps=2", "stop_threshold=0.93", "min_frames=6", f"guidance_scale={1.3 if guided else 1}"]
    write = tiny_voice.write_timed_voice if timed else tiny_voice.write_voice
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for part in (LatentLM, SigmaVAE):
            patch.setattr(part, "prepare", lambda model, precision: model.double())
        return open_voice(write(Path(folder) / "made"), overrides=[f"decoder.{option}" for option in options])


@cache
def wanted(timed: bool, guided: bool = True) -> list[SpeechRequest]:
    """Requests of many lengths, one with a voice prompt; some end by themselves, some at their limits."""
    speaker = voice(timed, guided)
    prompt = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
    texts = ["Good day to you.", "So", "Never mind.", "Two", "Two, three. Good morning to you, and so on."]
    requests = [speaker.request(str(n), text, "ann", seed=n, temperature=0.3 * n) for n, text in enumerate(texts)]
    requests.append(speaker.request("prompted", "Hear me", None, prompt, seed=9))
    return [replace(request, max_frames=most) for request, most in zip(requests, MOST, strict=True)]


@cache
def alone(timed: bool, guided: bool = True) -> list[np.ndarray]:
    return [voice(timed, guided).say(request).samples for request in wanted(timed, guided)]


class Listener:
    """Steps a session and keeps what it says."""

    def __init__(self, session: SpeechSession) -> None:
        self.session = session
        self.heard: dict[int, list[np.ndarray]] = {}
        self.ended: dict[int, bool] = {}

    def step(self) -> None:
        chunks = self.session.step()
        assert len({chunk.key for chunk in chunks}) == len(chunks), "one chunk of a request"
        for chunk in chunks:
            assert chunk.key not in self.ended, "nothing after the end"
            self.heard.setdefault(chunk.key, []).append(chunk.samples)
            if chunk.ended is not None:
                self.ended[chunk.key] = chunk.ended

    def said(self, key: int) -> np.ndarray:
        return np.concatenate(self.heard[key])


arrivals = st.lists(st.tuples(st.integers(0, 25), st.integers(0, 5), st.none() | st.integers(0, 12)), max_size=6)


@pytest.mark.parametrize(("timed", "guided"), [(False, True), (True, True), (False, False)])
@settings(max_examples=8, deadline=None)
@given(arrivals)
def test_a_row_that_joins_gives_what_it_gives_alone(
    timed: bool, guided: bool, plan: list[tuple[int, int, int | None]]
) -> None:
    """The plan: steps until a request arrives, which one it is, and after how many steps it is removed, if it is."""
    listener = Listener(voice(timed, guided).session(ROWS))
    session, playing, removed = listener.session, dict[int, int](), dict[int, int]()

    def step() -> None:
        listener.step()
        for key in [key for key, left in removed.items() if left == 0 and key not in listener.ended]:
            session.remove(key)
        for key in removed:
            removed[key] -= 1

    for wait, request, stay in plan:
        for _ in range(wait):
            step()
        while not session.has_room(wanted(timed, guided)[request]):
            step()
        key = session.add(wanted(timed, guided)[request])
        playing[key] = request
        if stay is not None:
            removed[key] = stay
    while len(session):
        step()
    for key, request in playing.items():
        if key in listener.ended:
            np.testing.assert_allclose(listener.said(key), alone(timed, guided)[request], atol=1e-6)
        elif key in listener.heard:
            said = listener.said(key)
            np.testing.assert_allclose(said, alone(timed, guided)[request][: len(said)], atol=1e-6)
            assert key in removed
        else:
            assert key in removed


def test_a_session_has_room_for_as_many_as_it_was_made_for() -> None:
    session, request = voice(False).session(2), wanted(False)[0]
    keys = [session.add(request), session.add(request)]
    assert len(session) == 2
    assert not session.has_room(request)
    session.remove(keys[0])
    assert len(session) == 1
    assert session.has_room(request)
    session.remove(keys[1])
    assert len(session) == 0
    assert session.step() == []


def test_a_request_is_heard_after_one_frame_whoever_else_speaks() -> None:
    speaker, requests = voice(False), wanted(False)
    session = speaker.session(2)
    first = session.add(requests[0])
    assert [(chunk.key, len(chunk.samples)) for chunk in session.step()] == [(first, speaker.hop_length)]
    for _ in range(4):
        session.step()
    second = session.add(requests[4])
    assert (second, 20) in [(chunk.key, len(chunk.samples)) for chunk in session.step()]


def test_audio_comes_before_a_listener_has_heard_what_came_before() -> None:
    session = voice(False).session(1)
    session.add(wanted(False)[4])
    frames = [sum(len(chunk.samples) for chunk in session.step()) // 20 for _ in range(30)]
    assert [count for count in frames if count] == [1, 1, 2, 4, 8, 8]


def test_many_requests_leave_nothing_behind() -> None:
    listener, requests = Listener(voice(False).session(ROWS)), wanted(False)
    sizes, before = [], tensors_in_use()
    for count in range(50):
        while not listener.session.has_room(requests[0]):
            listener.step()
        key = listener.session.add(requests[count % len(requests)])
        if count % 3 == 0:
            listener.step()
            if key not in listener.ended:
                listener.session.remove(key)
        if count % 10 == 9:
            sizes.append(tensors_in_use() - before)
    while len(listener.session):
        listener.step()
    assert max(sizes[1:]) < 3 * sizes[0] + 10_000
    assert tensors_in_use() - before < 1000


def chunks(request: SpeechRequest) -> Iterator[AudioChunk]:
    yield AudioChunk([0], torch.full((1, 2), float(request.seed)), {})
    yield AudioChunk([0], torch.ones(1, 3), {0: False})


def request(seed: int) -> Any:
    return SpeechRequest("x", "x", None, [], None, seed, 1.0, 1, 1)


def test_a_voice_that_speaks_alone_takes_one_request_at_a_time() -> None:
    listener = Listener(OneByOne(chunks))
    session = listener.session
    assert session.step() == []
    for seed in (3, 4):
        assert session.has_room(request(seed))
        key = session.add(request(seed))
        assert not session.has_room(request(seed))
        while len(session):
            listener.step()
        np.testing.assert_array_equal(listener.said(key), [seed, seed, 1, 1, 1])
        assert listener.ended[key] is False
    session.remove(session.add(request(5)))
    assert session.has_room(request(5))
    assert session.step() == []
