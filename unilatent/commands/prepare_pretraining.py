"""The sub-commands of `unilatent prepare` for pretraining: a vocabulary, and raw text to shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unilatent.commands.sharing import ShardOption

app = typer.Typer()

_MOST = 2**31 - 1

Input = Annotated[
    list[str],
    typer.Option(
        help="Text file, JSON lines, table, folder of such files (.gz, .zst, .bz2 as well), or a `datasets` folder or "
        "hub id (NAME or NAME@CONFIG:SPLIT); may be repeated."
    ),
]
Document = Annotated[
    Literal["file", "block", "line"],
    typer.Option(help="What a document is in a text file: all of it, lines between blank ones, or each line."),
]
Field = Annotated[str, typer.Option(help="Field of JSON lines, or column of a table or data set, that holds the text.")]


@app.command(short_help="Raw text to tokenized shards for pretraining.")
def pretrain_text(
    out: Annotated[Path, typer.Argument(help="Folder for shards, tokenizer, stats.json and DATA_CARD.md.")],
    input: Input,
    tokenizer: Annotated[str, typer.Option(help="Folder or hub id; see `prepare vocabulary`.")],
    document: Document = "file",
    field: Field = "text",
    max_length: Annotated[
        int, typer.Option(min=8, max=_MOST, help="Maximum length of an input, with special tokens.")
    ] = 512,
    min_tokens: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Leave out documents, and ends of them, with fewer.")
    ] = 8,
    valid_share: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the documents for validation.")] = 0.005,
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Test set, JSON lines or text, to keep out; may be repeated.")
    ] = None,
    exclude_words: Annotated[
        int,
        typer.Option(
            min=2, max=_MOST, help="Leave out documents that share this many consecutive words with a test set."
        ),
    ] = 13,
    exclude_shortest: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Ignore texts of a test set with fewer words than this.")
    ] = 5,
    shard_tokens: Annotated[int, typer.Option(min=1, max=_MOST, help="Approximate tokens of a shard.")] = 2**24,
    seed: Annotated[
        int, typer.Option(min=0, max=_MOST, help="Random seed of order, validation documents and segments.")
    ] = 0,
    processes: Annotated[
        int, typer.Option(min=0, max=1024, help="Number of processes; 0 means one for each core.")
    ] = 0,
    shard: ShardOption = None,
) -> None:
    """Raw text to tokenized shards for pretraining: whole sentences of one document packed into two segments.

    Duplicate documents, broken UTF-8 and empty documents are left out and counted. Memory does not grow with the text.
    The same command continues a preparation that was killed, and ends in the same shards.
    """

    from data_prep.pretrain_text.preparation import prepare
    from data_prep.pretrain_text.settings import Settings
    from data_prep.workers import available_cores
    from s2s.durable import resumable
    from s2s.generation.job_array import Shard

    settings = Settings(
        inputs=tuple(input),
        tokenizer=tokenizer,
        document=document,
        field=field,
        exclude=tuple(map(str, exclude or [])),
        exclude_words=exclude_words,
        exclude_shortest=exclude_shortest,
        max_length=max_length,
        min_tokens=min_tokens,
        valid_share=valid_share,
        shard_tokens=shard_tokens,
        seed=seed,
    )
    with resumable():
        part = None if shard is None else Shard.parse(shard)
        typer.echo(prepare(out, settings, processes or available_cores(), part))


@app.command(short_help="A new vocabulary from raw text.")
def vocabulary(
    out: Annotated[Path, typer.Argument(help="Folder for the tokenizer's files.")],
    input: Input,
    size: Annotated[int, typer.Option(min=64, max=_MOST, help="Number of items, with special tokens.")],
    kind: Annotated[
        Literal["wordpiece", "unigram", "bpe", "words"],
        typer.Option(help="WordPiece, one of sentencepiece's two models, or whole words (for task.copying)."),
    ] = "wordpiece",
    lower_case: Annotated[bool, typer.Option(help="Lower-case text; WordPiece strips accents, too.")] = True,
    document: Document = "file",
    field: Field = "text",
    max_sentences: Annotated[
        int, typer.Option(min=1, max=_MOST, help="Maximum sentences to learn from, drawn at random.")
    ] = 5_000_000,
    seed: Annotated[int, typer.Option(min=0, max=_MOST, help="Random seed of the draw of sentences.")] = 0,
) -> None:
    """A new vocabulary from raw text, as a folder that this package and transformers' AutoTokenizer read.

    Items 0 to 5 are [PAD] [UNK] [CLS] [SEP] [MASK] [PSEUDO].
    """
    from data_prep.vocabulary import train

    typer.echo(train(out, list(input), kind, size, lower_case, document, field, max_sentences, seed))
