"""The child process that turns a GGUF file into a folder of bfloat16 safetensors, config and tokenizer.

python -m fathom.models.conversion FILE.gguf FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(source: Path, target: Path) -> None:
    """Transformers dequantizes each tensor and shows bars of its own on stderr, which the parent reads."""
    print("reading", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),  # without it, saving is refused
    )
    model.save_pretrained(target)
    print("tokenizer", flush=True)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
