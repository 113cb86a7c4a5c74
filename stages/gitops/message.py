"""What a commit to the GitOps repository says: a line for people, and trailers for programs.

`git interpret-trailers --parse` reads them, and so do later deliveries: the order key of a rollback stands
nowhere else.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.model import Pushed, PushedImage, Source
from stages.gitops.address import Address
from stages.gitops.wishes import Wish
from stages.oci.order_key import OrderKey

Occasion = Literal["", "forced", "rollback", "promotion"]
"""Why a commit is made where a delivery is not the reason."""
_TRAILER = re.compile(r"^[ \t]*(Image|Manifest|Order-Key|Occasion|Pipeline-Run): *(.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Written:
    """What the trailers of a commit say was written, and by which key it is ordered."""

    images: frozenset[str]
    """Whole references."""
    manifests: frozenset[str]
    """Paths of the targets, as `plain_path` has them."""
    key: OrderKey
    occasion: str = ""


def written(message: str) -> Written | None:
    """Return what a commit message says of what was written; None where it is not one of ours."""
    found: dict[str, list[str]] = {}
    for name, value in _TRAILER.findall(message):
        found.setdefault(name, []).append(value)
    key = OrderKey.parse(found.get("Order-Key", [""])[-1], run=found.get("Pipeline-Run", [""])[-1])
    if key is None:
        return None
    images, manifests = (
        frozenset(found.get("Image", ())),
        frozenset(map(plain_path, found.get("Manifest", ()))),
    )
    return Written(images, manifests, key, found.get("Occasion", [""])[-1])


def plain_path(path: str) -> str:
    """Return a target's path as it is compared: the same however the configuration writes it."""
    return posixpath.normpath(one_line(path))


def order_trailers(wishes: Sequence[Wish], key: OrderKey, occasion: Occasion = "") -> tuple[str, ...]:
    """Return the trailers that later deliveries are compared with."""
    images = dict.fromkeys(f"{new.repository}:{new.tag}@{new.digest}" for _, new in wishes)
    manifests = dict.fromkeys(target.path for target, _ in wishes)
    return (
        *(f"Image: {reference}" for reference in images),
        *(f"Manifest: {one_line(path)}" for path in manifests),
        f"Order-Key: {key}",
        *([f"Occasion: {occasion}"] if occasion else []),
    )


def commit_message(
    source: Source, image: PushedImage, wishes: Sequence[Wish], key: OrderKey, occasion: Occasion = ""
) -> str:
    """Return the message of a delivery."""
    own = image.model_image
    short = source.version.replace(source.commit, source.commit[:12])
    name = image.name.rpartition("/")[2]
    weights = f", with the weights in {own.name} (sha256:{own.digest.short})" if own is not None else ""
    forced = " By force: whatever stood there before, newer or not." if occasion == "forced" else ""
    return message(
        f"{name}: deploy {short} (sha256:{image.digest.short})",
        f"Roll out {image.name} as it was built from commit {source.version}{weights}.{forced}",
        (
            *order_trailers(wishes, key, occasion),
            f"Tag: {image.tag}",
            f"Digest: {image.digest}",
            *([model_trailer(own)] if own is not None else []),
            *_source_trailers(source),
            *([f"Pipeline-Run: {key.run}"] if key.run else []),
        ),
    )


def model_trailer(own: Pushed) -> str:
    """Return the trailer that names the weights' own image."""
    return f"Model-Image: {own.name}:{own.tag}@{own.digest}"


def message(subject: str, body: str, trailers: Iterable[str]) -> str:
    """Return a commit message of these parts."""
    return "\n".join([subject, "", body, "", *map(one_line, trailers), ""])


def one_line(value: str) -> str:
    """Return a text on one line, as a trailer must be."""
    return re.sub(r"\s+", " ", value)


def _source_trailers(source: Source) -> Iterator[str]:
    yield f"Source-Commit: {source.version}"
    if source.repository_url:
        yield f"Source-Repository: {Address.parse(source.repository_url, {}).url}"
