# about: kill -9 during registration, telemetry and retire at seeded random points; what was acknowledged is there, device and twin agree
# server: none
# timeout: 150
"""Many devices at work while the server is killed again and again.

Each worker owns its devices and notes what the server acknowledged. After the last restart: every acknowledged fact holds, no
device is without its twin nor a twin without its device, and no event took effect twice (a twin never goes back, a delete that
is replayed never takes the twin of a device that was provisioned again).
"""

import os
import random
import threading
import time

from lib import THERMOSTAT, WORK, Scenario, equal, eventually, out
from lib.mqtt import Closed, Refused, hub_connection, provision, telemetry_topic
from lib.rest import group, group_key, hub
from lib.sas import derived_key
from lib.server import Server
from lib.twins import client, upload_models

SEED = int(os.environ.get("SEED", "20231"))
ROUNDS = int(os.environ.get("ROUNDS", "12"))
WORKERS = 8
crash = Scenario()
made = {}


class Device:
    """One device and what the server acknowledged about it. `None` stands for: the answer was lost in a crash."""

    def __init__(self, identifier):
        self.identifier = identifier
        self.exists = False
        self.acknowledged = 0.0  # the last temperature with a PUBACK
        self.sent = 0.0  # the last temperature sent at all
        self.fresh = True  # nothing was sent since it was provisioned
        self.before = 0.0  # the last temperature sent before it was provisioned again


class Worker(threading.Thread):
    """Provisions, talks and deletes until the server is gone."""

    def __init__(self, number, seed, key, devices):
        super().__init__(daemon=True)
        self.number, self.random, self.key, self.devices = number, random.Random(seed), key, devices
        self.done = self.lost = 0
        self.error = None

    def run(self):
        try:
            while True:
                self.step()
                self.done += 1
        except (OSError, Closed, Refused) as error:
            self.lost += 1
            self.error = error
        except Exception as error:  # an answer that no crash explains
            self.error = error

    def step(self):
        choice = self.random.random()
        alive = [device for device in self.devices if device.exists is True]
        if not alive or choice < 0.35:
            self.provision(self.pick())
        elif choice < 0.85:
            self.talk(self.random.choice(alive))
        else:
            self.delete(self.random.choice(alive))

    def pick(self):
        absent = [device for device in self.devices if device.exists is not True]
        if absent and self.random.random() < 0.5:
            return self.random.choice(absent)
        device = Device(f"crash-{self.number}-{len(self.devices)}")
        self.devices.append(device)
        return device

    def provision(self, device):
        # A delete whose answer was lost may not have happened, and one whose event is still on its way leaves the twin to
        # the device that comes back: until it says something new, its twin may show what it said before.
        device.before = max(device.before, device.sent)
        device.exists, device.sent, device.acknowledged, device.fresh = None, 0.0, 0.0, True
        status, answer = provision(device.identifier, self.key, {"modelId": THERMOSTAT})
        assert (status, answer["status"]) == (200, "assigned"), answer
        device.exists = True

    def talk(self, device):
        with hub_connection(device.identifier, derived_key(self.key, device.identifier)) as connection:
            for _ in range(self.random.randrange(1, 6)):
                device.sent += 1
                connection.publish(telemetry_topic(device.identifier), {"Temperature": device.sent})
                device.acknowledged = device.sent

    def delete(self, device):
        device.exists = None
        answer = hub()("DELETE", f"/devices/{device.identifier}", If_Match="*")
        assert answer.status_code == 204, answer.text
        device.exists = False


def devices_of_hub():
    """Every device id the hub knows, page by page."""
    service, found, headers = hub(), set(), {}
    while True:
        answer = service("POST", "/devices/query", {"query": "SELECT * FROM devices"}, **headers)
        assert answer.status_code == 200, answer.text
        found |= {row["deviceId"] for row in answer.json()}
        if not answer.headers.get("x-ms-continuation"):
            return found
        headers = {"x_ms_continuation": answer.headers["x-ms-continuation"]}


def all_twins():
    return {twin["$dtId"]: twin for twin in client().query_twins("SELECT * FROM DIGITALTWINS")}


# A model with another one inside, which is stored by itself as well.
INNER = {"@id": "dtmi:test:Inner;1", "@type": "Interface", "contents": [{"@type": "Property", "name": "a", "schema": "double"}]}
OUTER = {
    "@id": "dtmi:test:Outer;1",
    "@type": "Interface",
    "@context": "dtmi:dtdl:context;2",
    "contents": [{"@type": "Component", "name": "c", "schema": INNER}],
}


@crash.case("the server starts in an empty folder; models and a group are made", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    upload_models(client())
    client().create_models([OUTER])
    made["key"] = group_key(group(name="crash"))
    made["devices"] = [[] for _ in range(WORKERS)]


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}); it starts again each time", needed=True)
def _():
    dice = random.Random(SEED)
    done = lost = 0
    slowest = 0.0
    for round_number in range(ROUNDS):
        seeds = [dice.random() for _ in range(WORKERS)]
        workers = [Worker(n, seeds[n], made["key"], made["devices"][n]) for n in range(WORKERS)]
        for worker in workers:
            worker.start()
        time.sleep(dice.uniform(0.2, 1.8))  # the random point; nothing is expected of it
        made["server"].kill()
        for worker in workers:
            worker.join(30)
            assert not worker.is_alive(), f"round {round_number}: a worker hangs although the server is gone"
            explained = isinstance(worker.error, (OSError, Closed, Refused)) or "Connection" in type(worker.error).__name__
            assert explained, f"round {round_number}: {worker.error!r}"
            done, lost = done + worker.done, lost + worker.lost
        made["server"] = Server(WORK / "data")
        slowest = max(slowest, made["server"].ready_after)
    out({"note": f"{done} operations acknowledged, {lost} answers lost in {ROUNDS} kills; slowest restart {slowest:.2f} s"})
    assert done > ROUNDS * WORKERS, f"only {done} operations: the test did not do its work"


def flat():
    return [device for devices in made["devices"] for device in devices]


@crash.case("every device whose registration was acknowledged is in the hub, and none whose delete was")
def _():
    known = devices_of_hub()
    equal(sorted(d.identifier for d in flat() if d.exists is True and d.identifier not in known), [], "lost devices")
    equal(sorted(d.identifier for d in flat() if d.exists is False and d.identifier in known), [], "deleted devices that are there")
    return f"{len(known)} devices"


@crash.case("no device without its twin and no twin without its device, once the functions have caught up")
def _():
    def agree():
        devices, twins = devices_of_hub(), set(all_twins())
        if devices != twins:
            without_twin, without_device = sorted(devices - twins), sorted(twins - devices)
            raise AssertionError(f"without twin {without_twin[:5]}, without device {without_device[:5]}")
        return True

    eventually(agree, 30, "the agreement of devices and twins")


def explained(device, temperature):
    """What was acknowledged last or sent after it; what was said in an earlier life only while nothing new is acknowledged."""
    if device.acknowledged == 0.0 and temperature <= device.before:
        return True
    return device.acknowledged <= temperature <= device.sent


@crash.case("each twin shows the last acknowledged telemetry, or what was sent after it")
def _():
    def settled():
        twins = all_twins()
        wrong = [
            (device.identifier, twins[device.identifier]["Temperature"], device.acknowledged, device.sent)
            for device in flat()
            if device.exists is True and not explained(device, twins[device.identifier]["Temperature"])
        ]
        assert not wrong, f"(device, twin, acknowledged, sent): {wrong[:5]}"
        return True

    eventually(settled, 30, "the last telemetry of each device")


@crash.case("models that were defined inside others are there as they were")
def _():
    twins = client()
    equal({model.id for model in twins.list_models()} >= {INNER["@id"], OUTER["@id"]}, True)
    document = {"$metadata": {"$model": OUTER["@id"]}, "c": {"$metadata": {}, "a": 1.5}}
    equal(twins.upsert_digital_twin("outer", document)["c"]["a"], 1.5)
    twins.delete_digital_twin("outer")


@crash.case("after all that, a device still provisions, talks and is retired")
def _():
    device, worker = Device("crash-after"), Worker(99, 1, made["key"], [])
    worker.provision(device)
    worker.talk(device)
    eventually(lambda: all_twins()["crash-after"]["Temperature"] == device.acknowledged, what="its telemetry")
    worker.delete(device)
    eventually(lambda: "crash-after" not in all_twins(), what="the end of its twin")


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
