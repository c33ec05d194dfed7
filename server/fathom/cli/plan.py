"""fathom plan: what serving a model would take, told before anything is fetched."""

from dataclasses import replace
from typing import Annotated

import typer

from fathom.cli import plan_view
from fathom.cli.given import Config, Set, assigned
from fathom.cli.plan_hardware import Described, hardware
from fathom.engine import choices, decided, machine
from fathom.models import schemes
from fathom.models.outline import outline
from fathom.models.planning import Wanted, forecast
from fathom.settings import Settings, load


def plan(
    model: Annotated[str | None, typer.Argument(help="Alias, Hugging Face id, folder or .gguf file.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda (that of the installed vLLM).")] = None,
    memory: Annotated[str | None, typer.Option(help="A CPU's memory, as in 64GiB (what is available here).")] = None,
    gpu: Annotated[str | None, typer.Option(help="A GPU by name, as in 'H100 SXM' (this machine's).")] = None,
    gpu_memory: Annotated[str | None, typer.Option(help="Memory of one GPU, as in 80GiB.")] = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="GPUs that share each layer (1).")] = None,
    bandwidth: Annotated[float | None, typer.Option(help="Of the memory, in GB/s (a CPU's is measured).")] = None,
    scheme: Annotated[str | None, typer.Option(help="int8 or fp8: as `fathom quantize` would make it.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Context length in tokens.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Most sequences in one batch.")] = None,
    kv_cache_memory: Annotated[float | None, typer.Option(help="KV cache size in GiB.")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="Type of the KV cache (auto).")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of the weights (auto).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Say what MODEL (without one: the embedded model) would take, and whether it fits. No weights are fetched.

    Exit status: 0 if it fits, 1 if it does not.
    """
    given = {
        "engine.max_model_len": max_model_len,
        "engine.max_num_seqs": max_num_seqs,
        "engine.kv_cache_memory": kv_cache_memory,
        "engine.kv_cache_dtype": kv_cache_dtype,
        "engine.dtype": dtype,
        "engine.tensor_parallel_size": gpus,
    }
    settings = load({name: value for name, value in given.items() if value is not None} | assigned(set_), config)
    if not _report(model, settings, scheme, Described(device, memory, gpu, gpu_memory, gpus, bandwidth), json):
        raise typer.Exit(1)


def _report(model: str | None, settings: Settings, scheme: str | None, described: Described, as_json: bool) -> bool:
    """Print it. Returns whether it fits."""
    known = outline(model or settings.model.model, settings.home)
    wanted = Wanted(known.facts, known.sizes, settings.engine)
    if scheme:
        wanted = wanted.quantized(schemes.by_name(scheme))
    here = hardware(described)
    decision = decided.decide(settings.engine, wanted.facts, here.device, machine.cpu_flags(), here.memory)
    wanted = replace(wanted, settings=decision.settings, packed=decision.form == "packed", extra=decision.extra)
    found = forecast(wanted, here)
    gpu = None if here.device == "cpu" else (here.name, here.memory)
    chosen = [
        *machine.choose(settings.engine, here.device),
        *choices.engine(wanted.settings, wanted.facts, found.plan, here.device, decision, gpu),
    ]
    plan_view.show(plan_view.Report(known, wanted, here, found, chosen, scheme), as_json)
    return found.short_of is None
