"""Stands in for fathom.models.quantization and fathom.models.quality where a test is not about numbers.

A model with a file "broken" fails; one with a file "slow" takes a while, so that it can be stopped.
"""

import json
import shutil
import sys
import time
from pathlib import Path

what, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
if what == "quality":
    if (source / "no-report").exists():
        sys.exit("Transformers does not know it")
    print("measured 1/2\nmeasured 2/2", flush=True)
    perplexity = {"original": 10.0, "quantized": 10.1}
    print(json.dumps({"text": "a text", "tokens": 64, "perplexity": perplexity, "greedy_agreement": 0.95}))
else:
    shutil.copyfile(source / "model.safetensors", target / "model.safetensors")
    config = json.loads((source / "config.json").read_bytes())
    (target / "config.json").write_text(json.dumps(config | {"quantization_config": {"format": "int-quantized"}}))
    print("quantized 64", flush=True)
    time.sleep(60 if (source / "slow").exists() else 0)
    if (source / "broken").exists():
        sys.exit("a weight is not finite")
