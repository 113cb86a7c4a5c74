"""Texts: JSON, YAML, vocabularies, read-me files, code; and the models that are written as text."""

import codecs
import json
import re
import threading
from collections.abc import Iterable
from urllib.parse import unquote

from stages.scanners.model_files.content import PIECE_BYTES, Content, read_exactly
from stages.scanners.model_files.keras import report_lambda_layers, search_configuration
from stages.scanners.model_files.look import Place, Stop

MOST_JSON_BYTES = 8 * 1024 * 1024
"""What is parsed as a whole takes some twenty times as much memory."""
_ONE_AT_A_TIME = threading.Lock()
_CONTROL = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_YAML_CODE = re.compile(
    r"!!python/(object|module|name)|tag:yaml\.org,2002:python/|^%TAG[ \t]+\S+[ \t]+tag:yaml\.org,\S*",
    re.MULTILINE,
)
_TEMPLATE_BEGIN = re.compile(r"\{[{%]")
_TEMPLATE_END = re.compile(r"[%}]\}")
_MOST_TEMPLATE_PARTS = 10_000
_LONGEST_TEMPLATE_PART = 2_000
_TEMPLATE_ESCAPE = re.compile(
    r"__\w+__|\|\s*attr\b|\battr\s*\(|_TemplateReference|\b(cycler|joiner|lipsum|self)\s*\.|"
    r"\{%-?\s*(import|include|from|extends)\b|\\x5f|\\u005f|format_map"
)
_KINDS = (
    ("lightgbm", re.compile(r"tree\nversion=v\d")),
    (
        "xgboost-json",
        re.compile(r'\{\s*"(learner|version|Config)"\s*:.*"(learner|gradient_booster)"', re.DOTALL),
    ),
    ("openvino", re.compile(r"(<\?xml[^>]*>\s*)?<net\s[^>]*\bversion=")),
    ("xml", re.compile(r"<\?xml\s")),
    ("tensorflow-text", re.compile(r"(\s|#.*\n)*(saved_model_schema_version\s*:|meta_graphs\s*[:{])")),
    ("json", re.compile(r"\s*[{\[](?![%{#])")),
)


def is_text(content: Content) -> bool:
    """Tell whether this is UTF-8 from the beginning to the end, and without control codes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    while piece := content.read_at(position, PIECE_BYTES):
        position += len(piece)
        try:
            text = decoder.decode(piece)
        except UnicodeDecodeError:
            return False
        if _CONTROL.search(text):
            return False
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def scan_text(content: Content, place: Place) -> str:
    """Look for what some reader of texts would run, and return the format."""
    head = content.read_at(0, 64 * 1024).decode("utf-8", "ignore").removeprefix("\ufeff")
    kind = next((name for name, pattern in _KINDS if pattern.match(head)), "text")
    place = place.as_format(kind)
    if kind == "tensorflow-text":
        raise Stop(
            "unread", "tensorflow-text", "is a SavedModel as text, which is not read: save it as binary"
        )
    if "{%" in head or kind == "text":
        _scan_templates(content, place, whole=place.member.endswith(".jinja") or "{%" in head)
    _search(content, place)
    if kind == "json":
        _scan_json(content, place)
    return kind


def _scan_templates(content: Content, place: Place, *, whole: bool) -> None:
    """Look at a text as a template, or at what stands between a template's brackets in it."""
    position = 0
    while piece := content.read_at(position, MOST_JSON_BYTES):
        text = piece.decode("utf-8", "ignore")
        (report_template if whole else _report_template_parts)(text, place)
        if len(piece) < MOST_JSON_BYTES:
            return
        position += len(piece) - 2 * _LONGEST_TEMPLATE_PART


def _report_template_parts(text: str, place: Place) -> None:
    """Report the same of what stands between a template's brackets in a text that may be none."""
    for number, match in enumerate(_TEMPLATE_BEGIN.finditer(text)):
        part = text[match.end() : match.end() + _LONGEST_TEMPLATE_PART]
        end = _TEMPLATE_END.search(part)
        report_template(part[: end.start()] if end is not None else part, place)
        if number > _MOST_TEMPLATE_PARTS:
            raise Stop("unread", "too-large", f"has more than {_MOST_TEMPLATE_PARTS} pieces of a template")


def report_template(text: str, place: Place) -> None:
    """Report a chat template that reaches for more than the chat."""
    if match := _TEMPLATE_ESCAPE.search(text):
        place.unsafe("template-escape", f"has a chat template with {match[0].strip()!r}, which no chat needs")


def _search(content: Content, place: Place) -> None:
    """Look for YAML tags that build objects of Python, also where they lie across two pieces."""
    position = 0
    while piece := content.read_at(position, PIECE_BYTES):
        if match := _YAML_CODE.search(
            unquote(piece.decode("utf-8", "ignore"))
        ):  # tags may be escaped as URIs
            place.unsafe("yaml-python", f"has {match[0]!r}, by which some YAML readers run code")
            return
        if len(piece) < PIECE_BYTES:
            return
        position += len(piece) - 64


def _scan_json(content: Content, place: Place) -> None:
    try:
        document = parse_json(content, place)
    except Stop:  # lines of JSON, a text that begins like it, a key twice, or too large to be parsed
        search_configuration(content, place)
        _scan_templates(content, place, whole=False)
        return
    report_lambda_layers(document, place)
    if isinstance(document, dict):
        for text in _templates(document.get("chat_template")):
            report_template(text, place)


def _templates(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value if isinstance(value, list) else value.values():
            yield from _templates(one)


def parse_json(content: Content, place: Place, offset: int = 0, size: int | None = None) -> object:
    """Return a document of JSON; one with a key twice is refused, since readers differ in which counts.

    Raises:
        Stop: it is too large, or no JSON.
    """
    size = content.size - offset if size is None else size
    if size > MOST_JSON_BYTES:
        raise Stop("unread", "too-large", f"has JSON of {size} bytes; at most {MOST_JSON_BYTES} are read")
    del place
    text = read_exactly(content, offset, size, "the JSON")
    with _ONE_AT_A_TIME:
        try:
            return json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_constant)
        except RecursionError as error:
            raise Stop("malformed", "json-deep", "has JSON that is nested too deep") from error
        except (ValueError, UnicodeDecodeError) as error:
            raise Stop("malformed", "json", f"has broken JSON: {error}") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Stop("malformed", "json-duplicate", f"has {twice!r} twice in one object of its JSON")
    return made


def _constant(_: str) -> float:
    return 0.0  # NaN and Infinity, which Python and XGBoost write
