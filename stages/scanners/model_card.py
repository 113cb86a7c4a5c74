"""The model card: what the model's README.md says of it in its YAML front matter.

Source: Hugging Face Hub, "Model Cards" (metadata in the README).
"""

from collections.abc import Iterable
from typing import Any

import yaml

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import ModelCard, ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile

NAME = "README.md"
MOST_BYTES = 2_000_000
MOST_FRONT_MATTER = 64_000
MOST_WORDS = 100
_LONGEST = 500


class _Loader(yaml.SafeLoader):
    """Builds plain data, and merges no mappings (`<<`): a few lines of those become gigabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave the key `<<` as it stands, which is an error then."""


_OTHER = {"other", "unknown", "license"}  # the Hub's words for one that it does not know


def read_card(layers: Iterable[ModelLayer], files: Files | None, desk: Desk) -> ModelCard | None:
    """Return what the card says; None where there is none, or where the desk hears why it is not read."""
    found = next((file for layer in layers for file in layer.files if file.path == NAME), None)
    if found is None or files is None or found.size_bytes > MOST_BYTES:
        return None
    try:
        content = _content(found, files)
    except PipelineError as error:
        desk.say(f"the model card cannot be read: {error.message}")
        return None
    if Digest.of(content) != found.digest:
        desk.say(f"the model card is not read: {NAME} was changed while the run went on")
        return None
    return parse(content.decode("utf-8", errors="replace"), found.digest)


def _content(file: ModelFile, files: Files) -> bytes:
    wanted = SourceFile(
        path=file.path, size_bytes=file.size_bytes, identity=file.identity, digest=file.digest
    )
    return b"".join(files.read(wanted))


def parse(text: str, digest: Digest) -> ModelCard:
    """Return what a README.md says; what is no front matter says nothing, and is no mistake."""
    said = _front_matter(text)
    words = _words(said.get("license"))
    licence = " AND ".join(f"({word})" for word in words) if len(words) > 1 else "".join(words)  # all hold
    if licence.lower() in _OTHER:
        licence = _word(said.get("license_name")) or licence
    return ModelCard(
        path=NAME,
        digest=digest,
        name=_word(said.get("model_name")),
        license=spdx_expression(licence) or licence,
        license_url=_word(said.get("license_link")),
        datasets=_words(said.get("datasets")),
        base_models=_words(said.get("base_model")),
        task=_word(said.get("pipeline_tag")),
        library=_word(said.get("library_name")),
    )


def _front_matter(text: str) -> dict[str, Any]:
    lines = text.removeprefix("\ufeff").splitlines()
    if (
        not lines
        or lines[0].rstrip() != "---"
        or "---" not in (rest := [line.rstrip() for line in lines[1:]])
    ):
        return {}
    matter = "\n".join(rest[: rest.index("---")])
    if len(matter) > MOST_FRONT_MATTER:
        return {}
    try:
        said = yaml.load(matter, _Loader)  # noqa: S506 - it is a safe one
    except (yaml.YAMLError, ValueError, RecursionError):  # an impossible date is a ValueError
        return {}
    return said if isinstance(said, dict) else {}


def _word(found: object) -> str:
    """Return a text, or the first one of a list, on one line; what in it is no letter by its number."""
    one = found[0] if isinstance(found, list) and found else found
    text = one.encode("utf-8", "backslashreplace").decode() if isinstance(one, str) else ""
    return " ".join(text.split())[:_LONGEST]


def _words(found: object) -> tuple[str, ...]:
    given = found if isinstance(found, list) else [found]
    return tuple(dict.fromkeys(word for one in given[:MOST_WORDS] if (word := _word(one))))


def spdx_expression(text: str) -> str:
    """Return an SPDX expression as SPDX spells it (`Apache-2.0` of `apache-2.0`); empty where it is none."""
    from license_expression import get_spdx_licensing

    if not text:
        return ""
    try:
        return str(get_spdx_licensing().parse(text, validate=True, strict=True))
    except Exception:  # of its own kinds, or whatever its parser stumbles over: `( OR MIT`
        return ""
