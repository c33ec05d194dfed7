"""What an answer must match, as one xgrammar structural tag that also spans the trace before it.

The trace is part of the grammar: free tokens up to the end delimiter, then the lead to the answer, then the body. So
the body begins where the front end's split (reasoning.py) says that the answer begins, the model cannot end its turn
inside the trace, and the budget is kept by the grammar. vLLM's own budget must not be set beside it: it would force a
delimiter into the answer of a model that spells `</think>` with other tokens than the tokenizer does.
"""

import json
from dataclasses import dataclass
from typing import Any

from fathom.core.errors import BadRequest
from fathom.core.generation import Structure
from fathom.engine.reasoning import Delimiter
from fathom.engine.schema_check import check_schema
from fathom.engine.tag_check import Format, check_format, json_format, read_tag, safe

MAX_BYTES = 65_536
MAX_DEPTH = 64  # vLLM refuses a tag that is nested deeper than 80
MAX_CHOICES = 1_000


@dataclass(frozen=True, slots=True)
class TracePrefix:
    """The trace that comes before the answer.

    start: what the model opens it with; None where the prompt has opened it. lead: what stands between `end` and the
    answer. budget: most tokens between the delimiters. excluded: tokens that have no place in a trace, such as those
    that open a chat's turn: a model that may not end its turn otherwise tries them.
    """

    end: Delimiter
    lead: str = ""
    start: Delimiter | None = None
    budget: int | None = None
    excluded: tuple[Delimiter, ...] = ()


def structural_tag(answer: Format, prefix: TracePrefix | None = None) -> str:
    """The tag as vLLM takes it, of formats that have passed the checks. Without a prefix the answer begins at once."""
    whole = safe(answer)
    if prefix:
        lead = [_text(prefix.lead)] if prefix.lead else []
        whole = {"type": "sequence", "elements": [_trace(prefix), *lead, whole]}
    return json.dumps({"type": "structural_tag", "format": whole})


def lead_in(lead: str, answer: Format) -> Format:
    """The answer behind a fixed text."""
    return {"type": "sequence", "elements": [_text(lead), answer]}


def body(structure: Structure) -> Format:
    """The answer's format. `structure` has passed check_limits."""
    match structure.kind:
        case "json_schema":
            return json_format(structure.value)
        case "json_object":
            return json_format({"type": "object"})
        case "regex":
            return {"type": "regex", "pattern": structure.value}
        case "grammar":
            return {"type": "grammar", "grammar": structure.value}
        case "choice":
            return {"type": "or", "elements": [_text(choice) for choice in structure.value]}
        case "structural_tag":
            return read_tag(structure.value, structure.param)


def check_limits(structure: Structure) -> None:
    """Raises BadRequest or Unsupported. Cheap: whether the grammar compiles is the grammar check's question."""
    value, param = structure.value, structure.param
    check_size(value, param)
    match structure.kind:
        case "json_schema":
            check_schema(value, param)
        case "regex" | "grammar" if not isinstance(value, str) or not value.strip():
            raise BadRequest(f"`{param}` is empty: it must be a {structure.kind} as a string.", param=param)
        case "choice":
            _check_choices(value, param)
        case "structural_tag":
            check_format(read_tag(value, param), param)


def check_size(value: Any, param: str) -> None:
    """The limits of anything that becomes a grammar, such as a tool's parameters."""
    if _deeper_than(MAX_DEPTH, value):
        raise BadRequest(f"`{param}` is nested more than {MAX_DEPTH} levels deep. Use `$defs` and `$ref`.", param=param)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadRequest(f"`{param}` holds half of a surrogate pair, which is not text.", param=param) from None
    except (TypeError, ValueError):
        raise BadRequest(f"`{param}` is not JSON: numbers must be finite.", param=param) from None
    if size > MAX_BYTES:
        raise BadRequest(f"`{param}` has {size} bytes; the limit is {MAX_BYTES}. Make it smaller.", param=param)
    if "\\u0000" in text:
        raise BadRequest(f"`{param}` holds a NUL character. Remove it.", param=param)


def _trace(prefix: TracePrefix) -> Format:
    begin = _delimiter(prefix.start) if prefix.start else ""
    inside: Format = {"type": "any_text", "excludes": [each.text for each in prefix.excluded]}
    if prefix.end.token_id is not None:
        known = [each.token_id for each in prefix.excluded if each.token_id is not None]
        inside = {"type": "any_tokens", "exclude_tokens": known}
    if prefix.budget is not None:
        inside["max_tokens"] = prefix.budget
    return {"type": "tag", "begin": begin, "content": inside, "end": _delimiter(prefix.end)}


def _delimiter(delimiter: Delimiter) -> str | Format:
    return delimiter.text if delimiter.token_id is None else {"type": "token", "token": delimiter.token_id}


def _text(value: str) -> Format:
    return {"type": "const_string", "value": value}


def _check_choices(choices: tuple[str, ...], param: str) -> None:
    if not choices or not all(choices):
        raise BadRequest(f"`{param}` must name at least one choice, and no choice may be empty.", param=param)
    if len(choices) > MAX_CHOICES:
        raise BadRequest(f"`{param}` has {len(choices)} choices; the limit is {MAX_CHOICES}.", param=param)


def _deeper_than(limit: int, value: Any) -> bool:
    """Level by level, as what comes from a client may be nested deeper than Python recurses."""
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Any) -> list[Any]:
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    return [each for each in values if isinstance(each, dict | list | tuple)]
