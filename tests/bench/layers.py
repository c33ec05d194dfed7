"""A step of the engine on a CPU, with its layers straight to their kernels and as vLLM writes them (docs/adr/0026).

python -m tests.bench.layers [--model FOLDER]

One engine without a server around it. It is drawn for each step which way is gone, so that what else the machine does
falls on both.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fathom.engine import decided, machine, norms, straight
from fathom.models.folder import inspect
from fathom.models.memory import available_memory
from fathom.settings import EngineSettings

from tests.bench.servers import MODEL

SEQUENCES = (1, 4, 16, 64)
STEPS = 200
PROMPT = [5, 9, 30, 44]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.layers", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of a model (the embedded one)")
    model = parser.parse_args().model
    os.environ.update({each.name: each.value for each in machine.choose(EngineSettings())})  # its preloads, too
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    process = multiprocessing.get_context("spawn").Process(target=measure, args=(str(model),))
    process.start()
    process.join()
    raise SystemExit(process.exitcode)


def measure(model: str) -> None:
    from fathom.engine.in_process import InProcessExecutor
    from vllm import LLM, SamplingParams

    facts = inspect(Path(model))
    chosen = decided.decide(EngineSettings(), facts, "cpu", machine.cpu_flags(), available_memory())
    print(", ".join(each.value for each in chosen.choices), flush=True)
    with _held_back() as go:
        llm = LLM(
            model,
            dtype=chosen.choices[0].value,
            enforce_eager=True,
            max_model_len=2048,
            max_num_seqs=max(SEQUENCES),
            kv_cache_memory_bytes=1 << 30,
            distributed_executor_backend=InProcessExecutor,
            additional_config={"fathom_linear": chosen.form} if chosen.form else {},
            ir_op_priority=norms.PRIORITY,
        )
    engine, switch = llm.llm_engine, _switch(*go[0])
    sampling = SamplingParams(temperature=0, max_tokens=STEPS, ignore_eos=True)
    print(
        f"{'sequences':>9} {'vLLM, ms':>9} {'straight':>9} {'ratio':>6}   (medians of {STEPS} steps in all)", flush=True
    )
    for count in SEQUENCES:
        for each in range(count):
            engine.add_request(f"{count}-{each}", {"prompt_token_ids": [each + 5, *PROMPT]}, sampling)
        engine.step()
        times: dict[bool, list[float]] = {True: [], False: []}
        while engine.has_unfinished_requests():
            way = random.random() < 0.5
            switch(way)
            begun = time.perf_counter()
            engine.step()
            times[way].append((time.perf_counter() - begun) * 1e3)
        theirs, ours = (statistics.median(times[way]) for way in (False, True))
        print(f"{count:9} {theirs:9.1f} {ours:9.1f} {ours / theirs:6.2f}", flush=True)


@contextmanager
def _held_back() -> Iterator[list[Any]]:
    """What go_straight() is called with while an engine starts."""
    called: list[Any] = []
    go, straight.go_straight = straight.go_straight, lambda *args: called.append(args)
    try:
        yield called
    finally:
        straight.go_straight = go


def _switch(model: Any, config: Any) -> Callable[[bool], None]:
    """Between the two ways, by what go_straight() changes: attributes of modules, and how classes are called."""
    modules = list(model.modules())
    before = [dict(vars(each)) for each in modules]
    straight.go_straight(model, config)
    added = [
        (each, {name: value for name, value in vars(each).items() if name not in old})
        for each, old in zip(modules, before, strict=True)
    ]
    kinds = [kind for kind in {type(each) for each in modules} if vars(kind).get("__call__") is straight._call]

    def switch(ours: bool) -> None:
        for kind in kinds:
            if ours:
                kind.__call__ = straight._call
            elif "__call__" in vars(kind):
                del kind.__call__
        for each, changes in added:
            for name, value in changes.items():
                if ours:
                    vars(each)[name] = value
                else:
                    vars(each).pop(name, None)

    return switch


if __name__ == "__main__":
    main()
