"""Labels of speakers: found in every way that people write them, refused where they are doubtful, never read aloud."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent.longform.script import parse_script
from latent.text.labels import find_label, find_mistaken_label, without_directions
from s2s.errors import InputError

WAYS = [
    "{}: Hello.", "{}:Hello.", "{} : Hello.", "{}：Hello.", "{}﹕ Hello.", "**{}:** Hello.", "**{}**: Hello.",
    "__{}:__ Hello.", "_{}_: Hello.", "*{}*: Hello.", "**{}: Hello.**", "[{}]: Hello.", "[{}] : Hello.", "({}): Hello.",
    "<{}>: Hello.",
    "[{}:] Hello.", '"{}": Hello.', "1. {}: Hello.", "2) {}: Hello.", "- {}: Hello.", "> {}: Hello.", "## {}: Hello.",
    "• {}: Hello.", "{} (softly): Hello.", "{} [whispering]: Hello.", "**{}** (sad): Hello.", "[00:01:10] {}: Hello.",
    "00:12 {}: Hello.", "\ufeff{}: Hello.", "\u200e{}:\u00a0Hello.", "{}:\tHello.", "{}: (laughs) Hello.",
    "{}:[music] Hello.", "- **{}:** Hello.",
]  # fmt: skip
NAMES = [
    "Speaker 1",
    "speaker 12",
    "Anna",
    "Dr. No Good",
    "Zoë Müller-Łoś",
    "O'Neil",
    "山田",
    "أحمد",
    "Анна",
    "Hal 9000",
    "A",
]
MARKS = st.text("* _[]()<>\"'-.:：\t", max_size=4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_found_however_it_is_written(way: str, name: str) -> None:
    (turn,) = parse_script(way.format(name).encode(), "talk.txt")
    assert (turn.speaker, turn.text) == (name, "Hello.")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(ending: str) -> None:
    content = ending.join(["\ufeffSpeaker 1:Hello there.", "Speaker 2:Hi you.", ""])
    turns = parse_script(content.encode(), "talk.txt")
    assert [(turn.where, turn.speaker, turn.text) for turn in turns] == [
        ("talk.txt:1", "Speaker 1", "Hello there."),
        ("talk.txt:2", "Speaker 2", "Hi you."),
    ]


@pytest.mark.parametrize(
    "line", ["[Anna] Hi.", "(Anna) Hi.", "<anna> Hi.", "**ANNA** Hi.", "  Anna: Hi.", "\tAnna：Hi."]
)
def test_a_known_speaker_needs_no_colon_in_brackets_and_may_be_indented(line: str) -> None:
    turns = parse_script(f"Anna: One.\n{line}".encode(), "talk.txt")
    assert [(turn.speaker.casefold(), turn.text) for turn in turns] == [("anna", "One."), ("anna", "Hi.")]


@pytest.mark.parametrize(
    "line", ["It is 10:30.", "See https://a.b/c", "C:\\temp", "std::vector", "Hello :) you", "Hello :-( you"]
)
def test_a_colon_may_be_something_else(line: str) -> None:
    assert find_label(line) is None


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("Speaker 2 - Hi.", 1), ("Speaker 2 – Hi.", 1), ("Speaker 2; Hi.", 1), ("Speaker 2. Hi.", 1), ("Speaker 2", 1),
        ("Speaker 2 Hi there.", 1), ("Speaker #2 > Hi.", 1), ("  Speaker 2, Hi.", 3), ("Anna - Hi.", 1),
        ("Anna | Hi.", 1), ("Anna\tHi.", 1), ("Anna", 1), ("ANNA = Hi.", 1), ("Anna, laughing: Hi.", 1),
    ],
)  # fmt: skip
def test_what_looks_like_a_label_is_refused_with_its_place(line: str, column: int) -> None:
    with pytest.raises(InputError, match=re.escape(f"talk.txt:2:{column}: looks like a speaker's label, expected")):
        parse_script(f"Anna: One.\n{line}".encode(), "talk.txt")


@pytest.mark.parametrize(
    "text", ["Hi. Speaker 2: Hello.", "Hi. Anna: Hello.", "so speaker 3：hello", "Speaker 2: Hello."]
)
def test_a_label_inside_a_line_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"talk.txt:1: column .* of the text looks like a speaker's label"):
        parse_script(f"Anna: {text}".encode(), "talk.txt")
    with pytest.raises(InputError, match=r"talk.json:1: column .* looks like a speaker's label"):
        parse_script(f'[{{"speaker": "Anna", "text": "{text}"}}]'.encode(), "talk.json")


def test_prose_about_speakers_is_prose() -> None:
    for text in (
        "I told Anna to come.",
        "Anna, come here.",
        "Anna came.",
        "Well, here is Anna.",
        "The first speaker left.",
    ):
        assert find_mistaken_label(text, ["anna"]) is None


@given(st.sampled_from(["Anna", "Speaker 2", "山田"]), MARKS, MARKS)
def test_no_label_is_read_aloud(name: str, before: str, after: str) -> None:
    if not set(after) & set(":："):
        after = f"{after}:"
    try:
        turns = parse_script(f"{name}: One.\n\n{before}{name}{after} Hello there.".encode(), "talk.txt", [name])
    except InputError:
        return
    assert all(name not in turn.text for turn in turns)


@pytest.mark.parametrize(
    ("text", "kept", "directions"),
    [
        ("(laughs) Yes. [music]", "Yes.", ["(laughs)", "[music]"]),
        ("Yes (sighs deeply) no {door}", "Yes no", ["(sighs deeply)", "{door}"]),
        ("*sighs* Yes", "Yes", ["*sighs*"]),
        ("The cat (a big one) slept [pause 1] well.", "The cat (a big one) slept [pause 1] well.", []),
        ("2 * 3 * 4", "2 * 3 * 4", []),
    ],
)
def test_directions_are_told_from_text(text: str, kept: str, directions: list[str]) -> None:
    assert without_directions(text) == (kept, directions)


def test_directions_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    turns = parse_script(b"Anna: (laughs)\n[music]\n\nAnna: Hi. [pause 1]", "talk.txt")
    assert [turn.text for turn in turns] == ["Hi. [pause 1]"]
    assert caplog.messages == ["stage directions are not spoken: (laughs) (talk.txt:1), [music] (talk.txt:1)"]


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jsonl", "a.TXT", "a"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_json_is_told_by_its_content(name: str, ending: str) -> None:
    lines = ending.join(['{"speaker": "1", "text": "One."}', '{"speaker": 2, "text": "Two."}'])
    listed = ending.join(["[", ' {"speaker": "1", "text": "One."},', '{"speaker": 2, "text": "Two."}', "]"])
    for content in (lines, listed):
        turns = parse_script(content.encode(), name)
        assert [(turn.speaker, turn.text) for turn in turns] == [("Speaker 1", "One."), ("Speaker 2", "Two.")]
    assert parse_script(b"[Anna]: Hi.", "a.txt")[0].speaker == "Anna"
    with pytest.raises(InputError, match=r"a.txt:2: looks like JSON in a script of plain text"):
        parse_script(b'Anna: Hi.\n{"text": "So."}', "a.txt")


@pytest.mark.parametrize(
    "times", ["00:00:01,000 --> 00:00:02,500", "00:01.000 --> 00:02.000 align:start", " 1:02.5 -->2"]
)
def test_subtitles_are_refused_since_their_times_and_numbers_would_be_spoken(times: str) -> None:
    with pytest.raises(InputError, match=r"a.txt:2: looks like subtitles in a script of plain text; expected"):
        parse_script(f"1\n{times}\nAnna: Hi.".encode(), "a.txt")
    assert parse_script(b"Anna: 10:30 --> go.", "a.txt")[0].text == "10:30 --> go."
