# Sourced by bin/demo and bin/test: the project's own .venv with an installed copy of the tree.
# The caller has set `top` (the project's folder); nothing here writes outside "$top/.venv" and a temporary folder.

venv=$top/.venv

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

try_thrice() { # networks hiccup: the same command again after 3 and after 10 seconds
    local pause
    for pause in 3 10 0; do
        "$@" && return 0
        [ "$pause" = 0 ] && return 1
        say "  that did not work; again in $pause s" >&2
        sleep "$pause"
    done
}

find_python() { # prints the first Python that is new enough
    local name
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$name" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

make_venv() {
    if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return 0
    fi
    local python
    python=$(find_python) || fail "AsynCluster needs Python 3.11 or newer; 'python3' here is: $(python3 --version 2>&1)"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python lacks its venv module. On Debian and Ubuntu: apt-get install python3-venv"
    say "Making .venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" || fail "could not make $venv"
}

digest() { # of everything that is installed
    (
        cd "$top" || exit 1
        find asyncluster twisted setup.py pyproject.toml README.md LICENSE -type f \
            ! -name '*.py[co]' ! -name dropin.cache -print0 2>/dev/null |
            LC_ALL=C sort -z | xargs -0 cat -- | cksum
        find asyncluster twisted -type f -name '*.py' | LC_ALL=C sort | cksum
    )
}

pip_quiet() { "$venv/bin/python" -m pip --disable-pip-version-check -qq --no-input "$@"; }

install_tree() { # install_tree EXTRAS: "" or "dev,interop,test"
    local extras=$1 copy wanted_needs wanted_tree fresh
    local needs_mark=$venv/.needs-${extras:-plain} tree_mark=$venv/.tree
    wanted_needs=$(cksum <"$top/pyproject.toml")
    wanted_tree=$(digest)
    if [ "$(cat "$needs_mark" 2>/dev/null)" = "$wanted_needs" ] && [ "$(cat "$tree_mark" 2>/dev/null)" = "$wanted_tree" ]; then
        return 0
    fi
    copy=$(mktemp -d) || fail "no temporary folder"
    # built from a copy, so that no build/ of an older tree is swept in and the tree stays clean
    (cd "$top" && cp -R asyncluster twisted setup.py pyproject.toml MANIFEST.in LICENSE "$copy/" &&
        if [ -f README.md ]; then cp README.md "$copy/"; fi) || fail "could not copy the tree"
    fresh=0
    if [ "$(cat "$needs_mark" 2>/dev/null)" != "$wanted_needs" ]; then
        fresh=1
        say "Installing what AsynCluster needs${extras:+ (with $extras)}; the first time takes a minute"
        try_thrice pip_quiet install 'setuptools>=77' &&
            try_thrice pip_quiet install --no-build-isolation "$copy${extras:+[$extras]}" || {
            rm -rf "$copy"
            fail "pip could not install the requirements; its words are above"
        }
    fi
    if [ "$fresh" = 0 ]; then
        say "Installing the tree into .venv"
        pip_quiet install --no-build-isolation --no-deps --force-reinstall "$copy" || {
            rm -rf "$copy"
            fail "pip could not install the tree; its words are above"
        }
    fi
    rm -rf "$copy"
    printf '%s' "$wanted_needs" >"$needs_mark"
    printf '%s' "$wanted_tree" >"$tree_mark"
}

prepare() { # prepare EXTRAS; one at a time
    if command -v flock >/dev/null 2>&1; then
        exec 9<"$top/bin/_house.sh"
        flock 9
    fi
    make_venv
    install_tree "$1"
    exec 9>&-
}
