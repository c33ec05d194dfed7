#!/bin/sh
# Finds a Python that Fathom runs on and hands over to install.py: `sh requirements/install.sh [--device cpu|cuda] [--tests]`.
set -u
here=$(dirname "$0")
root=$(cd "$here/.." && pwd)

for python in ${PYTHON:+"$PYTHON"} "$root/.venv/bin/python" python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2> /dev/null; then
        exec "$python" "$here/install.py" "$@"
    fi
done
found=$(python3 --version 2> /dev/null || echo "no python3")
echo "Fathom needs Python 3.11, 3.12 or 3.13 and found $found: install one, or name it with PYTHON=/path/to/python3." >&2
exit 1
