# about: kill -9 while jobs run: each twin changes once, no device is asked twice, every job comes to its end
# server: none
# timeout: 240
"""Jobs over twins and methods while the server is killed again and again.

Where there are several nodes one is killed at a time, and all of them at the end. Devices answer methods and note what they were
asked. At the end every job is over, each twin was changed once by each job, no
device was asked twice by one, and what the rows say is what happened.
"""

import json
import os
import random
import threading
import time

from lib import WORK, Scenario, equal, eventually, out
from lib.mqtt import Closed, Refused, hub_connection
from lib.rest import hub
from lib.server import NODES, Server

SEED = int(os.environ.get("SEED", "20262"))
ROUNDS = int(os.environ.get("ROUNDS", "6"))
TWINS = 1000
DEVICES = 24
ALONE = len(NODES) == 1
crash = Scenario()
made = {"jobs": [], "asked": {}, "stop": False}


def query(text):
    found, more = [], None
    while True:
        answer = hub()("POST", "/devices/query", {"query": text}, x_ms_max_item_count="1000", **({"x_ms_continuation": more} if more else {}))
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:200]}"
        found += answer.json()
        more = answer.headers.get("x-ms-continuation")
        if not more:
            return found


def answering(identifier, key):
    """A device that answers methods, for as long as the scenario goes; each question is noted before it is answered."""
    while not made["stop"]:
        try:
            with hub_connection(identifier, key) as connection:
                connection.subscribe("$iothub/methods/POST/#")
                while True:
                    topic, payload = connection.message("$iothub/methods/POST/")
                    job = json.loads(payload)["job"]
                    made["asked"].setdefault((job, identifier), []).append(time.monotonic())
                    request = topic.split("$rid=")[1]
                    connection.publish(f"$iothub/methods/res/200/?$rid={request}", {"by": identifier}, qos=0)
        except (OSError, Closed, Refused):
            time.sleep(0.05)  # the server is gone, or not there yet


def schedule(number):
    """A job of each kind; an answer that is lost is no answer."""
    for kind in ("twin", "method"):
        job = f"{kind}-{number}"
        body = {"jobId": job, "queryCondition": "tags.kind = 'many'" if kind == "twin" else "tags.kind = 'answers'", "maxExecutionTimeInSeconds": 120}
        if kind == "twin":
            body |= {"type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "properties": {"desired": {f"job{number}": number}}}}
        else:
            body |= {"type": "scheduleDeviceMethod", "cloudToDeviceMethod": {"methodName": "ask", "payload": {"job": job}, "responseTimeoutInSeconds": 10}}
        eventually(lambda job=job, body=body: scheduled(job, body), 30, f"{job} is scheduled")
        made["jobs"].append(job)


def scheduled(job, body):
    answer = hub()("PUT", f"/jobs/v2/{job}", body)
    # Where an answer was lost it is there already.
    assert answer.status_code in (200, 409), f"{answer.status_code} {answer.text[:200]}"
    return True


def shown(job):
    return eventually(lambda: hub().ok("GET", f"/jobs/v2/{job}"), 30, job)


def kill(dice, last):
    server = made["server"]
    if ALONE or last:
        server.kill()
        made["server"] = Server(WORK / "data")
    else:
        index = dice.randrange(len(server.nodes))
        server.kill_node(index)
        server.start_node(index)


@crash.case("the server starts in an empty folder; devices are made", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    many = [{"id": f"t{number:03}", "importMode": "create", "tags": {"kind": "many"}} for number in range(TWINS)]
    for first in range(0, TWINS, 100):
        hub().ok("POST", "/devices", many[first : first + 100])
    for number in range(DEVICES):
        identifier = f"m{number:02}"
        row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
        hub().ok("PATCH", f"/twins/{identifier}", {"tags": {"kind": "answers"}})
        key = row["authentication"]["symmetricKey"]["primaryKey"]
        threading.Thread(target=answering, args=(identifier, key), daemon=True).start()


@crash.case(f"{ROUNDS} kills at random points of jobs (seed {SEED}); it starts again each time", needed=True)
def _():
    dice = random.Random(SEED)
    interrupted = 0
    for number in range(ROUNDS):
        schedule(number)
        time.sleep(dice.uniform(0.0, 0.4))  # the random point; nothing is expected of it
        interrupted += len([job for job in made["jobs"] if shown(job)["status"] in ("queued", "running")])
        kill(dice, number == ROUNDS - 1)
    out({"note": f"{interrupted} times a job was under way when the server was killed"})


@crash.case("every job comes to its end", needed=True)
def _():
    def over():
        states = {job: shown(job) for job in made["jobs"]}
        left = [job for job, state in states.items() if state["status"] != "completed"]
        assert not left, f"{left}: {[states[job]['deviceJobStatistics'] for job in left]}"
        return states

    states = eventually(over, 90, "the end of all jobs")
    for job, state in states.items():
        counts = state["deviceJobStatistics"]
        devices = TWINS if job.startswith("twin") else DEVICES
        equal((counts["deviceCount"], counts["runningCount"], counts["pendingCount"]), (devices, 0, 0), job)
        equal(counts["succeededCount"] + counts["failedCount"], devices, job)
        rows = query(f"SELECT status, COUNT() AS n FROM devices.jobs WHERE jobId = '{job}' GROUP BY status")
        said = {row["status"]: row["n"] for row in rows}
        equal((said.get("completed", 0), said.get("failed", 0)), (counts["succeededCount"], counts["failedCount"]), job)


@crash.case("each twin was changed once by each job: its version says so")
def _():
    jobs = [job for job in made["jobs"] if job.startswith("twin")]
    twins = query("SELECT * FROM devices WHERE tags.kind = 'many'")
    equal(len(twins), TWINS)
    wanted = {f"job{job.split('-')[1]}": int(job.split("-")[1]) for job in jobs}
    other = {}
    for twin in twins:
        desired = twin["properties"]["desired"]
        got = {name: value for name, value in desired.items() if not name.startswith("$")}
        if got != wanted or desired["$version"] != 1 + len(jobs):
            other[twin["deviceId"]] = (got, desired["$version"])
    equal(other, {})


@crash.case("no device was asked twice by a job; whoever is said to have answered was asked")
def _():
    made["stop"] = True
    twice = {key: times for key, times in made["asked"].items() if len(times) > 1}
    equal(twice, {})
    completed = failed = 0
    for job in made["jobs"]:
        if not job.startswith("method"):
            continue
        for row in query(f"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{job}'"):
            asked = len(made["asked"].get((job, row["deviceId"]), []))
            if row["status"] == "completed":
                completed += 1
                equal((asked, row["outcome"]["deviceMethodResponse"]), (1, {"status": 200, "payload": {"by": row["deviceId"]}}), row["deviceId"])
            else:
                failed += 1
                assert row["error"]["code"] in ("ServerError", "DeviceNotOnline", "GatewayTimeout"), row
    assert completed > failed, f"{completed} answered, {failed} not: the test did not do its work"
    return f"{completed} answered, {failed} may have been asked"


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
