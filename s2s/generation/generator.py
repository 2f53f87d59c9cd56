"""Texts in memory: a `Generator` is the model of a run with its search, loaded once and asked many times.

generator = Generator.load("runs/mine")
print(generator.generate("A long text.").text)
for made in generator.generate(open("texts.txt"), num_hypotheses=3):  # an iterator gives an iterator
    print([(one.text, one.score) for one in made.nbest])
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, overload

import torch

from s2s.checkpoint import weights_path
from s2s.decoding.base import Decoder, Hypothesis, Search, StepModel
from s2s.decoding.beam import BeamSearch
from s2s.errors import ConfigError, InputError
from s2s.generation.session import Batched, Joined, Text, Texts, TextSession
from s2s.hub import find_run
from s2s.models.base import Model
from s2s.nn.packed import Precision, check_precision, weights_dtype
from s2s.ranks import choose_device
from s2s.registry import DECODERS, nearest
from s2s.run import build_search, load_run
from s2s.run_config import RunConfig, with_decoder
from s2s.tasks.base import GenerationTask


class Scored(NamedTuple):
    """A text and its score; higher is better."""

    text: str
    score: float


@dataclass(frozen=True)
class Generation:
    """What was generated from one source.

    Args:
        nbest: The different texts, best first. There is one, or up to `num_hypotheses`.
        num_cut: Tokens that the source lost because it was longer than `task.max_source`.
    """

    nbest: tuple[Scored, ...]
    num_cut: int = 0

    @property
    def text(self) -> str:
        """The best text."""
        return self.nbest[0].text

    @property
    def score(self) -> float:
        """The score of the best text: its log-probability, divided as the decoder's length penalty says."""
        return self.nbest[0].score

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Generator:
    """The model of a run, ready to generate.

    Args:
        config: The configuration of the run.
        task: Reads sources and writes texts.
        model: On `device`, in evaluation mode; see `place`.
        search: The decoder with its options.
        device: Where the model is.
        settings: All that outputs depend on besides the source, such as the `Path` of the weights and the options of
            the decoder. A decoding job continues only with the same settings.
    """

    config: RunConfig
    task: GenerationTask
    model: StepModel
    search: Search
    device: torch.device
    settings: Mapping[str, Any]

    @classmethod
    def load(
        cls,
        run: str | Path,
        checkpoint: str | None = None,
        revision: str | None = None,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "float32",
        overrides: Iterable[str] = (),
        **decoder_options: Any,
    ) -> Generator:
        """The generator of a run.

        Args:
            run: A run folder, the name of a shipped run, or USER/NAME on the hub.
            checkpoint: A step or a safetensors file; the best weights by default.
            revision: A commit, branch or tag of a run on the hub.
            device: "auto" (a GPU if there is one), "cpu", "cuda", "mps", or a device of torch.
            precision: Of the weights: "float32", "bfloat16", or on a CPU "int8". Scores are float32 in each of them.
            overrides: Options of other sections, such as `task.max_source=256`.
            decoder_options: Defaults for `generate`, such as `beam_size=8`. `name="sampling"` chooses another decoder.

        Raises:
            InputError: the run cannot be found, lacks weights, or does not generate text.
            ConfigError: an option is unknown or its value does not fit.
        """
        where = device if isinstance(device, torch.device) else choose_device(device)
        check_precision(precision, where)
        folder = find_run(run, revision)
        config, task, model, search = load_run(folder, overrides, checkpoint)
        settings = {
            "model": weights_path(folder, checkpoint),
            "task": config.task.config.model_dump(mode="json", exclude={"train", "valid", "labels", "tokenizer"}),
            "decoder": config.tree()["decoder"],
            "precision": precision,
        }
        placed = place(model, where, precision)
        assert isinstance(placed, StepModel), "load_run has checked it"
        _check_names(config, decoder_options, cls.load)
        return cls(config, task, placed, search, where, settings).with_options(**decoder_options)

    def with_options(self, **decoder_options: Any) -> Generator:
        """The same model with other options of the decoder; with `name`, another decoder.

        Raises:
            ConfigError: an option is unknown or its value does not fit.
        """
        if not decoder_options:
            return self
        config = with_decoder(self.config, decoder_options)
        search = build_search(config, self.task)
        return replace(
            self, config=config, search=search, settings={**self.settings, "decoder": config.tree()["decoder"]}
        )

    @overload
    def generate(self, texts: Text, prefix: str | None = None, **decoder_options: Any) -> Generation: ...
    @overload
    def generate(
        self, texts: Collection[Text], prefix: str | Iterable[str] | None = None, **decoder_options: Any
    ) -> list[Generation]: ...
    @overload
    def generate(
        self, texts: Iterable[Text], prefix: str | Iterable[str] | None = None, **decoder_options: Any
    ) -> Iterator[Generation]: ...
    def generate(
        self,
        texts: Text | Iterable[Text],
        prefix: str | Iterable[str] | None = None,
        *,
        max_tokens: int = 4096,
        max_sentences: int = 64,
        window: int = 1024,
        **decoder_options: Any,
    ) -> Generation | list[Generation] | Iterator[Generation]:
        """Generate from texts. The result of one text does not depend on the others.

        Args:
            texts: One text, a list, or an iterator. A record (`{"src": ..., "prefix": ...}`) may stand for a text.
            prefix: What each output must begin with: one for all texts, or one for each.
            max_tokens: Maximum source tokens per batch, padding included. A longer source is a batch of its own.
            max_sentences: Maximum texts per batch.
            window: Texts of an iterator that are read, sorted by length and generated together.
            decoder_options: For this call, such as `beam_size=8, num_hypotheses=4`, or `name="sampling", top_p=0.9`.

        Returns:
            A `Generation` for one text; a list for a list; for an iterator, an iterator that reads a window at a time.

        Raises:
            InputError: a text is empty or of the wrong type; names its number.
            ConfigError: an option is unknown or its value does not fit.
        """
        _check_names(self.config, decoder_options, type(self).generate)
        chosen = self.with_options(**decoder_options)
        many = [texts] if isinstance(texts, str | Mapping) else texts
        sources = (chosen._read(*item) for item in enumerate(_with_prefixes(many, prefix), start=1))
        made = chosen._generate(sources, max_tokens, max_sentences, window)
        if isinstance(texts, str | Mapping):
            return next(made)
        return list(made) if isinstance(texts, Collection) else made

    def session(self, max_rows: int, **decoder_options: Any) -> TextSession:
        """Texts that come and go while others are generated, at most `max_rows` at a time; for a server.

        They join a running beam search. Other searches take all texts that wait as one batch.

        Raises:
            ConfigError: an option is unknown or its value does not fit.
        """
        _check_names(self.config, decoder_options, type(self).session)
        chosen = self.with_options(**decoder_options)
        texts = Texts(
            read=lambda text, prefix: chosen._read(1, (text, prefix)),
            collate=lambda sources: chosen.task.collate_sources(sources).to(chosen.device),
            write=lambda found, read: [*generation(chosen.task, found, read[1]).nbest],
        )
        joins = getattr(chosen.model, "joins", True)  # some models take the same step in all rows
        if isinstance(chosen.search, BeamSearch) and chosen.search.joins and joins:
            return Joined(texts, chosen.model, max_rows, chosen.search)
        return Batched(texts, chosen.model, max_rows, chosen.search)

    def _read(self, number: int, given: tuple[Text, str | None]) -> tuple[Any, str]:
        """The task's source of one text, and the text whose spelling its output takes."""
        text, prefix = given
        record = dict(text) if isinstance(text, Mapping) else self.task.record(text)
        if prefix is not None:
            record["prefix"] = prefix
        source = self.task.source(record, f"text {number}", str(number))
        self.search.check(source, f"text {number}")
        return source, self.task.source_text(record)

    def _generate(
        self, sources: Iterator[tuple[Any, str]], max_tokens: int, max_sentences: int, window: int
    ) -> Iterator[Generation]:
        while read := list(itertools.islice(sources, window)):
            made: dict[int, Generation] = {}
            lengths = {row: len(source.tokens) for row, (source, _) in enumerate(read)}
            for rows in batch_rows(lengths, max_tokens, max_sentences):
                batch = self.task.collate_sources([read[row][0] for row in rows]).to(self.device)
                for row, hypotheses in zip(rows, self.search(self.model, batch), strict=True):
                    source, text = read[row]
                    made[row] = generation(self.task, hypotheses, text, source.num_cut)
            yield from (made[row] for row in range(len(read)))


def place(model: Model, device: torch.device, precision: Precision = "float32") -> Model:
    """The model on a device, ready only to decode; log-probabilities are float32 in each precision."""
    model = model.to(device=device, dtype=weights_dtype(precision, device)).eval()
    model.prepare(precision)
    return model


def generation(task: GenerationTask, hypotheses: Sequence[Hypothesis], source: str, num_cut: int = 0) -> Generation:
    """The texts of the hypotheses of a sentence, spelled as in `source`; InputError if the model's scores are NaN."""
    if math.isnan(hypotheses[0].score):
        raise InputError("the model's scores are not numbers; its weights hold NaN or infinity")
    scores: dict[str, float] = {}
    for item in hypotheses:  # other tokens may give the same text, which then keeps its best score
        scores.setdefault(task.output(item.tokens, source), item.score)
    return Generation(tuple(Scored(*item) for item in scores.items()), num_cut)


def batch_rows(lengths: Mapping[int, int], max_tokens: int, max_sentences: int) -> Iterator[list[int]]:
    """Rows of a window in batches, longest source first, so that what does not fit into memory fails at once.

    `max_tokens` limits sentences x longest source; `lengths` has the length of the source of each row.
    """
    order = sorted(lengths, key=lambda row: -lengths[row])
    while order:
        size = min(max_sentences, max(1, max_tokens // lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def _with_prefixes(texts: Iterable[Text], prefix: str | Iterable[str] | None) -> Iterator[tuple[Text, str | None]]:
    if prefix is None or isinstance(prefix, str):
        yield from ((text, prefix) for text in texts)
        return
    missing: Any = object()
    for text, begin in itertools.zip_longest(texts, prefix, fillvalue=missing):
        if text is missing or begin is missing:
            raise InputError("prefix: must be one text, or one for each text; there are more of one than of the other")
        yield text, begin


def _check_names(config: RunConfig, options: Mapping[str, Any], method: Any) -> None:
    """Raise ConfigError for a keyword that is neither of the method nor an option of the decoder; name the nearest."""
    if not options:
        return
    name = options.get("name", config.decoder and config.decoder.name)
    fields = _options_of(str(name))
    for option in options.keys() - fields - {"name"}:
        searches = [other for other in DECODERS.names() if issubclass(DECODERS[other], Search)]
        for other in sorted(searches, key=lambda name: len(_options_of(name))):  # the plainest first
            if option in _options_of(other):
                raise ConfigError(f"{option}: is an option of the decoder {other!r}; give name={other!r} with it")
        known = [*fields, *inspect.signature(method).parameters]
        raise ConfigError(f"{option}: no such option{nearest(option, known)}")


def _options_of(decoder: str) -> set[str]:
    cls: type[Decoder] = DECODERS[decoder]
    return set(cls.Config.model_fields)
