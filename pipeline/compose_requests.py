"""The requests of the benchmark, of the configuration."""

from pathlib import Path

from pipeline.benchmark_section import BenchmarkSection
from pipeline.errors import ConfigurationError
from stages.servers.payloads import RequestFile, Requests


def requests_of(section: BenchmarkSection, root: Path) -> Requests:
    """Return the files with requests, which are named relative to `root`.

    Raises:
        ConfigurationError: an expected answer belongs to no request.
    """
    if section.request is None or isinstance(section.request, Path):
        return None if section.request is None else root / section.request
    if section.expect is not None:
        raise ConfigurationError(
            "`benchmark.expect` stands beside a list of requests, and belongs to none of them",
            advice="Move it into the list: `- {file: request.json, expect: answer.json}`.",
        )
    return tuple(
        RequestFile(
            path=root / each.file,
            weight=each.weight,
            expect=None if each.expect is None else root / each.expect,
        )
        for each in section.request
    )
