import asyncio
import re
import time

import pytest
from fathom import __version__
from fathom.core.engine import Phase
from fathom.core.errors import StartupError
from fathom.engine.scripted_engine import ScriptedEngine
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import chat_body
from tests.running import app_running, until


class SlowEngine(ScriptedEngine):
    async def start(self, progress):
        progress(Phase.DOWNLOADING, 0.25)
        await asyncio.sleep(1)
        return await super().start(progress)


class BrokenEngine(ScriptedEngine):
    async def start(self, progress):
        raise StartupError("no such model")


def test_before_it_is_ready_the_server_lives_and_says_where_it_is():
    with app_running(SlowEngine()) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        state = client.get("/startupz").json()
        assert (state["phase"], state["share"]) == ("downloading", 0.25)
        refused = client.post("/v1/chat/completions", json=chat_body())
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "downloading, 25%" in refused.json()["error"]["message"]
        assert client.get("/v1/models").status_code == 503
        until(lambda: client.get("/readyz").status_code == 200, "ready")
        assert client.get("/startupz").json()["phase"] == "ready"


def test_an_engine_that_cannot_start_is_reported():
    with app_running(BrokenEngine()) as client:
        until(lambda: client.get("/startupz").json()["phase"] == "failed", "the failure is seen")
        assert client.get("/startupz").json()["failure"] == "no such model"
        assert client.get("/livez").status_code == 200


def test_an_engine_that_dies_makes_the_server_unready(client, engine):
    engine.death = "killed"
    until(lambda: client.get("/readyz").status_code == 503, "the death is seen", 3)
    assert client.post("/v1/chat/completions", json=chat_body()).status_code == 503


def test_models_are_listed_and_found_by_id(client):
    listed = client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["scripted"]
    assert client.get("/v1/models/scripted").json() == listed["data"][0]
    assert client.get("/v1/models/other").status_code == 404


def test_version_and_health(client):
    assert client.get("/version").json() == {"version": __version__}
    assert client.get("/health").status_code == 200


def test_every_response_has_an_id(client):
    ids = {client.get(path).headers["x-request-id"] for path in ("/livez", "/nowhere", "/v1/models", "/livez")}
    assert len(ids) == 4
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", each) for each in ids)


def test_a_sane_id_of_the_client_is_kept_and_a_wild_one_is_not(client):
    assert client.get("/livez", headers={"x-request-id": "trace-0123abcd"}).headers["x-request-id"] == "trace-0123abcd"
    for wild in ("x", "a b c d e f g h", "y" * 200):
        assert client.get("/livez", headers={"x-request-id": wild}).headers["x-request-id"] != wild


def test_the_time_to_the_headers_is_told(client):
    assert int(client.get("/livez").headers["openai-processing-ms"]) >= 0


def metric(client, name, **labels):
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0


def test_requests_tokens_and_latencies_are_counted(client):
    route = "/v1/chat/completions"
    counted = {
        "fathom_requests_total": {"route": route, "model": "scripted", "status": "200"},
        "fathom_request_duration_seconds_count": {"route": route},
        "fathom_time_to_first_token_seconds_count": {},
        "fathom_time_to_first_answer_token_seconds_count": {},
        "fathom_inter_token_latency_seconds_count": {},
        "fathom_reasoning_tokens_total": {},
        "fathom_completion_tokens_total": {},
        "fathom_prompt_tokens_total": {"cached": "false"},
    }
    before = {name: metric(client, name, **labels) for name, labels in counted.items()}
    client.post(route, json=chat_body())
    until(lambda: metric(client, "fathom_requests_in_flight") == 0, "nothing is in flight")
    rise = {name: metric(client, name, **labels) - before[name] for name, labels in counted.items()}
    assert rise["fathom_requests_total"] == 1
    assert rise["fathom_request_duration_seconds_count"] == 1
    assert rise["fathom_time_to_first_token_seconds_count"] == 1
    assert rise["fathom_time_to_first_answer_token_seconds_count"] == 1
    assert rise["fathom_inter_token_latency_seconds_count"] == 4
    assert rise["fathom_reasoning_tokens_total"] == 3
    assert rise["fathom_completion_tokens_total"] == 7
    assert rise["fathom_prompt_tokens_total"] == 7
    assert metric(client, "fathom_engine_state", phase="ready") == 1
    assert metric(client, "fathom_engine_state", phase="failed") == 0


def test_wild_paths_and_models_make_no_new_labels(client):
    for at in range(5):
        client.get(f"/wild/{at}")
        client.post("/v1/chat/completions", json=chat_body(model=f"wild-{at}"))
    assert "wild" not in client.get("/metrics").text


def test_the_docs_page_needs_no_other_host(client):
    page = client.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith("/") for source in sources)
    assert all(client.get(source).status_code == 200 for source in sources)


def test_the_openapi_document_names_every_route(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/chat/completions", "/v1/models", "/livez", "/readyz", "/startupz", "/version", "/metrics"} <= set(
        paths
    )


def test_the_openapi_document_describes_our_errors_and_no_others(client):
    document = client.get("/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert {"200", "4XX", "5XX"} == set(chat)
    assert chat["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_probes_answer_at_once_while_a_generation_runs(engine, client):
    engine.delay = 0.02
    long = chat_body(stream=True, messages=[{"role": "user", "content": "word " * 100}])
    with client.stream("POST", "/v1/chat/completions", json=long):
        began = time.monotonic()
        assert client.get("/livez").status_code == 200
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/responses", {"input": "x"}),
        ("/v1/responses/input_tokens", {"input": "x"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1}),
    ],
)
def test_a_model_that_a_client_makes_up_is_no_label(client, route, body):
    assert client.post(route, json=body | {"model": "made-up"}).status_code == 404
    assert "made-up" not in client.get("/metrics").text
