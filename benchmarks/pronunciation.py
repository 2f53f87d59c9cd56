"""How well words outside the dictionary are pronounced: share of wrong phonemes and words, on held-out words.

    python benchmarks/pronunciation.py                                # CMUdict, a minute or two
    python benchmarks/pronunciation.py --dictionary words.txt --held-out 500

A guess is compared with the pronunciation of the word that it is nearest to, with and without marks of stress.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from latent.text.g2p.guesser import Guesser
from latent.text.g2p.joint_model import JointModel
from latent.text.phonemes import PhonemeFrontEnd, cmudict

Sounds = tuple[str, ...]


def pronunciations(path: Path) -> dict[str, list[Sounds]]:
    """All pronunciations of each word that is made of letters and apostrophes."""
    known = PhonemeFrontEnd.learn([], str(path)).pronunciations
    found: dict[str, list[Sounds]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *sounds = line.split(" #")[0].split() or [";"]
        word = word.partition("(")[0].casefold()
        if word in known and word.replace("'", "").isalpha():
            found[word].append(tuple(sounds))
    return found


def errors(guess: Sequence[str], right: Sequence[str]) -> int:
    """The edit distance of two sequences."""
    row = list(range(len(right) + 1))
    for unit in guess:
        last, row[0] = row[0], row[0] + 1
        for place, other in enumerate(right, start=1):
            last, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, last + (unit != other))
    return row[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dictionary", type=Path)
    parser.add_argument("--held-out", type=int, default=6000)
    given = parser.parse_args()
    words = pronunciations(given.dictionary or cmudict())
    names = sorted(words)
    held_out = [names[index] for index in np.random.default_rng(0).choice(len(names), given.held_out, replace=False)]
    hidden = set(held_out)
    taught = {word: said[0] for word, said in words.items() if word not in hidden}
    begin = time.monotonic()
    model = JointModel.learn(taught)
    print(f"learned from {len(taught):,} words in {time.monotonic() - begin:.0f} s; {len(model.pack()):,} bytes")
    guesser = Guesser(taught, model)
    begin = time.monotonic()
    guesses = {word: guesser.inflected(word) or guesser.guess(word) or () for word in held_out}
    seconds = (time.monotonic() - begin) / len(held_out)
    for name, marks in (("with stress", ""), ("without stress", "012")):
        wrong, units, words_wrong = 0, 0, 0
        for word, guess in guesses.items():
            plain = [[unit.rstrip(marks) for unit in said] for said in words[word]]
            tried = [(errors([unit.rstrip(marks) for unit in guess], said), len(said)) for said in plain]
            found = min(tried, key=lambda pair: pair[0] / pair[1])
            wrong, units, words_wrong = wrong + found[0], units + found[1], words_wrong + (found[0] > 0)
        shares = f"{100 * wrong / units:.1f} % of phonemes wrong, {100 * words_wrong / len(guesses):.1f} % of words"
        print(f"{name}: {shares}; {1000 * seconds:.0f} ms a word")


if __name__ == "__main__":
    main()
