"""Tests of somebody else's, run by pytest as they are: one case per test, and a list of those that are not expected to pass."""

import tomllib

from . import out


class Known:
    """A known.toml: `[[test]]` with `name` and `reason`. `name_of` makes a test's name in it from pytest's."""

    def __init__(self, path, name_of):
        listed = tomllib.loads(path.read_text()).get("test", [])
        self.path, self.name_of = f"{path.parent.name}/{path.name}", name_of
        self.entries = {entry["name"]: entry for entry in listed}
        assert len(self.entries) == len(listed), "a test is listed twice"
        assert all(entry["reason"].strip() for entry in listed), "an entry needs its reason"

    def judge(self, name, ended, detail):
        """The runner's line for a test that `passed`, `failed` or was `skipped`."""
        entry = self.entries.get(self.name_of(name))
        if entry and ended != "passed":
            return {"note": f"{name} {ended}, as known: {entry['reason']}"}
        if entry:
            detail = f"passes, but is listed in {self.path} ({entry['reason']}): drop the entry"
        elif ended == "skipped":
            detail = f"is skipped and not listed in {self.path}: {detail}"
        return {"name": name, "ok": ended == "passed" and not entry, "detail": detail[:600]}

    def stale(self, names):
        """Entries that none of these tests has."""
        return sorted(self.entries.keys() - {self.name_of(name) for name in names})


class Report:
    """A pytest plugin that prints a case per test when its last part is over. pytest's own words go to the script's log."""

    def __init__(self, known, to):
        self.known, self.to = known, to
        self.failed, self.skipped, self.seconds = {}, {}, {}

    def pytest_runtest_logreport(self, report):
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0) + getattr(report, "duration", 0)
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message if crash else report.longreprtext
            self.failed.setdefault(name, f"{report.when}: {text}")
        if report.skipped:
            self.skipped[name] = report.longrepr[2].removeprefix("Skipped: ")
        # A test whose process died has no parts.
        if report.when in ("teardown", "???"):
            out(self._line(name), self.to)

    def _line(self, name):
        if name in self.failed:
            return self.known.judge(name, "failed", self.failed[name])
        if name in self.skipped:
            return self.known.judge(name, "skipped", self.skipped[name])
        return self.known.judge(name, "passed", f"{self.seconds[name]:.0f} s")
