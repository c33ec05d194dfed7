"""A real model that costs next to nothing, so that what is measured is what is in front of it."""

import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def make(folder: Path, like: Path) -> None:
    """A Llama of 2 layers with random weights and the tokenizer of the model in `like`, into `folder`."""
    theirs = LlamaConfig.from_pretrained(like)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=theirs.vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,  # of 32: the smallest that vLLM's kernels for CPUs have
        num_key_value_heads=1,
        max_position_embeddings=theirs.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=theirs.bos_token_id,
        eos_token_id=theirs.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    for name in _TOKENIZER:
        if (like / name).is_file():
            shutil.copy(like / name, folder)
