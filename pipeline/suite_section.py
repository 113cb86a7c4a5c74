"""`test:` in pipeline.yaml: the project's own tests."""

from pydantic import Field

from pipeline.section import Seconds, Section
from pipeline.variables import Variables


class SuiteSection(Section):
    """The project's own tests."""

    command: str | tuple[str, ...] = "pytest -q"
    """Command to run in the folder of pipeline.yaml, with .venv/bin first on the PATH if there is one."""
    timeout_s: Seconds = 1800
    """Time limit in seconds."""
    junit: str | None = None
    """JUnit XML file that the command writes (a glob is allowed); for pytest it comes by itself."""
    coverage: str | None = None
    """Cobertura XML file that the command writes (`pytest --cov --cov-report=xml`), for the policies."""
    environment: Variables = Field(default={})
    """Variables to set for the command."""
