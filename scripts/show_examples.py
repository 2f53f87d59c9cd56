#!/usr/bin/env python
"""Print ten sources with their references and the outputs of one or more systems, matched by id.

python scripts/show_examples.py REFERENCES.jsonl NAME=OUTPUTS.jsonl [NAME=OUTPUTS.jsonl ...]
"""

from __future__ import annotations

import sys

from s2s.data.jsonl import read_records

COUNT = 10
WIDTH = 160


def main() -> None:
    references = [record for _, record in read_records(sys.argv[1])]
    systems = {}
    for argument in sys.argv[2:]:
        name, _, path = argument.partition("=")
        systems[name] = {record["id"]: record["tgt"] for _, record in read_records(path)}
    spread = range(0, len(references), max(1, len(references) // COUNT))
    for index in list(spread)[:COUNT]:
        record = references[index]
        source = " ".join(record["src"].split())
        print(f"\n{record['id']}")
        print(f"  source     {source if len(source) <= WIDTH else source[: WIDTH - 1] + '…'}")
        print(f"  reference  {record['tgt']}")
        for name, outputs in systems.items():
            print(f"  {name:9}  {outputs[record['id']]}")


if __name__ == "__main__":
    main()
