"""Give texts to the speakers of a voice in turn, for `unilatent synthesize --input`.

python scripts/take_turns.py data/texts.jsonl demo > data/lines.jsonl
"""

from __future__ import annotations

import argparse

from latent.synthesis.voices import open_voice
from s2s.data.jsonl import read_records
from s2s.json_files import dump_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", help="JSON lines with id and text")
    parser.add_argument("voice", help="run folder of a voice, or demo")
    given = parser.parse_args()
    speakers = open_voice(given.voice, device="cpu").speakers
    for number, (_, record) in enumerate(read_records(given.texts)):
        print(dump_json({"id": record["id"], "text": record["text"], "speaker": speakers[number % len(speakers)]}))


if __name__ == "__main__":
    main()
