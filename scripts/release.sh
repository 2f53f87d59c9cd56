#!/usr/bin/env bash
# Builds a release into dist/ and checks it: sdist and wheel, their content and size, the page of the package index, and an
# installation in a fresh environment, outside the clone. It publishes nothing; `twine upload dist/*` does.
#   scripts/release.sh            everything is committed, and CHANGELOG.md has a section "## VERSION (YYYY-MM-DD)" for the version
#                                 in setup.py, the one place where it stands
#   scripts/release.sh --draft    without these two conditions
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

case "${1:-}" in
    "" | --draft) ;;
    *) fail "$1: expected --draft or nothing" ;;
esac

VERSION="$(sed -n 's/^    version="\(.*\)",$/\1/p' setup.py)"
[ -n "$VERSION" ] || fail 'setup.py: no line `version="..."`'
if [ "${1:-}" != --draft ]; then
    [ -z "$(git status --porcelain)" ] || fail "commit your changes first"
    grep -qE "^## ${VERSION//./\\.} \([0-9]{4}-[0-9]{2}-[0-9]{2}\)$" CHANGELOG.md ||
        fail "CHANGELOG.md: needs the section \"## $VERSION ($(date +%F))\"; give the version of setup.py its date"
fi

install "release"

say "building unilatent $VERSION"
rm -rf dist build
python -m build --no-isolation > dist.log 2>&1 || { tail -n 20 dist.log >&2; exit 1; }
rm dist.log

say "checking the archives"
twine check --strict dist/*
python scripts/check_archives.py dist/*.whl dist/*.tar.gz

say "installing the wheel into a fresh environment"
PLACE="$(mktemp -d)"
trap 'rm -rf "$PLACE"' EXIT
python -m venv "$PLACE/env"
WHEEL="$REPO/$(echo dist/*.whl)"
cp constraints.txt "$PLACE"
cd "$PLACE"
# shellcheck disable=SC1091
source env/bin/activate
install_torch
pip install -qq --constraint constraints.txt "$WHEEL[speak]"

say "trying it"
[ "$(unilatent --version)" = "unilatent $VERSION" ] || fail "unilatent --version prints $(unilatent --version)"
echo '{"src": "curl is a command line tool for transferring data with URL syntax."}' | unilatent decode summarizer
unilatent synthesize demo --text "Good morning." --output hello.wav

say "dist/ holds unilatent $VERSION; publish it with: twine upload dist/*"
