"""`pipeline edit`: what its flags ask for, and files that are written all or not at all."""

import argparse
import errno
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError, DiskFull, PipelineError
from pipeline.model import FileChange
from pipeline.reference import Digest, Reference, Repository, Tag
from pipeline.update_section import ParametersSection, TargetSection


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the flags ask for: targets below a folder, and the image that they shall name."""

    root: Path
    targets: tuple[TargetSection, ...]
    repository: Repository
    tag: Tag
    digest: Digest | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Wish":
        """Return what the flags ask for.

        Raises:
            ConfigurationError: a flag's value is wrong.
        """
        if not options.root.is_dir():
            raise ConfigurationError(
                f"--root {options.root} is not a folder", advice="Name the folder of the manifests."
            )
        return cls(
            root=options.root,
            targets=tuple(_target(options, path) for path in options.path),
            repository=_repository(options.image),
            tag=_tag(options.tag),
            digest=_digest(options.digest) if options.digest is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContent:
    """A file that is to change: its new bytes, and what is different in them."""

    before: bytes
    after: bytes
    change: FileChange


def report(wish: Wish, files: Sequence[NewContent], *, dry_run: bool) -> int:
    """Print the diff on standard output, the outcome on standard error; write unless this is a dry run."""
    if not dry_run:
        write(wish.root, files)
    sys.stdout.buffer.write("".join(file.change.diff for file in files).encode())
    sys.stdout.flush()
    verb = "would change" if dry_run else "changed"
    for file in files:
        lines = ", ".join(str(field.line) for field in file.change.fields)
        print(f"{verb}: {file.change.path} (line {lines})", file=sys.stderr)  # noqa: T201 - what was done
    if not files:
        paths = ", ".join(target.path for target in wish.targets)
        print(f"unchanged: {paths} names this image already", file=sys.stderr)  # noqa: T201
    return 0


def write(root: Path, files: Sequence[NewContent]) -> None:
    """Give the files their new content: each as a whole, and none where one of them cannot be written.

    Raises:
        PipelineError: a file cannot be written.
    """
    prepared: list[Path] = []
    replaced: list[NewContent] = []
    try:
        for file in files:
            prepared.append(_prepare(root / file.change.path, file.after))  # noqa: PERF401 - known if one fails
        for temporary, file in zip(prepared, files, strict=True):
            temporary.replace(root / file.change.path)
            replaced.append(file)
    except OSError as error:
        for file in replaced:
            _prepare(root / file.change.path, file.before).replace(root / file.change.path)
        raise _unwritable(error) from error
    finally:
        for temporary in prepared:
            temporary.unlink(missing_ok=True)


def _prepare(path: Path, content: bytes) -> Path:
    """Return a file beside the path, with the content and with the mode of what stands there."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            there = path.stat()
            with suppress(OSError):  # only root gives files away; everybody keeps the mode
                os.chown(temporary, there.st_uid, there.st_gid)
            temporary.chmod(there.st_mode & 0o7777)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return temporary


def _unwritable(error: OSError) -> PipelineError:
    message = f"cannot write {error.filename or 'the manifests'}: {error.strerror}; nothing was changed"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(message, advice="Free some disk and run again.")
    return ConfigurationError(message, advice="Check the permissions of the folder and its files.")


def _target(options: argparse.Namespace, path: str) -> TargetSection:
    return TargetSection(
        path=path,
        form=options.form,
        kind=options.kind,
        name=options.name,
        namespace=options.namespace,
        container=options.container,
        field=options.field,
        marker=options.marker,
        parameters=ParametersSection(**dict(_parameters(options.parameter))),
    )


def _parameters(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text in given:
        part, sign, name = text.partition("=")
        if part not in ParametersSection.model_fields or not sign or not name:
            raise ConfigurationError(
                f"--parameter {text!r}: expected tag=NAME or digest=NAME",
                advice="NAME is what the Helm parameter is called, as in --parameter tag=image.tag.",
            )
        yield part, name


def _repository(text: str) -> Repository:
    try:
        reference = Reference.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--image {text!r} is no name of an image: {error}", advice=_NAME_ALONE
        ) from error
    if reference.tag is not None or reference.digest is not None:
        raise ConfigurationError(f"--image {text!r} is more than a name", advice=_NAME_ALONE)
    return reference.repository


_NAME_ALONE = "Give the name alone, such as registry.example.com/team/digits; tag and digest are flags."


def _tag(text: str) -> Tag:
    try:
        return Tag(text)
    except ValueError as error:
        raise ConfigurationError(f"--tag: {error}", advice="Give the tag of the new image.") from error


def _digest(text: str) -> Digest:
    try:
        return Digest(text)
    except ValueError as error:
        raise ConfigurationError(f"--digest: {error}", advice="Give the digest of the new image.") from error
