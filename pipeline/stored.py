"""What recorded runs have made, found by the run's name, its file, or the digest of the image."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Artifact, BuiltImage, Check, ManifestUpdate, PushedImage, Source
from pipeline.record import Record, Runs, read_record
from pipeline.reference import Digest

LATEST = "latest"
_WHERE = (
    "Take the run's folder below .pipeline/runs along (as an artifact of the CI job that delivered it), or "
    "name its record.json."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A stage whose result is a stored one, so that it can be judged again under other policies."""

    name: str
    gives: type[Artifact]
    made: Artifact

    @property
    def needs(self) -> tuple[type[Artifact], ...]:
        """Nothing: the work was done before."""
        return ()

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return nothing: there is nothing to miss."""
        return ()

    def identity(self, have: Artifacts) -> None:
        """Return nothing: it is never taken from yet another run."""

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        """Return what was stored."""
        return self.made


def by_name(runs: Runs, name: str | None) -> Record:
    """Return the record of a run, by its file or the beginning of its name; the newest for `latest` or none.

    Raises:
        ConfigurationError: there is none, or the names of several begin so.
    """
    if name is not None and Path(name).is_file():
        return read_record(Path(name))
    if name == LATEST:
        name = None
    names = runs.names()
    if not names:
        raise ConfigurationError(f"there is no run below {runs.runs}", advice="Run `pipeline run` first.")
    found = names[:1] if name is None else _called(name, names)
    if not found:
        raise ConfigurationError(
            f"there is no run called {name!r}", advice=f"The newest are {', '.join(names[:5])}."
        )
    if name is not None and len(found) > 1:
        raise _several(name, found)
    return read_record(runs.path(found[0]))


def delivery(runs: Runs, name: str) -> Record:
    """Return the record of a run that pushed an image, named as above; runs that pushed none are not meant.

    Raises:
        ConfigurationError: there is none, or several begin so and pushed different images.
    """
    if Path(name).is_file():
        return by_name(runs, name)
    found: dict[str, Record] = {}
    for known in runs.names() if name == LATEST else _called(name, runs.names()):
        with contextlib.suppress(ConfigurationError):  # of another version of the pipeline
            record = read_record(runs.path(known))
            if (image := pushed(record)) is not None and image.references:
                found.setdefault(image.digest, record)
    if len(found) > 1 and name != LATEST:
        raise _several(name, [record.run for record in found.values()])
    return next(iter(found.values()), None) or by_name(runs, name)


def _called(name: str, names: Sequence[str]) -> Sequence[str]:
    return [name] if name in names else [known for known in names if known.startswith(name)]


def _several(name: str, found: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"the names of {len(found)} runs begin with {name!r}: {', '.join(found[:5])}",
        advice="Write more of the name.",
    )


def digest_of(text: str | None) -> Digest | None:
    """Return the digest that somebody has named; None where the words mean a run.

    Raises:
        ConfigurationError: it is the beginning of a digest only.
    """
    if text is None or not text.startswith("sha256:"):
        return None
    try:
        return Digest(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r}: a digest is sha256: and 64 digits",
            advice="Give the whole digest, as `pipeline show RUN` prints it, or the name of the run.",
        ) from error


def by_digest(runs: Runs, digest: Digest) -> Record | None:
    """Return the newest record of a run that pushed this image; None where no run is known."""
    for name in runs.names():
        with contextlib.suppress(ConfigurationError):  # of another version of the pipeline
            record = read_record(runs.path(name))
            image = pushed(record)
            if image is not None and image.references and image.digest == digest:
                return record
    return None


def pushed(record: Record) -> PushedImage | None:
    """Return what a run has pushed."""
    return next((made for made in record.made() if isinstance(made, PushedImage)), None)


def require_pushed(record: Record) -> PushedImage:
    """Return what a run has pushed.

    Raises:
        ConfigurationError: it has pushed nothing to a registry.
    """
    image = pushed(record)
    if image is None or not image.references:
        raise ConfigurationError(
            f"the run {record.run} has pushed nothing to a registry", advice="Name another run."
        )
    return image


def newest_image(runs: Runs) -> tuple[Source, PushedImage]:
    """Return the newest image of the recorded runs, pushed or only built, and its commit.

    Raises:
        ConfigurationError: no run has built one.
    """
    for name in runs.names():
        with contextlib.suppress(ConfigurationError):
            record = read_record(runs.path(name))
            if record.source is not None and (image := image_of(record)) is not None:
                return record.source, image
    raise ConfigurationError(
        f"no run below {runs.runs} has built an image",
        advice="Run `pipeline run --dry-run` first, or name a run: `pipeline diff --run RUN`.",
    )


def image_of(record: Record) -> PushedImage | None:
    """Return what a run has pushed, or would push of what it has built."""
    built = next((made for made in record.made() if isinstance(made, BuiltImage)), None)
    if (image := pushed(record)) is not None or built is None:
        return image
    return PushedImage(name=built.name, tag=built.tag, digest=built.digest)


def evidence(record: Record | None, digest: Digest) -> tuple[Recorded, ...]:
    """Return what a run found out about an image, stage by stage.

    Raises:
        ConfigurationError: there is no record, or what it tells is of another digest.
    """
    if record is None or record.source is None:
        raise ConfigurationError(
            f"no record tells how {digest} was tested, scanned and measured, so it cannot be judged",
            advice=f"{_WHERE} `pipeline promote --record FILE` reads it.",
        )
    stages = tuple(_recorded(record))
    for stage in stages:
        of = getattr(stage.made, "digest", digest)
        if of != digest:
            raise ConfigurationError(
                f"the record {record.run} is of another image: its {stage.name} is of {of}, and {digest} is "
                "deployed",
                advice=_WHERE,
            )
    if not any(isinstance(stage.made, PushedImage) for stage in stages):
        raise ConfigurationError(f"the run {record.run} has pushed nothing", advice=_WHERE)
    return stages


def _recorded(record: Record) -> Iterator[Recorded]:
    for stage in record.stages:
        made = stage.made()
        if made is not None and not isinstance(made, ManifestUpdate):
            yield Recorded(name=stage.name, gives=type(made), made=made)
