"""Scores of text in any script: equal texts score 100 or are left out with a reason, whatever their normal form."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.evaluation import BENCHMARKS, Settings, evaluate, lead
from eval.report import System, as_text
from eval.rouge import rouge
from eval.word_errors import word_errors
from s2s.data.words import bleu_tokenization, split_sentences, words

SAMPLE = Path(__file__).parents[3] / "data_prep" / "sample"

# Four words each, of which only the first stands in both, in scripts with and without blanks, with marks that combine.
ONE_OF_FOUR = {
    "Hindi": ("भारत ने मैच जीता", "भारत की टीम हारी"),
    "Arabic with vowels": ("كَتَبَ الوَلَدُ رِسَالَةً طَوِيلَةً", "كَتَبَ مُعَلِّمٌ دَرْسًا جَدِيدًا"),
    "Hebrew with points": ("שָׁלוֹם יֶלֶד טוֹב מְאֹד", "שָׁלוֹם אִשָּׁה חֲכָמָה כָּאן"),
    "Vietnamese": ("Việt Nam thắng trận", "Việt đội bóng thua"),
    "Tamil": ("இந்தியா போட்டியில் வென்றது இன்று", "இந்தியா அணி நேற்று தோற்றது"),
    "Persian": ("می‌روم خانه فردا صبح", "می‌روم مدرسه امروز عصر"),
    "Russian": ("быстрый редактор для текста", "быстрый поиск по файлам"),
    "Korean": ("한국 축구 대표팀 승리", "한국 야구 경기 패배"),
    "Chinese": ("中国很好", "中山不大"),
    "Japanese": ("日語がお", "日本です"),
    "Thai": ("กขคง", "กจฉช"),
    "Burmese": ("ကခဂဃ", "ကစဆဇ"),
}
ALPHABETS = [
    "abcdefgh XYZ.,!", "äöüßéèñ ", "абвгд жзи", "αβγδ εζ", "भारतीयमैच ा ि ी", "كتب رسالةَُِ ", "中文文章很好，。",
    "日本語かなカナー。",
    "ภาษาไทยก็ ที่", "ខ្មែរភាសា", "ພາສາລາວ", "မြန်မာစာ", "한국어 문장", "שלוםָ ", "ệậ̣ Việt ", "བོད་ཡིག", "😀🎉 !?",
]  # fmt: skip
texts = st.sampled_from(ALPHABETS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=12))
corpora = st.lists(texts.filter(str.strip), min_size=1, max_size=3)


def score(
    folder: Path, hypotheses: list[str], references: list[str], task: str = "generic"
) -> tuple[System, list[str]]:
    for name, lines in (("hyp.jsonl", hypotheses), ("ref.jsonl", references)):
        (folder / name).write_text("".join(json.dumps({"tgt": text}) + "\n" for text in lines), encoding="utf-8")
    asked = Settings(task, BENCHMARKS[task], resamples=3)
    report = evaluate({"hyp": str(folder / "hyp.jsonl")}, str(folder / "ref.jsonl"), asked)
    return report.systems[0], report.notes


@settings(max_examples=60, deadline=None)
@given(references=corpora, task=st.sampled_from(["generic", "generic", "generic", "xsum", "qg"]))
def test_equal_texts_score_100_in_every_normal_form_or_are_left_out_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, references: list[str], task: str
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    for form in ("NFC", "NFD"):
        hypotheses = [unicodedata.normalize(form, text) for text in references]
        system, notes = score(folder, hypotheses, references, task)
        for name, found in system.quality.items():
            if found is None:
                assert any(note.startswith(f"{name}: left out: ") for note in notes)
            elif task == "generic":
                assert found.value == pytest.approx(100), (name, references)
            else:  # METEOR of equal texts is below 100; published ROUGE counts references without a word as 0
                assert found.value > 0, (name, references)


@settings(max_examples=40, deadline=None)
@given(letters=st.lists(st.sampled_from(ALPHABETS[:-1]), min_size=2, max_size=2, unique=True), data=st.data())
def test_disjoint_texts_score_0(
    tmp_path_factory: pytest.TempPathFactory, letters: list[str], data: st.DataObject
) -> None:
    ours, theirs = (data.draw(st.text(one, min_size=1, max_size=9).filter(str.strip)) for one in letters)
    shared = set(unicodedata.normalize("NFC", ours.lower())) & set(unicodedata.normalize("NFC", theirs.lower()))
    if shared - {" "}:
        return
    system, _ = score(tmp_path_factory.mktemp("scores"), [ours], [theirs])
    assert all(found is None or found.value == 0 for found in system.quality.values())


@pytest.mark.parametrize("language", ONE_OF_FOUR)
def test_one_word_of_four_is_25_per_cent(language: str) -> None:
    for form in ("NFC", "NFD"):
        hypothesis, reference = (unicodedata.normalize(form, text) for text in ONE_OF_FOUR[language])
        assert len(words(hypothesis)) == len(words(reference)) == 4
        assert rouge([hypothesis], [ONE_OF_FOUR[language][1]], any_script=True)[0].value() == pytest.approx(25)


@pytest.mark.parametrize(("language", "name"), [("ja", "char"), ("de", "13a"), ("en", "13a")])
def test_sample_data_score_100_against_themselves(tmp_path: Path, language: str, name: str) -> None:
    lines = (SAMPLE / language / "test.jsonl").read_text(encoding="utf-8").splitlines()
    targets = [json.loads(line)["tgt"] for line in lines]
    system, _ = score(tmp_path, [unicodedata.normalize("NFD", text) for text in targets], targets)
    assert [found and round(found.value, 6) for found in system.quality.values()] == [100] * 5
    assert bleu_tokenization(targets) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("这是一个很好的编辑器。", "zh"),
        ("これは良いエディタです。", "char"),
        ("Debian のパッケージ", "char"),
        ("นี่คือโปรแกรมที่ดี", "char"),
        ("यह एक अच्छा संपादक है", "13a"),
        ("좋은 편집기입니다", "13a"),
        ("an editor called 字, for text files", "13a"),
        ("😀", "13a"),
    ],
)
def test_the_script_chooses_the_tokenization_of_bleu(text: str, name: str) -> None:
    assert bleu_tokenization([text]) == name


def test_the_tokenization_is_printed_and_a_score_without_meaning_is_left_out(tmp_path: Path) -> None:
    for name in ("hyp.txt", "ref.txt"):
        (tmp_path / name).write_text("两个\n很好的编辑器\n", encoding="utf-8")
    paths = {"hyp": str(tmp_path / "hyp.txt")}
    report = evaluate(paths, str(tmp_path / "ref.txt"), Settings("generic", BENCHMARKS["generic"], resamples=3))
    assert "|tok:zh|" in as_text(report)
    assert "|tok:zh|" in report.signatures["BLEU"]
    short = evaluate(
        paths, str(tmp_path / "ref.txt"), Settings("generic", BENCHMARKS["generic"], tokenize="13a", resamples=3)
    )
    assert short.systems[0].quality["BLEU"] is None
    assert short.notes == ["BLEU: left out: no reference has 4 tokens (tok:13a)"]


def test_a_resample_without_a_long_reference_does_not_widen_the_interval_of_equal_texts(tmp_path: Path) -> None:
    texts = ["one", "two words", "a text of five words"]
    found = score(tmp_path, texts, texts)[0].quality["BLEU"]
    assert found is not None
    assert (round(found.low, 6), round(found.high, 6)) == (100, 100)


def test_one_word_references_have_no_rouge_2_and_the_note_counts_them(tmp_path: Path) -> None:
    system, notes = score(tmp_path, ["editor", "a small editor"], ["editor", "a small editor"])
    found = system.quality["ROUGE-2"]
    assert found is not None
    assert found.value == 100
    assert notes[0] == "ROUGE-2: 1 of 2 references have fewer than 2 words and are not counted"


def test_empty_outputs_have_no_novelty_and_the_json_no_nan(tmp_path: Path) -> None:
    system, notes = score(tmp_path, ["", ""], ["a b c d", "e f"])
    assert system.form["repeated %"] is None
    assert "repeated %: left out: no output has a 2-gram" in notes
    assert all(found is None or math.isfinite(found.value) for found in system.quality.values())


def test_sentences_and_leads_of_scripts_with_their_own_marks() -> None:
    assert split_sentences("यह एक है। वह दो है। تمام۔ خوب؟ 終わり。次") == [
        "यह एक है।",
        "वह दो है।",
        "تمام۔",
        "خوب؟",
        "終わり。",
        "次",
    ]
    assert lead("日本語の文。次の文。", sentences=2, words=4) == "日本語の"
    assert lead("a b c d", sentences=1, words=3) == "a b c"


def test_errors_of_words_and_characters_in_scripts_without_blanks_and_with_marks() -> None:
    pytest.importorskip("jiwer")
    for language, target, heard, wrong in (
        ("hi", "भारत ने मैच जीता", "भारत ने मैच हारा", 25),
        ("ja", "日本語だ", "日本語で", 25),
        ("th", "กขคง", "กขคจ", 25),
    ):
        wer, cer = word_errors([unicodedata.normalize("NFD", heard)], [target], language, "fake")
        assert wer.value() == pytest.approx(wrong)
        assert 0 < cer.value() <= 25
    assert math.isnan(word_errors(["x"], ["!?"], "de", "fake")[0].value())
