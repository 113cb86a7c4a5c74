"""Images inside of text: YAML as a string in another YAML, where no single value can be edited."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from stages.manifests import yaml_tree
from stages.manifests.cursor import Cursor
from stages.manifests.interface import NewImage, Place
from stages.manifests.refusal import refusal
from stages.manifests.yaml_editing import Edit
from stages.manifests.yaml_tree import MappingNode, ScalarNode, SequenceNode


@dataclass(frozen=True, slots=True)
class Embedded:
    """A place that names an image but cannot be edited; `problem` and `advice` say why and what to do."""

    at: Cursor
    name: str
    current: str
    problem: str
    advice: str

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return nothing where the image is named already.

        Raises:
            ConfigurationError: it is not, and would have to be edited.
        """
        tag, digest = f":{image.tag}", f"@{image.digest}" if image.digest is not None else ""
        if self.current == f"{self.name}{tag}{digest}":
            return ()
        where = f"{self.at.path} {self.problem}: {self.current}"
        raise refusal(self.at.document.path, self.at.node.line, where, advice=self.advice)


def embedded(
    at: Cursor | None, search: Callable[[Cursor], Iterator[Place]], *, problem: str, advice: str
) -> Iterator[Embedded]:
    """Return the places that a search finds in the text of a string; none where it is no YAML."""
    if at is None or not isinstance(at.node, ScalarNode):
        return
    try:
        documents = yaml_tree.parse(at.document.path, at.node.value)
    except ConfigurationError:  # the text is something else, or a template
        return
    for document in documents:
        if isinstance(document.root, MappingNode | SequenceNode):
            for place in search(Cursor.at_root(document)):
                yield Embedded(at, place.name, place.current, problem, advice)
