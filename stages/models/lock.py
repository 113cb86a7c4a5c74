"""pipeline.lock: which files a model consists of, by digest; it stands beside pipeline.yaml and is committed.

A source that no longer holds these files is refused, and layers whose digests stand here are not read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import yaml
from pydantic import Field, ValidationError

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Check, ModelFile, ModelLayer, Value
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile
from stages.models.names import image_path
from stages.oci.known_digests import KnownDigests
from stages.oci.model_recipes import FORM, recipe_name
from stages.oci.progress import in_words

FILE_NAME = "pipeline.lock"
HEADER = "# The files of the model and the layers they make. Written by `pipeline lock`; commit it.\n"
CURE = "If that is wanted: `pipeline lock`, and commit pipeline.lock. If not: put the model back."
SHOWN = 3


@runtime_checkable
class Revised(Protocol):
    """A source with revisions of its own: a name such as a branch can be pinned to what it means now."""

    def pin(self) -> str:
        """Return the revision that never changes."""
        ...

    def at(self, revision: str) -> Files:
        """Return the source at another revision."""
        ...


class LockedLayer(Value):
    """A layer, and the paths of the files in it in their order."""

    digest: Digest
    size_bytes: int = Field(ge=0)
    files: tuple[str, ...]


class Lock(Value):
    """What pipeline.lock says."""

    version: Literal[1] = 1
    source: str = Field(description="what was locked")
    revision: str | None = Field(default=None, description="what the source's revision meant then")
    path: str = Field(description="folder in the image")
    layer_form: int = Field(description="counts up when the same files begin to give other layers")
    files: tuple[ModelFile, ...]
    layers: tuple[LockedLayer, ...]

    @classmethod
    def of(cls, layers: Sequence[ModelLayer], source: str, revision: str | None) -> "Lock":
        """Return the lock of these layers."""
        return cls(
            source=source,
            revision=revision,
            path=layers[0].path,
            layer_form=FORM,
            files=tuple(sorted((file for one in layers for file in one.files), key=lambda file: file.path)),
            layers=tuple(
                LockedLayer(
                    digest=one.descriptor.digest,
                    size_bytes=one.descriptor.size_bytes,
                    files=tuple(file.path for file in one.files),
                )
                for one in layers
            ),
        )

    def __str__(self) -> str:
        size_bytes = sum(file.size_bytes for file in self.files)
        files, layers = len(self.files), len(self.layers)
        return (
            f"{files} file{'s' if files != 1 else ''}, {in_words(size_bytes)}, "
            f"{layers} layer{'s' if layers != 1 else ''}"
        )

    @property
    def by_path(self) -> Mapping[str, ModelFile]:
        """The files by their paths."""
        return {file.path: file for file in self.files}

    def text(self) -> str:
        """Return the file's content: the same for the same model, one line for each thing that can change."""
        document = self.model_dump(mode="json", exclude_defaults=True) | {"version": self.version}
        ordered = {key: document[key] for key in type(self).model_fields if key in document}
        return HEADER + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=4096)

    def changes_since(self, before: "Lock") -> tuple[str, ...]:
        """Return what another lock said otherwise, one line for each thing."""
        settings = (
            f"{what}: {old or 'none'} -> {new or 'none'}"
            for what, old, new in (
                ("source", before.source, self.source),
                ("revision", before.revision, self.revision),
                ("path", before.path, self.path),
            )
            if old != new
        )
        return (*settings, *_changed_files(before.by_path, self.by_path))

    def refuse_other_settings(self, source: str, path: str) -> None:
        """Compare what was locked with what pipeline.yaml says.

        Raises:
            ConfigurationError: the lock is of another source, or of another folder in the image.
        """
        for what, locked, said, cause in (
            ("source", self.source, source, "`model.source`"),
            ("path", self.path, path, "`model.path`, `model.delivery` or `image`, which decide the path"),
        ):
            if locked != said:
                raise ConfigurationError(
                    f"{FILE_NAME} was made for the {what} {locked}, and the settings say {said}",
                    advice=f"If that is wanted: `pipeline lock`, and commit it. If not: mend {cause}.",
                )

    def refuse_other_contents(self, layers: Sequence[ModelLayer]) -> None:
        """Compare what was described with what was locked.

        Raises:
            ConfigurationError: a file or a layer is another one.
        """
        locked = self.by_path
        for file in (file for layer in layers for file in layer.files):
            if file.digest != locked[file.path].digest:
                raise ConfigurationError(
                    f"{layers[0].source}: {file.path} is not the file of {FILE_NAME}: locked is "
                    f"{locked[file.path].digest}, there is {file.digest}",
                    advice=CURE,
                )
        found = {layer.descriptor.digest for layer in layers}
        if self.layer_form == FORM and (other := {layer.digest for layer in self.layers} - found):
            raise ConfigurationError(
                f"{FILE_NAME}: no layer of these files is {', '.join(sorted(other))}",
                advice="The lock was edited or damaged. Write it again: `pipeline lock`.",
            )


@dataclass(slots=True)
class LockedDigests(KnownDigests):
    """Digests that were computed before, or else stand in the lock; those are not kept for later."""

    locked: Mapping[str, Digest] = field(default_factory=dict)

    @classmethod
    def of(cls, lock: Lock, path: Path, *, verify: bool) -> "LockedDigests":
        """Return the digests of the lock's layers, beside those in the file."""
        files, place = lock.by_path, image_path(lock.path)
        recipes = {
            recipe_name(place, [files[path] for path in layer.files if path in files]): layer.digest
            for layer in lock.layers
        }
        return cls(path, verify=verify, locked=recipes if lock.layer_form == FORM else {})

    def find(self, name: str) -> Digest | None:
        """Return the digest of the content that this names, if it is known."""
        found = KnownDigests.find(self, name)  # no super(): the class is made anew for its slots
        return found or (None if self.verify else self.locked.get(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFiles:
    """The files of a source, if they are the locked ones."""

    files: Files
    lock: Lock

    @property
    def name(self) -> str:
        """The name of the source itself."""
        return self.files.name

    @property
    def local_folder(self) -> Path | None:
        """The folder of the source itself."""
        return self.files.local_folder

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return what the source itself needs."""
        return self.files.check(desk)

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return the files of a remote source with their locked digests, so that nothing need be read.

        What names a file of this machine says nothing elsewhere: its digest is compared once it is known.

        Raises:
            ConfigurationError: the source holds other files than the lock.
        """
        found = self.files.list(desk)
        if differences := tuple(_differences(found, self.lock, remote=self.local_folder is None)):
            more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
            raise ConfigurationError(
                f"{self.name} is not what {FILE_NAME} says: {'; '.join(differences[:SHOWN])}{more}",
                advice=CURE,
            )
        if self.local_folder is not None:
            return found
        locked = self.lock.by_path
        return tuple(replace(file, digest=locked[file.path].digest) for file in found)

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Read from the source itself."""
        return self.files.read(file, offset)


def read_lock(path: Path) -> Lock | None:
    """Return what the file says, or None where there is none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return Lock.model_validate(yaml.safe_load(path.read_bytes()), strict=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValidationError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        else:
            reason = str(error).replace("\n", " ")
        raise ConfigurationError(
            f"{path.name} is no lock ({reason})", advice="Write it again: `pipeline lock`."
        ) from error


def _changed_files(before: Mapping[str, ModelFile], after: Mapping[str, ModelFile]) -> Iterator[str]:
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if new is None:
            yield f"{path}: removed"
        elif old is None:
            yield f"{path}: new, {in_words(new.size_bytes)}"
        elif old.digest != new.digest:
            yield f"{path}: changed, {in_words(new.size_bytes)}"


def _differences(found: Sequence[SourceFile], lock: Lock, *, remote: bool) -> Iterator[str]:
    locked, there = lock.by_path, {file.path: file for file in found}
    for path in sorted(locked.keys() | there.keys()):
        if path not in there:
            yield f"{path} is locked and not there"
        elif path not in locked:
            yield f"{path} is there and not locked"
        elif there[path].size_bytes != locked[path].size_bytes:
            yield f"{path} is locked with {locked[path].size_bytes} bytes, there are {there[path].size_bytes}"
        elif remote and there[path].identity != locked[path].identity:
            yield f"{path} is locked as {locked[path].identity}, there is {there[path].identity}"
