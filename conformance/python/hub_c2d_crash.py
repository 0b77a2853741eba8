# about: kill -9 while cloud-to-device messages are sent and received: none that was acknowledged is lost, feedback tells of each
# server: none
# timeout: 180
"""Senders and devices at work while the server is killed again and again.

A sender notes what was acknowledged; a device what it got. A device subscribes once, and relies on its session after that. At
the end each acknowledged message was received at least once, and feedback says so of each.
"""

import os
import random
import time
from functools import partial

from lib import WORK, Scenario, connections, equal, eventually, out
from lib.mqtt import hub_connection
from lib.rest import HUB_VERSION, hub, request
from lib.sas import service_token
from lib.server import Server
from lib.worker import Worker

SEED = int(os.environ.get("SEED", "20261"))
ROUNDS = int(os.environ.get("ROUNDS", "10"))
DEVICES = 6
crash = Scenario()
made = {}


class Device:
    """One device: its queue from both ends."""

    def __init__(self, identifier, key):
        self.identifier, self.key = identifier, key
        self.sent = 0
        self.acknowledged = set()
        self.received = set()
        self.subscribed = False
        self.full = 0

    @property
    def topic(self):
        return f"devices/{self.identifier}/messages/devicebound/"

    def send(self):
        self.sent += 1
        name = f"{self.identifier}/{self.sent}"
        service = connections()["hub"][0]
        headers = {"iothub-to": f"/devices/{self.identifier}/messages/devicebound", "iothub-messageid": name, "iothub-ack": "full"}
        url = hub().base + "/messages/devicebound"
        answer = request("POST", url, params=HUB_VERSION, token=service_token(service["connectionString"]), headers=headers, data=name)
        if answer.status_code == 204:
            self.acknowledged.add(name)
        elif answer.status_code == 403:
            self.full += 1
            time.sleep(0.05)  # its queue is full: the device has to catch up
        else:
            assert answer.status_code in (503, 500), f"{answer.status_code} {answer.text}"

    def connected(self):
        connection = hub_connection(self.identifier, self.key, clean=False)
        if not self.subscribed:
            assert connection.subscribe(self.topic + "#") == 1
            self.subscribed = True
        return connection

    def receive(self, connection):
        self.received.add(connection.message(self.topic)[1].decode())

    def waiting(self):
        return hub().ok("GET", f"/devices/{self.identifier}")["cloudToDeviceMessageCount"]


def receiving(device):
    with device.connected() as connection:
        while True:
            device.receive(connection)


@crash.case("the server starts in an empty folder; devices are made", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    made["devices"] = []
    for number in range(DEVICES):
        identifier = f"c2d-{number}"
        row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
        made["devices"].append(Device(identifier, row["authentication"]["symmetricKey"]["primaryKey"]))


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}); it starts again each time", needed=True)
def _():
    dice = random.Random(SEED)
    for round_number in range(ROUNDS):
        workers = [Worker(work) for device in made["devices"] for work in (device.send, partial(receiving, device))]
        time.sleep(dice.uniform(0.2, 1.5))  # the random point; nothing is expected of it
        made["server"].kill()
        for worker in workers:
            worker.ended(f"round {round_number}")
        made["server"] = Server(WORK / "data")
    sent = sum(len(device.acknowledged) for device in made["devices"])
    lost = sum(device.sent - len(device.acknowledged) - device.full for device in made["devices"])
    out({"note": f"{sent} messages acknowledged, {lost} answers lost in {ROUNDS} kills"})
    assert sent > ROUNDS * DEVICES, f"only {sent} messages: the test did not do its work"


@crash.case("each message that was acknowledged was received, by a device that subscribed once", needed=True)
def _():
    for device in made["devices"]:
        assert device.subscribed, f"{device.identifier} never came as far as its subscription"
        with device.connected() as connection:
            while device.acknowledged - device.received:
                device.receive(connection)
            while device.waiting() > 0:
                connection.ping()
    equal([sorted(device.acknowledged - device.received) for device in made["devices"]], [[]] * DEVICES)


@crash.case("feedback tells of each, and is given until it is completed")
def _():
    told = {}

    def all_told():
        while True:
            feedback = hub()("GET", "/messages/serviceBound/feedback")
            if feedback.status_code == 204:
                break
            for record in feedback.json():
                told.setdefault(record["originalMessageId"], []).append(record["statusCode"])
            hub().ok("DELETE", f"/messages/serviceBound/feedback/{feedback.headers['ETag'][1:-1]}")
        missing = [name for device in made["devices"] for name in device.acknowledged if name not in told]
        assert not missing, f"no feedback about {sorted(missing)[:5]}"
        return True

    eventually(all_told, 30, "the feedback")
    other = {name: codes for name, codes in told.items() if codes != ["Success"]}
    equal(other, {})
    return f"{len(told)} records"


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
