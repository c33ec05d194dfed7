"""fathom chat."""

import signal
import sys
from types import FrameType
from typing import Annotated, Any

import typer

from fathom.settings import API_KEY


def chat(
    model: Annotated[
        str | None,
        typer.Argument(help="A model id of the server at --url; or what to serve, where a server has to be started."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server (http://127.0.0.1:8000; where none is, the chat starts one)."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar=[API_KEY, "OPENAI_API_KEY"], show_envvar=True, help="The key that the server asks for."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="The system message.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Sampling temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of trace and answer together.")] = None,
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="Think before the answer, or do not.")
    ] = None,
    no_trace: Annotated[bool, typer.Option("--no-trace", help="Hide the reasoning trace.")] = False,
) -> None:
    """Chat in the terminal with a running server, or with one that ends with the chat. Reads piped lines, too."""
    from fathom.cli.chat_session import run  # brings httpx in, which no other command waits for

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    wishes = {"temperature": temperature, "max_tokens": max_tokens, "enable_thinking": thinking}
    body: dict[str, Any] = {name: wish for name, wish in wishes.items() if wish is not None}
    status = run(model, url, api_key, system, body, show_trace=not no_trace)
    raise typer.Exit(status)


def _leave(number: int, _frame: FrameType | None) -> None:
    """By an exception, so that a server that was started for the chat is ended, too."""
    sys.exit(128 + number)
