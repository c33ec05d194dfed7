"""What a hub says of a model before its weights are fetched: config.json, and the headers of the safetensors files.

Nothing is left on disk. The hub's address and the token are found as for a download.
"""

import json
import struct
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: httpx's or httpx2's, by the version
    HFValidationError,
    HTTPError,
    SafetensorsParsingError,
)

from fathom.core.errors import StartupError
from fathom.models import hub
from fathom.models.hub_download import explain
from fathom.models.source import Hub
from fathom.models.weights import Tensor

_SECONDS = 10.0  # that the hub may take for one answer
_AT_A_TIME = 8


def read(source: Hub) -> tuple[Mapping[str, Any], list[Tensor]]:
    """The config, and every tensor of the files that a download would take. Raises StartupError in one line."""
    revision = source.revision or "main"
    try:
        api = HfApi()
        info = api.model_info(source.id, revision=revision, timeout=_SECONDS)
        names = hub.select((file.rfilename for file in info.siblings or []), source.id, code=False)
        config = _config(api, source.id, str(info.sha))
        files = [name for name in names if name.endswith(".safetensors") and "/" not in name]
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            found = list(pool.map(lambda name: _tensors(api, source.id, str(info.sha), name), files))
    except (SafetensorsParsingError, struct.error):
        raise StartupError(f"{source.id} has a safetensors file with a damaged header on the hub.") from None
    except (HTTPError, OSError, HFValidationError) as error:
        raise StartupError(explain(error, source.id, revision)) from None
    return config, [tensor for tensors in found for tensor in tensors]


def _config(api: HfApi, repository: str, commit: str) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(repository, "config.json", revision=commit, cache_dir=folder, etag_timeout=_SECONDS)
        try:
            config = json.loads(Path(path).read_bytes())
        except ValueError:
            config = None
    if not isinstance(config, dict):
        raise StartupError(f"{repository} has a config.json that holds no JSON object.")
    return config


def _tensors(api: HfApi, repository: str, commit: str, name: str) -> list[Tensor]:
    header = api.parse_safetensors_file_metadata(repository, name, revision=commit, timeout=_SECONDS)
    return [
        Tensor(key, tensor.dtype, tuple(tensor.shape), tensor.data_offsets[1] - tensor.data_offsets[0])
        for key, tensor in header.tensors.items()
    ]
