# about: the tests of PyPI's azure-digitaltwins-core, from its source distribution, synchronous and asynchronous
# sources: python/twins_sdk/sources.txt
# timeout: 400
"""azure-digitaltwins-core's own tests, live; `cases/adt-sdk-shim` of $SHARED_DIR stands for the test utilities that are not on PyPI,
and `twins_sdk/known.toml` lists the tests that are not expected to pass. Each test empties the instance for itself: one after the
other."""

import contextlib
import os
import sys
from pathlib import Path

import pytest

from lib import CONFORMANCE, connections, out
from lib.rest import bearer
from lib.suite import Known, Report

TESTS = Path(os.environ["SOURCES"]) / "azure_digitaltwins_core-1.3.0" / "tests"
SHIM = Path(os.environ.get("SHARED_DIR", "/nonexistent")) / "cases/adt-sdk-shim"
ALL = 176


def main():
    known = Known(CONFORMANCE / "python/twins_sdk/known.toml", lambda name: f"{name.partition('::')[0]}::{name.rpartition('::')[2]}")
    sys.path.insert(0, str(SHIM))
    os.environ["AZURE_DIGITALTWINS_URL"] = connections()["twins"][0]["url"]
    os.environ["ADT_TOKEN"] = bearer().removeprefix("Bearer ")
    arguments = [
        *["-p", "accept_conftest", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"],
        *["--rootdir", str(TESTS), "--confcutdir", str(TESTS), "--tb", "short", str(TESTS)],
    ]
    report = Report(known, os.fdopen(os.dup(sys.stdout.fileno()), "w"))
    with contextlib.redirect_stdout(sys.stderr):
        ended = pytest.main(arguments, plugins=[report])
    good = ended in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and len(report.seconds) == ALL
    out({"name": f"pytest ran all {ALL}", "ok": good, "detail": f"{ended!r}, {len(report.seconds)} tests"})
    stale = known.stale(report.seconds)
    out({"name": f"{known.path} lists only what there is", "ok": not stale, "detail": ", ".join(stale)})


if SHIM.is_dir():
    main()
else:
    out({"name": "the tests of azure-digitaltwins-core", "skip": f"no test utilities at {SHIM}: set SHARED_DIR"})
