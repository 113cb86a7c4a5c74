"""Exit codes are a contract with every script that calls us."""

from pipeline import errors
from pipeline.parser import EPILOG

CODES = {
    "StageFailed": 1,
    "ConfigurationError": 2,
    "PolicyRefused": 3,
    "ToolMissing": 4,
    "RemoteError": 5,
    "DiskFull": 6,
    "TagConflict": 7,
    "NotVerified": 9,
    "InternalError": 70,
    "Interrupted": 130,
}


def test_every_error_has_its_own_exit_code() -> None:
    direct = errors.PipelineError.__subclasses__()
    assert {kind.__name__: kind.exit_code for kind in direct} == CODES


def test_a_refused_manifest_has_a_code_of_its_own_and_is_a_matter_of_configuration() -> None:
    assert errors.ManifestRefused.exit_code == 8
    assert issubclass(errors.ManifestRefused, errors.ConfigurationError)
    assert "8 a manifest" in EPILOG


def test_a_temporary_error_ends_with_the_code_of_its_kind() -> None:
    assert errors.TemporaryRemoteError.exit_code == errors.RemoteError.exit_code


def test_the_help_names_every_exit_code() -> None:
    for code in CODES.values():
        assert f"{code} " in EPILOG


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for name, code in CODES.items():
        assert any(name in line and f" {code} " in line for line in errors.__doc__.splitlines())
