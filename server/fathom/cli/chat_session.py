"""A chat from its first line to its last: whom to talk to, what was said, and the commands."""

import sys
from contextlib import ExitStack, closing, suppress
from typing import Any

import httpx

from fathom import settings
from fathom.cli import chat_server
from fathom.cli.chat_client import ChatClient
from fathom.cli.chat_screen import AnswerView, Screen
from fathom.cli.chat_server import OwnServer
from fathom.cli.wire import NoAnswer
from fathom.core.errors import StartupError

with suppress(ImportError):
    import readline  # noqa: F401  input() edits lines and remembers them through it

_HELP = """\
/new    forget the conversation
/help   this list
/exit   end (so does Ctrl+D)
Ctrl+C  stop an answer; at the prompt, end"""


def run(
    model: str | None, url: str | None, api_key: str | None, system: str | None, body: dict[str, Any], show_trace: bool
) -> int:
    """Chat until the user, or the input, ends. Returns the exit status. Raises StartupError."""
    home = settings.load().home
    screen = Screen(show_trace)
    server: OwnServer | None = None
    with ExitStack() as stack:
        if url is None and not chat_server.listens(chat_server.HOST, chat_server.PORT):
            server = stack.enter_context(chat_server.own_server(model, home, screen))
            model = None  # its id is the server's choice
        client = stack.enter_context(closing(_client(server, url, api_key)))
        chat_server.wait_until_ready(client, screen, server)
        body = {"model": _pick(client, model)} | body
        return Session(client, screen, server, body, system).run()


class Session:
    """`body`: what every request carries."""

    def __init__(
        self, client: ChatClient, screen: Screen, server: OwnServer | None, body: dict[str, Any], system: str | None
    ) -> None:
        self._client, self._screen, self._server, self._body = client, screen, server, body
        self._opening = [{"role": "system", "content": system}] if system else []
        self._turns: list[dict[str, str]] = []
        self._interactive = sys.stdin.isatty()
        self._failed = False

    def run(self) -> int:
        if self._interactive:
            self._screen.note(f"{self._body['model']} at {self._client.url}. /help lists the commands.")
        while (line := self._read()) not in (None, "/exit"):
            if line:
                self._obey(line)
        return 1 if self._failed and not self._interactive else 0

    def _read(self) -> str | None:
        """The next line; None at the end."""
        try:
            line = input("> " if self._interactive else "").strip()
        except (EOFError, KeyboardInterrupt):
            if self._interactive:
                self._screen.note("")  # the shell's prompt gets a line of its own
            return None
        return line.encode(errors="surrogateescape").decode(errors="replace")

    def _obey(self, line: str) -> None:
        match line:
            case "/new":
                self._turns.clear()
                self._screen.note("the conversation is forgotten")
            case "/help":
                self._screen.note(_HELP)
            case _ if line[0] == "/" and line[1:].isalpha():
                self._screen.error(f"there is no command {line}; /help lists them")
            case _:
                self._ask(line)

    def _ask(self, question: str) -> None:
        """A turn that fails is forgotten, so that the next can do better; one that was stopped is kept and says so."""
        asked = [*self._turns, {"role": "user", "content": question}]
        view = AnswerView(self._screen)
        stopped = ""
        try:
            with closing(self._client.answer(self._body | {"messages": self._opening + asked})) as pieces:
                for piece in pieces:
                    view.show(piece)
        except NoAnswer as error:
            self._failed = True
            view.end_line()
            self._screen.error(str(error))
            if self._server:
                self._server.check()
            return
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            stopped = " [stopped]"
            view.end_line()
            self._screen.note("stopped")
        self._turns = [*asked, {"role": "assistant", "content": (view.text + stopped).strip()}]


def _client(server: OwnServer | None, url: str | None, api_key: str | None) -> ChatClient:
    address = server.url if server else url or f"http://{chat_server.HOST}:{chat_server.PORT}"
    try:
        return ChatClient(address, api_key)
    except (httpx.InvalidURL, ValueError) as error:
        raise StartupError(f"--url {address} is no address: {error}; it looks like http://127.0.0.1:8000") from None


def _pick(client: ChatClient, model: str | None) -> str:
    try:
        served = client.models()
    except NoAnswer as error:
        raise StartupError(f"{error}; name another server with --url") from None
    if model is None and served:
        return served[0]
    if model in served:
        return model
    raise StartupError(
        f"the server at {client.url} serves {', '.join(served) or 'nothing'}, and not {model}; "
        "leave MODEL out, or name another server with --url"
    )
