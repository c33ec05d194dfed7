"""What was used: amounts, and where they are counted."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where it is counted. key: "" where the server is open. day: as in 2026-01-31, UTC."""

    day: str
    tenant: str
    key: str
    model: str


@dataclass(slots=True)
class Amounts:
    """cached_tokens are part of the prompt's, reasoning_tokens of the completion's."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def add(self, more: "Amounts") -> None:
        for name in (each.name for each in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(more, name))
