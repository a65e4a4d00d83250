"""`kh` within the process of the test."""

import sys

import pytest

from kh_cli.app import run as main


@pytest.fixture
def kh_here(monkeypatch, capsys):
    """Run a command; its exit code, and what it printed on stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kh", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run
