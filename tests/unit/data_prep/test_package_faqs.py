import gzip
import json
from pathlib import Path

import pytest

from data_prep.package_faqs import numbered_entries, pod_entries, rst_entries, split_of, unpack, write
from s2s.errors import InputError

POD = """=head1 NAME

=head2 What does C<< $x >> do, L<Tom|http://a>?
X<names> X<of the index>

It is B<I<both>> bold; see L<perlop> and
L<perlvar/"Names">.

    my $code = 1;

=over 4

=item A list

=back

The end.

=head1 AUTHOR

Somebody
"""
RST = """=====
Title
=====

Why is ``x`` :func:`~os.path.join` used?
----------------------------------------

See :ref:`the guide <guide>` and the `site <http://a>`_, *really*::

   code

.. note:: left out

* an item
* another one

What now?
---------
Directly below.
"""
NUMBERED = """Contents
1.1. What is it?
Chapter 1. Title

1.1.\xa0What is
it?

    An answer of

      * two blocks

1.2. Next
"""


def test_entries_are_questions_and_the_prose_of_their_answers() -> None:
    assert list(pod_entries(POD)) == [
        ("What does $x do, Tom?", 'It is both bold; see perlop and perlvar/"Names". The end.'),
    ]
    assert list(rst_entries(RST)) == [
        ("Why is x os.path.join used?", "See the guide and the site, really: an item another one"),
        ("What now?", "Directly below."),
    ]
    assert list(numbered_entries(NUMBERED)) == [("What is it?", "An answer of * two blocks"), ("Next", "")]


def package(root: Path, *answers: str) -> Path:
    """An unpacked package with a question for each answer."""
    path = root / "usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"
    path.parent.mkdir(parents=True)
    texts = [f"1.{number}. What is {number}?\n\n    {answer}\n" for number, answer in enumerate(answers)]
    path.write_bytes(gzip.compress("\n".join(texts).encode()))
    return root


def test_pairs_are_divided_by_their_question_and_short_answers_are_left_out(tmp_path: Path) -> None:
    root = package(tmp_path / "root", *["a word " * 10] * 30, "too short")
    summary = write(tmp_path / "out", unpack([root], tmp_path))
    assert "1 answers too short or too long" in summary
    found = {name: (tmp_path / f"out/{name}.jsonl").read_text().splitlines() for name in ("train", "valid", "test")}
    assert sum(map(len, found.values())) == 30
    assert all(split_of(json.loads(line)["tgt"]) == name for name, lines in found.items() for line in lines)


def test_packages_without_a_faq_are_refused(tmp_path: Path) -> None:
    (tmp_path / "root/usr/share/doc").mkdir(parents=True)
    with pytest.raises(InputError, match=r"--packages: no FAQ in them; expected some of perl-doc, python3\.11-doc"):
        write(tmp_path / "out", unpack([tmp_path / "root"], tmp_path))
