"""Every setting, in one frozen tree. Sources, strongest first: command line, environment, config file, default.

The environment name of `engine.max_model_len` is FATHOM_ENGINE__MAX_MODEL_LEN; in a TOML file (`--config`, or
`fathom.toml` under FATHOM_HOME) it is `max_model_len` in the table `[engine]`.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from fathom.core.errors import StartupError

API_KEY = "FATHOM_API_KEY"
"""No setting, though it looks like one: the key that `fathom chat` and `fathom bench` send."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), coerce_numbers_to_str=True)


class HttpSettings(_Group):
    host: str = Field("127.0.0.1", description="Address to listen on. Loopback by default.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_bytes: int = Field(8 << 20, ge=1024, description="Largest request body, in bytes; more is 413.")
    max_header_bytes: int = Field(
        65536, ge=1024, description="Largest head of a request (target and headers), in bytes; more is 431."
    )
    max_connections: int = Field(
        4096, ge=1, description="Most connections at a time. One more closes the one that has been idle longest."
    )
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Host names that clients may call the server by, besides addresses and localhost. "
        "Empty: any; on a loopback `host`, none.",
    )
    strict: bool = Field(
        False, description="Refuse unknown request fields with 400, instead of naming them in a header."
    )
    keep_alive: float = Field(10.0, gt=0, description="Seconds of silence on a stream until a comment is sent.")
    read_timeout: float = Field(
        60.0, gt=0, description="Seconds that a request may take to come, headers and body; then it is 408."
    )
    write_timeout: float = Field(
        30.0, ge=0.1, le=86400, description="Seconds that a client may leave its stream unread; then it is closed."
    )
    shutdown_grace: float = Field(30.0, ge=0, description="Seconds that live streams get to finish after SIGTERM.")


class ModelSettings(_Group):
    model: str | None = Field(
        None,
        description="Catalogue alias, Hugging Face id (or id@revision), folder or .gguf file. None: the embedded one.",
    )
    served_name: str | None = Field(None, description="What clients call the model. None: its alias, id or folder.")
    profile: str | None = Field(None, description="Family profile by name. None: picked from the model's own files.")
    tool_parser: str | None = Field(None, description="vLLM's tool parser by name. None: the family profile's.")
    trust_remote_code: bool = Field(False, description="Run Python code that the model's repository brings along.")


class EngineSettings(_Group):
    dtype: str = Field(
        "auto", description="Type of the weights: auto, bfloat16, float16, float32; int8 for the embedded model."
    )
    quantization: str | None = Field(None, description="vLLM's quantization method. None: what the checkpoint says.")
    max_model_len: int | None = Field(
        None, ge=16, description="Context length in tokens. None: the model's own, or what memory allows."
    )
    max_num_seqs: int | None = Field(
        None, ge=1, description="Most sequences in one batch. None: by machine (CPU 64, GPU vLLM's default)."
    )
    max_num_batched_tokens: int | None = Field(None, ge=1, description="Most tokens in one step. None: vLLM's default.")
    kv_cache_memory: float | None = Field(
        None, gt=0, description="KV cache size in GiB. None: a share of what is free after the weights."
    )
    kv_cache_share: float = Field(
        0.5, gt=0, le=0.95, description="Share of free memory (after the weights) that the KV cache takes on CPU."
    )
    kv_cache_dtype: str = Field("auto", description="Type of the KV cache: auto, bfloat16, fp8, ...")
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1, description="Share of GPU memory that the engine takes.")
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs (or CPU groups) that share each layer.")
    pipeline_parallel_size: int = Field(1, ge=1, description="Groups of GPUs that share the layers in turn.")
    speculative: Literal["ngram", "mtp", "draft"] | dict[str, Any] | None = Field(
        None,
        description="Guess tokens ahead: ngram (from the text so far), mtp (the model's own heads), draft (by "
        "`draft_model`), or vLLM's speculative_config.",
    )
    speculative_tokens: int | None = Field(
        None, ge=1, le=16, description="Tokens guessed at a time. None: ngram 4, draft 3, mtp as many as it has heads."
    )
    draft_model: str | None = Field(
        None, description="Small model that guesses, with `speculative` draft: any that could be served."
    )
    lora: dict[str, str] = Field(default_factory=dict, description="LoRA adapters to serve: name -> folder.")
    seed: int = Field(0, ge=0, description="Seed of the engine's random numbers.")
    prefix_caching: bool = Field(True, description="Keep KV blocks of earlier prompts for later ones.")
    chunked_prefill: bool = Field(True, description="Prefill long prompts in pieces between decode steps.")
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile. auto: on with a GPU; off on CPU, where it adds minutes to a start."
    )
    packed_weights: Literal["auto", "on", "off"] = Field(
        "auto",
        description="On CPU, pack weights as float16 for FBGEMM. auto: without AVX-512; INT8, too, if it fits.",
    )
    sgl_kernels: bool = Field(
        True, description="On CPUs with AVX-512 BF16 and VNNI, multiply bfloat16 and INT8 by SGLang's kernels."
    )
    threads: str = Field("auto", description="CPU cores of the engine, as in '0-7'. auto: every core of this process.")
    preload: bool = Field(True, description="On CPU, preload tcmalloc and Intel's OpenMP into the engine if present.")
    nursery: Literal["auto", "on", "off"] = Field(
        "auto", description="Fork engines from a process that has imported vLLM. auto: on CPU; untried with a GPU."
    )
    hang_timeout: float | None = Field(
        None,
        gt=0,
        description="Seconds of work without a step, then it has hung. None: GPU 30; CPU 60 for each GiB of weights.",
    )
    restarts: int = Field(
        5, ge=0, description="Most engine crashes within `restart_window`; one more ends the server. 0: the first does."
    )
    restart_window: float = Field(600.0, gt=0, description="Seconds in which engine crashes are counted.")
    args: dict[str, Any] = Field(
        default_factory=dict, description="Any other field of vLLM's AsyncEngineArgs; an unknown name fails at start."
    )


class ReasoningSettings(_Group):
    fields: Literal["both", "reasoning_content", "reasoning", "inline"] = Field(
        "both",
        description="Where a chat carries its trace: both field names, one, or inline as <think> text in content.",
    )
    thinking: bool | None = Field(None, description="Think when the client says nothing. None: the family's habit.")
    default_budget: int | None = Field(
        None, ge=0, description="Thinking budget in tokens when the client names none. None: the family profile's."
    )


class TenantLimits(_Group):
    """As core.tenant.Limits has them."""

    requests_per_minute: int | None = Field(None, ge=1)
    tokens_per_minute: int | None = Field(None, ge=1)
    concurrent: int | None = Field(None, ge=1)


class LimitSettings(_Group):
    queue_timeout: float = Field(
        600.0, gt=0, description="Seconds that a request may wait for its first token, in queues and prefill."
    )
    total_timeout: float = Field(7200.0, gt=0, description="Seconds that a request may take in all.")
    fair: bool = Field(True, description="Serve waiting requests by tenant and tier. false: first come, first served.")
    queue_requests: int = Field(
        2048, ge=1, description="Most requests that wait for the engine, in each tier; tenants share it."
    )
    queue_tokens: int = Field(
        2_000_000, ge=1, description="Most prompt tokens that wait for the engine, in each tier; tenants share it."
    )
    queue_wait: float = Field(
        120.0, gt=0, description="Seconds; a request that would have to wait longer for the engine is refused at once."
    )
    tenants: dict[str, TenantLimits] = Field(
        default_factory=dict,
        description="Limits of tenants, all of their keys together: name -> limits; `*` is every tenant not named.",
    )


class AccessSettings(_Group):
    public_metrics: bool = Field(
        False, description="Answer /metrics without a key. Else it takes one with the scope `admin`."
    )


class StoreSettings(_Group):
    url: str | None = Field(
        None,
        description="Database, as postgresql+asyncpg://USER:PASSWORD@HOST/NAME or sqlite+aiosqlite:///FILE. "
        "None: the SQLite file `home`/fathom.db.",
    )
    retention_days: float = Field(30.0, gt=0, description="Days that stored responses are kept after their last use.")
    traces: Literal["keep", "drop", "hash"] = Field(
        "keep", description="What is stored of a trace: its text, nothing, or its SHA-256."
    )
    background_slots: int = Field(8, ge=1, description="Background responses that run at a time; others are queued.")
    background_queue: int = Field(
        1000, ge=1, description="Most background responses of a tenant that are queued; one more is 429."
    )
    background_wait: float = Field(
        86400.0, gt=0, description="Seconds that a background response may be queued; then it fails as expired."
    )


class TelemetrySettings(_Group):
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    engine_log_level: Literal["off", "info", "warning", "error"] = Field(
        "off", description="Least level of vLLM's own lines on stderr; all of them go to a file in `home`/logs."
    )


def default_home() -> Path:
    """FATHOM_HOME, or ~/.fathom."""
    return Path(os.environ.get("FATHOM_HOME") or Path.home() / ".fathom").expanduser().absolute()


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="FATHOM_", env_nested_delimiter="__", frozen=True, extra="forbid", protected_namespaces=()
    )

    home: Path = Field(default_factory=default_home, description="Where models and state are kept.")

    @field_validator("home")
    @classmethod
    def _expand(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    http: HttpSettings = HttpSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    reasoning: ReasoningSettings = ReasoningSettings()
    limits: LimitSettings = LimitSettings()
    access: AccessSettings = AccessSettings()
    store: StoreSettings = StoreSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # load() merges the sources itself


def load(overrides: dict[str, Any] | None = None, config: Path | None = None) -> Settings:
    """Read every source. `overrides` are dotted names, as in {"http.port": 8123}. Raises StartupError in one line."""
    _reject_unknown_environment()
    try:
        environment = EnvSettingsSource(Settings)()
        return Settings(**_merge(_merge(_read_config(config), environment), _unflatten(overrides or {})))
    except ValidationError as error:
        raise StartupError(_one_line(error)) from None
    except SettingsError as error:
        raise StartupError(f"bad setting in the environment: {error}") from None


def names() -> dict[str, Any]:
    """Every setting by its dotted name, with its pydantic field: for docs, `--set` and the nearest match."""
    found: dict[str, Any] = {"home": Settings.model_fields["home"]}
    for group, entry in Settings.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, _Group):
            found |= {f"{group}.{name}": field for name, field in entry.annotation.model_fields.items()}
    return found


def nearest(name: str, known: list[str]) -> str:
    """' Did you mean ...?' for a misspelt name, or nothing."""
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""


def _read_config(path: Path | None) -> dict[str, Any]:
    path = path or next((file for file in [default_home() / "fathom.toml"] if file.is_file()), None)
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartupError(f"config file {path}: {error}") from None


def _unflatten(dotted: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    known = names()
    for name, value in dotted.items():
        if name not in known and not name.startswith(
            ("engine.args.", "engine.lora.", "engine.speculative.", "limits.tenants.")
        ):
            raise StartupError(f"unknown setting {name!r}.{nearest(name, list(known))}")
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = value
    return tree


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merge(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **both}


def _reject_unknown_environment() -> None:
    known = [API_KEY, *("FATHOM_" + name.replace(".", "__").upper() for name in names())]
    groups = ["FATHOM_" + group.upper() for group in Settings.model_fields]
    prefixes = ("FATHOM_ENGINE__ARGS__", "FATHOM_ENGINE__LORA__", "FATHOM_ENGINE__SPECULATIVE__")
    for name in os.environ:
        upper = name.upper()
        if upper.startswith("FATHOM_") and upper not in known + groups and not upper.startswith(prefixes):
            raise StartupError(f"unknown setting in the environment: {name}.{nearest(name, known)}")


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r}.{nearest(name, list(names()))}"
    return f"bad setting {name} = {first['input']!r}: {first['msg']}"
