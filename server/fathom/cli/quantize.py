"""fathom quantize: a model with weights and activations of 8 bits."""

from pathlib import Path
from typing import Annotated

import typer

from fathom import settings
from fathom.cli.progress import showing_progress
from fathom.models import quantizing, schemes
from fathom.models.fetch import prepare
from fathom.models.quantizing import Made


def quantize(
    model: Annotated[str | None, typer.Argument(help="Alias, Hugging Face id, folder or .gguf file.")] = None,
    scheme: Annotated[str, typer.Option(help="int8 or fp8.")] = "int8",
    output: Annotated[
        Path | None, typer.Option(help="Folder to make (FATHOM_HOME/models/quantized/NAME-int8).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a quantized model that is there.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not measure what it costs.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code from the model's repository.")
    ] = False,
) -> None:
    """Quantize MODEL (without one: the embedded model) for vLLM, and measure what that costs."""
    chosen = schemes.by_name(scheme)
    current = settings.load()
    trust = trust_remote_code or current.model.trust_remote_code
    with showing_progress() as progress:
        prepared = prepare(model or current.model.model, current.home, progress, trust_remote_code=trust)
        made = quantizing.make(
            prepared,
            chosen,
            output.expanduser().absolute() if output else None,
            current.home,
            progress,
            force=force,
            report=not no_report,
            trust=trust,
        )
    typer.echo(_summary(made))


def _summary(made: Made) -> str:
    report = made.report
    lines = [f"{_gigabytes(made.before)} of weights before, {_gigabytes(made.after)} after ({made.scheme})"]
    if isinstance(report, str):
        lines.append(f"no report: {report}")
    else:
        lines += [
            f"perplexity {report.original:.3f} before, {report.quantized:.3f} after ({report.change:+.2%}), on "
            f"{report.tokens:,} tokens of {report.text}",
            f"greedy agreement {report.agreement:.1%}: of so many tokens, both hold the same next one for likeliest",
        ]
    return "\n".join([*lines, "serve it:", f"  fathom serve {made.path}"])


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.3f} GB" if size < 10e9 else f"{size / 1e9:,.1f} GB"
