"""What a number of lines costs at measured rates: device hours, devices that do it in a day, and the price.

    python benchmarks/reckoning.py                              the rates of docs/results.md, per core, for 10^9 lines
    python benchmarks/reckoning.py --rate "my model, one GPU=900" --price 2.5

A rate is lines a second of one device, as `unilatent decode` prints it at its end, times the devices if it had several.
"""

from __future__ import annotations

import argparse

MEASURED = ["6 x 384, one core=6.8", "12 x 768, one core=1.5"]
"""Half of what two cores did (docs/results.md, decoding speed): beam 5, sources of 128 tokens, outputs of 32."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=float, default=1e9)
    parser.add_argument("--rate", action="append", help="NAME=LINES A SECOND of one device; may be repeated.")
    parser.add_argument("--price", type=float, default=0.04, help="Of a device hour.")
    args = parser.parse_args()
    print("| | lines/s | device hours | devices for a day | price |\n|---|---|---|---|---|")
    for given in args.rate or MEASURED:
        name, _, rate = given.rpartition("=")
        hours = args.lines / float(rate) / 3600
        print(f"| {name} | {float(rate):,g} | {hours:,.0f} | {hours / 24:,.0f} | {hours * args.price:,.0f} |")


if __name__ == "__main__":
    main()
