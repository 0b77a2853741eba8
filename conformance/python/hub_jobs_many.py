# about: a job over ten thousand devices makes its progress visible, and takes little memory
# server: none
# timeout: 240
"""Ten thousand twins change by one job; ten thousand devices that are not connected are waited for by another, and cancelled."""

import time

from lib import WORK, Scenario, equal, eventually, out
from lib.rest import hub
from lib.server import Server

DEVICES = 10_000
many = Scenario()
made = {}


def job(name):
    return hub().ok("GET", f"/jobs/v2/{name}")


def memory():
    """What the first node holds, in MB."""
    status = open(f"/proc/{made['server'].nodes[0].process.pid}/status").read()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def schedule(name, body):
    hub().ok("PUT", f"/jobs/v2/{name}", {"jobId": name, "queryCondition": "*", "maxExecutionTimeInSeconds": 600} | body)


@many.case(f"{DEVICES} devices are made", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    for first in range(0, DEVICES, 100):
        hub().ok("POST", "/devices", [{"id": f"d{number:05}", "importMode": "create"} for number in range(first, first + 100)])


@many.case("a job changes them all; its statistics grow meanwhile", needed=True)
def _():
    before, begun = memory(), time.monotonic()
    schedule("twins", {"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"a": 1}, "properties": {"desired": {"b": "x" * 200}}}})
    seen, most = set(), before

    def over():
        nonlocal most
        found, most = job("twins"), max(most, memory())
        counts = found["deviceJobStatistics"]
        seen.add((counts["deviceCount"], counts["succeededCount"]))
        return found if found["status"] == "completed" else None

    found = eventually(over, 150, "the end of the job")
    equal(found["deviceJobStatistics"], {"deviceCount": DEVICES, "failedCount": 0, "succeededCount": DEVICES, "runningCount": 0, "pendingCount": 0})
    assert len(seen) > 5, f"progress was seen {len(seen)} times"
    out({"note": f"{DEVICES} twins in {time.monotonic() - begun:.1f} s; {before} MB before, {most} MB at most"})
    rows = hub().ok("POST", "/devices/query", {"query": "SELECT status, COUNT() AS n FROM devices.jobs WHERE jobId = 'twins' GROUP BY status"})
    equal(rows, [{"status": "completed", "n": DEVICES}])


@many.case("devices that are not connected are waited for; cancelled, none is left waiting")
def _():
    before, begun = memory(), time.monotonic()
    schedule("methods", {"type": "scheduleDeviceMethod", "cloudToDeviceMethod": {"methodName": "m"}})
    eventually(lambda: job("methods")["deviceJobStatistics"]["pendingCount"] == DEVICES, 90, "all are chosen")
    hub().ok("POST", "/jobs/v2/methods/cancel")
    eventually(lambda: job("methods")["deviceJobStatistics"]["pendingCount"] == 0, 90, "the end")
    out({"note": f"{DEVICES} chosen and cancelled in {time.monotonic() - begun:.1f} s; {before} MB before, {memory()} MB after"})
    rows = hub().ok("POST", "/devices/query", {"query": "SELECT status, COUNT() AS n FROM devices.jobs WHERE jobId = 'methods' GROUP BY status"})
    equal(rows, [{"status": "canceled", "n": DEVICES}])


@many.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


many.run()
