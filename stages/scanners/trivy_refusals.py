"""Why Trivy could not fetch a database, or look into an image, from what it printed, and what helps."""

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import LoginMissing, PipelineError, RemoteError, StageFailed, TemporaryRemoteError
from pipeline.process import Outcome

LONGEST = 300  # characters of a cause in a message
_FORBIDDEN = ("unauthorized", "authentication required", "denied", "forbidden")
_UNKNOWN = ("manifest_unknown", "manifest unknown", "name_unknown", "not found")
_BUSY = ("timeout", "deadline", "temporar", "too many")
_DAMAGED = (
    *("gzip", "unexpected eof", "untar", "tar:", "decompress", "invalid header"),
    *("error verifying", "does not match expected size", "does not match requested digest"),
)


def refusal(  # noqa: PLR0913 - each is said in the message, or decides it
    source: str,
    output: str,
    *,
    timed_out: bool,
    logged_in: bool = True,
    what: str = "the vulnerability database",
    setting: str = "scan.database.repositories",
) -> PipelineError:
    """Return the error for a database that could not be fetched, by what Trivy said."""
    cause = _cause(output)
    said = f"{what} could not be fetched from {source}: {cause}"
    words = cause.lower()
    if any(word in words for word in _FORBIDDEN) or _has_status(words, "401"):
        kind = RemoteError if logged_in else LoginMissing
        return kind(
            said,
            advice=f"Run `docker login {source.partition('/')[0]}` with an account that may read it,"
            f" or correct `{setting}`.",
        )
    if any(word in words for word in _UNKNOWN) or _has_status(words, "404"):
        return RemoteError(said, advice=f"There is nothing of that name: correct `{setting}`.")
    if any(word in words for word in _DAMAGED):
        return StageFailed(
            said, advice="What the repository holds is damaged: push the database there again.", tail=output
        )
    if timed_out or any(word in words for word in _BUSY) or _has_status(words, r"50\d"):
        return TemporaryRemoteError(
            said, advice="The repository is slow or overloaded: try again, or raise `scan.timeout_s`."
        )
    return RemoteError(
        said,
        advice=f"Is the repository reachable from here? Name a mirror in `{setting}`;"
        " on a machine without network set `scan.database.update: false` and fill the cache before.",
    )


def _has_status(words: str, status: str) -> bool:
    """Tell whether an HTTP status is named; digits within a temporary file's name or a digest are none."""
    return re.search(rf"(?<![\w/.-]){status}(?![\w/-])", words) is not None


def joined(failed: Sequence[PipelineError]) -> PipelineError:
    """Return one error for a repository and its mirrors, of the kind of the first."""
    first = failed[0]
    if len(failed) == 1:
        return first
    return type(first)("\n  ".join(error.message for error in failed), advice=first.advice)


def lacks_index(outcome: Outcome) -> bool:
    """Tell whether a scan ended because the index of JARs could not be had."""
    return not outcome.succeeded and "Unable to initialize the Java DB" in outcome.stderr


def failure(
    outcome: Outcome, cache: Path, timeout_s: float, java_source: str, *, logged_in: bool = True
) -> PipelineError:
    """Return the error for a scan that did not come to its end."""
    tail = outcome.stderr[-4000:]
    if lacks_index(outcome):
        return _java_failure(tail, cache, java_source, logged_in=logged_in)
    if outcome.timed_out or "deadline exceeded" in tail:
        return StageFailed(
            f"Trivy was stopped: it took longer than {timeout_s:g} s",
            advice="Raise `scan.timeout_s`.",
            tail=tail,
        )
    if "DB error" in tail or "failed to open db" in tail:
        return StageFailed(
            "Trivy cannot read its vulnerability database: it is damaged",
            advice=f"Remove {cache / 'db'} and run again.",
            tail=tail,
        )
    return StageFailed(
        f"Trivy ended with exit code {outcome.exit_code}",
        advice="Its last lines say why; nothing is known about the image.",
        tail=tail,
    )


def _java_failure(tail: str, cache: Path, source: str, *, logged_in: bool) -> PipelineError:
    if "cannot be specified on the first run" in tail:
        return StageFailed(
            f"the image has JAR files, and {cache / 'java-db'} holds no index that tells what they are",
            advice="Set `scan.database.update: true`; or fill that folder before the run"
            " (`trivy image --download-java-db-only`).",
            tail=tail,
        )
    return refusal(
        source,
        tail,
        timed_out=False,
        logged_in=logged_in,
        what="the image has JAR files, and the index that tells what they are",
        setting="scan.database.java_repositories",
    )


def _cause(output: str) -> str:
    """Return the end of Trivy's last error: it puts the cause behind everything that it was doing."""
    lines = output.splitlines() or ["it said nothing"]
    begin = max((number for number, line in enumerate(lines) if "\tFATAL\t" in line), default=-1)
    said = " ".join(line.split("\t")[-1].strip() for line in lines[begin:] if line.strip())
    return said if len(said) <= LONGEST else f"…{said[-LONGEST:]}"
