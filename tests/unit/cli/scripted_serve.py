"""`fathom serve` as a program of its own, with an engine without a model in the place of vLLM's.

A chat that says "die" is the end of that engine; one that says "for ever" is answered so. A model that is called
"broken" cannot be loaded.
"""

from collections.abc import Iterable
from itertools import repeat

from fathom.cli import server
from fathom.core.engine import ModelCard, Progress, Trouble
from fathom.core.errors import StartupError
from fathom.core.events import Accepted, Event, TextDelta
from fathom.core.generation import GenerationRequest
from fathom.engine.scripted_engine import ScriptedEngine, text_of, think_then_answer
from fathom.settings import load


async def breaks(_progress: Progress) -> ModelCard:
    raise StartupError("the model is broken")


def main() -> None:
    engine = ScriptedEngine(delay=0.05)

    def script(request: GenerationRequest) -> Iterable[Event]:
        text = text_of(request.prompt)
        if text == "die":
            engine.death = Trouble("died", "the test said so")
        if text != "for ever":
            return think_then_answer(request)
        return iter([Accepted(1), *repeat(TextDelta("word "), 10_000)])

    engine.script = script
    settings = load()
    if settings.model.model == "broken":
        vars(engine)["start"] = breaks
    vars(server)["VllmEngine"] = lambda _settings: engine
    server.serve_until_the_end(settings, server.listen(settings.http))


if __name__ == "__main__":
    main()
