"""How an edit is refused: always with the file, the line and what to do."""

from pipeline.errors import ManifestRefused


def refusal(path: str, line: int | None, message: str, *, advice: str) -> ManifestRefused:
    """Return the error that says why a manifest is left as it is."""
    where = f"{path}:{line}" if line is not None else path
    return ManifestRefused(f"{where} {message}", advice=advice)
