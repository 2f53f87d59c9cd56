"""Everyday sentences by template: what prose lacks, as questions, exclamations, numbers, prices and small talk."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])")
_LISTS = {
    "name": """Aaron|Alice|Anna|Arthur|Ben|Bob|Carla|Charles|Clara|Daniel|Diana|Edward|Emma|Eric|Eva|Felix
Frank|George|Grace|Hannah|Harry|Helen|Henry|Hugo|Ida|Isabel|Jack|James|Jane|Joseph|Julia|Kate
Kevin|Laura|Leo|Liam|Linda|Louis|Lucy|Margaret|Maria|Martin|Max|Nancy|Nina|Nora|Oliver|Oscar
Pamela|Patrick|Paul|Peter|Rachel|Ralph|Robert|Rosa|Ruth|Samuel|Sarah|Simon|Sophie|Steven|Susan
Theo|Thomas|Tina|Victor|Walter|Wendy|William|Zoe""",
    "surname": """Adams|Baker|Bennett|Brown|Campbell|Carter|Cooper|Davis|Edwards|Evans|Fisher|Foster|Garcia|Gibson
Graham|Green|Hall|Harrison|Hughes|Jackson|Johnson|Jones|King|Lewis|Marshall|Martinez|Miller
Mitchell|Moore|Morgan|Murphy|Nelson|Parker|Phillips|Price|Roberts|Robinson|Russell|Scott|Shaw
Stewart|Taylor|Turner|Walker|Watson|White|Williams|Wilson|Wright|Young""",
    "place": """Athens|Austin|Baltimore|Berlin|Boston|Brazil|Brussels|Cairo|Canada|Chicago|Chile|Dallas|Denver
Dublin|Egypt|Florence|Florida|France|Geneva|Georgia|Greece|Hawaii|India|Ireland|Italy|Japan|Kansas
Kentucky|Lisbon|London|Madrid|Maine|Mexico|Milan|Montreal|Moscow|Naples|Norway|Oregon|Oslo|Oxford
Paris|Peru|Philadelphia|Poland|Prague|Rome|Scotland|Seattle|Spain|Sweden|Sydney|Texas|Tokyo
Toronto|Turkey|Venice|Vermont|Vienna|Virginia|Wales|Warsaw|Zurich""",
    "thing": """the keys|a new phone|your ticket|some bread|the garden gate|a red car|my old camera|the meeting
the last train|this song|the kitchen window|a birthday present|the second chapter|that blue jacket
a glass of water|the weather report|two bags of rice|the oak table|a cheap hotel|our luggage
the front page|an orange|a pair of scissors|the piano|those boxes|a loaf of rye|your passport
the school bus|an empty bottle|the television|a wool blanket|her notebook|the wrong number
a decent cup of tea|his bicycle|a church choir|the yellow folder|an extra pillow|the emergency exit
the printer|a joke|the whole pizza""",
    "adjective": """awful|beautiful|boring|brilliant|busy|cheap|clever|cold|crazy|delicious|difficult|dirty|easy|empty
enormous|exciting|expensive|fair|famous|fantastic|friendly|funny|gentle|good|heavy|horrible
huge|important|lazy|lovely|lucky|noisy|nice|odd|perfect|pleasant|polite|quiet|rare|ridiculous
rude|simple|slow|smooth|strange|stupid|surprising|terrible|tiny|ugly|warm|weird|wonderful
young""",
    "title": """Mr.|Mrs.|Dr.|Professor|Captain""",
}
"""The words of a slot, divided by bars and lines."""
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Chooser = random.Random


def _choice(words: Sequence[str], chooser: Chooser) -> str:
    return chooser.choice(words)


_SLOTS: dict[str, Callable[[Chooser], str]] = {
    **{slot: partial(_choice, re.split(r"[|\n]", words)) for slot, words in _LISTS.items()},
    "day": lambda chooser: chooser.choice(_DAYS),
    "month": lambda chooser: chooser.choice(_MONTHS),
    "year": lambda chooser: str(chooser.randint(1700, 2040)),
    "small": lambda chooser: str(chooser.randint(2, 99)),
    "big": lambda chooser: chooser.choice([str(chooser.randint(100, 9999)), f"{chooser.randint(10_000, 9_999_999):,}"]),
    "decimal": lambda chooser: f"{chooser.randint(0, 60)}.{chooser.randint(1, 99)}",
    "percent": lambda chooser: f"{chooser.choice([chooser.randint(1, 100), chooser.randint(1, 99) + 0.5])}%",
    "ordinal": lambda chooser: _ordinal(chooser.randint(1, 99)),
    "date": lambda chooser: _date(chooser),
    "clock": lambda chooser: _clock(chooser),
    "money": lambda chooser: _money(chooser),
    "phone": lambda chooser: f"{chooser.randint(200, 999)}-{chooser.randint(0, 9999):04}",
}

_TEMPLATES = """Where did you put {thing}?
Are you coming to {place} with {name}?
Is that {thing}, or is it {thing}?
What time does the train to {place} leave?
Did {name} really pay {money} for {thing}?
Have you seen {name} today?
Could you tell {name} about {thing}, please?
Do you want to meet at {clock}?
How many people live in {place}?
Why is {name} always so {adjective}?
Who told you that {thing} was {adjective}?
Isn't {place} a bit too {adjective} for {name}?
When did {title} {surname} move to {place}?
Would you call {title} {surname} a {adjective} person, {name}?
Which one is more {adjective}, {thing} or {thing}?
You mean {thing}?
Really? I thought it was {date}.
Sorry, what did you say?
Does anybody need {thing}?
What if {name} doesn't like {place}?
Watch out, {name}!
What a {adjective} surprise!
How {adjective}!
I can't believe it! {name} found {thing}!
Come on, {name}, we're late!
Don't touch {thing}!
Stop! That's {thing}!
Happy birthday, {name}!
Congratulations! I heard you won {money}!
Give me {thing}, now!
No way! {name} went to {place} alone?
The price went up to {money} on {date}.
We will meet at {clock} on {date}.
Room {big} is on the {ordinal} floor.
About {percent} of the {big} people answered.
Call {phone} and ask for {name}.
Flight {big} to {place} leaves at {clock}.
It is {small} degrees in {place}, and {decimal} in {place}.
{name} was born in {year}, and {name} in {year}.
{title} {surname} lives at {small} Main St. in {place}.
She ran {decimal} miles in {small} minutes.
{name} came {ordinal} out of {small}.
I think {date} is a {day}, not a {day}.
We sold {big} copies for {money} each.
Between {year} and {year}, the city grew by {percent}.
Add {decimal} to {small}, and you get something {adjective}.
Turn to page {big} and read line {small}.
Yes.
No, thank you.
I see.
Good morning, {title} {surname}.
Thank you very much.
Of course not.
Well, maybe {day}.
All right, let's go.
Never mind.
Well, {name}, I think that {thing} can wait until {day}.
So {name} said to me: it's over. And I believed it.
First, take {thing}; second, give it to {name}; and third, go home.
If you see {title} {surname}, say that {thing} is ready.
{name} is {adjective}, {name} is {adjective}, and {name} is neither.
"Where is {thing}?" asked {name}. "I gave it to {name}," said {title} {surname}.
Are you hungry? No, just tired. Let's get {thing} and go home.
Hello, {name}. How was {place}? Oh, it was {adjective}, thank you!
Is {day} all right? No, I'm in {place}. Then let's say {day} at {clock}.
On {day} I'll be in {place}, on {day} in {place}, and then, finally, at home.
{name} wanted {thing}, but {title} {surname} bought {thing} instead.""".splitlines()


def template_sentences(seed: int) -> Iterator[str]:
    """Sentences and short dialogues without end; some come more than once."""
    chooser = random.Random(seed)
    while True:
        filled = _SLOT.sub(lambda slot: _SLOTS[slot[1]](chooser), chooser.choice(_TEMPLATES))
        yield _BEFORE_VOWEL.sub("an ", filled).replace("..", ".")  # "at 5 p.m.." after a slot


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _date(chooser: Chooser) -> str:
    month, day, year = chooser.choice(_MONTHS), chooser.randint(1, 28), chooser.randint(1700, 2040)
    forms = [f"{month} {day}", f"{month} {day}, {year}", f"the {_ordinal(day)} of {month}", f"{month} {_ordinal(day)}"]
    return chooser.choice([*forms, f"{_MONTHS.index(month) + 1}/{day}/{year}"])


def _clock(chooser: Chooser) -> str:
    hour, minute = chooser.randint(1, 12), chooser.randint(0, 59)
    half = chooser.choice(["a.m.", "p.m."])
    return chooser.choice([f"{hour}:{minute:02}", f"{hour} o'clock", f"{hour}:{minute:02} {half}", f"{hour} {half}"])


def _money(chooser: Chooser) -> str:
    dollars, cents = chooser.randint(1, 99), chooser.randint(1, 99)
    large = chooser.randint(1000, 99_999)
    forms = [f"${dollars}.{cents:02}", f"${large:,}", f"£{dollars}", f"€{dollars}.{cents:02}", f"{dollars} euros"]
    return chooser.choice([*forms, f"{cents} cents", f"${dollars} million"])
