"""What every Python scenario shares: the cases, the subject's addresses, waiting for a condition."""

import json
import os
import sys
import time
import traceback
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("WORK_DIR", "."))
THERMOSTAT = "dtmi:contosocom:DigitalTwins:Thermostat;2"
SPACE = "dtmi:contosocom:DigitalTwins:Space;1"


def out(line, to=None):
    """One line of JSON for the runner; `to` is what stdout was, where something else prints there meanwhile."""
    print(json.dumps(line), file=to, flush=True)


class Scenario:
    """Collects cases in the order they are written and runs them; each prints its line.

    A case that is marked `needed` stops the scenario when it fails: the later ones count as failed, not as never written.
    """

    def __init__(self):
        self._cases = []

    def case(self, name, needed=False):
        def add(run):
            self._cases.append((name, run, needed))
            return run

        return add

    def each(self, rows, name):
        """One case per row: `name` is a format with the row's first column; the row is the arguments."""

        def add(run):
            for row in rows:
                self._cases.append((name.format(row[0]), lambda row=row: run(*row), False))
            return run

        return add

    def run(self):
        broken = None
        for name, run, needed in self._cases:
            if broken:
                out({"name": name, "ok": False, "detail": f"not reached: `{broken}` failed"})
                continue
            try:
                detail = run()
                out({"name": name, "ok": True, "detail": str(detail or "")})
            except Exception as error:  # whatever a client throws is the case's failure
                traceback.print_exc()
                out({"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"[:600]})
                broken = name if needed else None
        sys.stdout.flush()
        os._exit(0)  # clients leave threads behind that would keep the process alive


def connections():
    """The subject: the content of its connections.json."""
    return json.loads(Path(os.environ["CONNECTIONS"]).read_text())


def models_folder():
    """The sample's models where they are at hand, else ours, which say the same."""
    shared = os.environ.get("SHARED_DIR")
    sample = Path(shared) / "models" / "sample" if shared else None
    return sample if sample and sample.is_dir() else CONFORMANCE / "models"


def models():
    return [json.loads(path.read_text(encoding="utf-8-sig")) for path in sorted(models_folder().glob("*.json"))]


def eventually(condition, seconds=15, what="the condition"):
    """Asks until `condition()` is true and returns what it said; fails when the time is over.

    An exception counts as "not yet", and is told at the end. The pause between two questions is short and no promise.
    """
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s; last: {last!r}")
        time.sleep(0.05)


def equal(got, want, what="value"):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def refuses(action, *, kinds=(Exception,), status=None, says=None):
    """Runs `action`, which must raise; returns the error. `status` is compared with the HTTP status the error carries."""
    try:
        result = action()
    except kinds as error:
        if status is not None:
            response = getattr(error, "response", None)
            got = getattr(error, "status_code", None) or getattr(response, "status_code", None)
            equal(got, status, f"status of {error}")
        if says is not None:
            assert says in str(error), f"the error does not say {says!r}: {error}"
        return error
    raise AssertionError(f"it was accepted: {result!r}")
