# about: the live tests of PyPI's azure-eventhub, from its source distribution, synchronous and asynchronous
# server: config/livetest.toml
# sources: python/livetest/sources.txt
# timeout: 900
"""azure-eventhub's own live tests; `livetest/fixtures.py` stands for the fixtures that make a namespace in Azure, and
`livetest/known.toml` lists the tests that are not expected to pass. It takes about four minutes of a machine of its own."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from lib import CONFORMANCE, out
from lib.suite import Report
from livetest.known import KNOWN

TESTS = Path(os.environ["SOURCES"]) / "azure_eventhub-5.15.1" / "tests" / "livetest"
# Nearly all of a test is sleep: many at a time do not disturb each other.
SIDE_BY_SIDE = "20"


def main():
    # The processes that run tests find the plugin by this path.
    os.environ["PYTHONPATH"] = str(CONFORMANCE / "python")
    arguments = [
        *["-p", "livetest.fixtures", "-p", "no:cacheprovider", "--rootdir", str(TESTS), "--confcutdir", str(TESTS)],
        *["--numprocesses", SIDE_BY_SIDE, "--maxschedchunk", "1", "--sleep", "False", "--tb", "short", str(TESTS)],
    ]
    # So many processes that start at once are not to starve the subject.
    os.nice(10)
    report = Report(KNOWN, os.fdopen(os.dup(sys.stdout.fileno()), "w"))
    with contextlib.redirect_stdout(sys.stderr):
        ended = pytest.main(arguments, plugins=[report])
    good = ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    out({"name": "pytest ran them all", "ok": good, "detail": repr(ended)})
    stale = KNOWN.stale(report.seconds)
    out({"name": "livetest/known.toml lists only what there is", "ok": not stale, "detail": ", ".join(stale)})
    os._exit(0)  # clients leave threads behind that would keep the process alive


main()
