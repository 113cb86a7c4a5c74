"""What a reviewer reads of the difference to the deployed image."""

from pipeline.model import Baseline, ScanReport, Severity
from pipeline.reference import Digest
from pipeline.report.markdown import comment, summary
from pipeline.report.phrases import describe
from tests.unit.pipeline.report.test_markdown import NASTY, PATH, record, stage
from tests.unit.policies.evidence import image, scan, vulnerability

DEPLOYED = Digest.of(b"deployed")


def told(report: ScanReport) -> str:
    text = comment(record(stage("build", image()), stage("scan", report)), PATH)
    assert text.partition("**New since")[2].partition("<sub>")[0] in summary(
        record(stage("build", image()), stage("scan", report)), PATH
    )
    return text


def test_new_and_gone_findings_and_the_size() -> None:
    size_bytes = image().size_bytes - 1_000_000
    stays, comes, worse, goes = (
        vulnerability(name, severity)
        for name, severity in zip(
            ("CVE-STAYS", "CVE-COMES", "CVE-WORSE", "CVE-GOES"),
            (Severity.LOW, Severity.LOW, Severity.CRITICAL, Severity.HIGH),
            strict=True,
        )
    )
    baseline = Baseline(
        reference=f"a/b:1@{DEPLOYED}", how="sbom", vulnerabilities=(stays, goes), size_bytes=size_bytes
    )
    elsewhere = comes.model_copy(update={"target": "another/folder"})
    report = scan(stays, comes, elsewhere, worse).model_copy(update={"baseline": baseline})
    text = told(report)
    assert f"**New since what is deployed (<code>{baseline.name}</code>):** 2 findings; 1 gone; " in text
    assert "(+1.0 MB), compressed" in text
    news = text.partition("**New since")[2]
    assert news.index("CRITICAL CVE-WORSE") < news.index("LOW CVE-COMES")
    assert news.count("CVE-COMES") == 1
    assert "- gone: CVE-GOES in PyYAML" in news
    assert "CVE-STAYS" not in news
    assert f"2 new since {baseline.name}" in describe(report)


def test_unknown_is_said_with_the_reason_and_hostile_words_are_words() -> None:
    text = told(scan().model_copy(update={"baseline_missing": f"nothing stands there {NASTY}"}))
    assert "**New since what is deployed:** unknown, so every finding counts as new." in text
    assert "<img" not in text
    assert "@everyone" not in text
    hostile = vulnerability(NASTY, Severity.HIGH, package=NASTY)
    baseline = Baseline(reference=f"a/b@{DEPLOYED}", how="scan")
    text = told(scan(hostile).model_copy(update={"baseline": baseline}))
    assert "<img" not in text
    assert "; its size is unknown" in text


def test_many_new_ones_are_counted_and_nobody_asked_is_nothing() -> None:
    many = [vulnerability(f"CVE-{number}", Severity.LOW) for number in range(25)]
    baseline = Baseline(reference=f"a/b@{DEPLOYED}", how="scan", size_bytes=image().size_bytes)
    text = told(scan(*many).model_copy(update={"baseline": baseline}))
    assert "25 findings; none gone; its size stays" in text
    assert "- and 5 more, which the record has" in text
    assert "New since" not in told(scan())
