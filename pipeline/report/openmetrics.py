"""What was measured as OpenMetrics text, for GitLab's metrics report and for whoever else collects numbers.

Source: OpenMetrics 1.0. Times are in seconds and sizes in bytes, as it asks. How long the stages took is left
out: it differs with every run, and GitLab shows every difference.
"""

from collections.abc import Iterable, Iterator
from functools import singledispatch

from pipeline.model import Artifact, BenchmarkReport, BuiltImage, ScanReport, Severity, SuiteReport
from pipeline.record import Record

Sample = tuple[str, float]


def metrics(record: Record) -> str | None:
    """Return the numbers of a record; None where nothing was measured."""
    families = [family for made in record.made() for family in _families(made)]
    return "".join((*families, "# EOF\n")) if families else None


@singledispatch
def _families(artifact: Artifact) -> Iterator[str]:
    del artifact
    return iter(())


@_families.register
def _(image: BuiltImage) -> Iterator[str]:
    model_bytes = sum(layer.descriptor.size_bytes for layer in image.weights)
    samples = (("part", "application", image.application_size_bytes), ("part", "model", model_bytes))
    yield _family("pipeline_image_size_bytes", "Size of the image's layers.", map(_labelled, samples))


@_families.register
def _(suite: SuiteReport) -> Iterator[str]:
    if (counts := suite.counts) is not None:
        bad = counts.failed + counts.errors
        by_outcome = {"passed": counts.passed, "failed": bad, "skipped": counts.skipped}
        samples = (("outcome", outcome, count) for outcome, count in by_outcome.items())
        yield _family("pipeline_tests", "Tests by their outcome.", map(_labelled, samples))


@_families.register
def _(scan: ScanReport) -> Iterator[str]:
    counts = dict.fromkeys(Severity, 0)
    for found in scan.vulnerabilities:
        counts[found.severity] += 1
    samples = (("severity", severity.lower(), count) for severity, count in counts.items())
    yield _family("pipeline_vulnerabilities", "Known vulnerabilities of the image.", map(_labelled, samples))


@_families.register
def _(report: BenchmarkReport) -> Iterator[str]:
    if (latency := report.latency) is not None:
        percentiles = {"0.5": latency.p50_ms, "0.95": latency.p95_ms, "0.99": latency.p99_ms}
        samples = (("quantile", share, value_ms / 1000) for share, value_ms in percentiles.items())
        about = "Latency under a steady load."
        yield _family("pipeline_server_latency_seconds", about, map(_labelled, samples))
    if (start := report.cold_start) is not None:
        first_s = start.first_answer_ms / 1000
        yield _one("pipeline_server_first_answer_seconds", "From the start to the first answer.", first_s)
    yield _one("pipeline_server_throughput_per_second", "Good answers per second.", report.throughput_rps)
    yield _one("pipeline_server_errors", "Requests without a good answer.", report.errors)
    yield _one("pipeline_server_memory_peak_bytes", "Peak memory.", report.peak_memory_bytes)


def _labelled(sample: tuple[str, str, float]) -> Sample:
    name, label, value = sample
    return f'{{{name}="{label}"}}', value


def _one(name: str, about: str, value: float) -> str:
    return _family(name, about, (("", value),))


def _family(name: str, about: str, samples: Iterable[Sample]) -> str:
    head = (f"# TYPE {name} gauge", f"# HELP {name} {about}")
    lines = (f"{name}{labels} {_number(value)}" for labels, value in samples)
    return "".join(f"{line}\n" for line in (*head, *lines))


def _number(value: float) -> str:
    """Return a number without an exponent: GitLab compares what stands there as text."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
