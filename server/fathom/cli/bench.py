"""fathom bench."""

import random
from pathlib import Path
from typing import Annotated

import typer

from fathom.cli.bench_plan import Plan, levels_of
from fathom.cli.given import assigned
from fathom.settings import API_KEY

_DEFAULT = Plan(levels=(1, 16, 64))


def bench(
    url: Annotated[str, typer.Argument(help="An OpenAI-compatible server, with or without /v1.")],
    model: Annotated[str | None, typer.Option(help="A model id of the server (its first one).")] = None,
    streams: Annotated[str, typer.Option(help="Requests at a time, level by level.")] = "1,16,64",
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests of each level (two for each stream, at least four).")
    ] = None,
    input_tokens: Annotated[int, typer.Option(min=1, help="About how many tokens a prompt has.")] = (
        _DEFAULT.input_tokens
    ),
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of trace and answer together.")] = (
        _DEFAULT.max_tokens
    ),
    shared_prefix: Annotated[
        int, typer.Option(min=0, help="About how many tokens of system message all requests share.")
    ] = _DEFAULT.shared_prefix,
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Think before the answer, or do not (as the server does).")
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos/--no-ignore-eos", help="Make every answer --max-tokens long.")
    ] = _DEFAULT.ignore_eos,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of the requests, as NAME=VALUE. Repeatable.")
    ] = None,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests before the first level, not counted.")] = (
        _DEFAULT.warm_up
    ),
    seed: Annotated[int | None, typer.Option(min=0, help="Makes the same prompts again (new ones each time).")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = _DEFAULT.timeout,
    api_key: Annotated[
        str | None,
        typer.Option(envvar=[API_KEY, "OPENAI_API_KEY"], show_envvar=True, help="The key that the server asks for."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Measure an OpenAI-compatible server: tokens per second of trace and answer, and how long clients wait."""
    plan = Plan(
        levels=levels_of(streams, requests),
        requests=requests,
        input_tokens=input_tokens,
        max_tokens=max_tokens,
        shared_prefix=shared_prefix,
        warm_up=warm_up,
        thinking=think,
        ignore_eos=ignore_eos,
        seed=random.SystemRandom().randrange(10**6) if seed is None else seed,
        timeout=timeout,
        fields=assigned(set_),
    )
    from fathom.cli.bench_run import run  # brings httpx in, which no other command waits for

    raise typer.Exit(run(url, model, api_key, plan, json))
