"""What cannot be edited without harm: values used twice, encrypted, filled in, or written by others."""

from collections.abc import Iterator

from stages.manifests import yaml_tree
from stages.manifests.cursor import Cursor
from stages.manifests.marker import marker_of
from stages.manifests.refusal import refusal
from stages.manifests.yaml_tree import STRING, Document, MappingNode, Node, ScalarNode, SequenceNode

WRITE_IT_OUT = "Write the value out at this place, on one line, and run again."
_VARIABLES = ("${", "$(", "{{")


def refuse_unsafe(at: Cursor, *, sets: bool) -> None:
    """Refuse to change a value, or to add to it, where that would change something else.

    Raises:
        ConfigurationError: names file, line and what to do.
    """
    _refuse_duplicate_keys(at.document)
    problem = at.shared or (_unsafe_scalar(at.node) if sets else "")
    if problem:
        raise refusal(at.document.path, at.node.line, f"{at.path} {problem}", advice=WRITE_IT_OUT)


def refuse_marked(at: Cursor) -> None:
    """Refuse to change a scalar that Flux's image automation writes too.

    Raises:
        ConfigurationError: the scalar carries a marker.
    """
    marker = marker_of(at.document, at.node)
    if marker is not None:
        raise refusal(
            at.document.path,
            at.node.line,
            f"{at.path} carries the marker of the image policy {marker.policy}, by which Flux writes it too",
            advice=f"Say `marker: {marker.policy}` in the target if this pipeline shall write it instead, "
            "or remove the comment.",
        )


def _unsafe_scalar(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return "is not a single value"
    if node.style in {"|", ">"}:
        return "is a block of text"
    if node.explicit_tag not in {None, STRING}:
        return f"carries the tag {node.explicit_tag}"
    if any(sign in node.value for sign in _VARIABLES):
        return f"is filled in by a variable: {node.value}"
    return ""


def _refuse_duplicate_keys(document: Document) -> None:
    for mapping in (node for node in _nodes(document.root) if isinstance(node, MappingNode)):
        seen: dict[str, int] = {}
        for key, _ in mapping.entries:
            name = yaml_tree.text_of(key)
            if name is not None and name in seen:
                raise refusal(
                    document.path,
                    key.line,
                    f"has the key {name!r} a second time (first in line {seen[name]})",
                    advice="Remove one of the two: readers of YAML do not agree on which one counts.",
                )
            if name is not None:
                seen[name] = key.line


def refuse_encrypted(document: Document) -> None:
    """Refuse to change a file of which one document is encrypted with a checksum over all of the file.

    Raises:
        ConfigurationError: SOPS covers every value by its checksum.
    """
    sops = Cursor.at_root(document).get("sops")
    if sops is None or sops.text("mac") is None or sops.text("mac_only_encrypted") == "true":
        return
    raise refusal(
        document.path,
        sops.node.line,
        "is encrypted by SOPS, whose checksum covers every value",
        advice="Encrypt the file with mac_only_encrypted: true, or keep the image in a file of its own.",
    )


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, MappingNode):
        for key, value in node.entries:
            yield from _nodes(key)
            yield from _nodes(value)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _nodes(item)
