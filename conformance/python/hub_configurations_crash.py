# about: kill -9 while configurations come and go and devices' tags change: all that was acknowledged holds, every twin follows in the end
# server: none
# timeout: 240
"""A twin is what its configurations say, whatever was interrupted, and its versions never go back.

While configurations are made, changed and deleted and tags are changed, the server is killed again and again. After each start
every twin settles to what the acknowledged configurations want of it.
"""

import os
import random
import threading
import time

from lib import WORK, Scenario, equal, eventually, out
from lib.rest import hub
from lib.server import Server

SEED = int(os.environ.get("SEED", "20261"))
ROUNDS = int(os.environ.get("ROUNDS", "4"))
DEVICES = int(os.environ.get("DEVICES", "200"))
NAMES = ["a", "b", "c", "d"]
crash = Scenario()
made = {"versions": {}, "acknowledged": 0}


class Operator(threading.Thread):
    """Changes things until the server is gone."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None

    def run(self):
        try:
            while True:
                self.work()
                made["acknowledged"] += 1
        except Exception as error:  # looked at by whoever joins
            self.error = error


def configure(dice):
    """Makes, changes or deletes a configuration."""
    name = dice.choice(NAMES)
    if dice.random() < 0.3:
        answer = hub()("DELETE", f"/configurations/{name}")
        assert answer.status_code in (204, 404, 500, 503), answer.text
        return
    found = hub()("GET", f"/configurations/{name}")
    group, priority = dice.randrange(3), dice.randrange(100)
    body = {
        "id": name, "priority": priority, "targetCondition": f"tags.group = {group}",
        "content": {"deviceContent": {"properties.desired.by": name, f"properties.desired.own.{name}": True}},
    }
    headers = {"If_Match": "*"} if found.status_code == 200 else {}
    answer = hub()("PUT", f"/configurations/{name}", body, **headers)
    assert answer.status_code in (200, 404, 409, 500, 503), answer.text


def tag(dice):
    """Moves a device to another group."""
    number, group = dice.randrange(DEVICES), dice.randrange(3)
    answer = hub()("PATCH", f"/twins/conf-{number:03}", {"tags": {"group": group}})
    assert answer.status_code in (200, 500, 503), answer.text


def twins():
    found, token = [], None
    while True:
        headers = {"x_ms_max_item_count": "1000"} | ({"x_ms_continuation": token} if token else {})
        answer = hub()("POST", "/devices/query", {"query": "SELECT * FROM devices"}, **headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        token = answer.headers.get("x-ms-continuation")
        if not token:
            return found


def follows(twin, configurations):
    """Whether a twin is what these configurations make of it."""
    matching = [one for one in configurations if one["targetCondition"] == f"tags.group = {twin['tags'].get('group')}"]
    matching.sort(key=lambda one: (one["priority"], one["createdTimeUtc"]), reverse=True)
    desired = {name: value for name, value in twin["properties"]["desired"].items() if not name.startswith("$")}
    wanted = {"by": matching[0]["id"], "own": {one["id"]: True for one in matching}} if matching else {}
    return desired == wanted and sorted(twin.get("configurations", {})) == sorted(one["id"] for one in matching)


def settled():
    configurations, all_twins = hub().ok("GET", "/configurations"), twins()
    assert len(all_twins) == DEVICES, len(all_twins)
    for twin in all_twins:
        before = made["versions"].get(twin["deviceId"], (0, 0))
        now = (twin["version"], twin["properties"]["desired"]["$version"])
        assert now >= before and now[1] >= before[1], f"{twin['deviceId']} went back from {before} to {now}"
        made["versions"][twin["deviceId"]] = now
    wrong = [twin["deviceId"] for twin in all_twins if not follows(twin, configurations)]
    assert not wrong, f"{len(wrong)} twins do not follow, such as {wrong[0]}"
    return True


@crash.case("the server starts in an empty folder; devices are made", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    for start in range(0, DEVICES, 100):
        rows = [
            {"id": f"conf-{number:03}", "importMode": "create", "tags": {"group": number % 3}}
            for number in range(start, min(start + 100, DEVICES))
        ]
        hub().ok("POST", "/devices", rows)


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}); every twin follows after each", needed=True)
def _():
    dice = random.Random(SEED)
    slowest = 0
    for round_number in range(ROUNDS):
        seeds = [random.Random(dice.random()) for _ in range(3)]
        workers = [Operator(lambda: configure(seeds[0])), Operator(lambda: tag(seeds[1])), Operator(lambda: tag(seeds[2]))]
        for worker in workers:
            worker.start()
        time.sleep(dice.uniform(0.5, 2.5))  # the random point; nothing is expected of it
        made["server"].kill()
        for worker in workers:
            worker.join(40)
            assert not worker.is_alive(), f"round {round_number}: a worker hangs although the server is gone"
            explained = isinstance(worker.error, OSError) or "Connection" in type(worker.error).__name__
            assert explained, f"round {round_number}: {worker.error!r}"
        made["server"] = Server(WORK / "data")
        begun = time.monotonic()
        eventually(settled, 60, "every twin follows")
        slowest = max(slowest, time.monotonic() - begun)
    out({"note": f"{made['acknowledged']} changes acknowledged; twins followed within {slowest:.1f} s of each start"})
    assert made["acknowledged"] > ROUNDS * 5, "the test did not do its work"


@crash.case("without configurations nothing is set")
def _():
    for one in hub().ok("GET", "/configurations"):
        hub().ok("DELETE", f"/configurations/{one['id']}")
    eventually(settled, 60, "every twin is left")
    equal([twin["deviceId"] for twin in twins() if "by" in twin["properties"]["desired"]], [])


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
