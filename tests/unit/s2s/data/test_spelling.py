"""Outputs take the spelling of their source, then that of the training data, and nothing else of them changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.data.spelling import Spelling
from s2s.errors import ConfigError

NOTHING = Spelling(words={}, marks={}, capital=False)
LEARNED = Spelling.learn(
    [("This is a Perl module. It needs node.js.", "Perl module"), ("Use Perl with node.js - it works.", "perl")] * 3
)


@pytest.mark.parametrize(
    ("text", "source", "restored"),
    [
        ("osgi bundle", "An OSGi bundle.", "OSGi bundle"),
        ("apis for the osgis", "An API of OSGi.", "APIs for the OSGis"),
        ("tcp / ip tool", "A tool for TCP/IP.", "TCP/IP tool"),
        ("uber cafe", "Das Café Über", "Über Café"),
        ("this is it", "This thing is NOT it.", "this is it"),
        ("saslprep profile", "SASLprep implements it.", "SASLprep profile"),
        ("[UNK] of sep", "A SEP here", "[UNK] of SEP"),
        ("no word of it", "", "no word of it"),
        ("", "A source", ""),
    ],
)
def test_words_are_written_as_in_the_source(text, source, restored):
    assert NOTHING.restore(text, source) == restored


@pytest.mark.parametrize(
    ("text", "source", "restored"),
    [
        ("perl for node. js", "", "Perl for node.js"),
        ("node.js-it", "", "node.js - it"),
        ("it works", "It is monasca. Works.", "it works"),
        ("perl monasca", "Monasca is PERL", "PERL Monasca"),
    ],
)
def test_what_the_source_lacks_is_written_as_in_the_training_data(text, source, restored):
    assert LEARNED.restore(text, source) == restored


@pytest.mark.parametrize(("targets", "written"), [(["The dog", "A dog"], "The cat"), (["the dog", "A dog"], "the cat")])
def test_outputs_begin_with_a_capital_where_most_targets_do(targets, written):
    learned = Spelling.learn([("with the dog and a dog and the dog and a dog", target) for target in targets])
    assert learned.restore("the cat", "") == written


def test_a_run_folder_keeps_it_and_an_older_one_has_none(tmp_path):
    LEARNED.save(tmp_path)
    assert Spelling.load(tmp_path).restore("perl for node. js", "") == "Perl for node.js"
    (tmp_path / "spelling.json").unlink()
    assert Spelling.load(tmp_path).restore("perl", "") == "perl"


@pytest.mark.parametrize("content", ["{}", "[]", '{"words": 3, "marks": {}, "capital": false}', "{"])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "spelling.json").write_text(content)
    with pytest.raises(ConfigError, match=r"spelling.json"):  # which stops a job, not one record
        Spelling.load(tmp_path)


def test_line_breaks_stay():
    assert NOTHING.restore("an osgi\nbundle", "the OSGi bundle") == "an OSGi\nbundle"


@given(st.text(max_size=40), st.text(max_size=60))
def test_letters_stay_but_for_case_and_accents_whatever_the_text(text, source):
    before = NOTHING.restore(text, "")
    after = LEARNED.restore(text, source)
    assert len("".join(before.split())) - len("".join(after.split())) < 1 + len(text)
    assert "".join(before.split()) == "".join(text.split())


def test_ten_thousand_marks_and_accents_in_a_row_are_no_harm():
    assert NOTHING.restore("." * 100, "." * 100_000) == "." * 100
    assert NOTHING.restore("a" + "\u0301" * 10_000, "a" + "\u0301" * 100).startswith("a")
    assert len(NOTHING.restore("." * 3_000, "." * 300)) >= 3_000
