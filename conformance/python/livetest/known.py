"""Tests that are not expected to pass (known.toml), and what becomes of a test's end by that list."""

import tomllib
from pathlib import Path

_LIST = tomllib.loads((Path(__file__).parent / "known.toml").read_text())["test"]
ENTRIES = {entry["name"]: entry for entry in _LIST}
assert len(ENTRIES) == len(_LIST), "a test is listed twice"
assert all(entry["reason"].strip() for entry in _LIST), "an entry needs its reason"


def judge(name, ended, detail):
    """The runner's line for a test that `passed`, `failed` or was `skipped`."""
    entry = ENTRIES.get(function(name))
    if entry and ended != "passed":
        return {"note": f"{name} {ended}, as known: {entry['reason']}"}
    if entry:
        detail = f"passes, but is listed in livetest/known.toml ({entry['reason']}): drop the entry"
    elif ended == "skipped":
        detail = f"is skipped and not listed in livetest/known.toml: {detail}"
    return {"name": name, "ok": ended == "passed" and not entry, "detail": detail[:600]}


def stale(names):
    """Entries that none of these tests has."""
    return sorted(ENTRIES.keys() - {function(name) for name in names})


def function(name):
    """`file.py::test[parameters]`: the test."""
    return name.rpartition("::")[2].partition("[")[0]
