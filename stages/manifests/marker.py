"""Flux's setter comment behind a scalar, such as `# {"$imagepolicy": "flux-system:digits:tag"}`.

It says that an image policy writes the scalar. See "Configure image update for custom resources" in Flux's
guide to image updates.
"""

import re
from dataclasses import dataclass
from typing import Self

from stages.manifests.yaml_tree import Document, Node, ScalarNode, comment_behind

PARTS = ("tag", "name", "digest")
_COMMENT = re.compile(r'\{\s*"\$imagepolicy"\s*:\s*"([^"]*)"\s*\}')


@dataclass(frozen=True, slots=True)
class Marker:
    """The policy, as `namespace:name`, and which part of the reference it writes; empty: the whole."""

    policy: str
    part: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the parts of `namespace:name` or `namespace:name:part`."""
        policy, colon, part = text.rpartition(":")
        return cls(policy, part) if ":" in policy and colon and part in PARTS else cls(text, "")


def marker_of(document: Document, node: Node) -> Marker | None:
    """Return the marker in the comment behind a scalar, on its line; None where there is none."""
    if not isinstance(node, ScalarNode):
        return None
    found = _COMMENT.search(comment_behind(document, node))
    return Marker.parse(found[1]) if found is not None else None
