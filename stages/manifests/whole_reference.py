"""A whole reference in one value, such as the `image:` of a container or an address of weights."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stages.manifests.cursor import Cursor
from stages.manifests.interface import NewImage, same_image
from stages.manifests.yaml_editing import Edit, SetScalar
from stages.manifests.yaml_tree import text_of

# oci:// as the cluster is configured, oci+native:// as an image volume, oci+fetch:// fetched once
_SCHEME = re.compile(r"oci(\+[a-z]+)?://")


@dataclass(frozen=True, slots=True)
class WholeReference:
    """A value that is a whole reference; it may begin with a scheme, and belong to a container."""

    at: Cursor
    scheme: str = ""
    container: str = ""

    @property
    def current(self) -> str:
        """The reference as it stands there."""
        return (text_of(self.at.node) or "").removeprefix(self.scheme)

    @property
    def name(self) -> str:
        """What stands before the tag and the digest, or before a variable in their place."""
        name = self.current.partition("@")[0]
        for sign in ("${", "$(", "{{"):
            before = name.partition(sign)[0]
            name = before.rstrip() if before.endswith(":") and name != before else name
        slash, colon = name.rfind("/"), name.rfind(":")
        return name[:colon] if colon > slash else name

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edit to `repository:tag@digest`; another spelling of the repository is kept.

        An address with a scheme becomes `oci://repository@digest`: the tag is for people, who read `image:`.
        """
        name = self.name if same_image(self, image.repository) else image.repository
        tag = "" if self.scheme and image.digest is not None else f":{image.tag}"
        digest = "" if image.digest is None else f"@{image.digest}"
        return (SetScalar(self.at, f"{self.scheme}{name}{tag}{digest}"),)


def image_at(found: Cursor | None, container: str = "") -> Iterator[WholeReference]:
    """Return the place of a value that is a reference; none where there is no value."""
    if found is not None and text_of(found.node):
        yield WholeReference(found, container=container)


def address_at(found: Cursor | None) -> Iterator[WholeReference]:
    """Return the place of an address such as `oci://repository:tag`; none where it is of another kind."""
    scheme = _SCHEME.match(text_of(found.node) or "") if found is not None else None
    if found is not None and scheme is not None:
        yield WholeReference(found, scheme[0])
