"""What all resources have in common that divide requests between two images."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ManifestRefused
from stages.manifests.cursor import Cursor
from stages.manifests.edits import INTEGER, AddKey, Edit, SetScalar
from stages.manifests.interface import NOTHING_YET, NewImage, Place, Target, Traffic
from stages.manifests.refusal import refusal
from stages.manifests.yaml_tree import ScalarNode

ALL = 100
"""Percent of the requests."""
_NO_DIGEST = f"@sha256:{'0' * 64}"


@dataclass(frozen=True, slots=True)
class Share:
    """A resource, the places in it that name the image, and which part of the requests that shall get."""

    document: Cursor
    places: tuple[Place, ...]
    target: Target
    image: NewImage

    @property
    def traffic(self) -> Traffic:
        """What the target asks for."""
        assert self.target.traffic is not None  # noqa: S101 - whoever divides requests was asked to
        return self.target.traffic

    def next(self, current: int, at: Cursor, running: Sequence[Place] = ()) -> int:
        """Return the percentage that the newest image gets from now on, after it had this one.

        A rollback takes everything from an image that is under way, at once: what is rolled out gets it.
        Where nothing is under way, everything goes to the newest image, and that is the one that comes back.
        A first image gets everything: nothing is there yet to get the rest. `running` are the places of what
        gets requests now, where those are others than the places of the new image.

        Raises:
            ManifestRefused: more is to go to an image that has everything.
        """
        if self.traffic.step == "rollback":
            return 0 if current < ALL else ALL
        if self.traffic.step == "deliver" and all(map(_is_placeholder, running or self.places)):
            return ALL
        if self.traffic.step == "shift" and current == ALL and self.traffic.percent != ALL:
            raise self.refused(
                at,
                "has no canary under way: its image gets all requests already",
                advice="Deliver another image first, or `pipeline rollback` to take this one back.",
            )
        return self.traffic.percent

    def refused(self, at: Cursor, message: str, *, advice: str) -> ManifestRefused:
        """Return the error that says why requests are not divided there."""
        return refusal(
            at.document.path, at.node.line, f"{at.path or self.document.kind()[1]} {message}", advice=advice
        )

    def percent_at(self, at: Cursor | None, missing: int) -> int:
        """Return the percentage that stands there.

        Raises:
            ManifestRefused: it is no whole number.
        """
        if at is None:
            return missing
        node = at.node
        if isinstance(node, ScalarNode) and node.tag == INTEGER and node.value.isdecimal():
            return int(node.value)
        raise self.refused(at, "is no whole number of percent", advice="Write a number from 0 to 100 there.")


def _is_placeholder(place: Place) -> bool:
    return place.current.endswith((NOTHING_YET, _NO_DIGEST))


def percent_edit(mapping: Cursor, key: str, percent: int, *, below: str | None = None) -> Edit:
    """Return the edit that gives a percentage to a key of a mapping, whether it is there or not."""
    found = mapping.get(key)
    return SetScalar(found, percent) if found is not None else AddKey(mapping, key, percent, below)


def stand_in(mapping: Cursor, places: Sequence[Place]) -> bool:
    """Tell whether one of the places stands below a mapping."""
    return any(place.at.path.startswith(f"{mapping.path}.") for place in places)
