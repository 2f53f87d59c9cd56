#!/bin/sh
# Collects about 36 MB of English text for pretraining from Debian packages, without texts of the test set: package
# descriptions, dictionaries of computing, manuals, RFCs. Needs a Debian system, not root; doc-rfc-std is in non-free.
#   unilatent prepare debian-synopsis data/debian
#   scripts/pretraining_corpus.sh data/pretrain data/debian/en
# writes data/pretrain/vocabulary (WordPiece, 8,000 items) and data/pretrain/shards (inputs of at most 128 tokens).
set -eu
data=$1
synopses=$2
packages="doc-rfc-std dict-foldoc dict-jargon debian-handbook debian-policy debian-reference-en debian-faq
developers-reference apache2-doc"
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$data/debs" "$data/text"
unilatent prepare debian-descriptions "$data/text/descriptions.jsonl"
for package in $packages; do
    (cd "$data/debs" && ls "$package"_*.deb >/dev/null 2>&1 || apt-get download "$package")
    mkdir -p "$data/raw/$package"
    dpkg-deb -x "$data/debs/$package"_*.deb "$data/raw/$package"
done

raw=$data/raw
prose() { name=$1; shift; python "$here/prose_of_packages.py" "$@" >"$data/text/$name.jsonl"; }
prose rfc "$raw"/doc-rfc-std/usr/share/doc/RFC/*standard
prose dictionaries "$raw"/dict-*/usr/share/dictd/*.dict.dz
prose manuals "$raw"/debian-handbook/usr/share/doc/debian-handbook/html/en-US \
    "$raw"/debian-policy/usr/share/doc/debian-policy/*.txt.gz \
    "$raw"/debian-reference-en/usr/share/debian-reference/*.en.txt.gz \
    "$raw"/debian-faq/usr/share/doc/debian/FAQ/*.en.txt.gz \
    "$raw"/developers-reference/usr/share/developers-reference/_sources \
    "$raw"/apache2-doc/usr/share/doc/apache2-doc/manual/en

unilatent prepare vocabulary "$data/vocabulary" --input "$data/text" --size 8000
unilatent prepare pretrain-text "$data/shards" --input "$data/text" --tokenizer "$data/vocabulary" --max-length 128 \
    --exclude "$synopses/test.jsonl" --exclude "$synopses/valid.jsonl"
