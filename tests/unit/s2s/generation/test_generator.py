"""A generator gives what `decode` writes, whatever the form and the order of the texts."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import unilatent
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.decoding.constrained import ConstrainedBeamSearch
from s2s.errors import ConfigError, InputError
from s2s.generation.generator import Generation, Generator
from s2s.nn.packed import input_levels

DATA = Path(__file__).parents[3] / "regression/data"
TEXTS = [json.loads(line)["src"] for line in (DATA / "input.jsonl").read_text(encoding="utf-8").splitlines()][:12]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(DATA / "run", tmp_path_factory.mktemp("generator") / "run"))


@pytest.fixture(scope="module")
def generator(run: Path) -> Generator:
    return Generator.load(run, device="cpu", beam_size=3, max_length=6)


def alike(found: Generation, other: Generation) -> bool:
    return found.text == other.text and found.score == pytest.approx(other.score, abs=1e-3)


def test_it_gives_what_decode_writes(run: Path, generator: Generator, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"src": text}) + "\n" for text in TEXTS))
    options = ["decoder.beam_size=3", "decoder.max_length=6", "decoder.num_hypotheses=3"]
    unilatent("decode", run, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", *options)
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    for made, record in zip(generator.generate(TEXTS, num_hypotheses=3), written, strict=True):
        assert (made.text, round(made.score, 3)) == (record["tgt"], pytest.approx(record["score"], abs=2e-3))
        assert [one.text for one in made.nbest] == [one["tgt"] for one in record["nbest"]]


def test_phrases_of_a_line_survive_a_stop_and_other_windows(
    run: Path, generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [re.findall("[a-z]{4,}", text)[number % 3 : 3] for number, text in enumerate(TEXTS)]
    lines = [{"src": text, "constraints": phrases} for text, phrases in zip(TEXTS, asked, strict=True)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ["decoder.name=constrained_beam", "decoder.beam_size=3", "decoder.max_length=24"]

    def decode(name: str, *more: str) -> bytes:
        unilatent("decode", run, "--input", tmp_path / "in.jsonl", "--output", tmp_path / name, *options, *more)
        return (tmp_path / name).read_bytes()

    whole, search = decode("whole.jsonl"), ConstrainedBeamSearch.__call__
    calls = [1, 2]

    def stopped(*given: Any) -> Any:
        if not calls:
            raise SystemExit(7)
        calls.pop()
        return search(*given)

    small = ("--window", "5", "--max-sentences", "2")
    with monkeypatch.context() as patch:
        patch.setattr(ConstrainedBeamSearch, "__call__", stopped)
        with pytest.raises(SystemExit):
            decode("stopped.jsonl", *small)
    assert decode("stopped.jsonl", *small) == whole
    for line, phrases in zip(whole.splitlines(), asked, strict=True):
        assert all(phrase in json.loads(line)["tgt"].lower() for phrase in phrases)
    search_options = {"name": "constrained_beam", "beam_size": 3, "max_length": 24}
    made = [one.text for one in generator.generate(lines, **search_options)]
    assert made == [json.loads(line)["tgt"] for line in whole.splitlines()]
    session = generator.session(4, **search_options)
    session.add(lines[0])
    assert session.step()[0].hypotheses[0][0] == made[0]


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(6)), tokens=st.integers(1, 200), window=st.integers(1, 7))
def test_a_text_gives_the_same_in_any_company(generator: Generator, order: list[int], tokens: int, window: int) -> None:
    alone = [generator.generate(TEXTS[index]) for index in order]
    together = generator.generate([TEXTS[index] for index in order], max_tokens=tokens, window=window)
    assert all(map(alike, together, alone))


def test_a_list_gives_a_list_and_an_iterator_is_read_by_windows(generator: Generator) -> None:
    read = []

    def source() -> Iterator[str]:
        for text in itertools.cycle(TEXTS):  # endless
            read.append(text)
            yield text

    lazy = generator.generate(source(), window=3)
    assert not read
    first = list(itertools.islice(lazy, 4))
    assert len(read) == 6
    assert all(map(alike, first, generator.generate(TEXTS[:4])))
    assert generator.generate([]) == []


def test_every_output_begins_with_its_prefix(generator: Generator) -> None:
    assert generator.generate(TEXTS[0], prefix="Library").text.lower().startswith("library")
    made = generator.generate(TEXTS[:2], prefix=["tool", "library"])
    assert [one.text.lower().startswith(word) for one, word in zip(made, ("tool", "library"), strict=True)] == [
        True
    ] * 2
    record = generator.generate({"src": TEXTS[0], "prefix": "tool"})
    assert alike(record, made[0])
    for prefixes in (["a"], ["a", "b", "c"]):
        with pytest.raises(InputError, match="one for each text"):
            generator.generate(TEXTS[:2], prefix=prefixes)


def test_another_decoder_and_its_options_hold_for_one_call(generator: Generator) -> None:
    before = generator.generate(TEXTS[0])
    drawn = generator.generate(TEXTS[0], name="sampling", num_hypotheses=20, temperature=5.0, seed=3)
    assert len(drawn.nbest) > 5
    assert generator.generate(TEXTS[0]) == before
    assert generator.with_options(beam_size=1).settings["decoder"]["beam_size"] == 1


def test_a_source_that_lost_its_end_says_so(generator: Generator) -> None:
    assert generator.generate(" ".join(TEXTS)).num_cut > 0
    assert generator.generate("A tool.").num_cut == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_sise": 3}, "beam_sise: no such option. Did you mean 'beam_size'?"),
        ({"max_sentence": 3}, "Did you mean 'max_sentences'?"),
        ({"top_p": 0.5}, "top_p: is an option of the decoder 'sampling'; give name='sampling' with it"),
        ({"beam_size": 0}, "decoder.beam_size: must be greater than or equal to 1, found 0"),
        ({"name": "beem"}, "no decoder is called 'beem'. Did you mean 'beam'?"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_read(
    generator: Generator, options: dict[str, int], message: str
) -> None:
    def never() -> Iterator[str]:
        raise AssertionError
        yield ""

    with pytest.raises(ConfigError) as error:
        generator.generate(never(), **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_sise": 3}, "Did you mean 'beam_size'?"),
        ({"devise": "cpu"}, "Did you mean 'device'?"),
        ({"device": "gpu"}, "device: must be"),
        ({"precision": "half"}, "precision: must be float32, bfloat16 or int8, found 'half'"),
        ({"checkpoint": "7"}, "7"),
    ],
)
def test_a_wrong_keyword_of_load_is_one_line(run: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError) as error:
        Generator.load(run, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["A tool.", " "], "text 2: 'src' is empty"),
        (["A tool.", 5], "text 2: 'src' must be a string"),
        ([{"sauce": "A tool."}], "text 1: 'src' is missing; found 'sauce'"),
        (["A tool.", "half \ud800"], "text 2: 'src' holds half a surrogate pair"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(generator: Generator, texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        generator.generate(texts)
    assert message in str(error.value)


def test_products_in_bfloat16_score_alike(run: Path, generator: Generator) -> None:
    small = Generator.load(run, device=torch.device("cpu"), precision="bfloat16", beam_size=3, max_length=6)
    assert small.generate(TEXTS[0]).score == pytest.approx(generator.generate(TEXTS[0]).score, abs=0.5)


@pytest.mark.skipif(not input_levels(), reason="no products of bytes here")
def test_products_in_8_bits_score_alike_and_the_same_in_any_batch(run: Path, generator: Generator) -> None:
    small = Generator.load(run, device=torch.device("cpu"), precision="int8", beam_size=3, max_length=6)
    assert small.settings["precision"] == "int8"
    alone = [small.generate(text) for text in TEXTS]
    assert [best.text for best in small.generate(TEXTS)] == [best.text for best in alone]
    assert alone[0].score == pytest.approx(generator.generate(TEXTS[0]).score, abs=0.5)
