"""How much everyday text is read as people would read it: ours, gruut's and nemo_text_processing's, by category.

    python benchmarks/text_front_end.py                      # English, ours alone
    python benchmarks/text_front_end.py --sentences en_fifth     # long ones that the rules were never changed by
    python benchmarks/text_front_end.py --language es --system ours --system gruut --show

The sentences are in benchmarks/text_front_end/LANGUAGE.tsv: category, text, spoken form with alternatives. Peers need
their packages (`pip install gruut[es,fr] nemo_text_processing`), which may be in an environment without torch.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))


class Sentence(NamedTuple):
    """A text, and all the ways in which people say it."""

    category: str
    text: str
    spoken: frozenset[str]


def sentences(name: str) -> Iterator[Sentence]:
    """A test set: that of a language, or another by the name of its file."""
    for line in (HERE / "text_front_end" / f"{name}.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("# category\t"):
            category, text, spoken = line.split("\t")
            yield Sentence(category, text, frozenset(words(choice) for choice in choices(spoken)))


def choices(spoken: str) -> list[str]:
    """Every reading of a line with alternatives: `{a|b}` is one of both, `{a|}` may be missing; they may be nested."""
    found = re.search(r"\{([^{}]*)\}", spoken)
    if found is None:
        return [spoken]
    before, after = spoken[: found.start()], spoken[found.end() :]
    return [reading for option in found[1].split("|") for reading in choices(before + option + after)]


def words(text: str) -> str:
    """Words alone: no case, accents, apostrophes or marks."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(re.sub(r"[^\w\s]|_", lambda mark: "" if mark[0] in "'’" else " ", bare).split())


def ours(language: str) -> Callable[[str], str]:
    from latent.text.spoken import spoken

    return lambda text: spoken(text, language)


def gruut(language: str) -> Callable[[str], str]:
    from gruut import sentences as read

    code = {"en": "en-us", "es": "es-es", "fr": "fr-fr"}[language]
    return lambda text: " ".join(word.text for sentence in read(text, lang=code) for word in sentence if word.is_spoken)


def nemo(language: str) -> Callable[[str], str]:
    from nemo_text_processing.text_normalization.normalize import Normalizer

    normalizer = Normalizer(input_case="cased", lang=language)
    return lambda text: str(normalizer.normalize(text, punct_post_process=True))


SYSTEMS = {"ours": ours, "gruut": gruut, "nemo": nemo}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="en", choices=["en", "es", "fr"])
    parser.add_argument("--sentences", metavar="NAME", help="another set: en_second, en_third, en_fourth, en_fifth")
    parser.add_argument("--system", action="append", choices=list(SYSTEMS))
    parser.add_argument("--show", action="store_true", help="print what each system reads wrongly")
    given = parser.parse_args()
    systems = {name: SYSTEMS[name](given.language) for name in given.system or ["ours"]}
    right: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in systems}
    for sentence in sentences(given.sentences or given.language):
        for name, read in systems.items():
            said = words(read(sentence.text))
            right[name][sentence.category].append(said in sentence.spoken)
            if given.show and said not in sentence.spoken:
                print(f"{name}\t{sentence.category}\t{sentence.text}\t{said}")
    report(right)


def report(right: dict[str, dict[str, list[bool]]]) -> None:
    categories = sorted({category for found in right.values() for category in found})
    print(f"{'% right':<16}{'n':>4}" + "".join(f"{name:>9}" for name in right))
    for category in [*categories, "all"]:
        rows = [
            [hit for each, hits in found.items() if category in (each, "all") for hit in hits]
            for found in right.values()
        ]
        print(f"{category:<16}{len(rows[0]):>4}" + "".join(f"{100 * sum(row) / len(row):>9.1f}" for row in rows))


if __name__ == "__main__":
    main()
