"""Names of images and of their content: repository, tag, digest, reference.

The grammar is that of the OCI distribution specification 1.1 ("Pulling manifests") and of the
reference grammar that container engines share.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"


class _ValidatedText(str):
    """A string that fits its grammar, whoever makes it."""

    __slots__ = ()
    grammar: ClassVar[re.Pattern[str]]
    expected: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        if not cls.grammar.fullmatch(value):
            raise ValueError(f"{value!r} is not {cls.expected}")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )


class Digest(_ValidatedText):
    """The name of bytes: `sha256:` and 64 hexadecimal digits, computed from the bytes as they are."""

    __slots__ = ()
    grammar = re.compile(r"sha256:[0-9a-f]{64}")
    expected = "a digest such as sha256: followed by 64 lower-case hexadecimal digits"

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the digest of these bytes."""
        return cls(f"sha256:{hashlib.sha256(content).hexdigest()}")

    @property
    def encoded(self) -> str:
        """The hexadecimal part."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve hexadecimal digits, for people."""
        return self.encoded[:12]


class Tag(_ValidatedText):
    """A name that somebody gave to an image in a repository: at most 128 characters."""

    __slots__ = ()
    grammar = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
    expected = "a tag (letters, digits, '_', '.', '-'; at most 128; not beginning with '.' or '-')"


class Repository(_ValidatedText):
    """Where images live: a registry's host, with its port if any, and a path in lower case."""

    __slots__ = ()
    grammar = re.compile(rf"{_DOMAIN}(?::[0-9]{{1,5}})?/{_PATH}")
    expected = "a repository such as registry.example.com:5000/team/model (the path in lower case)"

    @property
    def host(self) -> str:
        """The registry's host with its port, as written."""
        return self.partition("/")[0]

    @property
    def path(self) -> str:
        """The path inside the registry."""
        return self.partition("/")[2]

    def child(self, name: str) -> "Repository":
        """Return the repository of this name below this one."""
        return Repository(f"{self}/{name}")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image as people write it: a name, and a tag, a digest, or both.

    `name` keeps its spelling; `repository` is the same name in full (`python` is
    `docker.io/library/python`), so that two spellings of one image compare equal.
    """

    name: str
    tag: Tag | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return the parts of a reference; a colon before the last slash belongs to a port.

        Raises:
            ValueError: the text is no reference.
        """
        rest, at, digest = text.partition("@")
        slash = rest.rfind("/")
        colon = rest.rfind(":")
        name, tag = (rest[:colon], rest[colon + 1 :]) if colon > slash else (rest, None)
        reference = cls(name, Tag(tag) if tag is not None else None, Digest(digest) if at else None)
        _ = reference.repository  # a name that does not fit the grammar is refused here, not at first use
        return reference

    @property
    def repository(self) -> Repository:
        """The name in full: with its registry, and with `library/` where Docker Hub implies it."""
        first, slash, rest = self.name.partition("/")
        if not slash or not ("." in first or ":" in first or first == "localhost"):
            first, rest = "docker.io", self.name
        if first in {"docker.io", "index.docker.io"}:
            first = "docker.io"
            rest = rest if "/" in rest else f"library/{rest}"
        return Repository(f"{first}/{rest}")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"
