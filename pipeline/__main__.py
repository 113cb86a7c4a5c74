"""`python -I -m pipeline` and the command `pipeline`."""

import sys

from pipeline import cli


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
