"""Everyday text becomes what people say."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("num2words")

from latent.text.spoken import spoken

LANGUAGES = ("en", "es", "fr")
_PROGRAM = Path(__file__).parents[4] / "benchmarks/text_front_end.py"


def _benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("text_front_end", _PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "least"), [("en", 400), ("en_second", 100), ("en_third", 150), ("en_fourth", 60), ("es", 50), ("fr", 50)]
)
def test_every_sentence_of_the_test_set_is_read_as_people_say_it(name: str, least: int) -> None:
    benchmark = _benchmark()
    sentences = list(benchmark.sentences(name))
    said = {each.text: benchmark.words(spoken(each.text, name[:2])) for each in sentences}
    assert len(sentences) >= least
    assert {each.text: said[each.text] for each in sentences if said[each.text] not in each.spoken} == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("He paid $5.50. She left.", "He paid five dollars and fifty cents. She left."),
        ("Is it 10:30 a.m.?", "Is it ten thirty A M?"),
        ("It ended at 9 p.m.", "It ended at nine P M."),
        ("Bring pens, paper, etc. We start now.", "Bring pens, paper, et cetera. We start now."),
        ("Wait... what?!", "Wait... what?!"),
        ("(It was 5 km, or so.)", "(It was five kilometers, or so.)"),
        ("One. *** Two.", "One. Two."),
    ],
)
def test_marks_of_sentences_stay(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The fund has $2.5trn.", "The fund has two point five trillion dollars."),
        ("We owe €3.1bln and £4mln.", "We owe three point one billion euros and four million pounds."),
        ("A $3T company.", "A three trillion dollar company."),
        ("Some 3bn Indians.", "Some three billion Indians."),
        ("Knoxville, TN", "Knoxville, Tennessee"),
    ],
)
def test_scales_may_be_short(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Mon, 3 Dec works.", "Monday, the third of December works."),
        ("Sat 7:30 pm", "Saturday seven thirty P M"),
        ("Open Mon-Fri and Sun.", "Open Monday to Friday and Sunday."),
        ("It is Mon to Thu.", "It is Monday to Thursday."),
        ("See you on Wed.", "See you on Wednesday."),
        ("Due Fri.", "Due Friday."),
        ("We ship in Oct or Nov.", "We ship in October or November."),
        ("On Mon. Sept. 5", "On Monday September fifth"),
        ("Jan and Mar sat in the Sun.", "Jan and Mar sat in the Sun."),
    ],
)
def test_days_and_months_are_short_with_and_without_a_period(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It does 40 miles/gallon.", "It does forty miles per gallon."),
        ("He has 22 points/game.", "He has twenty-two points per game."),
        ("6 liters/100 km", "six liters per one hundred kilometers"),
        ("It pays $15/hr.", "It pays fifteen dollars per hour."),
        ("Apples at €2/kg.", "Apples at two euros per kilogram."),
        ("The admin/user page.", "The admin slash user page."),
    ],
)
def test_a_slash_before_what_is_counted_is_per(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is at 1:00 p.m. EST.", "It is at one P M E S T."),
        ("He went to the ED.", "He went to the E D."),
        ("ACME CORP. agreed.", "acme corporation agreed."),
        ("England vs. Brazil", "England versus Brazil"),
        ("Mr. and Mrs. Jones", "mister and missus Jones"),
        ("A 3x faster chip with a 10x return.", "A three times faster chip with a ten x return."),
    ],
)
def test_abbreviations_are_told_from_initialisms_and_from_ends_of_sentences(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("1 000 000 people", "en", "one million people"),
        ("10.000.000 people", "en", "ten million people"),
        ("How many km/h?", "en", "How many kilometers per hour?"),
        ("27,50 €", "de", "siebenundzwanzig Euro und fünfzig Cent"),
        ("20 €", "de", "zwanzig Euro"),
        ("123.500 Euro", "de", "einhundertdreiundzwanzigtausendfünfhundert Euro"),
        ("3,5 Grad", "de", "drei Komma fünf Grad"),
        ("1.234.567", "it", "un milione e duecentotrentaquattromilacinquecentosessantasette"),
        ("1 234,56", "fr", "mille deux cent trente-quatre virgule cinquante-six"),
    ],
)
def test_groups_of_digits_are_read_as_the_language_writes_them(text: str, language: str, said: str) -> None:
    assert spoken(text, language) == said


@pytest.mark.parametrize("language", LANGUAGES)
@settings(deadline=None)  # the first text loads the rules of its language
@given(text=st.text(alphabet="0123456789 .,:;/-+$€£%#@'\"()abcXIVDrSt°½*_&", max_size=60))
def test_no_digit_and_no_number_sign_is_left(language: str, text: str) -> None:
    said = spoken(text, language)
    assert not any(character in "0123456789#%&+@" for character in said)


@pytest.mark.parametrize("language", LANGUAGES)
@settings(deadline=None)  # the first text loads the rules of its language
@example(text="AA_")
@given(text=st.text(max_size=80))
def test_any_text_can_be_said_and_a_second_time_nothing_changes_but_capitals(language: str, text: str) -> None:
    said = spoken(text, language)
    assert said == " ".join(said.split())
    assert spoken(said, language).casefold().split() == said.casefold().split()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The $5 is yours.", "The five dollars is yours."),
        ("A $3bn plan", "A three billion dollar plan"),
        ("the €20m house", "the twenty million euro house"),
        ("It got $3bn of aid.", "It got three billion dollars of aid."),
    ],
)
def test_amounts_of_money_describe_a_noun_after_a_determiner(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Due 9/28 or on 3/4.", "Due September twenty-eighth or on March fourth."),
        ("from 12/22 through 1/3", "from December twenty-second through January third"),
        ("It fell by 1/2.", "It fell by one half."),
        ("On 5/6 of the days.", "On five sixths of the days."),
        ("It took 1h 50m.", "It took one hour fifty minutes."),
    ],
)
def test_short_dates_follow_a_word_of_time_and_fractions_stay(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Born in Mobile, Ala., and Tampa, Fla.", "Born in Mobile, Alabama, and Tampa, Florida."),
        ("Bo Hart (D-Calif.) left.", "Bo Hart (D, California) left."),
        ("At 742 N. Elm St.", "At seven hundred and forty-two north Elm street."),
        ("Meet on the 405.", "Meet on the four oh five."),
    ],
)
def test_places_are_read_in_full(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Add 2 Tbsp. oil and 1 qt. milk.", "Add two tablespoons oil and one quart milk."),
        ("Hold for 5-10 sec. now", "Hold for five to ten seconds now"),
        ("It draws 2.5 A.", "It draws two point five amperes."),
        ("84 in-lb or 9.5 N·m", "eighty-four inch pounds or nine point five newton meters"),
        ("5% - 95%", "five percent to ninety-five percent"),
        ("20 °C/68 °F", "twenty degrees Celsius slash sixty-eight degrees Fahrenheit"),
        ("A 9x13-inch pan; 3 x 4", "A nine by thirteen-inch pan; three times four"),
        ("We open 10-5, closed now.", "We open ten to five, closed now."),
        ("60 km off the coast", "sixty kilometers off the coast"),
    ],
)
def test_quantities_of_kitchens_and_workshops(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Order #A-204 and case #A12.", "Order number A two hundred and four and case number A twelve."),
        ("The ID is 823 5510 9926.", "The I D is eight two three five five one oh nine nine two six."),
        ("The passcode is 4471.", "The passcode is four four seven one."),
        ("Setup_v3.2.exe", "Setup underscore version three dot two dot e x e"),
        ("A .csv file, or a pdf.", "A dot c s v file, or a P D F."),
        ("See Sec. 4.2.1, now.", "See section four point two point one, now."),
        ("802.11ac", "eight oh two point eleven a c"),
    ],
)
def test_codes_and_files_of_tickets(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("btw, tmrw is ok, thx", "by the way, tomorrow is ok, thanks"),
        ("He ran the 5K.", "He ran the five K."),
        ("It has 5K users.", "It has five thousand users."),
        ("b. 1931, before WWII", "born nineteen thirty-one, before World War two"),
        ("Charles I was king, and Charles I know.", "Charles the first was king, and Charles I know."),
    ],
)
def test_short_forms_of_chats_and_history(text: str, said: str) -> None:
    assert spoken(text, "en") == said


@pytest.mark.parametrize(
    "text", ["AA.A", "He saw the USA. It was big.", "J. R. R. Tolkien", "AA.Bb", "A. B. C. D. E. F"]
)
def test_spelled_letters_keep_the_end_of_their_sentence_the_second_time(text: str) -> None:
    said = spoken(text, "en")
    assert spoken(said, "en") == said


@pytest.mark.parametrize(
    "piece", ["9", "a-", "1,", "1.1.", "a.b.", "*a", "A ", "<a ", "1/2", "a@", "_a", "1:1", "I", "http://"]
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_time_grows_with_the_length_of_a_text_and_not_with_its_square(language: str, piece: str) -> None:
    text = piece * 2000
    began = time.process_time()
    spoken(text, language)
    assert time.process_time() - began < 20  # a quadratic rule takes minutes


@pytest.mark.parametrize("text", ["9" * 5000 + "th", "v" + "9" * 5000, "$" + "9" * 400 + ".50", "9" * 40 + " km"])
def test_long_numbers_are_said_digit_by_digit(text: str) -> None:
    assert "nine nine nine" in spoken(text, "en")
