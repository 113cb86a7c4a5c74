"""YAML as a tree that knows where in the text each value stands, and which values are used twice.

It is composed from the events of PyYAML's parser (libyaml where it is there), because the library's own
nodes have lost their aliases. Offsets count characters of the text without its byte order mark.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from stages.manifests.refusal import refusal

BYTE_ORDER_MARK = "\ufeff"
STRING = "tag:yaml.org,2002:str"
MERGE = "<<"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER = yaml.resolver.Resolver()
# `&anchor` and `!tag` stand before the value, inside the marks of the event
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")

# far beyond what manifests are, far below what would exhaust the machine
_DEEPEST = 200
_MOST_VALUES = 200_000

_COMMENT = re.compile(r"[ \t]+#([^\n]*)")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the text; `line` is counted from 1, the others from 0."""

    start: int
    end: int
    line: int
    column: int

    @classmethod
    def of(cls, first: yaml.Event, last: yaml.Event | None = None) -> "Span":
        """Return the part from the beginning of one event to the end of another, or of itself."""
        begin, end = first.start_mark, (last or first).end_mark
        assert begin is not None  # noqa: S101 - a parser's events have marks
        assert end is not None  # noqa: S101
        return cls(begin.index, end.index, begin.line + 1, begin.column)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """A value in the text; compared by identity, for two values may look the same."""

    span: Span
    anchor: str | None = None

    @property
    def line(self) -> int:
        """The line it begins in, counted from 1."""
        return self.span.line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalarNode(Node):
    """A single value; `style` is its quote or block indicator, empty when plain."""

    value: str
    tag: str
    explicit_tag: str | None
    style: str
    value_start: int
    """Where the value itself begins, after its anchor and tag."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MappingNode(Node):
    """Keys and values in their order; a key may stand there twice."""

    entries: tuple[tuple[Node, Node], ...]
    flow: bool

    def own(self, key: str) -> Node | None:
        """Return the value of a key that stands here and is not merged in."""
        return next((value for name, value in self.entries if text_of(name) == key), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceNode(Node):
    """Values in their order."""

    items: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AliasNode(Node):
    """A place where an anchored value is used again."""

    name: str
    target: Node


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file, whose `text` is the whole file's.

    `aliases` are the lines in which each anchor is used again.
    """

    path: str
    text: str
    root: Node
    aliases: Mapping[str, tuple[int, ...]]

    def kind(self) -> tuple[str, str]:
        """Return apiVersion and kind; empty where the document does not say."""
        if not isinstance(self.root, MappingNode):
            return "", ""
        return text_of(self.root.own("apiVersion")) or "", text_of(self.root.own("kind")) or ""


def text_of(node: Node | None) -> str | None:
    """Return the value of a scalar, also through an alias; None for anything else and for null."""
    while isinstance(node, AliasNode):
        node = node.target
    if not isinstance(node, ScalarNode) or node.tag.endswith(":null"):
        return None
    return node.value


def comment_behind(document: Document, node: Node) -> str:
    """Return the comment that stands behind a value on the line where it ends; empty where there is none."""
    found = _COMMENT.match(document.text, node.span.end)
    return found[1].strip() if found is not None else ""


def parse(path: str, text: str) -> tuple[Document, ...]:
    """Return the documents of a text without byte order mark.

    Raises:
        ConfigurationError: the text is not YAML; names file and line.
    """
    try:
        return tuple(_Composer(path, text).documents())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        begin = getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        if begin is not None and mark is not None and begin.line != mark.line:
            problem = f"{problem} (for what begins in line {begin.line + 1})"
        template = "{{" in text
        raise refusal(
            path,
            mark.line + 1 if mark is not None else None,
            f"is a template, not YAML: {problem}" if template else f"is not valid YAML: {problem}",
            advice="Name the file of values that fills the template as the target instead."
            if template
            else "Mend the file, or name another one as the target.",
        ) from error


def _resolved_tag(event: yaml.ScalarEvent) -> str:
    """Return what YAML 1.1 takes an untagged value for."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return tag


@dataclass(slots=True)
class _Composer:
    path: str
    text: str
    anchors: dict[str, Node] = field(default_factory=dict)
    aliases: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """How many values each anchor stands for, aliases written out."""
    values: int = 0
    depth: int = 0

    def documents(self) -> Iterator[Document]:
        events: Iterator[yaml.Event] = yaml.parse(self.text, Loader=_LOADER)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors, self.aliases, self.values = {}, {}, 0
                yield Document(self.path, self.text, self._node(next(events), events), self.aliases)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
        before, self.values, self.depth = self.values, self.values + 1, self.depth + 1
        if self.depth > _DEEPEST:
            self._refuse_size(event, f"is nested more than {_DEEPEST} deep")
        node = self._composed(event, events)
        self.depth -= 1
        if node.anchor is not None:
            self.anchors[node.anchor] = node
            self.sizes[node.anchor] = self.values - before
        return node

    def _composed(self, event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, events)
        assert isinstance(event, yaml.SequenceStartEvent)  # noqa: S101 - nothing else begins a value
        return self._sequence(event, events)

    def _refuse_size(self, event: yaml.Event, problem: str) -> NoReturn:
        raise refusal(
            self.path,
            Span.of(event).line,
            f"{problem}, which no manifest is",
            advice="Name another file as the target.",
        )

    def _alias(self, event: yaml.AliasEvent) -> AliasNode:
        span, name = Span.of(event), event.anchor
        if name not in self.anchors:
            raise refusal(
                self.path,
                span.line,
                f"uses *{name}, which no value before it is called",
                advice=f"Write &{name} at the value that is meant, or replace the alias by the value.",
            )
        self.values += self.sizes[name]
        if self.values > _MOST_VALUES:
            self._refuse_size(
                event, f"stands for more than {_MOST_VALUES:,} values, with its aliases written out"
            )
        self.aliases[name] = (*self.aliases.get(name, ()), span.line)
        return AliasNode(span=span, name=name, target=self.anchors[name])

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        span = Span.of(event)
        value_start = span.start
        if event.anchor is not None or event.tag is not None:
            written = self.text[span.start : span.end]
            properties = _PROPERTIES.match(written)
            value_start += properties.end() if properties and event.value else len(written)
        return ScalarNode(
            span=span,
            anchor=event.anchor,
            value=event.value,
            tag=event.tag or _resolved_tag(event),
            explicit_tag=event.tag,
            style=event.style or "",
            value_start=value_start,
        )

    def _mapping(self, event: yaml.MappingStartEvent, events: Iterator[yaml.Event]) -> MappingNode:
        entries = []
        while not isinstance(first := next(events), yaml.MappingEndEvent):
            key = self._node(first, events)
            entries.append((key, self._node(next(events), events)))
        return MappingNode(
            span=Span.of(event, first),
            anchor=event.anchor,
            entries=tuple(entries),
            flow=bool(event.flow_style),
        )

    def _sequence(self, event: yaml.SequenceStartEvent, events: Iterator[yaml.Event]) -> SequenceNode:
        items = []
        while not isinstance(first := next(events), yaml.SequenceEndEvent):
            items.append(self._node(first, events))
        return SequenceNode(
            span=Span.of(event, first),
            anchor=event.anchor,
            items=tuple(items),
            flow=bool(event.flow_style),
        )
