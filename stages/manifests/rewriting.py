"""Tells whether a text is another one with the image's old tag and digest replaced by the new ones."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.reference import Digest, Tag
from stages.manifests.interface import NewImage

_SHORT = (7, 8, 12, 63)  # lengths to which templates cut commits, digests and labels
_MOST_STATES = 100_000
_CHECKSUM = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_CHECKSUM_KEY = re.compile(r"(?i)checksum|hash|sha(1|256)|annotations")
_GENERATED = re.compile(r"(.+)-[2456789bcdfghkmt]{10}")  # the letters that Kustomize writes


@dataclass(frozen=True, slots=True)
class Token:
    """A part of the old image's reference, and what may stand in its place."""

    old: str
    new: str


def tokens(replaced: Iterable[tuple[str, str]], images: Iterable[NewImage]) -> tuple[Token, ...]:
    """Return what may be replaced by what: references, tags, digests, and their beginnings."""
    news = [part for image in images for part in _new_parts(image)]
    found: dict[Token, None] = {}
    for old, new in dict.fromkeys(replaced):
        found[Token(old, new)] = None
        for one in _parts(old):
            for other in (*news, *_parts(new)):
                found[Token(one, other)] = None
                for length in _SHORT:
                    if len(one) >= _SHORT[0] and len(other) >= _SHORT[0] and len(other) > length:
                        found[Token(one[:length], other[:length])] = None
    for part in news:  # for a value that is there only since the edit
        found[Token("", part)] = None
    return tuple(found)


def is_rewritten(old: str, new: str, known: Sequence[Token]) -> bool:
    """Tell whether each line is the old one, some of its tokens replaced."""
    lines, others = old.split("\n"), new.split("\n")
    usable = [token for token in known if token.old]
    return len(lines) == len(others) and all(
        one == other or _is_line_rewritten(one, other, usable)
        for one, other in zip(lines, others, strict=True)
    )


def hashed_alike(key: str, old: str, new: str) -> bool:
    """Tell whether two values are checksums, or names with Kustomize's checksum, of what has changed."""
    named, other = _GENERATED.fullmatch(old), _GENERATED.fullmatch(new)
    if named is not None and other is not None and named[1] == other[1]:
        return True
    both = _CHECKSUM.fullmatch(old) and _CHECKSUM.fullmatch(new) and len(old) == len(new)
    return bool(both) and _CHECKSUM_KEY.search(key) is not None


def _is_line_rewritten(old: str, new: str, known: Sequence[Token]) -> bool:
    """Search all ways through both lines: a short tag may stand in a line for other reasons too."""
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo and len(seen) < _MOST_STATES:
        here = todo.pop()
        if here == (len(old), len(new)):
            return True
        if here not in seen:
            seen.add(here)
            todo += _steps(old, new, here, known)
    return False


def _steps(old: str, new: str, here: tuple[int, int], known: Sequence[Token]) -> Iterator[tuple[int, int]]:
    one, other = here
    for token in known:
        if old.startswith(token.old, one) and new.startswith(token.new, other):
            yield one + len(token.old), other + len(token.new)
    if one < len(old) and other < len(new) and old[one] == new[other]:
        yield one + 1, other + 1


def _parts(text: str) -> tuple[str, ...]:
    """Return tag and digest of a reference, or of what stands for a part of one."""
    rest, _, digest = text.partition("@")
    colon = rest.rfind(":")
    tag = rest[colon + 1 :] if colon > rest.rfind("/") else rest
    if Digest.grammar.fullmatch(text):
        return text, Digest(text).encoded
    known = [tag] if Tag.grammar.fullmatch(tag) else []
    if Digest.grammar.fullmatch(digest):
        known += [digest, Digest(digest).encoded, *(f"{one}@{digest}" for one in known[:1])]
    return tuple(known)


def _new_parts(image: NewImage) -> tuple[str, ...]:
    if image.digest is None:
        return str(image.tag), f"{image.repository}:{image.tag}"
    whole = f"{image.tag}@{image.digest}"
    digest = str(image.digest), image.digest.encoded
    names = (
        f"{image.repository}:{whole}",
        f"{image.repository}@{image.digest}",
        f"{image.repository}:{image.tag}",
    )
    # cut at a colon, as templates and replacements do that know of tags alone
    cut = f"{image.tag}@sha256"
    return (str(image.tag), whole, cut, *digest, *names)
