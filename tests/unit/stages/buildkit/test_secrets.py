from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import Problem
from stages.buildkit.secrets import BuildSecret


def test_buildx_is_told_where_the_secret_is_and_never_what_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    secret = BuildSecret(id="token", environment="TOKEN")
    assert (str(secret), secret.value()) == ("id=token,env=TOKEN", "hunter2")
    assert "hunter2" not in repr(secret)
    file = tmp_path / 'a, "b"'
    file.write_text("hunter3")
    secret = BuildSecret(id="token", file=file)
    assert (str(secret), secret.value()) == (f'id=token,"src={tmp_path}/a, ""b"""', "hunter3")
    assert secret.check().passed


@pytest.mark.parametrize(
    "secret",
    [BuildSecret(id="token", environment="NO_SUCH_VARIABLE"), BuildSecret(id="token", file=Path("/no/such"))],
)
def test_a_missing_secret_is_a_problem_of_the_configuration(secret: BuildSecret) -> None:
    check = secret.check()
    assert check.problem is Problem.CONFIGURATION
    assert "'token' is missing" in check.found
    with pytest.raises(ConfigurationError):
        secret.value()


@pytest.mark.parametrize("options", [{}, {"environment": "A", "file": Path("a")}])
def test_a_secret_has_one_source(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="exactly one"):
        BuildSecret(id="token", **options)  # type: ignore[arg-type]  # what a careless caller passes
