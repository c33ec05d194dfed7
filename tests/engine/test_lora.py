"""A LoRA adapter beside the embedded model, asked for by its name."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.running import start_server

LAYERS, HIDDEN, RANK = 30, 576, 8


def adapter(folder: Path) -> Path:
    """Random, and strong enough to change what the model says."""
    torch.manual_seed(0)
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    weights = {name.format(layer, "A"): torch.randn(RANK, HIDDEN) * 0.3 for layer in range(LAYERS)}
    weights |= {name.format(layer, "B"): torch.randn(HIDDEN, RANK) * 0.3 for layer in range(LAYERS)}
    folder.mkdir()
    save_file({key: value.to(torch.bfloat16) for key, value in weights.items()}, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def test_an_adapter_is_listed_and_changes_the_answer(tmp_path):
    folder = adapter(tmp_path / "poet")
    server = start_server(tmp_path / "log", "--kv-cache-memory", "0.5", "--lora", f"poet={folder}")
    try:
        server.wait_ready()
        listed = server.client.get("/v1/models").json()["data"]
        assert [(model["id"], model.get("parent")) for model in listed] == [
            ("smollm2-135m", None),
            ("poet", "smollm2-135m"),
        ]
        ask = {"max_tokens": 20, "enable_thinking": False}
        plain = server.chat("Why is the sky blue?", **ask)
        tuned = server.chat("Why is the sky blue?", **ask, model="poet")
        assert tuned["model"] == "poet"
        assert tuned["choices"][0]["message"]["content"] != plain["choices"][0]["message"]["content"]
    finally:
        server.stop()
