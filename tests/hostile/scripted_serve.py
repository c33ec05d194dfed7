"""`fathom serve` as a program of its own, with an engine without a model, which chats and makes embeddings."""

from fathom.cli import server
from fathom.core.engine import Tokenized
from fathom.core.generation import Prompt, ReasoningControl
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.settings import load


class Engine(ScriptedEngine):
    async def tokenize(self, prompt: Prompt, reasoning: ReasoningControl) -> Tokenized:
        """Every prompt begins with a token, as those of models do."""
        tokenized = await super().tokenize(prompt, reasoning)
        return Tokenized((0, *tokenized.ids), tokenized.text)


def main() -> None:
    engine = Engine(delay=0.002)
    engine.embeds = True
    vars(server)["VllmEngine"] = lambda _settings: engine
    settings = load()
    server.serve_until_the_end(settings, server.listen(settings.http))


if __name__ == "__main__":
    main()
