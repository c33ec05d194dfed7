"""Two tenants do to stored responses whatever comes to their minds; hypothesis looks for the order that the server does
not bear."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.checked import CheckedClient
from tests.hostile.conftest import Keyed
from tests.hostile.score import TOTAL

ENDED = ("completed", "failed", "cancelled", "incomplete")
_A_TURN = 3  # items that one more adds: its trace, its answer and the next question
TENANTS = st.sampled_from(["a", "b"])


@dataclass
class Kept:
    """What a response is known to be. turns: items of its input, with earlier turns. status: last told."""

    id: str
    tenant: str
    turns: int
    status: str
    deleted: bool = False
    before: "Kept | None" = None

    def is_whole(self) -> bool:
        """Nothing that it goes on from was deleted."""
        return not self.deleted and (self.before is None or self.before.is_whole())

    def is_there(self, tenant: str) -> bool:
        return tenant == self.tenant and not self.deleted


class Tenants(RuleBasedStateMachine):
    """One server for all of them: `clients` are set by the test."""

    clients: dict[str, httpx.Client]
    responses = Bundle("responses")

    @rule(target=responses, tenant=TENANTS, background=st.booleans(), words=st.integers(1, 30))
    def create(self, tenant: str, background: bool, words: int) -> Kept:
        return self._made(tenant, 1, input="word " * words, background=background)

    @rule(target=responses, tenant=TENANTS, before=responses)
    def go_on(self, tenant: str, before: Kept) -> Kept:
        there = before.is_there(tenant)
        if there and self._settled(before) != "cancelled" and before.is_whole():
            made = self._made(tenant, before.turns + _A_TURN, input="and?", previous_response_id=before.id)
            return replace(made, before=before)
        answer = self._ask(tenant, "POST", "", json=self._body(input="and?", previous_response_id=before.id))
        assert answer.status_code == 400 or (there and before.is_whole()), answer.text
        return before

    @rule(tenant=TENANTS, response=responses)
    def look(self, tenant: str, response: Kept) -> None:
        answer = self._ask(tenant, "GET", response.id)
        if self._was_there(response, tenant, answer):
            self._told(response, answer.json()["status"])

    @rule(tenant=TENANTS, response=responses, after=st.integers(-1, 50))
    def follow(self, tenant: str, response: Kept, after: int) -> None:
        answer = self._ask(tenant, "GET", response.id, params={"stream": "true", "starting_after": after})
        if answer.status_code == 400:
            return  # what was not made in the background has no events to follow
        if self._was_there(response, tenant, answer):
            events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
            assert all(event["sequence_number"] > after for event in events)
            self._settled(response)

    @rule(tenant=TENANTS, response=responses)
    def list_input(self, tenant: str, response: Kept) -> None:
        answer = self._ask(tenant, "GET", f"{response.id}/input_items", params={"limit": 100})
        if self._was_there(response, tenant, answer):
            assert len(answer.json()["data"]) == response.turns

    @rule(tenant=TENANTS, response=responses)
    def cancel(self, tenant: str, response: Kept) -> None:
        answer = self._ask(tenant, "POST", f"{response.id}/cancel")
        if answer.status_code == 400:
            return  # it was not made in the background
        if self._was_there(response, tenant, answer):
            self._told(response, answer.json()["status"])

    @rule(tenant=TENANTS, response=responses)
    def delete(self, tenant: str, response: Kept) -> None:
        answer = self._ask(tenant, "DELETE", response.id)
        if self._was_there(response, tenant, answer):
            response.deleted = True

    def _made(self, tenant: str, turns: int, **fields: Any) -> Kept:
        answer = self._ask(tenant, "POST", "", json=self._body(**fields))
        assert answer.status_code == 200, answer.text
        return Kept(answer.json()["id"], tenant, turns, answer.json()["status"])

    def _was_there(self, response: Kept, tenant: str, answer: httpx.Response) -> bool:
        """Whether it is, and was found. What is not there is what never was, byte for byte."""
        if response.is_there(tenant):
            assert answer.status_code == 200, answer.text
            return True
        never = response.id[:-4] + ("aaaa" if response.id[-4:] != "aaaa" else "bbbb")
        other = self.clients[tenant].build_request(
            answer.request.method, str(answer.request.url).replace(response.id, never)
        )
        missing = self.clients[tenant].send(other)
        assert answer.status_code == missing.status_code == 404, answer.text
        assert answer.text.replace(response.id, "ID") == missing.text.replace(never, "ID")
        return False

    def _settled(self, response: Kept) -> str:
        """Its status, as soon as it has ended."""
        while response.status not in ENDED:
            self._told(response, self._ask(response.tenant, "GET", response.id).json()["status"])
        return response.status

    def _told(self, response: Kept, status: str) -> None:
        assert response.status not in ENDED or response.status == status, f"{response.status} became {status}"
        response.status = status

    def _body(self, **fields: Any) -> dict[str, Any]:
        return {"model": "scripted", "stream": False, **fields}

    def _ask(self, tenant: str, method: str, path: str, **more: Any) -> httpx.Response:
        TOTAL.inputs += 1
        answer = self.clients[tenant].request(method, f"/v1/responses/{path}".rstrip("/"), **more)
        assert answer.status_code < 500, answer.text
        return answer


def test_stored_responses_bear_any_order(keyed: Keyed) -> None:
    target, headers = keyed
    with ExitStack() as opened, target.abused("stored responses"):
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        made = {name: CheckedClient(base_url=target.server.url, headers=headers[name], timeout=20) for name in "ab"}
        clients = {name: opened.enter_context(client) for name, client in made.items()}
        patch.setattr(Tenants, "clients", clients, raising=False)
        run_state_machine_as_test(
            Tenants,
            settings=settings(
                max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
