import os

from fathom.engine import machine
from fathom.settings import EngineSettings


def chosen(**settings) -> dict[str, str]:
    return {choice.name: choice.value for choice in machine.choose(EngineSettings(**settings))}


def test_every_core_of_this_process_is_used():
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert chosen()["VLLM_CPU_OMP_THREADS_BIND"] == cores


def test_two_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert chosen(tensor_parallel_size=2)["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"


def test_threads_can_be_named():
    assert chosen(threads="0-1")["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "1")
    assert "VLLM_CPU_OMP_THREADS_BIND" not in chosen()


def test_preloads_are_put_before_those_of_the_user_and_can_be_left_out(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/mine.so")
    assert chosen()["LD_PRELOAD"].endswith(":/mine.so")
    assert "libiomp5" in chosen()["LD_PRELOAD"]
    assert "LD_PRELOAD" not in chosen(preload=False)


def test_every_choice_has_a_reason():
    assert all(choice.why for choice in machine.choose(EngineSettings()))


def test_the_processor_is_named():
    assert "," in machine.cpu_model()


def test_a_stand_in_for_libnuma_is_preloaded_also_where_nothing_else_is(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.sys, "prefix", str(tmp_path))
    assert "LD_PRELOAD" not in chosen(preload=False)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libnuma.so.1").touch()
    assert chosen(preload=False)["LD_PRELOAD"] == f"{tmp_path}/lib/libnuma.so.1"
