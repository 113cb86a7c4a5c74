"""Where findings stand in the repository: paths from its top, without a scheme, as GitHub wants them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.record import Record

_ORIGIN = re.compile(r"^(?P<file>[^:\n]+\.(?:ya?ml)):(?P<line>\d+)")
DEFAULT = "pipeline.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    path: str
    """From the repository's top, with forward slashes."""
    line: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files of one run's repository."""

    root: Path
    """The folder of pipeline.yaml."""
    top: Path
    settings: dict[str, tuple[object, str]]
    """Values and origins."""

    @classmethod
    def of(cls, record: Record) -> "Places":
        """Return the places of a run."""
        root = record.source.root if record.source is not None else Path()
        settings = {one.key: (one.value, one.origin) for one in record.configuration}
        return cls(root=root, top=top_of(root), settings=settings)

    @property
    def image(self) -> Place:
        """Where pipeline.yaml names the image: its findings are of all that it is made of."""
        return self._setting("image")

    def file(self, path: str, line: int) -> Place:
        """Return a line of a file that is named from the folder of pipeline.yaml."""
        return self._inside(path, line) or self.image

    def origin(self, origin: str) -> Place:
        """Return the line where a rule stands; that of `policies` for one of a pack of ours."""
        found = _ORIGIN.match(origin)
        if found is not None and (place := self._inside(found["file"], int(found["line"]))) is not None:
            return place
        return self._setting("policies")

    def model_file(self, path: str) -> Place:
        """Return a file of the model where it is in the repository, else where its source is named."""
        source, _ = self.settings.get("model.source", ("", ""))
        named = f"{source}/{path}"
        if isinstance(source, str) and "://" not in source and (self.root / named).is_file():
            return self._inside(named, 1) or self._setting("model.source")
        return self._setting("model.source")

    def _setting(self, key: str) -> Place:
        origins = (
            origin for name, (_, origin) in self.settings.items() if name.split("[")[0].startswith(key)
        )
        found = next((match for origin in origins if (match := _ORIGIN.match(origin))), None)
        place = self._inside(found["file"], int(found["line"])) if found is not None else None
        return place or self._inside(DEFAULT, 1) or Place(DEFAULT)

    def _inside(self, path: str, line: int) -> Place | None:
        whole = Path(os.path.normpath(self.root.resolve() / path))
        if not whole.is_relative_to(self.top):
            return None
        return Place(whole.relative_to(self.top).as_posix(), max(line, 1))


def top_of(root: Path) -> Path:
    """Return the repository's top: the nearest folder upwards that git keeps, or else the folder itself."""
    folder = root.resolve()
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
