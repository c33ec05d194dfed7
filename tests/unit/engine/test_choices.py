from collections.abc import Collection
from dataclasses import replace

from fathom.engine import choices, decided, machine
from fathom.models.facts import ModelFacts
from fathom.models.memory import GIB, MemoryPlan
from fathom.settings import EngineSettings

from tests.unit.models.known import SMOLLM2

PLAN = MemoryPlan(SMOLLM2.weight_bytes, 2 * GIB, 46_000, 8192)
ON_GPU = MemoryPlan(SMOLLM2.weight_bytes, None, None, None)


def chosen(
    device: str = "cpu",
    plan: MemoryPlan = PLAN,
    model: ModelFacts = SMOLLM2,
    gpu: tuple[str, int] | None = None,
    flags: Collection[str] = ("avx512f",),
    **settings: object,
) -> dict[str, tuple[str, str]]:
    asked = EngineSettings.model_validate(settings)
    decision = decided.decide(asked, model, device, flags, 16 * GIB)
    found = [*machine.choose(asked, device), *choices.engine(asked, model, plan, device, decision, gpu)]
    return {choice.name: (choice.value, choice.why) for choice in found}


def test_what_the_process_and_what_the_engine_is_told_are_one_list() -> None:
    names = chosen().keys()
    assert {"VLLM_CPU_OMP_THREADS_BIND", "dtype", "max_model_len", "kv_cache_memory", "max_num_seqs"} <= names
    assert {"max_num_batched_tokens", "kv_cache_dtype", "compile"} <= names


def test_on_a_cpu_batches_are_small_and_nothing_is_compiled() -> None:
    found = chosen()
    assert found["max_num_seqs"] == (
        "64",
        "more on a CPU only wait for each other; the engine has 10 places more, to be fair",
    )
    assert found["max_num_batched_tokens"][0] == "2,048"
    assert found["compile"] == ("off", "on a CPU it adds minutes to a start")
    assert found["kv_cache_memory"] == ("2.0 GiB", "up to 50% of what the weights leave, as far as batches can use it")


def test_how_layers_and_norms_are_computed_on_a_cpu_is_told() -> None:
    assert chosen(flags=("avx2",))["linear layers"][0] == "weights in float16, packed for FBGEMM"
    assert "linear layers" not in chosen()
    assert chosen()["RMS norms"][0] == "vLLM's C++ kernels"
    assert "RMS norms" not in chosen(compile="on")
    assert "RMS norms" not in chosen("cuda", ON_GPU, compile="off")
    assert chosen()["layers"][0] == "straight to their kernels"
    divided: dict[str, dict[str, object]] = {
        "by matrix": {"tensor_parallel_size": 2},
        "by request": {"args": {"data_parallel_size": 2}},
        "as asked": {"args": {"distributed_executor_backend": "mp"}},
        "compiled": {"compile": "on"},
    }
    assert not [name for name, settings in divided.items() if "layers" in chosen(**settings)]


def test_what_vllm_does_not_compile_is_told() -> None:
    found = chosen(compile="on", lora={"poet": "/p"})
    assert found["compile"] == ("off", "on a CPU, vLLM compiles nothing with LoRA adapters")
    assert "RMS norms" in found


def test_what_the_user_says_is_named_as_the_reason() -> None:
    found = chosen(
        dtype="float32",
        max_model_len=1024,
        max_num_seqs=4,
        max_num_batched_tokens=512,
        kv_cache_memory=2.0,
        kv_cache_dtype="fp8",
        compile="on",
    )
    for name, value in {
        "dtype": "float32",
        "max_model_len": "1,024",
        "max_num_seqs": "4",
        "max_num_batched_tokens": "512",
        "kv_cache_memory": "2.0 GiB",
        "kv_cache_dtype": "fp8",
        "compile": "on",
    }.items():
        assert found[name] == (value, f"engine.{name}")


def test_a_float32_checkpoint_is_made_smaller() -> None:
    assert chosen(model=replace(SMOLLM2, dtype="float32"))["dtype"] == ("bfloat16", "half of the float32 of its config")


def test_a_context_that_the_cache_limits_says_so() -> None:
    shorter = replace(PLAN, max_model_len=4096)
    assert chosen(plan=shorter)["max_model_len"] == ("4,096", "what the KV cache holds")


def test_latent_attention_on_a_cpu_takes_another_kernel() -> None:
    assert "rotary_embedding" in chosen(model=replace(SMOLLM2, latent_attention=True))
    assert "rotary_embedding" not in chosen(model=replace(SMOLLM2, latent_attention=True), device="cuda", plan=ON_GPU)


def test_on_a_gpu_batches_go_by_its_memory() -> None:
    limits = {
        ("NVIDIA B200", 179 * GIB): ("16,384", "1,024"),
        ("NVIDIA H100 80GB HBM3", 79 * GIB): ("8,192", "1,024"),
        ("NVIDIA A100-SXM4-80GB", 80 * GIB): ("2,048", "256"),
        ("NVIDIA L4", 22 * GIB): ("2,048", "256"),
    }
    for gpu, (step, sequences) in limits.items():
        found = chosen("cuda", ON_GPU, gpu=gpu)
        assert (found["max_num_batched_tokens"][0], found["max_num_seqs"][0]) == (step, sequences)


def test_of_a_gpu_that_is_not_known_yet_the_limits_are_vllms() -> None:
    found = chosen("cuda", ON_GPU)
    assert found["max_num_batched_tokens"][0] == found["max_num_seqs"][0] == "vLLM's"
    assert found["kv_cache_memory"] == (
        "what is left",
        "of 90% of a GPU's memory, after weights and a trial run of vLLM's",
    )
    assert found["compile"][0] == "on"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in found
