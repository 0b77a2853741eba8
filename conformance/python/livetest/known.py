"""Tests that are not expected to pass (known.toml)."""

from pathlib import Path

from lib.suite import Known


def function(name):
    """`file.py::test[parameters]`: the test."""
    return name.rpartition("::")[2].partition("[")[0]


KNOWN = Known(Path(__file__).parent / "known.toml", function)
ENTRIES = KNOWN.entries
