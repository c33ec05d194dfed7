import io
import os
from types import SimpleNamespace

import pytest
from fathom.engine.grammar_child import Trial, read_frame, write_frame


def trial(error):
    def fail(tag):
        raise error

    compiler = SimpleNamespace(compile_structural_tag=fail)
    info = SimpleNamespace(vocab_size=lambda: 32, stop_token_ids=lambda: [0])
    tokenizers = SimpleNamespace(deserialize_json=lambda text: info)
    library = SimpleNamespace(TokenizerInfo=tokenizers, GrammarCompiler=lambda *_: compiler)
    return Trial(library, "{}", os.memfd_create("remarks"))


def test_a_frame_comes_back_as_it_was_written():
    stream = io.BytesIO()
    write_frame(stream, b"one")
    write_frame(stream, b"")
    stream.seek(0)
    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [b"one", b"", b""]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_running_out_of_memory_is_no_fault_of_the_syntax(error):
    assert trial(error).judge("{}") == ("complex", "compiling it takes more memory than it may")


def test_the_reason_is_one_line_without_the_place_in_a_library():
    error = RuntimeError('[12:00:00] /project/cpp/converter.cc:49: Unsupported\n type "strin".\n')
    assert trial(error).judge("{}") == ("invalid", 'Unsupported type "strin"')
