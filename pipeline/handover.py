"""What one job hands on to the next: a run's record, its seal, and the image without its weights.

The seal is a digest of the record, which tells damage and haste. With PIPELINE_RECORD_KEY it is a keyed one
(HMAC, RFC 2104) too, which nobody can make who lacks the key; only that tells tampering.
"""

import hashlib
import hmac
import json
import shutil
from collections.abc import Callable, MutableMapping
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import ConfigurationError, DiskFull
from pipeline.model import BuiltImage, PushedImage, ScanReport, Value
from pipeline.record import FILE_NAME, Record, Runs, read_record, write_text
from pipeline.reference import Digest
from pipeline.stored import by_name

FOLDER = "handover"
IMAGE = "image"
"""The image's OCI layout in the folder."""
LISTS = "sbom"
"""What the image is made of: in the folder, and in the cache of the runs."""
SEAL = "record.seal.json"
KEY = "PIPELINE_RECORD_KEY"
SHORTEST_KEY = 16
_PURPOSE = b"model-image-pipeline record 1\n"
_AGAIN = "Run the earlier stages again, or take the whole folder along, as the job before wrote it."


class Seal(Value):
    """What shows that a record is as the run left it."""

    digest: Digest
    hmac: str | None = None


def take_key(environment: MutableMapping[str, str]) -> str | None:
    """Return the key of the records and remove it from the environment, which the project's own tests see.

    Raises:
        ConfigurationError: it is too short to be one.
    """
    key = environment.pop(KEY, "").strip()
    if key and len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"{KEY} has less than {SHORTEST_KEY} characters",
            advice="Make one with `openssl rand -hex 32`, and keep it as a secret of the CI host.",
        )
    return key or None


def seal(path: Path, key: str | None) -> None:
    """Write the seal of a record beside it.

    Raises:
        DiskFull: the file system has no room.
    """
    content = _canonical(path)
    made = Seal(digest=Digest.of(content), hmac=_keyed(content, key) if key else None)
    write_text(path.with_name(SEAL), made.model_dump_json() + "\n")


def require_seal(path: Path, key: str | None) -> None:
    """Compare a record with its seal; with a key, the seal has to be made with it.

    Raises:
        ConfigurationError: they do not fit, or there is no seal.
    """
    content, made = _canonical(path), _read(path.with_name(SEAL))
    if made.digest != Digest.of(content):
        raise ConfigurationError(
            f"{path} is not what the run wrote: it was changed or damaged on its way", advice=_AGAIN
        )
    if key is None and made.hmac is not None:
        raise ConfigurationError(
            f"{path} is signed, and this job has no {KEY} to compare the signature with",
            advice="Give all jobs of the delivery the same key (GitLab: is the variable protected, and this "
            "branch not?).",
        )
    if key is not None and made.hmac is None:
        raise ConfigurationError(
            f"{path} is not signed, and {KEY} is set", advice=f"Give the job before the same {KEY}."
        )
    if key is not None and not hmac.compare_digest(made.hmac or "", _keyed(content, key)):
        raise ConfigurationError(
            f"{path} is not signed with this {KEY}: it was changed, or signed with another key",
            advice="Run the earlier stages again, with the same key for all jobs.",
        )


def record_path(runs: Runs, name: str) -> Path:
    """Return the path of a record that is named by its folder, its file, or the run.

    Raises:
        ConfigurationError: there is none.
    """
    given = Path(name)
    if given.is_dir() and not (given / FILE_NAME).is_file():
        raise ConfigurationError(f"there is no {FILE_NAME} in {given}", advice=_AGAIN)
    if given.is_dir():
        return given / FILE_NAME
    return given if given.is_file() else runs.path(by_name(runs, name).run)


def sealed(runs: Runs, name: str, key: str | None) -> Record:
    """Return a record of the given name; with a key, its seal has to be made with it.

    Without a key, a record that came without its seal is taken as it is.

    Raises:
        ConfigurationError: there is none, or it does not fit its seal.
    """
    path = record_path(runs, name)
    if key is not None or path.with_name(SEAL).is_file():
        require_seal(path, key)
    return read_record(path)


def hand_over(runs: Runs, record: Record, copy: Callable[[BuiltImage, Path], None]) -> Path:
    """Put what a next job needs of a run into one folder and return it; `copy` brings the image there.

    Raises:
        DiskFull: it cannot be written.
    """
    folder = runs.folder / FOLDER
    work = runs.folder / f".{FOLDER}-{record.run}"
    made = runs.path(record.run)
    try:
        work.mkdir()
        for path in (made, made.with_name(SEAL)):
            shutil.copyfile(path, work / path.name)
        if (image := _image(record)) is not None:
            copy(image, work / IMAGE)
        for path in _lists(record):
            if (runs.cache / path).is_file():  # somebody may have emptied the cache; who needs it will say so
                (work / LISTS).mkdir(exist_ok=True)
                shutil.copyfile(runs.cache / path, work / path)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    except OSError as error:
        raise DiskFull(f"cannot write {folder}: {error.strerror}", advice="Free some disk.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def take_lists(folder: Path, record: Record, cache: Path) -> None:
    """Bring the SBOMs that came with a record into the cache; whoever reads them compares their digests.

    Raises:
        DiskFull: they cannot be written.
    """
    for path in _lists(record):
        if not (folder / path).is_file() or (cache / path).is_file():
            continue
        try:
            (cache / LISTS).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, cache / path)
        except OSError as error:
            raise DiskFull(
                f"cannot write {cache / path}: {error.strerror}", advice="Free some disk."
            ) from error


def _lists(record: Record) -> tuple[Path, ...]:
    """Return where the SBOMs of a record lie; a record from elsewhere may name any path, and gets none."""
    reports = (one for one in record.made() if isinstance(one, ScanReport))
    return tuple(one.path for report in reports for one in report.sboms if one.path.parent == Path(LISTS))


def _image(record: Record) -> BuiltImage | None:
    """Return the image where a later stage still reads it; what is pushed is in the registry."""
    made = record.made()
    if any(isinstance(one, PushedImage) for one in made):
        return None
    return next((one for one in made if isinstance(one, BuiltImage)), None)


def _canonical(path: Path) -> bytes:
    """Return the record as the same bytes, however it is laid out."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", advice=_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no record of a run: {error}", advice=_AGAIN) from error
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _read(path: Path) -> Seal:
    try:
        return Seal.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no {path}: the run was killed, or its record alone was taken along", advice=_AGAIN
        ) from error
    except (OSError, ValidationError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: it was changed or damaged", advice=_AGAIN
        ) from error


def _keyed(content: bytes, key: str) -> str:
    return hmac.new(key.encode(), _PURPOSE + content, hashlib.sha256).hexdigest()
