from pathlib import Path

import pytest

from stages.buildkit.dockerignore import Ignored
from stages.buildkit.transfer import transferred_bytes

EVERYTHING = "FROM scratch\nCOPY . /app\n"
FILES = {
    "app.py": 1,
    "src/a.py": 10,
    "src/deep/b.py": 100,
    "data/big.bin": 1000,
    "node/__pycache__/c.pyc": 10_000,
    ".git/pack": 100_000,
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name, size_bytes in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size_bytes))
    return tmp_path


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [
        ("", 111_111),
        ("# all of it\n\n.git\n", 11_111),
        ("*\n!src", 110),
        ("*\n!src\nsrc/deep", 10),
        ("*\n!src/deep/*.py\n", 100),
        ("**/__pycache__\n/.git/\n", 1_111),
        ("**/*.p?c\n.git", 1_111),
        ("src/**/b.py\n.git", 11_011),
        ("[ad]*\n.git", 10_110),
        ("data/[^x]ig.bin\n.git", 10_111),
        ("\\.git", 11_111),
        ("*\n", 0),
        (".", 111_111),
    ],
)
def test_what_dockerignore_leaves_out_is_not_counted(context: Path, ignore: str, expected: int) -> None:
    assert transferred_bytes(context, EVERYTHING, ignore) == expected


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("COPY . /app", 111_111),
        ("ADD ./ /app", 111_111),
        ("COPY --chmod=755 app.py /app/", 1),
        ("COPY app.py src \\\n  /app/", 111),
        ('COPY ["app.py", "/data", "/app/"]', 1001),
        ("COPY --from=other . /app", 0),
        ("ADD https://example.com/x.tar /", 0),
        ("COPY *.py /app/", 111_111),
        ("COPY ${DIR} /app/", 111_111),
        ("COPY <<EOF /app/x\n. /\nEOF", 0),
        ("RUN --mount=type=bind,source=data,target=/data true", 1000),
        ("RUN --mount=type=cache,target=/root/.cache true", 0),
        ("RUN --mount=target=/src true", 111_111),
        ("RUN --mount=from=other,source=/x,target=/y true", 0),
        ("ONBUILD COPY src /src", 110),
        ("RUN echo COPY . /app", 0),
    ],
)
def test_only_what_the_dockerfile_names_is_counted(context: Path, dockerfile: str, expected: int) -> None:
    assert transferred_bytes(context, f"FROM base\n{dockerfile}\n", "") == expected


def test_weights_and_records_are_left_out(context: Path) -> None:
    left_out = [context / "data", context / ".git"]
    assert transferred_bytes(context, EVERYTHING, "", left_out) == 10_111


def test_a_folder_is_passed_over_only_where_nothing_in_it_comes_back() -> None:
    ignored = Ignored.of("*\n!a/b/c\n")
    assert ignored.leaves_out_all_of("x")
    assert not ignored.leaves_out_all_of("a")
    assert not ignored.leaves_out("a/b/c/d")
    assert not Ignored.of("x\n!**/y").leaves_out_all_of("x")
