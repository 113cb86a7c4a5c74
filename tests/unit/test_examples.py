"""The examples of model servers share a file, and each folder is to be copied alone."""

from pathlib import Path

SERVERS = Path(__file__).parents[2] / "examples" / "servers"


def test_the_copies_of_the_shared_file_are_the_same() -> None:
    copies = {path.read_text() for path in SERVERS.glob("*/content_type.py")}
    assert len(copies) == 1
