"""Evidence that passes everything; each test changes what it is about."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipeline.model import (
    BaseImage,
    BenchmarkReport,
    BuiltImage,
    CaseCounts,
    ColdStart,
    Descriptor,
    Latency,
    ModelFile,
    ModelFilesReport,
    ModelLayer,
    PlatformImage,
    ScanReport,
    Severity,
    SuiteReport,
    Tool,
    Unjudged,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.reference import Digest, Tag

SCANNED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = date(2026, 11, 20)
MEBIBYTE = 1024 * 1024
PINNED = BaseImage(name="python:3.12-slim", digest=Digest.of(b"base"))


def suite(passed: int = 3, failed: int = 0, skipped: int = 0, exit_code: int = 0) -> SuiteReport:
    counts = CaseCounts(
        total=passed + failed + skipped, passed=passed, failed=failed, errors=0, skipped=skipped
    )
    return SuiteReport(
        command=("pytest",), exit_code=exit_code, duration_s=1, counts=counts, finished_at=SCANNED_AT
    )


def descriptor(text: str, size_bytes: int) -> Descriptor:
    return Descriptor(
        media_type="application/octet-stream", digest=Digest.of(text.encode()), size_bytes=size_bytes
    )


def image(
    user: str = "10001", dirty: bool = False, base: BaseImage | None = PINNED, layers: int = 2
) -> BuiltImage:
    weights = descriptor("weights", 100 * MEBIBYTE)
    return BuiltImage(
        name="digits",
        tag=Tag("1"),
        digest=Digest.of(b"manifest"),
        media_type="application/vnd.oci.image.manifest.v1+json",
        layout=Path("layout"),
        platforms=(
            PlatformImage(
                platform="linux/amd64",
                manifest=descriptor("manifest", 500),
                config=descriptor("config", 500),
                application_layers=tuple(descriptor(f"layer {n}", 10 * MEBIBYTE) for n in range(layers)),
                user=user,
                base_created=SCANNED_AT - timedelta(days=10),
            ),
        ),
        model_layers=(
            ModelLayer(
                descriptor=weights,
                source="/model",
                path="/models/digits",
                files=(ModelFile(path="m", size_bytes=1, digest=Digest.of(b"m")),),
            ),
        ),
        base=base,
        revision="a" * 40,
        dirty=dirty,
        created=SCANNED_AT,
        builder=Tool(name="buildx", version="1"),
    )


def vulnerability(
    name: str, severity: Severity, package: str = "PyYAML", fixed: str | None = "5.4", target: str = ""
) -> Vulnerability:
    return Vulnerability(
        id=name,
        package=package,
        installed_version="5.3",
        fixed_version=fixed,
        severity=severity,
        target=target,
    )


def scan(
    *found: Vulnerability, updated_at: datetime = SCANNED_AT, unjudged: tuple[Unjudged, ...] = ()
) -> ScanReport:
    return ScanReport(
        digest=Digest.of(b"manifest"),
        scanner=Tool(name="trivy", version="0.76.0"),
        scanned_at=SCANNED_AT,
        database=VulnerabilityDatabase(
            repository="localhost:5001/trivy-db:2", schema_version=2, updated_at=updated_at
        ),
        packages=7,
        vulnerabilities=found,
        unjudged=unjudged,
        model_files=ModelFilesReport(scanners=(), files=()),
    )


def benchmark(errors: int = 0, answered: bool = True, invalid: tuple[str, ...] = ()) -> BenchmarkReport:
    latency = Latency(p50_ms=5, p95_ms=20, p99_ms=40, max_ms=50, mean_ms=6)
    return BenchmarkReport(
        digest=Digest.of(b"manifest"),
        protocol="v2",
        rate_rps=20,
        duration_s=10,
        warmup_requests=0,
        cold_start=ColdStart(port_open_ms=500, ready_ms=800, first_answer_ms=900),
        requests=200,
        errors=errors,
        error_samples=("503 overloaded",) if errors else (),
        throughput_rps=19.9,
        latency=latency if answered else None,
        send_lag_p99_ms=1,
        generator_cpu=0.1,
        peak_memory_bytes=300 * MEBIBYTE,
        memory_source="cgroup v2",
        finished_at=SCANNED_AT,
        invalid=invalid,
    )
