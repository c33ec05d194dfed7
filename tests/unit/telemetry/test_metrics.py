import pytest
from fathom.telemetry import metrics
from prometheus_client import REGISTRY


def counted(tenant: str) -> float:
    return REGISTRY.get_sample_value("fathom_tenant_prompt_tokens_total", {"tenant": tenant}) or 0


def test_the_first_tenants_have_a_label_of_their_own_and_all_others_share_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "_tenants", {})
    monkeypatch.setattr(metrics, "MOST_TENANTS", 2)
    before = {tenant: counted(tenant) for tenant in ("t1", "t2", "other")}
    for tenant in ("t1", "t2", "t3", "t4", "t1", "t3"):
        metrics.tokens_of(tenant).prompt.inc()
    assert [counted(tenant) - was for tenant, was in before.items()] == [2, 1, 3]
    assert counted("t3") == 0
