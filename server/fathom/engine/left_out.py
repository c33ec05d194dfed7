"""What vLLM loads in the API process and only the engine needs, or nobody: 13 and 20 MiB.

For a quantized checkpoint vLLM imports the layers of each way to quantize, to ask their classes whose the checkpoint
is, and puts one of these into the config that it sends to the engine. For compressed-tensors, which `fathom quantize`
writes, the answer is known, and the class is looked for in the engine (in_process.py).
"""

import sys
from functools import cache
from typing import Any

_TRACING = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"
_METHOD = "compressed-tensors"


def leave_out_tracing(args: dict[str, Any]) -> None:
    """args: of vLLM, from the settings. It takes a module that is missing for a package that is not installed."""
    if not args.get("otlp_traces_endpoint"):
        sys.modules.setdefault(_TRACING, None)  # type: ignore[arg-type]


class Later:
    """In a VllmConfig, in place of a quantization config, until the engine reads that."""

    def __init__(self, model_config: Any, load_config: Any) -> None:
        self._of = model_config, load_config

    def read(self) -> Any:
        """In the engine's process. Raises what vLLM raises for a checkpoint that it cannot take."""
        from vllm.config import VllmConfig

        return VllmConfig._get_quantization_config(*self._of)


@cache
def leave_out_quantization() -> None:
    """Where the engine is a process that does not begin with this one's memory."""
    from vllm.config import ModelConfig, VllmConfig

    verify, make = ModelConfig._verify_quantization, VllmConfig._get_quantization_config

    def verify_quantization(self: Any) -> None:
        written = self.model_arch_config.quantization_config
        if written and written["quant_method"] == _METHOD and self.quantization in (None, _METHOD):
            self.quantization = _METHOD
        else:
            verify(self)

    def get_quantization_config(model_config: Any, load_config: Any) -> Any:
        if model_config.quantization == _METHOD:
            return Later(model_config, load_config)
        return make(model_config, load_config)

    ModelConfig._verify_quantization = verify_quantization
    VllmConfig._get_quantization_config = staticmethod(get_quantization_config)
