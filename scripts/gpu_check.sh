#!/usr/bin/env bash
# Checks what only a GPU can show, in a few minutes: every test that needs one, the guard that no step waits for the host, and a
# table of speed for docs/gpu.md. With --small, tiny sizes, also without a GPU; tests that need one are then skipped.
#   bash scripts/gpu_check.sh [--small]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)"
size="${1:-}"
if [ -n "$size" ] && [ "$size" != "--small" ]; then
    echo "usage: bash scripts/gpu_check.sh [--small]" >&2
    exit 2
fi
if [ -z "$size" ] && ! "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
    echo "torch finds no GPU here; bash scripts/gpu_check.sh --small tries the same on the CPU" >&2
    exit 1
fi

echo "== tests that need a GPU =="
"$python" -m pytest -n 0 -m gpu -rs tests/unit
echo "== no step waits for the host =="
"$python" -m pytest -n 0 tests/unit/s2s/decoding/test_static.py tests/unit/latent/decoding/test_frame_block.py
echo "== speed =="
"$python" benchmarks/gpu.py $size
