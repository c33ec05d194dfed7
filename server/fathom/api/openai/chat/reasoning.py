"""Every spelling of the controls of a trace, to the one ReasoningControl.

On or off: thinking, reasoning.enabled, enable_thinking, chat_template_kwargs, then an effort of none.
Budget: thinking.budget_tokens, reasoning.max_tokens, thinking_token_budget, thinking_budget; it wins over effort.
Effort: reasoning_effort, reasoning.effort, chat_template_kwargs. The first that is given wins.
"""

from typing import Any, TypeVar, get_args

from fathom.api.openai.chat.schemas import Conversation, Level
from fathom.core.errors import BadRequest
from fathom.core.generation import ReasoningControl

Value = TypeVar("Value")


def control(body: Conversation) -> ReasoningControl:
    """Raises BadRequest for a template variable that is no switch."""
    variables = body.chat_template_kwargs or {}
    options = body.reasoning
    level: Level | None
    level, effort_param = _first(
        ("reasoning_effort", body.reasoning_effort),
        ("reasoning.effort", options.effort if options else None),
        ("chat_template_kwargs.reasoning_effort", _level(variables.get("reasoning_effort"))),
    )
    enabled, param = _first(
        ("thinking", _enabled(body)),
        ("reasoning.enabled", options.enabled if options else None),
        ("enable_thinking", body.enable_thinking),
        ("chat_template_kwargs.enable_thinking", _switch(variables, "enable_thinking")),
        ("chat_template_kwargs.thinking", _switch(variables, "thinking")),
        (effort_param, False if level == "none" else None),
    )
    budget, budget_param = _first(
        ("thinking.budget_tokens", body.thinking.budget_tokens if body.thinking else None),
        ("reasoning.max_tokens", options.max_tokens if options else None),
        ("thinking_token_budget", body.thinking_token_budget),
        ("thinking_budget", body.thinking_budget),
    )
    return ReasoningControl(
        enabled=enabled,
        budget=budget if enabled is not False else None,
        effort=None if level is None or level == "none" or enabled is False else level,
        visible=visible(body),
        param=param or budget_param or effort_param or "thinking",
    )


def visible(body: Conversation) -> bool:
    """Whether the client wants to see the trace."""
    return body.include_reasoning is not False and not (body.reasoning and body.reasoning.exclude)


def _enabled(body: Conversation) -> bool | None:
    """`adaptive` leaves it to the model."""
    if body.thinking is None or body.thinking.type == "adaptive":
        return None
    return body.thinking.type == "enabled"


def _first(*candidates: tuple[str, Value | None]) -> tuple[Value | None, str]:
    """The first value that is given, and the field that gave it."""
    return next(((value, param) for param, value in candidates if value is not None), (None, ""))


def _switch(variables: dict[str, Any], name: str) -> bool | None:
    value = variables.get(name)
    if value is not None and not isinstance(value, bool):
        param = f"chat_template_kwargs.{name}"
        raise BadRequest(f"{param} must be true or false.", param=param)
    return value


def _level(value: Any) -> Level | None:
    if value is not None and value not in get_args(Level):
        param = "chat_template_kwargs.reasoning_effort"
        raise BadRequest(f"{param} must be one of {', '.join(get_args(Level))}.", param=param)
    level: Level | None = value
    return level
