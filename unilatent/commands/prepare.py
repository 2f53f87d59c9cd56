"""The verb `unilatent prepare`: one sub-command for each corpus or format, files in, JSON lines and a data card out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unilatent.commands.prepare_pictures import app as pictures_app
from unilatent.commands.prepare_pretraining import app as pretrain_app
from unilatent.commands.prepare_pseudo_labels import app as pseudo_labels_app
from unilatent.commands.prepare_speech import app as speech_app

if TYPE_CHECKING:
    from data_prep import question_generation as qg
    from s2s.data.splits import Role

app = typer.Typer(no_args_is_help=True, help="Make training data and a data card from a corpus or a format.")
app.add_typer(speech_app)  # speech corpora stand beside the text ones
app.add_typer(pretrain_app)
app.add_typer(pictures_app)
app.add_typer(pseudo_labels_app)

Out = Annotated[Path, typer.Argument(help="Folder to write {train,valid,test}.jsonl and DATA_CARD.md to.")]

Packages = Annotated[list[Path] | None, typer.Option(help="A Packages file, instead of this system's lists.")]
Translations = Annotated[
    list[Path] | None, typer.Option(help="A Translation-LANGUAGE file for --packages; may be repeated.")
]


@app.command(short_help="One-line summaries: descriptions of Debian packages.")
def debian_synopsis(
    out: Annotated[Path, typer.Argument(help="Folder that gets one folder for each language.")],
    language: Annotated[list[str], typer.Option(help="Language of the descriptions; may be repeated.")] = ["en"],  # noqa: B006 (typer's)
    max_train: Annotated[
        int | None, typer.Option(min=1, help="Maximum training pairs of a language.", show_default="all")
    ] = None,
    packages: Packages = None,
    translation: Translations = None,
) -> None:
    """Headline generation: descriptions of Debian packages and their synopses, from this system's package lists.

    Without --packages the lists are fetched by apt-get into a temporary folder: on a Debian system, without root.
    """
    import tempfile

    from data_prep.debian_synopsis import write
    from data_prep.package_lists import fetch_lists, given_lists

    if packages or translation:
        summaries = write(out, given_lists(packages or [], translation or []), language, max_train)
    else:
        with tempfile.TemporaryDirectory() as folder:
            summaries = write(out, fetch_lists(Path(folder), language), language, max_train)
    typer.echo("\n".join(summaries))


@app.command(short_help="Raw text for pretraining from Debian descriptions.")
def debian_descriptions(
    out: Annotated[Path, typer.Argument(help="JSON-lines file to write: id and text of each description.")],
    language: Annotated[str, typer.Option(help="Language of the descriptions.")] = "en",
    packages: Packages = None,
    translation: Translations = None,
) -> None:
    """Raw text for pretraining: descriptions of Debian packages, without those that debian-synopsis tests on."""
    import tempfile

    from data_prep.debian_descriptions import write
    from data_prep.package_lists import fetch_lists, given_lists

    if packages or translation:
        typer.echo(write(out, given_lists(packages or [], translation or []), language))
    else:
        with tempfile.TemporaryDirectory() as folder:
            typer.echo(write(out, fetch_lists(Path(folder), [language]), language))


@app.command(short_help="A smaller corpus from a prepared one.")
def subset(
    corpus: Annotated[Path, typer.Argument(help="Folder of a prepared corpus.")],
    out: Out,
    train: Annotated[int, typer.Option(min=0, help="Number of pairs of train.jsonl.")],
    valid: Annotated[int, typer.Option(min=0, help="Number of pairs of valid.jsonl.")],
    test: Annotated[int, typer.Option(min=0, help="Number of pairs of test.jsonl.")],
) -> None:
    """A smaller corpus from a prepared one: the same pairs on every machine, without leaks from test to train."""
    from data_prep.subset import write

    typer.echo(write(out, corpus, {"train": train, "valid": valid, "test": test}))


@app.command(short_help="Melodies and lyrics: hymns in Bach's settings.")
def hymns(out: Out) -> None:
    """Melodies for lyrics: German hymns, from the scores that music21 brings. Tunes of one family are in one split.

    Needs the extra music. The scores are there by permission of who has encoded them: do not pass the result on.
    """
    from data_prep.hymns import write

    typer.echo(write(out))


@app.command(short_help="Melodies and lyrics: your own MIDI files.")
def midi_tunes(files: Annotated[Path, typer.Argument(help="Folder of MIDI files with lyrics.")], out: Out) -> None:
    """Melodies for lyrics: MIDI files with a lyric event for each syllable. Tunes of one family are in one split.

    Needs the extra music.
    """
    from data_prep.midi_tunes import write

    typer.echo(write(out, files))


Published = Annotated[
    str,
    typer.Argument(help="Folder of the published files; or a `datasets` folder, or a hub id (NAME or NAME@CONFIG)."),
]


@app.command(short_help="CNN/DailyMail: .story files and url lists.")
def cnndm(
    corpus: Published,
    out: Out,
    separator: Annotated[str, typer.Option(help="Between the sentences of a summary.")] = " [X_SEP] ",
) -> None:
    """CNN/DailyMail: .story files and url lists of See et al. below one folder; or abisee/cnn_dailymail@3.0.0.

    A separator that is a token needs task.added_tokens=["[X_SEP]"]; `evaluate --task cnndm` divides summaries at it.
    """
    from data_prep.summarization import is_dataset, read_cnndm, read_dataset, write

    about = [f"CNN/DailyMail, not anonymised (See et al. 2017). Sentences of the target are divided by `{separator}`."]
    if is_dataset(corpus):
        found = read_dataset(corpus, "article", "highlights", separator)
    else:
        found = read_cnndm(Path(corpus), separator)
    typer.echo(write(out, "CNN/DailyMail", about, found))


@app.command(short_help="XSum: .summary files and the JSON file of ids.")
def xsum(corpus: Published, out: Out) -> None:
    """XSum: ID.summary files and the JSON file of ids by split below one folder; or EdinburghNLP/xsum."""
    from data_prep.summarization import is_dataset, read_dataset, read_xsum, write

    found = read_dataset(corpus, "document", "summary") if is_dataset(corpus) else read_xsum(Path(corpus))
    typer.echo(write(out, "XSum", ["One-sentence summaries of BBC articles (Narayan et al. 2018)."], found))


@app.command(short_help="Gigaword headlines: article and title files.")
def gigaword(corpus: Published, out: Out) -> None:
    """Gigaword headlines: train.article.txt, train.title.txt and so on below one folder; or Harvard/gigaword."""
    from data_prep.summarization import is_dataset, read_dataset, read_gigaword, write

    found = read_dataset(corpus, "document", "summary") if is_dataset(corpus) else read_gigaword(Path(corpus))
    typer.echo(write(out, "Gigaword", ["First sentences and headlines (Rush et al. 2015); digits are #."], found))


@app.command(short_help="Questions from passages and answers.")
def squad_qg(
    out: Out,
    train: Annotated[
        str | None,
        typer.Option(help="SQuAD 1.1 JSON; or rows with context, question and answers, in any format `train` reads."),
    ] = None,
    valid: Annotated[str | None, typer.Option(help="The same for validation.")] = None,
    test: Annotated[str | None, typer.Option(help="The same for the test set.")] = None,
    dev: Annotated[str | None, typer.Option(help="SQuAD's dev, which --split divides together with --train.")] = None,
    split: Annotated[
        Literal["zhou", "du", "reversed"] | None,
        typer.Option(help="One of three published splits of SQuAD; scores on them do not compare."),
    ] = None,
    template: Annotated[
        Literal["unilm", "glge", "highlight", "bio-feature"],
        typer.Option(
            help="passage [SEP] answer; answer [SEP] passage; passage with the answer between two <hl>; passage alone, "
            "and where the answer begins for task.features."
        ),
    ] = "unilm",
    context: Annotated[
        Literal["sentence", "paragraph"] | None,
        typer.Option(help="Passage around the answer; by default sentence for zhou, else paragraph."),
    ] = None,
    window_words: Annotated[int, typer.Option(min=1, help="Maximum words of a passage, around the answer.")] = 320,
    train_articles: Annotated[
        Path | None, typer.Option(help="du, reversed: titles of train's articles, one a line, that are train.")
    ] = None,
    test_articles: Annotated[
        Path | None, typer.Option(help="du, reversed: titles of train's articles that are test (reversed: valid).")
    ] = None,
    seed: Annotated[int, typer.Option(help="zhou: random seed of the halves of dev.")] = 0,
) -> None:
    """Question generation: passage and answer in, question out. Files of your own, or SQuAD 1.1 in a published split.

    The article lists of Du et al. are not included; they come with the authors' code (doclist-train.txt,
    doclist-test.txt). 320 words are about 464 WordPieces.
    """
    from data_prep.question_generation import sentence_of, window_of, write
    from data_prep.squad import Question

    given: dict[Role, str | None] = {"train": train, "valid": valid, "test": test}
    own = {name: path for name, path in given.items() if path}
    lists = (train_articles, test_articles) if train_articles and test_articles else None
    questions = _questions(own, dev, split, lists, seed)
    by_sentence = (context or ("sentence" if split == "zhou" else "paragraph")) == "sentence"

    def shape(question: Question) -> Question:
        return window_of(sentence_of(question) if by_sentence else question, window_words)

    typer.echo(write(out, split, questions, shape, template))


def _questions(
    own: dict[Role, str], dev: str | None, split: str | None, lists: tuple[Path, Path] | None, seed: int
) -> qg.Questions:
    """The questions that the options of `squad_qg` name; InputError if one is missing or too many."""
    from functools import partial

    from data_prep import question_generation as qg
    from s2s.errors import InputError

    if split is None:
        if dev or lists:
            raise InputError("--split: needed with SQuAD's --dev and lists of articles; own files are --valid, --test")
        return qg.own_files(own)
    if dev is None or set(own) != {"train"}:
        raise InputError(f"--split {split}: divides SQuAD, so it needs --train and --dev, and no --valid or --test")
    if split == "zhou":
        return partial(qg.split_zhou, own["train"], dev, seed)
    if lists is None:
        raise InputError(f"--split {split}: needs --train-articles and --test-articles, which it is defined by")
    return partial(qg.split_du, own["train"], dev, lists)


@app.command(short_help="Questions from answers: FAQs in Debian packages.")
def package_faqs(
    out: Out,
    packages: Annotated[
        list[Path] | None,
        typer.Option(help=".deb files, a folder of them, or one unpacked from them; else apt-get fetches them."),
    ] = None,
) -> None:
    """Question generation from the FAQs of Perl, Python and Debian: 547 pairs of an answer and its question.

    Without --packages, apt-get fetches perl-doc, python3.11-doc and debian-faq of Debian 12, without root.
    """
    import tempfile

    from data_prep import package_faqs as faqs
    from data_prep.debian_archives import fetch_archives

    with tempfile.TemporaryDirectory() as temporary:
        fetched = packages or fetch_archives(faqs.PACKAGES, Path(temporary) / "packages")
        typer.echo(faqs.write(out, faqs.unpack(fetched, Path(temporary) / "unpacked")))


@app.command(short_help="Tables of tab-separated columns, one pair a line.")
def tsv(
    out: Out,
    train: Annotated[Path | None, typer.Option(help="File of columns between tabs, or .gz of it.")] = None,
    valid: Annotated[Path | None, typer.Option(help="The same for validation.")] = None,
    test: Annotated[Path | None, typer.Option(help="The same for the test set.")] = None,
    source_column: Annotated[str, typer.Option(help="Number from 1; or its name in the first line.")] = "1",
    target_column: Annotated[str, typer.Option(help="Number from 1; or its name in the first line.")] = "2",
) -> None:
    """Tables of tab-separated columns, one pair a line. Cells are plain text: quotes are characters."""
    from data_prep.pair_files import read_table, write

    files = {"train": train, "valid": valid, "test": test}
    splits = {name: read_table(path, source_column, target_column, name) for name, path in files.items() if path}
    typer.echo(write(out, "Tables", splits))


@app.command(short_help="Parallel text files, plain or .gz.")
def parallel(
    out: Out,
    train: Annotated[tuple[Path, Path] | None, typer.Option(help="Source file and target file.")] = None,
    valid: Annotated[tuple[Path, Path] | None, typer.Option(help="The two files of validation.")] = None,
    test: Annotated[tuple[Path, Path] | None, typer.Option(help="The two files of the test set.")] = None,
) -> None:
    """Parallel text files, plain or .gz: line N of the source belongs to line N of the target."""
    from data_prep.pair_files import read_parallel, write

    files = {"train": train, "valid": valid, "test": test}
    typer.echo(write(out, "Parallel files", {name: read_parallel(*pair, name) for name, pair in files.items() if pair}))


@app.command(short_help="JSON lines made for s2s-ft, tokenized or not.")
def s2s_ft(
    out: Out,
    train: Annotated[
        Path | None, typer.Option(help='{"src": ..., "tgt": ...} a line: strings, or lists of tokens.')
    ] = None,
    valid: Annotated[Path | None, typer.Option(help="The same for validation.")] = None,
    test: Annotated[Path | None, typer.Option(help="The same for the test set.")] = None,
) -> None:
    """JSON lines made for s2s-ft, tokenized or not: checked, given ids, and counted."""
    from data_prep.pair_files import read_s2s_ft, write

    files = {"train": train, "valid": valid, "test": test}
    typer.echo(write(out, "Files for s2s-ft", {name: read_s2s_ft(path, name) for name, path in files.items() if path}))


@app.command(short_help="Folders that fairseq-preprocess wrote.")
def fairseq(
    data: Annotated[
        Path, typer.Argument(help="Folder with dict.LANGUAGE.txt and SPLIT.SRC-TGT.LANGUAGE.bin and .idx.")
    ],
    out: Out,
    source_lang: Annotated[str | None, typer.Option(help="Language of the sources, if the files do not tell.")] = None,
    target_lang: Annotated[str | None, typer.Option(help="Language of the targets.")] = None,
    pieces: Annotated[
        Literal["words", "subword_nmt", "sentencepiece", "wordpiece", "items"],
        typer.Option(help="How items become text, as --post-process of fairseq; items keeps lists of them."),
    ] = "words",
) -> None:
    """Folders that fairseq-preprocess wrote: dictionaries, .bin and .idx. Needs no fairseq.

    An unknown word is <unk> in the text; which word it was, such folders do not tell.
    """
    from data_prep.fairseq_data import languages_of, read_splits
    from data_prep.pair_files import write

    languages = (source_lang, target_lang) if source_lang and target_lang else languages_of(data)
    typer.echo(write(out, "Folders of fairseq-preprocess", read_splits(data, languages, pieces)))


@app.command(short_help="A prepared corpus for fairseq-preprocess.")
def fairseq_text(
    corpus: Annotated[Path, typer.Argument(help="Folder of a prepared corpus.")],
    out: Annotated[Path, typer.Argument(help="Folder that gets SPLIT.src, SPLIT.tgt and dict.txt.")],
    tokenizer: Annotated[str, typer.Option(help="Tokenizer of the encoder: a folder or a hub id.")],
) -> None:
    """A prepared corpus for fairseq-preprocess: vocabulary items between spaces, and their dictionary."""
    from data_prep.fairseq_text import write

    typer.echo(write(out, corpus, tokenizer))
