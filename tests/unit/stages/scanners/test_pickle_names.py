"""The list of names that pickles may import, held against the libraries as they are installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from stages.scanners.model_files.pickle_globals import judge

ROOT = Path(__file__).parents[4]
BORROWED = """
import importlib, pkgutil
from stages.scanners.model_files.pickle_globals import judge

OWN = {"SuperLU"}  # says that it is one of the builtins
LEFT_OUT = {"tests", "conftest", "externals", "__main__", "datasets"}
for root in ("sklearn", "scipy.sparse", "scipy.interpolate", "scipy.spatial", "pandas.core.arrays"):
    package = importlib.import_module(root)
    for found in pkgutil.walk_packages(package.__path__, f"{root}.", onerror=lambda name: None):
        if LEFT_OUT & set(found.name.split(".")):
            continue
        try:
            module = importlib.import_module(found.name)
        except Exception:  # it wants something that is not installed
            continue
        for name, value in vars(module).items():
            home = str(getattr(value, "__module__", None))
            real = str(getattr(value, "__qualname__", name))
            told = real not in OWN and callable(value) and judge(found.name, name) == "listed"
            if told and judge(home, real) == "dangerous":
                print(f"listed: {found.name}.{name} is {home}.{real}")
"""


@pytest.mark.timeout(240)
def test_no_listed_name_is_a_dangerous_one_of_somebody_else() -> None:
    """A library's module may import what opens connections, and a pickle could take it from there."""
    command = [sys.executable, "-W", "ignore", "-c", BORROWED]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert [line for line in outcome.stdout.splitlines() if line.startswith("listed: ")] == []


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("sklearn.callback._transport", "Client", "unlisted"),
        ("sklearn.ensemble._forest", "Parallel", "unlisted"),
        ("lightgbm.compat", "Client", "unlisted"),
        ("lightgbm.compat", "_LGBMLabelEncoder", "listed"),
        ("sklearn.ensemble._forest", "RandomForestClassifier", "listed"),
        ("commands", "getoutput", "dangerous"),
    ],
)
def test_names(module: str, name: str, expected: str) -> None:
    assert judge(module, name) == expected
