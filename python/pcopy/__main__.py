"""The command: ``python -m pcopy SOURCE DEST``."""

import sys

from . import _pcopy


def main() -> None:
    """Runs the command with the words of ``sys.argv`` and ends the process."""
    sys.exit(_pcopy.command(["pcopy", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
