# about: a storm of registrations while enrollments change and the webhook fails one time in ten: no device in two hubs, none without its record or twin
# server: config/storm.toml
# timeout: 900
"""As many devices as `STORM_DEVICES` says (3,000; of several nodes 1,000) register as fast as the machine allows, some of them
twice and into another hub. A webhook of the test's own gives each a hub at random, after our allocation function made its twin;
one time in ten it fails, before or after that. It is asked three times, so that about one registration in a thousand fails all
the same, and none for another reason; its device tries again. All the while the group is rewritten and single devices are shut
out and let in again."""

import collections
import json
import multiprocessing
import os
import random
import threading
import time

import requests

from lib import THERMOSTAT, Scenario, connections, eventually, out
from lib.mqtt import Closed, Refused, provision
from lib.rest import HUB_VERSION, Service, allocate_url, group, group_key, provisioning
from lib.twins import client, upload_models
from lib.webhook import Webhook

NODES = len(json.loads(os.environ.get("SUBJECT_NODES", "[{}]")))
COUNT = int(os.environ.get("STORM_DEVICES", "3000" if NODES == 1 else "1000"))
SEED = int(os.environ.get("SEED", "29"))
PROCESSES, THREADS = 2, 16
HUBS = {row["name"]: row["hostName"] for row in connections()["hub"]}
DEADLINE = 600
#: The errorCode of a registration whose webhook failed, and of one whose device was shut out meanwhile.
WEBHOOK, SHUT_OUT = 400207, 401003
dice = random.Random(SEED)
made = {}
storm = Scenario()


def name_of(number):
    return f"storm-{number:05}"


def answer(body):
    """Our function makes the twin; the hub is drawn. One time in ten it fails, half of them when the twin is there already."""
    if dice.random() < 0.05:
        return 503, "not now"
    made_twin = SESSIONS.session().post(allocate_url(), json=body, timeout=30)
    if made_twin.status_code != 200 or dice.random() < 0.05:
        return 500, f"the sky fell: {made_twin.text[:200]}"
    return 200, made_twin.json() | {"iotHubHostName": dice.choice(body["linkedHubs"])}


class Sessions(threading.local):
    """A kept connection for each thread of the webhook."""

    def session(self):
        if not hasattr(self, "kept"):
            self.kept = requests.Session()
        return self.kept


SESSIONS = Sessions()


def register(numbers, key, counts):
    """Registers each until it is assigned; whoever is refused or failed tries again, as devices do."""
    counted = collections.Counter()
    for number in numbers:
        again = 2 if number % 10 == 0 else 1
        deadline = time.monotonic() + DEADLINE
        while again and time.monotonic() < deadline:
            try:
                status, said = provision(name_of(number), key, {"modelId": THERMOSTAT})
            except Refused:
                counted["refused"] += 1
                time.sleep(0.05)  # a device that is shut out waits before it asks again
                continue
            except (OSError, Closed):
                counted["lost"] += 1
                continue
            if status == 200 and said["status"] == "assigned":
                again -= 1
            else:
                code = (said.get("registrationState") or said).get("errorCode")
                counted[{WEBHOOK: "failed", SHUT_OUT: "refused"}.get(code, f"{status} {said}"[:300])] += 1
    counts.put(counted)


def worker(numbers, keys, counts):
    key = keys.get()
    threads = [
        threading.Thread(target=register, args=(numbers[at::THREADS], key, counts), daemon=True) for at in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Made while there is no thread yet: a process that is forked while another thread holds a lock (of OpenSSL, say) waits for it
# for good. They begin when they are told the key.
KEYS, COUNTS = multiprocessing.SimpleQueue(), multiprocessing.Queue()
WORKERS = [
    multiprocessing.Process(target=worker, args=(range(at, COUNT, PROCESSES), KEYS, COUNTS), daemon=True)
    for at in range(PROCESSES)
]
for process in WORKERS:
    process.start()


def weather(stop, faults):
    """Rewrites the group, and shuts single devices out and lets them in again."""
    service, chance = provisioning(), random.Random(SEED + 1)
    count = 0
    try:
        while not stop.is_set():
            path = "/enrollmentGroups/storm"
            current = service.ok("GET", path)
            current["initialTwin"] = {"tags": {"turn": count}, "properties": {"desired": {}}}
            service.ok("PUT", path, current, If_Match=current["etag"])
            out_now = name_of(chance.randrange(COUNT))
            body = {"registrationId": out_now, "attestation": {"type": "symmetricKey"}, "provisioningStatus": "disabled"}
            service.ok("PUT", f"/enrollments/{out_now}", body)
            service.ok("DELETE", f"/enrollments/{out_now}")
            count += 1
    except Exception as error:
        faults.append(error)
    made["changes"] = count


@storm.case("models, a group and its webhook", needed=True)
def _():
    upload_models(client())
    made["webhook"] = Webhook(answer)
    both = list(HUBS.values())
    made["key"] = group_key(group(webhook=made["webhook"].url, name="storm", iotHubs=both))


@storm.case(f"{COUNT} devices register (seed {SEED})", needed=True)
def _():
    stop, faults = threading.Event(), []
    changing = threading.Thread(target=weather, args=(stop, faults), daemon=True)
    changing.start()
    started = time.monotonic()
    for _ in WORKERS:
        KEYS.put(made["key"])
    told = [COUNTS.get(timeout=DEADLINE) for _ in range(PROCESSES * THREADS)]
    took = time.monotonic() - started
    for process in WORKERS:
        process.join()
    stop.set()
    changing.join(30)
    assert not faults, faults
    counted = sum(told, collections.Counter())
    failed, refused, lost = (counted.pop(what, 0) for what in ("failed", "refused", "lost"))
    calls = len(made["webhook"].seen)
    out({"note": f"{COUNT} devices in {took:.0f} s, {calls} calls of the webhook, {made['changes']} changes of enrollments; "
                 f"of {failed} registrations the webhook failed three times, {refused} were refused, {lost} connections lost"})
    assert not counted, f"what no webhook explains: {dict(counted)}"


def rows(service, path, query):
    """All rows of a query, page by page."""
    headers = {}
    while True:
        answered = service("POST", path, {"query": query}, **headers)
        assert answered.status_code == 200, answered.text
        yield from answered.json()
        token = answered.headers.get("x-ms-continuation")
        if not token:
            return
        headers = {"x_ms_continuation": token}


def standing():
    """Where each device is: by hub, by record, by twin."""
    hubs = {
        host: {row["deviceId"] for row in rows(Service("hub", HUB_VERSION, name), "/devices/query", "SELECT * FROM devices")}
        for name, host in HUBS.items()
    }
    records = {row["registrationId"]: row for row in rows(provisioning(), "/registrations/storm/query", "*")}
    twins = {twin["$dtId"] for twin in client().query_twins("SELECT $dtId FROM DIGITALTWINS")}
    return hubs, records, twins


@storm.case("each device is in one hub, the one its record names")
def _():
    hubs, records, _ = standing()
    first, second = hubs.values()
    assert not first & second, f"in both hubs: {sorted(first & second)[:5]}"
    expected = {name_of(number) for number in range(COUNT)}
    assert first | second == expected, f"{len(first | second)} devices of {COUNT}"
    assert min(len(first), len(second)) > COUNT // 4, f"{len(first)} and {len(second)}"
    assert set(records) == expected, f"{len(records)} records of {COUNT}"
    wrong = [name for name, row in records.items() if row["status"] != "assigned" or name not in hubs[row["assignedHub"]]]
    assert not wrong, f"records that name another hub: {wrong[:5]}"


@storm.case("each device has its twin, and there is no other")
def _():
    expected = {name_of(number) for number in range(COUNT)}
    eventually(lambda: standing()[2] == expected, what="a twin for each device and no other")


storm.run()
