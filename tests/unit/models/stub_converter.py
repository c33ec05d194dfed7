"""Stands in for fathom.models.conversion where a test is about time: four files, a moment each, and a count of runs."""

import sys
import time
from pathlib import Path

source, target = Path(sys.argv[1]), Path(sys.argv[2])
with source.with_suffix(".runs").open("a") as runs:
    runs.write("x")
print("reading", flush=True)
for number in range(4):
    print(f"Converting tensors...:  {number * 25}%|##| {number}/4 [00:00<00:00, 1.0it/s]", file=sys.stderr, flush=True)
    (target / f"part-{number}").write_bytes(bytes(1000))
    time.sleep(0.1)
if source.stem == "broken":
    print("warming up\nValueError: GGUF model with architecture x is not supported yet.", file=sys.stderr)
    sys.exit(1)
