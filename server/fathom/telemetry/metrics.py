"""Every Prometheus name of ours. vLLM's own `vllm:*` metrics come out of the same registry.

Labels are bounded: routes are templates, statuses are codes, the model is the served name.
"""

from prometheus_client import Counter, Gauge, Histogram

from fathom.telemetry.tally import Tally

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)

REQUESTS = Counter("fathom_requests", "Requests that ended, by HTTP status.", ("route", "model", "status"))
REQUEST_DURATION = Histogram(
    "fathom_request_duration_seconds", "From the request to the end of its response.", ("route",), buckets=_SECONDS
)
REQUESTS_IN_FLIGHT = Gauge("fathom_requests_in_flight", "Generations that are under way.")
TIME_TO_FIRST_TOKEN = Histogram(
    "fathom_time_to_first_token_seconds", "From the request to its first token, of trace or answer.", buckets=_SECONDS
)
TIME_TO_FIRST_ANSWER_TOKEN = Histogram(
    "fathom_time_to_first_answer_token_seconds", "From the request to the first token of its answer.", buckets=_SECONDS
)
INTER_TOKEN_LATENCY = Tally("fathom_inter_token_latency_seconds", "Between two pieces of one stream.", _TOKEN_SECONDS)
PROMPT_TOKENS = Counter("fathom_prompt_tokens", "Prompt tokens, by whether the prefix cache had them.", ("cached",))
COMPLETION_TOKENS = Counter("fathom_completion_tokens", "Generated tokens, trace included.")
REASONING_TOKENS = Counter("fathom_reasoning_tokens", "Generated tokens that were part of a trace.")
REASONING_BUDGET_EXHAUSTED = Counter(
    "fathom_reasoning_budget_exhausted", "Traces that were cut by their thinking budget."
)
REASONING_TRUNCATED = Counter(
    "fathom_reasoning_truncated", "Traces that were cut by the limit of tokens, without an answer."
)
TOOL_CALLS = Counter("fathom_tool_calls", "Tool calls that models made.")
ENGINE_STATE = Gauge("fathom_engine_state", "1 for the phase that the engine is in, 0 for the others.", ("phase",))
ENGINE_RESTARTS = Counter("fathom_engine_restarts", "Times that the engine was lost and started again.", ("reason",))
ENGINE_DOWN = Counter("fathom_engine_down_seconds", "Seconds without an engine, after its first start.")
REQUESTS_REPLAYED = Counter(
    "fathom_requests_replayed",
    "Generations that were carried over a crash of the engine, by how they ended.",
    ("outcome",),
)
QUEUE_REQUESTS = Gauge("fathom_queue_requests", "Requests that wait for the engine.", ("tier",))
QUEUE_WAIT = Histogram(
    "fathom_queue_wait_seconds",
    "From a request's coming to its turn, also where that is at once.",
    ("tier",),
    buckets=_SECONDS,
)
PACE = Gauge(
    "fathom_queue_pace",
    "What the engine serves in a second while requests wait, in prompt tokens and twice its output.",
)
REQUESTS_REFUSED = Counter(
    "fathom_requests_refused",
    "Requests that were refused so that they need not wait, by what was full.",
    ("reason", "code"),
)
TENANT_PROMPT_TOKENS = Counter("fathom_tenant_prompt_tokens", "Prompt tokens, by tenant.", ("tenant",))
TENANT_COMPLETION_TOKENS = Counter("fathom_tenant_completion_tokens", "Generated tokens, by tenant.", ("tenant",))
DEADLINES_EXCEEDED = Counter("fathom_deadlines_exceeded", "Requests that took too long, by whose limit.", ("limit",))
CONNECTIONS_REFUSED = Counter(
    "fathom_connections_refused", "Connections that were refused, or closed in the middle, by why.", ("reason",)
)
STREAMS_UNREAD = Counter("fathom_streams_unread", "Streams that were closed because their client did not read them.")
RESPONSES = Counter("fathom_responses", "Stored responses that ended here, by how.", ("ending",))
RESPONSES_QUEUED = Gauge("fathom_responses_queued", "Background responses that wait for their turn.")
RESPONSES_TAKEN_OVER = Counter(
    "fathom_responses_taken_over", "Responses of servers that were gone: queued again, or failed.", ("outcome",)
)
RESPONSES_SWEPT = Counter("fathom_responses_swept", "Stored responses that were deleted for their age.")
STORE_TRANSACTION = Histogram(
    "fathom_store_transaction_seconds",
    "Units of work on the database, from the wish to the commit.",
    ("kind",),
    buckets=_TOKEN_SECONDS,
)
STORE_ERRORS = Counter("fathom_store_errors", "Units of work that the database failed, by error code.", ("code",))

MOST_TENANTS = 64
"""Tenants that have a label of their own, the first ones that are seen; later ones are "other" together."""

_OTHER = "other"


class TenantTokens:
    """The counters of one tenant."""

    def __init__(self, label: str) -> None:
        self.prompt = TENANT_PROMPT_TOKENS.labels(tenant=label)
        self.completion = TENANT_COMPLETION_TOKENS.labels(tenant=label)


_tenants: dict[str, TenantTokens] = {}


def tokens_of(tenant_id: str) -> TenantTokens:
    label = tenant_id if tenant_id in _tenants or len(_tenants) < MOST_TENANTS else _OTHER
    if label not in _tenants:
        _tenants[label] = TenantTokens(label)
    return _tenants[label]
