"""A load needs more open files than a process usually may have."""

import subprocess
import sys

PROBE = """
import resource
from stages.load.open_files import many_open_files
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
with many_open_files():
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_is_raised_as_far_as_it_may_go_and_put_back() -> None:
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert probe.stdout.splitlines() == ["(4096, 4096)", "(64, 4096)"]
