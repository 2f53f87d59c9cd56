"""How many texts are cut into the sentences that a reader sees: ours, pysbd's and nupunkt's.

    python benchmarks/sentence_splitting.py                              # ours alone
    python benchmarks/sentence_splitting.py --system ours --system pysbd --show

The texts are in benchmarks/sentence_splitting/en.txt, one a line, with " | " where a sentence ends. Peers need their
packages (`pip install pysbd nupunkt`), which may be in an environment without torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

Split = Callable[[str], list[str]]


def cases() -> Iterator[list[str]]:
    """The sentences of each text."""
    for line in (HERE / "sentence_splitting" / "en.txt").read_text(encoding="utf-8").splitlines():
        yield line.split(" | ")


def ours() -> Split:
    from s2s.data.sentences import sentences

    return sentences


def pysbd() -> Split:
    from pysbd import Segmenter

    segmenter = Segmenter(language="en", clean=False)
    return lambda text: [sentence.strip() for sentence in segmenter.segment(text)]


def nupunkt() -> Split:
    from nupunkt import sent_tokenize

    return lambda text: [sentence.strip() for sentence in sent_tokenize(text)]


SYSTEMS = {"ours": ours, "pysbd": pysbd, "nupunkt": nupunkt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", action="append", choices=list(SYSTEMS))
    parser.add_argument("--show", action="store_true", help="print what each system cuts elsewhere")
    given = parser.parse_args()
    texts = list(cases())
    for name in given.system or ["ours"]:
        split = SYSTEMS[name]()
        wrong = [(expected, found) for expected in texts if (found := split(" ".join(expected))) != expected]
        for expected, found in wrong if given.show else ():
            print(f"{name}: {' | '.join(expected)}\n    {' | '.join(found)}")
        print(f"{name}: {len(texts) - len(wrong)} of {len(texts)} right")


if __name__ == "__main__":
    main()
