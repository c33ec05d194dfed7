"""The process that tries a grammar out, because its compiling cannot be interrupted or bounded inside ours.

    python -m fathom.engine.grammar_child

Frames on stdin and stdout: four bytes of length, then the bytes. In: the tokenizer info once, then structural tags.
Out: an empty frame when ready, then a verdict for each tag, JSON [kind, reason]. The process ends with its stdin.

Of xgrammar it loads the native library alone. `import xgrammar` would bring torch and transformers: 2 s and 265 MB,
where this takes 0.2 s and 65 MB, and a grammar that was too much costs a start.
"""

import ctypes
import importlib
import importlib.util
import json
import os
import random
import re
import resource
import signal
import struct
import sys
import time
import types
from typing import Any, BinaryIO

import numpy as np

Verdict = tuple[str, str]

_MEMORY, _CACHE = 1 << 30, 1 << 26
_STEPS = 200
_SECONDS, _SECONDS_A_STEP = 0.1, 0.002
_PR_SET_PDEATHSIG = 1
_WHERE = re.compile(r"^\[[\d:]+\] \S+:\d+: (Warning: |Check failed: \(.*?\) is false: )?")
_HARMLESS = "oneOf with overlapping"  # schema_check.py looks at that itself


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    remarks = _capture_output()
    trial = Trial(_native(), read_frame(asked).decode(), remarks)
    _limit_memory()
    write_frame(answers, b"")
    while tag := read_frame(asked):
        write_frame(answers, json.dumps(trial.judge(tag.decode())).encode())


def read_frame(stream: BinaryIO) -> bytes:
    """Empty at the end of the stream."""
    head = stream.read(4)
    return stream.read(*struct.unpack(">I", head)) if len(head) == 4 else b""


def write_frame(stream: BinaryIO, data: bytes) -> None:
    stream.write(struct.pack(">I", len(data)) + data)
    stream.flush()


class Trial:
    def __init__(self, xgrammar: Any, tokenizer_info: str, remarks: int) -> None:
        info = xgrammar.TokenizerInfo.deserialize_json(tokenizer_info)
        self._xgrammar = xgrammar
        self._compiler = xgrammar.GrammarCompiler(info, 1, True, _CACHE)  # it helps within one grammar, too
        self._tokens = int(info.vocab_size())
        self._stops = list(info.stop_token_ids())
        self._remarks = remarks

    def judge(self, tag: str) -> Verdict:
        os.ftruncate(self._remarks, 0)
        try:
            compiled = self._compiler.compile_structural_tag(tag)
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            if isinstance(error, MemoryError) or "bad_alloc" in str(error):
                return "complex", "compiling it takes more memory than it may"
            return "invalid", _plain(str(error))
        if ignored := self._ignored():
            return "ignored", ignored
        return self._walk(self._xgrammar.GrammarMatcher(compiled, None, False, -1, None))

    def _ignored(self) -> str:
        """xgrammar says on its stderr what it will not enforce."""
        said = os.pread(self._remarks, 65_536, 0).decode(errors="replace").splitlines()
        return next((_plain(line) for line in said if "Warning: " in line and _HARMLESS not in line), "")

    def _walk(self, matcher: Any) -> Verdict:
        """Follow it at random. A grammar that compiles at once may still take seconds a token, in the engine's loop."""
        mask = np.zeros((1, (self._tokens + 31) // 32), dtype=np.int32)
        chance, spent = random.Random(0), 0.0  # noqa: S311 - no secret
        for step in range(_STEPS):
            began = time.process_time()
            mask.fill(-1)
            matcher.fill_next_token_bitmask(mask, 0, False)
            spent += time.process_time() - began
            allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")[: self._tokens])
            if not len(allowed):
                return (
                    "invalid",
                    "there is no way to go on after some of what it allows" if step else "nothing matches it",
                )
            going_on = np.setdiff1d(allowed, self._stops, assume_unique=True)
            if not len(going_on):
                break
            began = time.process_time()
            matcher.accept_token(int(chance.choice(going_on)), False)
            spent += time.process_time() - began
            if spent > _SECONDS + _SECONDS_A_STEP * step:
                return "complex", "it is too ambiguous: each token takes longer to check than the one before"
        return "good", ""


def _native() -> Any:
    """xgrammar's bindings, without its package's own __init__."""
    os.environ["TVM_FFI_DISABLE_TORCH_C_DLPACK"] = "1"
    sys.modules["torch"] = None  # type: ignore[assignment]
    spec = importlib.util.find_spec("xgrammar")
    assert spec, "vLLM depends on xgrammar"
    package = types.ModuleType("xgrammar")
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["xgrammar"] = package
    importlib.import_module("xgrammar.load_binding")
    return importlib.import_module("xgrammar.tvm_ffi_binding._ffi_api")


def _capture_output() -> int:
    """Whatever a library prints goes to a file in memory, and never among the frames."""
    remarks = os.memfd_create("remarks")
    flags = os.O_WRONLY | os.O_APPEND
    sink = os.open(f"/proc/self/fd/{remarks}", flags)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    return remarks


def _limit_memory() -> None:
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _plain(text: str) -> str:
    return _WHERE.sub("", " ".join(text.split()))[:300].rstrip(".")


if __name__ == "__main__":
    main()
