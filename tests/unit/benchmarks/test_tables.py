"""The tables, and the document that they are put into."""

from pathlib import Path

from benchmarks.tables import BEGIN, END, markdown, write_into
from tests.unit.benchmarks.reports import left_out, report, sample


def row(text: str, peer: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| `{peer}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_tells_median_span_and_ratios() -> None:
    measures = sample("docker", 4), sample("docker", 6), sample("docker", 5)
    text = markdown(report(sample("pipeline", 2), sample("curl", 1), *measures))
    assert row(text, "docker")[1:5] == ["5.00 (4.00-6.00)", "2.50", "5.00", "0.001"]
    assert row(text, "docker")[-1] == "3"


def test_who_was_left_out_is_in_the_table_with_the_reason() -> None:
    text = markdown(report(sample("pipeline", 2), left_out("skopeo", "left out: about 170 s expected")))
    assert row(text, "skopeo")[1] == "left out: about 170 s expected"


def test_who_was_measured_once_is_marked() -> None:
    text = markdown(report(sample("skopeo", 50), left_out("skopeo", "once only: it takes longer than 45 s")))
    assert row(text, "skopeo")[-1] == "1 (once only)"


def test_of_a_pull_the_bytes_that_came_count() -> None:
    text = markdown(report(sample("docker", 5, scenario="pull (classic)")))
    assert row(text, "docker")[4] == "0.000"  # 10 bytes came, 1000 were sent


def test_only_what_is_between_the_marks_is_written_anew(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n")
    write_into(document, "new\n")
    assert document.read_text() == f"# Before\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter\n"


def test_without_a_document_there_is_one_of_tables(tmp_path: Path) -> None:
    write_into(tmp_path / "tables.md", "new")
    assert (tmp_path / "tables.md").read_text() == f"{BEGIN}\n\nnew\n\n{END}\n"
