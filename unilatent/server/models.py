"""The models that a server offers: what each is called, what it can do, and its worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from latent.longform.cast import Role
from latent.models.families import family_of, speaks
from latent.recognition.recognizer import Recognizer
from latent.recognition.recognizers import open_recognizer
from latent.synthesis.voice import Voice
from latent.synthesis.voices import open_voice
from latent.tasks.captioning import Captioning
from latent.tasks.image_and_text import ImageAndText
from latent.tasks.speech_recognition import SpeechRecognition
from latent.tasks.vibevoice_recognition import VibeVoiceRecognition
from s2s import checkpoint
from s2s.errors import InputError
from s2s.generation.generator import Generator
from s2s.hub import find_run
from s2s.nn.packed import Precision
from s2s.registry import TASKS, nearest
from s2s.run import read_run
from s2s.tasks.base import GenerationTask
from unilatent.server.errors import ApiError, Busy
from unilatent.server.limits import Limits
from unilatent.server.metrics import Metrics
from unilatent.server.worker import Worker


class ServedModel:
    """A model and its worker.

    Args:
        name: Its name in requests.
        folder: Where it was loaded from; messages may hold it.
    """

    kind: str
    does: str
    """What a model of this kind does, for messages."""

    def __init__(self, name: str, folder: str, limits: Limits, metrics: Metrics) -> None:
        self.name, self.folder, self.limits = name, folder, limits
        self.created = int(time.time())
        self.metrics = metrics.of(name)
        self.worker = Worker(name, limits, self.metrics)


class SpeechModel(ServedModel):
    """A voice; `roles` are its speakers by their names in requests."""

    kind, does = "speech", "speaks"

    def __init__(
        self, name: str, folder: str, voice: Voice, roles: Mapping[str, Role], limits: Limits, metrics: Metrics
    ) -> None:
        super().__init__(name, folder, limits, metrics)
        self.voice, self.roles = voice, dict(roles)

    def role(self, name: str | None) -> Role:
        """Who is called that; None is the only one there is.

        Raises:
            ApiError: nobody is, or the request must choose.
        """
        if name is None:
            if len(self.roles) != 1:
                raise ApiError(400, f"voice: must be given, one of {', '.join(self.roles)}", "missing", "voice")
            return next(iter(self.roles.values()))
        if name not in self.roles:
            found = nearest(name, self.roles)
            raise ApiError(404, f"voice: {self.name!r} has no voice {name!r}{found}", "voice_not_found", "voice")
        return self.roles[name]


class WritingModel(ServedModel):
    """A run that writes."""

    def __init__(self, name: str, folder: str, generator: Generator, limits: Limits, metrics: Metrics) -> None:
        super().__init__(name, folder, limits, metrics)
        self.generator = generator


class TextModel(WritingModel):
    """A run that generates text from text."""

    kind, does = "text", "generates text"


class CaptionModel(WritingModel):
    """A run that writes about pictures."""

    kind, does = "captions", "writes captions"

    @property
    def reads_text(self) -> bool:
        """Whether it reads a text with each picture."""
        task = self.generator.task
        return isinstance(task, Captioning) and not task.alone

    @property
    def languages(self) -> Sequence[str]:
        """The languages to choose from; empty where there is no choice."""
        task = self.generator.task
        return task.config.languages if isinstance(task, Captioning) else ()


class RecognitionModel(ServedModel):
    """What writes down recordings."""

    kind, does = "recognition", "listens"

    def __init__(self, name: str, folder: str, recognizer: Recognizer, limits: Limits, metrics: Metrics) -> None:
        super().__init__(name, folder, limits, metrics)
        self.recognizer = recognizer
        self._following = 0

    @property
    def is_live(self) -> bool:
        """Whether it can follow a recording that is being made."""
        return self.recognizer.is_live

    @contextmanager
    def following(self) -> Iterator[None]:
        """A place for a recording that is being made, until the end of the block; Busy if there is none."""
        most = self.limits.streams
        if self._following >= most:
            raise Busy(f"{self.name!r} follows {most} recordings already; try again later", 30)
        self._following += 1
        self.metrics.streams(self._following)
        try:
            yield
        finally:
            self._following -= 1
            self.metrics.streams(self._following)


def open_model(
    name: str,
    folder: str,
    device: str,
    recordings: Mapping[str, Path],
    consent: bool,
    limits: Limits,
    metrics: Metrics,
    precision: Precision | None = None,
) -> ServedModel:
    """The model of a run folder, of released weights, or of a name on the hub.

    Args:
        name: Its name in requests.
        folder: What to load.
        device: "auto", "cpu", "cuda" or "mps".
        recordings: Voice prompts by the name of the voice, for a voice that takes them.
        consent: Whether the user confirms the consent of the people in the recordings.
        precision: Of the weights; by default that of models of its kind.

    Raises:
        InputError: it cannot be loaded, or neither generates text or speech nor listens.
    """
    folder = str(find_run(folder))
    if listens(folder):
        return RecognitionModel(
            name, folder, open_recognizer(folder, device=device, precision=precision), limits, metrics
        )
    if generates_text(folder):
        generator = Generator.load(folder, device=device, precision=precision or "float32")
        kind = CaptionModel if isinstance(generator.task, Captioning | ImageAndText) else TextModel
        return kind(name, folder, generator, limits, metrics)
    voice = open_voice(folder, device=device, precision=precision)
    return SpeechModel(name, folder, voice, _roles(voice, recordings, consent), limits, metrics)


def listens(folder: str) -> bool:
    """Whether a folder is a run of a recognizer, or released weights of one."""
    path = Path(folder)
    if (path / checkpoint.CONFIG).is_file():
        task = TASKS[read_run(folder).task.name]
        return issubclass(task, (SpeechRecognition, VibeVoiceRecognition))
    return (path / "config.json").is_file() and not speaks(family_of(path))


def generates_text(folder: str) -> bool:
    """Whether a folder is a run whose task generates text."""
    if not (Path(folder) / checkpoint.CONFIG).is_file():
        return False
    return issubclass(TASKS[read_run(folder).task.name], GenerationTask)


def _roles(voice: Voice, recordings: Mapping[str, Path], consent: bool) -> dict[str, Role]:
    roles = {name: Role(name) for name in voice.speakers}
    roles |= {name: Role(prompt=voice.prompt(recording, consent)) for name, recording in recordings.items()}
    if not roles and voice.names_speakers:
        roles["default"] = Role()
    if not roles:
        raise InputError(
            "this voice has no speakers of its own; give --voice NAME=RECORDING and --i-have-consent "
            "(VibeVoice-Realtime: NAME=PRESET)"
        )
    return roles
