"""What a Ray cluster on this machine adds to plain decoding: seconds, processor seconds, and equal files.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py                      2,000 lines, the shipped summarizer
    OMP_NUM_THREADS=1 python benchmarks/cluster.py --lines 40 --workers 1

Plain decoding and one worker take turns, so that both see the same machine; starting Ray and its workers counts. Needs
the extra `ray` and psutil, which samples the processor time of all processes that a command starts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from s2s.data.records import open_records

_SAMPLED_SECONDS = 0.2


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and processor seconds of a command with all that it starts."""
    begun = time.monotonic()
    process = psutil.Popen(command, stderr=subprocess.PIPE, text=True)
    used: dict[int, float] = {}
    while process.poll() is None:
        try:
            for one in [process, *process.children(recursive=True)]:
                times = one.cpu_times()
                used[one.pid] = times.user + times.system
        except psutil.Error:  # it has just ended
            pass
        time.sleep(_SAMPLED_SECONDS)
    if process.returncode:
        raise SystemExit(process.stderr.read())
    return time.monotonic() - begun, sum(used.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="summarizer")
    parser.add_argument("--input", default="sample:en")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    print(f"{args.lines} lines of {args.input}, {args.run}, windows of {args.window}")
    print("| | seconds | processor seconds | overhead | of processor time | files |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        records = itertools.islice(open_records(args.input, "train"), args.lines)
        source.write_text("".join(json.dumps(record) + "\n" for _, record in records), encoding="utf-8")
        for number in range(args.rounds):
            plain = Path(folder, f"plain{number}.jsonl")
            command = [sys.executable, "-m", "unilatent", "decode", args.run, "--input", str(source), "--device", "cpu"]
            command += ["--window", str(args.window), "--output"]
            seconds, used = measured([*command, str(plain)])
            print(f"| plain | {seconds:.1f} | {used:.1f} | | | |", flush=True)
            for workers in args.workers:
                output = Path(folder, f"ray{number}-{workers}.jsonl")
                wall, cpu = measured([*command, str(output), "--ray", "local", "--workers", str(workers)])
                equal = "equal" if output.read_bytes() == plain.read_bytes() else "DIFFERENT"
                shares = f"{wall / seconds - 1:+.1%} | {cpu / used - 1:+.1%}"
                print(f"| Ray, workers: {workers} | {wall:.1f} | {cpu:.1f} | {shares} | {equal} |", flush=True)


if __name__ == "__main__":
    main()
