"""The docs say what the code does: every name a user can meet is there, and every link and path leads somewhere."""

import ast
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import typer
from fathom import cli
from fathom.api import errors as rendering
from fathom.api.access import PUBLIC
from fathom.api.admin.keys import schemas as keys
from fathom.api.admin.keys.translate import to_body
from fathom.api.anthropic.messages import schemas as messages
from fathom.api.openai.chat import schemas as chat
from fathom.api.openai.chat.schemas import ChatMessage, ChatRequest
from fathom.api.openai.completions import schemas as completions
from fathom.api.openai.completions.schemas import CompletionRequest
from fathom.api.openai.embeddings.schemas import EmbeddingsRequest
from fathom.api.openai.responses import schemas as responses
from fathom.api.openai.tokenize.schemas import DetokenizeRequest, TokenizeChat, TokenizeText
from fathom.app import create_app
from fathom.core import errors
from fathom.core.engine import Phase
from fathom.core.tenant import Scope
from fathom.engine import structure
from fathom.engine.scripted_engine import ScriptedEngine
from fathom.models import catalogue
from fathom.models.profiles import PROFILES, Profile
from fathom.settings import Settings, load, names
from fathom.telemetry import metrics
from prometheus_client.metrics import MetricWrapperBase
from starlette.routing import Route

from tests.unit.serving.making_keys import stored

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts)
)
OWN_FOLDERS = r"(?:server|tests|docs|deploy|requirements|\.ci)"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """From a heading to the next one of its level or above."""
    level = heading.split()[0]
    _, found, rest = page(name).partition(f"\n{heading}\n")
    assert found, f"docs/{name} has no heading {heading!r}"
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def rows(text: str) -> dict[str, str]:
    """The rows of its tables, by the first name in each."""
    found = (re.match(r"\| `([^`]+)`.*\|$", line) for line in text.splitlines())
    return {row[1]: row[0] for row in found if row}


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", names())
def test_a_setting_is_in_the_docs_with_its_variable_its_default_and_its_own_words(name: str) -> None:
    field = names()[name]
    default = field.get_default(call_default_factory=True)
    shown = "none" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    shown = "`~/.fathom`" if name == "home" else shown
    variable = "FATHOM_" + name.replace(".", "__").upper()
    expected = f"| `{name}` | `{variable}` | {shown} | {field.description} |"
    assert rows(page("settings.md")).get(name) == expected


def test_no_setting_is_in_the_docs_that_does_not_exist() -> None:
    assert rows(page("settings.md")).keys() == names().keys()


def test_the_example_of_a_config_file_is_one(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", page("settings.md"), re.DOTALL)
    assert example
    file = tmp_path / "fathom.toml"
    file.write_text(example[1])
    assert load(config=file).model_dump(exclude_unset=True).keys() == tomllib.loads(example[1]).keys()


def test_every_route_of_the_app_is_in_the_docs() -> None:
    app = create_app(Settings(), ScriptedEngine())
    served = [route for route in app.routes if isinstance(route, Route)]  # what else there is holds the files of /docs
    routes = [f"`{method} {route.path_format}`" for route in served for method in (route.methods or set()) - {"HEAD"}]
    assert "`POST /v1/chat/completions`" in routes
    documented = section("api.md", "## Routes")
    assert [route for route in routes if route not in documented] == []


OURS = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]


@pytest.mark.parametrize("metric", OURS, ids=str)
def test_a_metric_is_in_the_docs_with_its_labels_and_its_own_words(metric: MetricWrapperBase) -> None:
    facts = next(iter(metric.describe()))
    name = facts.name + ("_total" if facts.type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    expected = f"| `{name}` | {facts.type} | {labels} | {facts.documentation} |".replace("|  |", "| |")
    assert rows(page("metrics.md")).get(name) == expected


def test_every_phase_of_a_start_is_in_the_docs() -> None:
    assert list(rows(section("operations.md", "## Phases"))) == [str(phase) for phase in Phase]


COMMANDS = typer.main.get_group(cli._cli).commands


def test_every_command_is_in_the_docs_and_no_other() -> None:
    made = [command.__name__ for command in cli.COMMANDS] + [group.info.name for group in cli.GROUPS]
    assert list(COMMANDS) == made
    assert re.findall(r"^## fathom (.+)$", page("cli.md"), re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_in_the_docs_and_no_other(name: str) -> None:
    documented = section("cli.md", f"## fathom {name}")
    first_cells = " ".join(re.findall(r"^\| ([^|]+) \|", documented, re.MULTILINE))
    below = getattr(COMMANDS[name], "commands", None) or {"": COMMANDS[name]}
    parameters = [each for command in below.values() for each in command.params]
    options = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
    for command in below:
        assert f"\nfathom {name} {command}".rstrip() in documented
    assert set(re.findall(r"`([^`]+)`", first_cells)) == {
        option if option.startswith("-") else option.upper() for option in options
    }


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_is_in_the_docs_with_its_facts(profile: Profile) -> None:
    row = rows(section("models.md", "## Profiles")).get(profile.name, "")
    facts = [f"`{name}` {value}" for name, value in profile.sampling.items()]
    facts += [f"`{model_type}`" for model_type in profile.model_types]
    if profile.tool_parser:
        facts.append(f"| `{profile.tool_parser}` |")
    if profile.reasoning:
        facts.append(profile.reasoning.start.replace("|", r"\|"))
        facts.append(f"| {profile.reasoning.opened_by} |")
        facts.append(f"| {profile.reasoning.budget or 'none'} |")
        facts.append(f"| {'yes' if profile.reasoning.default_on else 'no'} |")
    assert row, "no row"
    assert [fact for fact in facts if fact not in row] == []


def test_every_alias_of_the_catalogue_is_in_the_docs() -> None:
    documented = section("models.md", "## The catalogue")
    assert [entry.alias for entry in catalogue.entries() if f"`{entry.alias}`" not in documented] == []


def codes_of_the_tree(error: type[errors.ServiceError] = errors.ServiceError) -> set[tuple[int, str, str]]:
    below = (codes_of_the_tree(each) for each in error.__subclasses__())
    return {(error.status, str(error.code), error.type)}.union(*below)


def codes_set_while_rendering() -> set[str]:
    """The strings on the right of every assignment to a `.code`."""
    tree = ast.parse(Path(rendering.__file__).read_text())
    assigned = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(each, ast.Attribute) and each.attr == "code" for each in ast.walk(node.targets[0]))
    ]
    constants = (each.value for value in assigned for each in ast.walk(value) if isinstance(each, ast.Constant))
    return {constant for constant in constants if isinstance(constant, str)}


def test_every_error_code_is_in_the_docs_with_its_status_and_type() -> None:
    documented = section("api.md", "## Errors")
    missing = [
        f"| {status} | `{code}` | `{kind}` |"
        for status, code, kind in codes_of_the_tree()
        if f"| {status} | `{code}` | `{kind}` |" not in documented
    ]
    assert missing == []
    assert "method_not_allowed" in codes_set_while_rendering()
    assert [code for code in codes_set_while_rendering() if f"| `{code}` |" not in documented] == []


def unsaid(fields: Iterable[str], text: str) -> list[str]:
    return [name for name in fields if f"`{name}`" not in text]


def test_every_field_of_a_chat_request_is_said_to_be_honoured_or_refused() -> None:
    assert unsaid(ChatRequest.model_fields.keys() - chat.REFUSED.keys(), section("api.md", "### Honoured")) == []
    assert unsaid(ChatMessage.model_fields.keys() - {"prefix"}, section("api.md", "### Messages")) == []
    assert rows(section("api.md", "### Refused")).keys() == chat.REFUSED.keys()


def test_every_field_of_a_completion_is_said_to_be_honoured_or_refused() -> None:
    fields = CompletionRequest.model_fields.keys() - completions.REFUSED.keys()
    assert unsaid(fields, section("completions.md", "## Honoured by completions")) == []
    assert rows(section("completions.md", "## Refused by completions")).keys() == completions.REFUSED.keys()


def test_every_field_of_the_other_requests_is_in_the_docs() -> None:
    for request in (TokenizeText, TokenizeChat, DetokenizeRequest):
        assert unsaid(request.model_fields, section("completions.md", "## Tokens")) == []
    assert unsaid(EmbeddingsRequest.model_fields, page("embeddings.md")) == []


def test_every_field_of_a_key_and_every_scope_and_public_path_is_in_the_docs() -> None:
    routes = section("keys.md", "## `/admin/keys`")
    for body in (keys.NewKeyBody, keys.ChangeBody, keys.RotateBody):
        assert unsaid(body.model_fields, routes) == []
    assert unsaid(to_body(stored()), routes + section("keys.md", "## Rotating and revoking")) == ["object"]
    limits = section("keys.md", "## Limits")
    assert unsaid(keys.LimitsBody.model_fields, limits) == []
    assert rows(section("keys.md", "## Scopes")).keys() == set(Scope)
    assert unsaid(PUBLIC - {"/docs/oauth2-redirect"}, section("keys.md", "## What needs no key")) == []


def test_every_field_of_a_message_is_said_to_be_honoured_or_refused() -> None:
    fields = messages.MessagesRequest.model_fields.keys() - messages.REFUSED.keys()
    assert unsaid(fields, section("messages.md", "## Honoured by messages")) == []
    counted = messages.PromptRequest.model_fields.keys() - messages.REFUSED.keys()
    assert unsaid(counted, section("messages.md", "## Counting tokens")) == []
    assert rows(section("messages.md", "## Refused by messages")).keys() == messages.REFUSED.keys()
    assert f"| up to {messages.MOST_STOPS} |" in section("messages.md", "## Honoured by messages")


def test_every_field_of_a_response_is_said_to_be_honoured_or_refused() -> None:
    honoured = section("responses.md", "## Honoured by responses")
    assert unsaid(responses.ResponsesRequest.model_fields.keys() - responses.REFUSED.keys(), honoured) == []
    refused = {f"{outer}.{name}" for outer, inside in responses.REFUSED_INSIDE.items() for name in inside}
    assert rows(section("responses.md", "## Refused by responses")).keys() == responses.REFUSED.keys() | refused
    controls = {name for name in responses.ResponsesReasoning.model_fields if f"reasoning.{name}" not in refused}
    assert unsaid(controls, honoured) == []


def test_every_limit_of_structures_is_in_the_docs() -> None:
    limits = section("tools.md", "### Limits")
    for most in (structure.MAX_BYTES // 1024, structure.MAX_DEPTH, structure.MAX_CHOICES):
        assert f"| {most:,} " in limits


def anchors(markdown: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_code_blocks(markdown.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("markdown", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_points_to_nothing(markdown: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code_blocks(markdown.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (markdown.parent / name) if name else markdown
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("markdown", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_test_that_is_named_exists(markdown: Path) -> None:
    """As in `tests/api/test_chat.py` and `tests/api/test_chat.py::test_name`."""
    missing = []
    for path, test in re.findall(rf"`({OWN_FOLDERS}/[\w./-]*)(?:::(\w+))?`", markdown.read_text("utf-8")):
        if not (ROOT / path).exists() or (test and f"def {test}(" not in (ROOT / path).read_text("utf-8")):
            missing.append(f"{path}::{test}" if test else path)
    assert missing == []


@pytest.mark.parametrize("record", sorted((ROOT / "docs/adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_parts_and_is_listed(record: Path) -> None:
    parts = re.findall(r"^## (.+)$", record.read_text("utf-8"), re.MULTILINE)
    assert parts == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]
    assert f"({record.name})" in page("adr/README.md")
