"""The DeepSeek-V3 architecture (MLA, MoE with a shared expert) on CPU, against Transformers' own greedy tokens.

In float32: in bfloat16 the two agree as long as no two tokens are nearly equally likely, some nine tokens here.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, PreTrainedTokenizerFast

from tests.running import start_server
from tests.tokenizers import small_tokenizer

QUESTION = "hello world, is the sky blue?"
TOKENS = 12


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in a tiny model with the real head sizes, which vLLM's MLA kernels are made for; and a head for
    multi-token prediction, which Transformers leaves alone."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("deepseek") / "tiny-deepseek-v3"
    tokenizer = small_tokenizer()
    config = DeepseekV3Config(
        vocab_size=320,
        hidden_size=256,
        intermediate_size=256,
        moe_intermediate_size=64,
        num_hidden_layers=2,
        first_k_dense_replace=1,
        num_attention_heads=4,
        num_key_value_heads=4,
        q_lora_rank=64,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        n_routed_experts=8,
        num_experts_per_tok=2,
        n_shared_experts=1,
        n_group=2,
        topk_group=1,
        max_position_embeddings=512,
        initializer_range=0.2,  # far from uniform: greedy choices are not ties
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    DeepseekV3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    added = {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "num_nextn_predict_layers": 1}
    (folder / "config.json").write_text(json.dumps(written | added))
    add_head(folder / "model.safetensors")
    return folder


def add_head(file: Path) -> None:
    """As DeepSeek-V3's own checkpoint has it: one layer more, which reads the last hidden state and the next token."""
    weights, last, head = load_file(file), "model.layers.1.", "model.layers.2."
    weights |= {head + name.removeprefix(last): each for name, each in weights.items() if name.startswith(last)}
    hidden = weights["model.norm.weight"].shape[0]
    weights |= {head + name + ".weight": torch.ones(hidden) for name in ("enorm", "hnorm", "shared_head.norm")}
    weights[head + "eh_proj.weight"] = torch.randn(hidden, 2 * hidden) * 0.2
    weights[head + "embed_tokens.weight"] = weights["model.embed_tokens.weight"].clone()
    weights[head + "shared_head.head.weight"] = weights["lm_head.weight"].clone()
    save_file({name: each.contiguous().clone() for name, each in weights.items()}, file, {"format": "pt"})


def greedy(checkpoint: Path) -> str:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    model = DeepseekV3ForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, tokenize=False
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False)
    text = str(tokenizer.decode(out[0][ids.shape[1] :], skip_special_tokens=True))
    return text.rstrip("\ufffd")  # the bytes of a character that the limit has cut; a stream does not send them


@pytest.mark.parametrize("guessing", [[], ["--speculative", "mtp"]], ids=["alone", "with its own guesses"])
def test_its_greedy_answer_is_that_of_transformers(checkpoint: Path, tmp_path: Path, guessing: list[str]):
    options = ["--kv-cache-memory", "0.25", "--dtype", "float32", *guessing]
    server = start_server(tmp_path / "log", str(checkpoint), *options)
    try:
        server.wait_ready()
        body = server.chat(QUESTION, max_tokens=TOKENS, ignore_eos=True)
        assert body["model"] == "tiny-deepseek-v3"
        assert body["usage"]["completion_tokens"] == TOKENS
        assert "profile plain" in server.log.read_text()
        assert body["choices"][0]["message"]["content"] == greedy(checkpoint)
        drafted = "vllm:spec_decode_num_draft_tokens_total" in server.client.get("/metrics").text
        assert drafted == bool(guessing)
    finally:
        server.stop()
