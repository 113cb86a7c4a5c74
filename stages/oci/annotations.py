"""What an image says about itself.

Source: OCI image specification 1.1, annotations.md; labels of the configuration carry the same keys.
"""

from pipeline.model import BaseImage, Source
from pipeline.reference import Reference, Tag
from stages.oci.assemble import timestamp
from stages.oci.order_key import NAME, OrderKey

PREFIX = "org.opencontainers.image."


def annotations(image: str, tag: Tag, source: Source, base: BaseImage | None) -> dict[str, str]:
    """Return the annotations of an image, its order key among them; what nothing is known of is left out."""
    values = {
        "title": image,
        "version": tag,
        "revision": source.commit,
        "source": source.repository_url,
        "created": timestamp(source.committed_at),
        "base.name": full_name(base.name) if base is not None else None,
        "base.digest": base.digest if base is not None else None,
    }
    known = {f"{PREFIX}{name}": str(value) for name, value in values.items() if value is not None}
    return {**known, NAME: str(OrderKey.of(source))}


def full_name(base: str) -> str:
    """Return the name of a base image with its registry and tag, as the specification wants it."""
    reference = Reference.parse(base)
    tag = reference.tag or ("latest" if reference.digest is None else None)
    return f"{reference.repository}:{tag}" if tag is not None else str(reference.repository)
