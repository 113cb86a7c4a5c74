"""Tags from templates such as `{version}` or `{branch}`: rendered once for a run, before anything starts."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC

from pipeline.ci.branches import git_tag
from pipeline.errors import ConfigurationError
from pipeline.model import ImageTag, Source
from pipeline.reference import Tag

VARIABLES = ("commit", "short_commit", "version", "branch", "date", "model_version")
FIXING = frozenset({"commit", "short_commit", "version"})
"""Variables that are others with the next commit, so that a tag with one of them names one content; a day
has many commits."""
SHORT = 12
LONGEST = 128
_VARIABLE = re.compile(r"\{([^{}]*)\}")
NO_BEGINNING = ".-"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def require_template(text: str) -> str:
    """Return a template that can become a tag.

    Raises:
        ValueError: it has an unknown variable, or characters that no tag has.
    """
    for name in _VARIABLE.findall(text):
        if name not in VARIABLES:
            known = ", ".join(f"{{{each}}}" for each in VARIABLES)
            raise ValueError(f"there is no {{{name}}}: a tag may have {known}")
    try:
        Tag(_VARIABLE.sub("x", text))
    except ValueError:
        raise ValueError(f"expected {Tag.expected}, with variables such as {{commit}}") from None
    return text


def moves(template: str) -> bool:
    """Tell whether what a template gives names another image after the next delivery."""
    return FIXING.isdisjoint(_VARIABLE.findall(template))


def require_fixed(template: str) -> str:
    """Return a template that is fit to name the image in manifests: a fixed word, or one of the commit's.

    Raises:
        ValueError: it moves.
    """
    if moves(template) and (_VARIABLE.search(template) or template == "latest"):
        raise ValueError(
            "the first tag names the image in manifests, so it may not move: begin with {commit} or {version}"
        )
    return template


def render(
    templates: Sequence[str], source: Source, facts: Mapping[str, Callable[[], str]]
) -> tuple[ImageTag, ...]:
    """Return the tags, each once; of a work tree that differs from its commit they all end in `-dirty`.

    `facts` are asked only for variables that the source itself does not tell.

    Raises:
        ConfigurationError: a variable has no value here, or what comes out is no tag.
    """
    known = {**_known(source), **facts}
    tags: dict[Tag, ImageTag] = {}
    for number, template in enumerate(templates):
        tag = _rendered(template, known, "-dirty" if source.dirty else "")
        moving = source.dirty or (number > 0 and moves(template))
        tags.setdefault(tag, ImageTag(tag=tag, moves=moving))
    return tuple(tags.values())


def _known(source: Source) -> dict[str, Callable[[], str]]:
    return {
        "commit": lambda: source.commit,
        "short_commit": lambda: source.commit[:SHORT],
        "date": lambda: f"{source.committed_at.astimezone(UTC):%Y%m%d}",
        "branch": lambda: _branch(source),
    }


def _branch(source: Source) -> str:
    """Return the branch; in a job for a git tag, which has none, the tag: the same templates serve both."""
    name = source.branch or git_tag(os.environ)
    if not name:
        raise ConfigurationError(
            "tags: {branch} has no value: the commit is checked out without a branch",
            advice="Check a branch out (`git switch`), or leave {branch} out of `tags`.",
        )
    if _COMMIT.fullmatch(_fit(name).lstrip(NO_BEGINNING)):
        raise ConfigurationError(
            f"tags: the branch {name!r} is called like a commit, whose tag it could move",
            advice="Rename the branch, or write it with a prefix: `branch-{branch}`.",
        )
    return name


def _fit(value: str) -> str:
    """Return a value as it stands in a tag: a branch may have any name; what no tag has becomes -."""
    return _UNFIT.sub("-", value)


def _rendered(template: str, known: Mapping[str, Callable[[], str]], suffix: str) -> Tag:
    text = _VARIABLE.sub(lambda found: _fit(known[found[1]]()), template)
    text = text.lstrip(NO_BEGINNING) + suffix
    try:
        return Tag(text)
    except ValueError:
        what = (
            f"has {len(text)} characters, and a tag at most {LONGEST}" if len(text) > LONGEST else "is no tag"
        )
        raise ConfigurationError(
            f"tags: {template!r} becomes {text!r}, which {what}",
            advice="Rename the branch, or write a shorter template.",
        ) from None
