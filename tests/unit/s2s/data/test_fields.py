"""Which fields are source and target: named, of a template, or known; and the message where one is missing."""

import logging

import pytest

from s2s.data.fields import Fields
from s2s.errors import ConfigError, InputError

SQUAD = {"context": "A b.", "question": "What?", "answers": {"text": ["b"], "answer_start": [2]}}


def texts(record, **options):
    return tuple(field.text(record, "x:1") for field in Fields(**options).of(record, "x:1"))


@pytest.mark.parametrize(
    ("record", "pair"),
    [
        ({"src": "a", "tgt": "b", "article": "c", "highlights": "d"}, ("a", "b")),
        ({"id": "1", "article": "a", "highlights": "b"}, ("a", "b")),
        ({"document": "a", "summary": "b"}, ("a", "b")),
        ({"dialogue": "a", "summary": "b"}, ("a", "b")),
        ({"text": "a", "summary": "b"}, ("a", "b")),
        ({"article": "a", "text": "c", "summary": "b"}, ("a", "b")),
        (SQUAD, ("b [SEP] A b.", "What?")),
        ({"context": "A b.", "answer": "b", "question": "What?"}, ("b [SEP] A b.", "What?")),
    ],
)
def test_known_pairs_are_found_without_an_option(record, pair):
    assert texts(record) == pair


def test_known_pairs_are_said_once(caplog):
    caplog.set_level(logging.INFO)
    fields, record = Fields(), {"article": "a", "highlights": "b"}
    for number in (1, 2):
        fields.of(record, f"x:{number}")
        fields.log_source(record, f"x:{number}")
    Fields("article", "highlights").of(record, "x:1")
    Fields().of({"src": "a", "tgt": "b"}, "x:1")
    assert caplog.messages == [
        f"x:1: the source is 'article'{also}, a known name; --source-field and --target-field choose others"
        for also in (" and the target 'highlights'", "")
    ]


def test_named_fields_come_before_known_ones_and_the_other_one_is_found():
    record = {"src": "a", "article": "b", "highlights": "c", "translation": {"de": "d", "en": "e"}, "x.y": "f"}
    assert texts(record, source="article") == ("b", "c")
    assert texts(record, source="translation.de", target="translation.en") == ("d", "e")
    assert texts(record, source="x.y", target="src") == ("f", "a")


def test_a_template_joins_fields_and_their_braces_are_plain_text():
    assert texts({"a": "{b}", "b": "c", "tgt": "d"}, template="<{b}> {a}") == ("<c> {b}", "d")
    assert Fields(template="{a} [SEP] {b} [x]").tokens == ["[SEP]"]


@pytest.mark.parametrize("template", ["no field", "{}", "{a", "a} {b}", "{{a}}"])
def test_a_template_without_whole_fields_is_refused(template):
    with pytest.raises(ConfigError, match=r"task.source_template: expected text with names of fields in braces"):
        Fields(template=template)
    with pytest.raises(ConfigError, match=r"task.source_field, task.source_template: give one of them"):
        Fields(source="a", template="{b}")


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (
            {"id": 1, "body": "a", "tgt": "b"},
            {},
            r"x:1: 'src' is missing; found 'id', 'body', 'tgt'; --source-field \(task.source_field\) names",
        ),
        ({"src": "a"}, {}, r"'tgt' is missing; found 'src'; --target-field \(task.target_field\) names another"),
        (
            SQUAD,
            {"template": "{context} {answer}"},
            r"'answer' is missing; found .*'answers.text', 'answers.answer_start'",
        ),
        ({**SQUAD, "answers": {"text": []}}, {"template": "{answers.text.0}"}, r"'answers.text.0' is missing"),
        ({"src": None, "tgt": "a"}, {}, r"'src' must be a string or a list of tokens, found null"),
        ({"src": "", "tgt": "a"}, {}, r"'src' is empty"),
        ({"a": ["x"], "b": "c", "tgt": "d"}, {"template": "{a} {b}"}, r"'a' must be a string, found a list"),
    ],
)
def test_a_missing_field_names_the_option_that_chooses_it(record, options, message):
    with pytest.raises(InputError, match=message):
        texts(record, **options)
