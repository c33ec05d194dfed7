"""A server's life from its first second to its end. Each test starts a server of its own."""

import time

import httpx
import psutil

from tests.running import Server, gone, start_server, until


def alive(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_it_lives_at_once_tells_its_phases_and_ends_with_status_0_and_no_orphans(tmp_path):
    began = time.monotonic()
    server = start_server(tmp_path / "log", "--kv-cache-memory", "0.5", "--max-model-len", "2048")
    until(lambda: alive(server.client), "the API listens", 10)
    print(f"livez after {time.monotonic() - began:.2f} s")
    phases = set()

    def ready() -> bool:
        state = server.client.get("/startupz").json()
        phases.add(state["phase"])
        return state["status"] == "ready"

    try:
        until(ready, "it is ready", 200)
        print(f"ready after {time.monotonic() - began:.2f} s")
        assert {"importing", "loading weights", "ready"} <= phases
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert len(children) >= 2
        assert server.chat("hi", max_tokens=3)["usage"]["completion_tokens"] == 3
    finally:
        status = server.stop()
    assert status == 0
    until(lambda: gone(children), "no child is left")
    assert "Traceback" not in server.log.read_text()


def test_a_signal_in_the_middle_of_a_start_ends_it(tmp_path):
    server = start_server(tmp_path / "log")
    until(lambda: alive(server.client), "the API listens", 10)
    until(lambda: len(psutil.Process(server.process.pid).children(recursive=True)) >= 2, "the engine starts", 60)
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert server.stop() == 0
    until(lambda: gone(children), "no child is left")


def test_no_engine_outlives_a_server_that_was_killed(tmp_path):
    server = start_server(tmp_path / "log", "--kv-cache-memory", "0.5", "--max-model-len", "2048")
    server.wait_ready()
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert len(children) >= 2
    server.kill()
    until(lambda: gone(children), "the engine ends too", 20)


def process(server: Server, name: str) -> psutil.Process:
    [found] = [each for each in psutil.Process(server.process.pid).children(True) if name in " ".join(each.cmdline())]
    return found


def test_the_nursery_dies_and_engines_come_from_another(tmp_path):
    server = start_server(tmp_path / "log", "--kv-cache-memory", "0.5", "--max-model-len", "2048")
    try:
        server.wait_ready()
        answer = server.chat("hi", max_tokens=8)["choices"]
        nursery, engine = process(server, "fathom nursery"), process(server, "EngineCore")
        assert engine.ppid() == nursery.pid
        nursery.kill()
        until(lambda: server.client.get("/readyz").status_code == 503, "it is noticed")
        server.wait_ready()
        assert process(server, "EngineCore").ppid() == process(server, "fathom nursery").pid != nursery.pid
        assert server.chat("hi", max_tokens=8)["choices"] == answer
        assert gone([engine])
    finally:
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert server.stop() == 0
    until(lambda: gone(children), "no child is left")
    assert "Traceback" not in server.log.read_text()
