"""Perplexity on the real engine, whose layers compute in bfloat16: python -m tests.bench.perplexity MODEL [MODEL ...]

The text is that of `fathom quantize`'s report, which Transformers reads in float32. Each model is read with vLLM's own
linear layers, and with those that Fathom chooses on this machine.
"""

import argparse
import math
import multiprocessing
import os
from pathlib import Path

from fathom.engine import decided, machine, norms
from fathom.models import quality
from fathom.models.folder import inspect
from fathom.models.memory import available_memory
from fathom.settings import EngineSettings

LONGEST = 2048


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.perplexity", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="folders")
    os.environ.update({each.name: each.value for each in machine.choose(EngineSettings())})
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for model in parser.parse_args().models:
        chosen = decided.decide(EngineSettings(), inspect(model), "cpu", machine.cpu_flags(), available_memory())
        for dtype, form in (("auto", None), (chosen.settings.dtype, chosen.form)):
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(model, dtype, form))
            process.start()
            process.join()


def measure(model: Path, dtype: str, form: str | None) -> None:
    from fathom.engine.in_process import InProcessExecutor
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(model),
        dtype=dtype,
        enforce_eager=True,
        max_model_len=LONGEST,
        kv_cache_memory_bytes=1 << 29,
        distributed_executor_backend=InProcessExecutor,
        additional_config={"fathom_linear": form} if form else {},
        ir_op_priority=norms.PRIORITY,
    )
    sampling = SamplingParams(max_tokens=1, prompt_logprobs=0, temperature=0)
    prompts = [{"prompt_token_ids": piece} for piece in quality.pieces_of(model, trust=False).tolist()]
    losses = [
        -place[token_id].logprob
        for read in llm.generate(prompts, sampling, use_tqdm=False)
        for token_id, place in zip(read.prompt_token_ids[1:], read.prompt_logprobs[1:], strict=True)
    ]
    print(f"{model.name}, layers {form or 'of vLLM'}: {math.exp(sum(losses) / len(losses)):.4f}", flush=True)


if __name__ == "__main__":
    main()
