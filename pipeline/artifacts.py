"""What the stages have made so far, found by its type."""

from collections.abc import Iterator
from typing import Self, TypeVar, cast

from pipeline.model import Artifact, Skipped

T = TypeVar("T", bound=Artifact)


class Artifacts:
    """An immutable map from an artifact's type to its value: `have[BuiltImage]` is a `BuiltImage`."""

    __slots__ = ("_made", "_skipped")

    def __init__(self, *made: Artifact) -> None:
        self._made: dict[type[Artifact], Artifact] = {}
        self._skipped: dict[str, Skipped] = {}
        for artifact in made:
            self._put(artifact)

    def _put(self, artifact: Artifact) -> None:
        if isinstance(artifact, Skipped):
            self._skipped[artifact.gives] = artifact
        else:
            self._made[type(artifact)] = artifact

    def __getitem__(self, kind: type[T]) -> T:
        return cast("T", self._made[kind])

    def get(self, kind: type[T]) -> T | None:
        """Return the artifact of this type, or None where no stage made it."""
        return cast("T | None", self._made.get(kind))

    def skipped(self, kind: type[Artifact]) -> Skipped | None:
        """Return the reason why nobody made this type, or None where nobody gave one."""
        return self._skipped.get(kind.__name__)

    def __contains__(self, kind: object) -> bool:
        """Tell whether the type was made, or left out for a stated reason."""
        return kind in self._made or (isinstance(kind, type) and kind.__name__ in self._skipped)

    def __iter__(self) -> Iterator[Artifact]:
        yield from self._made.values()
        yield from self._skipped.values()

    def plus(self, artifact: Artifact) -> Self:
        """Return a copy that holds this artifact too."""
        return type(self)(*self, artifact)
