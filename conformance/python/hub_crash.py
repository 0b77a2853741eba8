# about: kill -9 under mixed load of a hub: telemetry, messages, reported and desired properties that were acknowledged are there, versions never go back
# server: none
# timeout: 240
"""Devices and the service at work, all at once, while the server is killed again and again.

Each device sends telemetry, reports, is told of desired properties and is sent messages; one receives its messages over HTTPS and
abandons some. Everybody notes what was acknowledged and every version it was told. In the end all of that holds.
"""

import json
import os
import random
import threading
import time

from lib import CONFORMANCE, WORK, Scenario, connections, equal, eventually, out
from lib.events import Receiving, consumer
from lib.mqtt import hub_connection
from lib.rest import HUB_VERSION, hub, request
from lib.sas import service_token, token
from lib.server import Server
from lib.worker import Worker

SEED = int(os.environ.get("SEED", "4711"))
ROUNDS = int(os.environ.get("ROUNDS", "8"))
DEVICES = 4
DESIRED, ANSWERS = "$iothub/twin/PATCH/properties/desired/", "$iothub/twin/res/"
crash = Scenario()
made = {}


def property_of(topic, name):
    return next(pair.split("=")[1] for pair in topic.split("?")[1].split("&") if pair.startswith(name + "="))


class Versions:
    """A twin section's version as everybody is told it: it never goes back."""

    def __init__(self, what):
        self.what, self.known, self.lock = what, 0, threading.Lock()

    def floor(self):
        with self.lock:
            return self.known

    def told(self, version, floor):
        """`floor` is what was known before the question was asked: the answer cannot be older."""
        with self.lock:
            assert version >= floor, f"{self.what}: version {version} after {floor}"
            self.known = max(self.known, version)


class Device:
    """What was sent to it and by it, and what was acknowledged of that."""

    def __init__(self, identifier, key):
        self.identifier, self.key, self.dice = identifier, key, random.Random(f"{SEED}/{identifier}")
        self.counts = {"message": 0, "telemetry": 0, "reported": 0, "desired": 0}
        self.telemetry, self.messages, self.received = [], set(), set()
        self.reported = self.desired = 0  # the last that was acknowledged
        self.versions = {kind: Versions(f"{identifier} {kind}") for kind in ("reported", "desired")}
        self.abandoned, self.completed, self.again = {}, set(), 0
        self.notified = 0

    def next(self, kind):
        self.counts[kind] += 1
        return self.counts[kind]

    # The service's side

    def send_message(self):
        name = f"{self.identifier}/{self.next('message')}"
        headers = {"iothub-to": f"/devices/{self.identifier}/messages/devicebound", "iothub-messageid": name}
        signed = service_token(connections()["hub"][0]["connectionString"])
        answer = request("POST", hub().base + "/messages/devicebound", params=HUB_VERSION, token=signed, headers=headers, data=name)
        if answer.status_code == 204:
            self.messages.add(name)
        elif answer.status_code == 403:
            time.sleep(0.05)  # its queue is full: the device has to catch up
        else:
            assert answer.status_code in (500, 503), f"{answer.status_code} {answer.text}"

    def change_desired(self):
        number, floor = self.next("desired"), self.versions["desired"].floor()
        answer = hub()("PATCH", f"/twins/{self.identifier}", {"properties": {"desired": {"n": number}}})
        if answer.status_code == 200:
            version = answer.json()["properties"]["desired"]["$version"]
            self.versions["desired"].told(version, floor + 1)
            self.desired = number
        else:
            assert answer.status_code in (500, 503), f"{answer.status_code} {answer.text}"

    # The device's side, over MQTT

    def work(self):
        with hub_connection(self.identifier, self.key, clean=False) as connection:
            try:
                for topic in (f"devices/{self.identifier}/messages/devicebound/#", DESIRED + "#", ANSWERS + "#"):
                    equal(connection.subscribe(topic), 1)
                self.read_twin(connection)
                while True:
                    body = f"{self.identifier}/{self.next('telemetry')}"
                    connection.publish(f"devices/{self.identifier}/messages/events/", body.encode())
                    self.telemetry.append(body)
                    self.report(connection)
                    self.take(connection)
            finally:
                self.take(connection)  # these were acknowledged to the server: they must not be forgotten

    def answer(self, connection, status):
        topic, payload = connection.message(ANSWERS)
        equal(topic.split("/")[3], status, f"the answer {payload!r}")
        return topic, payload

    def read_twin(self, connection):
        floors = {kind: versions.floor() for kind, versions in self.versions.items()}
        connection.publish("$iothub/twin/GET/?$rid=get", b" ")
        twin = json.loads(self.answer(connection, "200")[1])
        for kind, versions in self.versions.items():
            versions.told(twin[kind]["$version"], floors[kind])
        assert twin["reported"].get("n", 0) >= self.reported, f"{twin} after {self.reported} was acknowledged"

    def report(self, connection):
        number, floor = self.next("reported"), self.versions["reported"].floor()
        connection.publish(f"$iothub/twin/PATCH/properties/reported/?$rid={number}", {"n": number})
        topic, _ = self.answer(connection, "204")
        self.versions["reported"].told(int(property_of(topic, "$version")), floor + 1)
        self.reported = number

    def take(self, connection):
        last = 0
        for topic, payload in connection.inbox:
            if topic.startswith(DESIRED):
                version = json.loads(payload)["$version"]
                assert version > last, f"{self.identifier} was told of version {version} after {last}"
                last, self.notified = version, self.notified + 1
            elif topic.startswith("devices/"):
                self.received.add(payload.decode())
        connection.inbox.clear()

    # Its messages over HTTPS

    def ask(self, method, path=""):
        host = connections()["hub"][0]["hostName"]
        signed = token(f"{host}/devices/{self.identifier}", self.key)
        return request(method, f"{hub().base}/devices/{self.identifier}/messages/devicebound{path}", params=HUB_VERSION, token=signed)

    def receive(self):
        answer = self.ask("GET")
        if answer.status_code != 200:
            assert answer.status_code in (204, 500, 503), f"{answer.status_code} {answer.text}"
            return
        name, count = answer.headers["iothub-messageid"], int(answer.headers["iothub-deliverycount"])
        # It counts how often the message was abandoned: a lock that runs out, as it does after a crash, does not count.
        known, asked = self.abandoned.get(name, (0, 0))
        assert known <= count <= asked, f"{name} was delivered with count {count} after {known} to {asked} abandons"
        assert name not in self.completed, f"{name} came again after it was completed"
        self.again += name in self.received
        self.received.add(name)
        lock = answer.headers["ETag"].strip('"')
        if count < 3 and self.dice.random() < 0.3:
            self.abandoned[name] = (count, count + 1)  # its answer may be lost
            if self.ask("POST", f"/{lock}/abandon").status_code == 204:
                self.abandoned[name] = (count + 1, count + 1)
        elif self.ask("DELETE", f"/{lock}").status_code == 204:
            self.completed.add(name)

    def waiting(self):
        return hub().ok("GET", f"/devices/{self.identifier}")["cloudToDeviceMessageCount"]


def start():
    made["server"] = Server(WORK / "data", "--config", str(CONFORMANCE / "config" / "hub_crash.toml"))


@crash.case("the server starts in an empty folder; devices are made", needed=True)
def _():
    start()
    made["devices"] = []
    for number in range(DEVICES + 1):
        identifier = f"crash-{number}"
        row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
        made["devices"].append(Device(identifier, row["authentication"]["symmetricKey"]["primaryKey"]))
    made["mqtt"], made["https"] = made["devices"][:DEVICES], made["devices"][DEVICES]


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}) under mixed load; no version goes back", needed=True)
def _():
    dice = random.Random(SEED)
    for number in range(ROUNDS):
        jobs = [device.work for device in made["mqtt"]] + [made["https"].receive]
        jobs += [job for device in made["devices"] for job in (device.send_message, device.change_desired)]
        workers = [Worker(job) for job in jobs]
        time.sleep(dice.uniform(0.3, 2))  # the random point; nothing is expected of it
        made["server"].kill()
        for worker in workers:
            worker.ended(f"round {number}")
        start()
    devices = made["devices"]
    done = {
        "telemetry": sum(len(device.telemetry) for device in devices),
        "messages": sum(len(device.messages) for device in devices),
        "reported": sum(device.versions["reported"].known for device in devices),
        "desired": sum(device.versions["desired"].known for device in devices),
        "notified": sum(device.notified for device in devices),
    }
    out({"note": f"acknowledged in {ROUNDS} rounds: {done}"})
    assert min(done.values()) > ROUNDS * DEVICES, f"the test did not do its work: {done}"


@crash.case("each device's twin has what was acknowledged last, or what was sent after that")
def _():
    for device in made["devices"]:
        properties = hub().ok("GET", f"/twins/{device.identifier}")["properties"]
        for kind, acknowledged in (("reported", device.reported), ("desired", device.desired)):
            section = properties[kind]
            device.versions[kind].told(section["$version"], device.versions[kind].floor())
            assert acknowledged <= section.get("n", 0) <= device.counts[kind], f"{device.identifier} {kind}: {section} after {acknowledged}"


@crash.case("all telemetry that was acknowledged is in the event hub, each device's in order")
def _():
    acknowledged = {body for device in made["mqtt"] for body in device.telemetry}
    receiving = Receiving(consumer("deviceevents"), many=300, partition_id=None, starting_position="-1")
    found, read = {}, 0

    def all_there():
        nonlocal read
        events = receiving.events[read:]
        read += len(events)
        for event in events:
            device, number = event.body_as_str().split("/")
            found.setdefault(device, []).append(int(number))
        there = {f"{device}/{number}" for device, numbers in found.items() for number in numbers}
        assert acknowledged <= there, f"{len(acknowledged - there)} of {len(acknowledged)} are missing: {sorted(acknowledged - there)[:5]}"
        return True

    eventually(all_there, 60, "the telemetry")
    receiving.stop()
    for device, numbers in found.items():
        first = list(dict.fromkeys(numbers))
        equal(first, sorted(first), f"the order of {device}'s")
    return f"{len(acknowledged)} messages"


@crash.case("all messages that were acknowledged come to their devices")
def _():
    for device in made["mqtt"]:
        with hub_connection(device.identifier, device.key, clean=False) as connection:
            equal(connection.subscribe(f"devices/{device.identifier}/messages/devicebound/#"), 1)
            while device.messages - device.received or device.waiting() > 0:
                connection.ping()
                device.take(connection)


@crash.case("over HTTPS too: with the count of abandons, and none again that was completed")
def _():
    device = made["https"]

    def emptied():
        device.receive()
        return device.waiting() == 0

    eventually(emptied, 60, "an empty queue")
    equal(sorted(device.messages - device.received), [])
    assert device.again > 0, "none was delivered twice: the test did not do its work"
    return f"{len(device.received)} messages, {device.again} deliveries again"


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
