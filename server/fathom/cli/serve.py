"""fathom serve."""

from typing import Annotated, Any

import typer

from fathom.cli.given import Config, Set, assigned, part
from fathom.engine import environment
from fathom.settings import Settings, load

_PARAMETERS = {
    "model": "model.model",
    "host": "http.host",
    "port": "http.port",
    "served_name": "model.served_name",
    "profile": "model.profile",
    "trust_remote_code": "model.trust_remote_code",
    "max_model_len": "engine.max_model_len",
    "max_num_seqs": "engine.max_num_seqs",
    "kv_cache_memory": "engine.kv_cache_memory",
    "kv_cache_dtype": "engine.kv_cache_dtype",
    "dtype": "engine.dtype",
    "quantization": "engine.quantization",
    "gpu_memory_utilization": "engine.gpu_memory_utilization",
    "tensor_parallel_size": "engine.tensor_parallel_size",
    "pipeline_parallel_size": "engine.pipeline_parallel_size",
    "compile": "engine.compile",
    "speculative": "engine.speculative",
    "draft_model": "engine.draft_model",
    "seed": "engine.seed",
    "thinking_budget": "reasoning.default_budget",
    "log_format": "telemetry.log_format",
    "log_level": "telemetry.log_level",
}


def serve(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="Alias, Hugging Face id, folder or .gguf file.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8000).")] = None,
    served_name: Annotated[str | None, typer.Option(help="The model id that clients see.")] = None,
    profile: Annotated[str | None, typer.Option(help="Family profile, where it is not to be picked.")] = None,
    trust_remote_code: Annotated[bool | None, typer.Option(help="Run Python code from the model's repository.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Context length in tokens.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Most sequences in one batch.")] = None,
    kv_cache_memory: Annotated[float | None, typer.Option(help="KV cache size in GiB.")] = None,
    kv_cache_dtype: Annotated[str | None, typer.Option(help="Type of the KV cache (auto).")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of the weights (auto).")] = None,
    quantization: Annotated[str | None, typer.Option(help="vLLM's quantization method.")] = None,
    gpu_memory_utilization: Annotated[float | None, typer.Option(help="Share of GPU memory to take (0.9).")] = None,
    tensor_parallel_size: Annotated[int | None, typer.Option(help="GPUs that share each layer (1).")] = None,
    pipeline_parallel_size: Annotated[int | None, typer.Option(help="GPU groups that share the layers (1).")] = None,
    compile: Annotated[str | None, typer.Option(help="torch.compile: auto, on or off (auto).")] = None,
    speculative: Annotated[str | None, typer.Option(help="Guess tokens ahead: ngram, mtp or draft (off).")] = None,
    draft_model: Annotated[str | None, typer.Option(help="The small model that guesses, for draft.")] = None,
    lora: Annotated[list[str] | None, typer.Option(help="LoRA adapter, as NAME=FOLDER. Repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the engine's random numbers (0).")] = None,
    thinking_budget: Annotated[int | None, typer.Option(help="Default thinking budget in tokens.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console (auto).")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error (info).")] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Serve MODEL (by default a small model that comes with Fathom) over the OpenAI API."""
    settings = _settings(context.params)
    environment.set_up(settings)  # vLLM is imported in the nursery, while the rest of this is imported here
    from fathom.cli import server  # brings FastAPI; the other commands start without it

    listening = server.listen(settings.http)
    server.serve_until_the_end(settings, listening)


def _settings(parameters: dict[str, Any]) -> Settings:
    overrides = {name: parameters[key] for key, name in _PARAMETERS.items() if parameters[key] is not None}
    for pair in parameters["lora"] or []:
        name, value = part(pair, "--lora NAME=FOLDER")
        overrides[f"engine.lora.{name}"] = value
    return load(overrides | assigned(parameters["set_"]), parameters["config"])
