"""Why Trivy could not fetch a database, from what it printed, and what helps."""

from pipeline.errors import LoginMissing, PipelineError, RemoteError, StageFailed, TemporaryRemoteError

LONGEST = 300  # characters of a cause in a message


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
    if any(
        word in words for word in ("unauthorized", "authentication required", "denied", "forbidden", " 401")
    ):
        kind = RemoteError if logged_in else LoginMissing
        return kind(
            said,
            advice=f"Run `docker login {source.partition('/')[0]}` with an account that may read it,"
            f" or correct `{setting}`.",
        )
    if any(
        word in words for word in ("manifest_unknown", "manifest unknown", "name_unknown", "not found", "404")
    ):
        return RemoteError(said, advice=f"There is nothing of that name: correct `{setting}`.")
    if any(
        word in words for word in ("gzip", "unexpected eof", "untar", "tar:", "decompress", "invalid header")
    ):
        return StageFailed(
            said, advice="What the repository holds is damaged: push the database there again.", tail=output
        )
    if timed_out or any(word in words for word in ("timeout", "deadline", "temporar", "too many", " 50")):
        return TemporaryRemoteError(
            said, advice="The repository is slow or overloaded: try again, or raise `scan.timeout_s`."
        )
    return RemoteError(
        said,
        advice=f"Is the repository reachable from here? Name a mirror in `{setting}`;"
        " on a machine without network set `scan.database.update: false` and fill the cache before.",
    )


def _cause(output: str) -> str:
    """Return the end of Trivy's last error: it puts the cause behind everything that it was doing."""
    lines = output.splitlines() or ["it said nothing"]
    begin = max((number for number, line in enumerate(lines) if "\tFATAL\t" in line), default=-1)
    said = " ".join(line.split("\t")[-1].strip() for line in lines[begin:] if line.strip())
    return said if len(said) <= LONGEST else f"…{said[-LONGEST:]}"
