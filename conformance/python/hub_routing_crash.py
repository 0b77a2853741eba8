# about: kill -9 under telemetry: each acknowledged message reaches webhook, event hub and blobs, of each device in order
# server: none
# timeout: 300
"""Devices send while the server is killed again and again: all of it where there is one node, one of the nodes where there are
several (and all of them in the last round). A message that was acknowledged is in the event hub, was posted to the webhook, and is
in a blob; at least once, and the first time in the order in which its device sent.
"""

import json
import os
import random
import threading
import time

from lib import WORK, Scenario, connections, equal, eventually, out
from lib.admin import admin
from lib.cloudevents import Sink
from lib.events import consumer, declare, namespace, Receiving
from lib.mqtt import Closed, Refused, hub_connection, telemetry_topic
from lib.rest import hub
from lib.server import NODES, Server

SEED = int(os.environ.get("SEED", "20731"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
DEVICES = 4
FILES = WORK / "files"
crash = Scenario()
made = {}


class Device(threading.Thread):
    """Sends numbers on, whatever becomes of the server; one that had no answer is sent again."""

    def __init__(self, identifier, key):
        super().__init__(daemon=True)
        self.identifier, self.key, self.stopping = identifier, key, threading.Event()
        self.acknowledged, self.error = 0, None

    def run(self):
        while not self.stopping.is_set():
            try:
                with hub_connection(self.identifier, self.key) as connection:
                    while not self.stopping.is_set():
                        body = {"device": self.identifier, "n": self.acknowledged}
                        connection.publish(telemetry_topic(self.identifier), body)
                        self.acknowledged += 1
            except (OSError, Closed, Refused):
                time.sleep(0.05)  # a server that is gone refuses fast
            except Exception as error:
                self.error = error
                return


def check(what, rows):
    """Of each device every number that was acknowledged, for the first time in order."""
    for device in made["devices"]:
        first = list(dict.fromkeys(row["n"] for row in rows if row["device"] == device.identifier))
        missing = set(range(device.acknowledged)) - set(first)
        assert not missing, f"{what}: {device.identifier} lacks {sorted(missing)[:5]} of {device.acknowledged}"
        assert first == sorted(first), f"{what}: {device.identifier} is out of order"
    return len(rows) - sum(device.acknowledged for device in made["devices"])


@crash.case("the server starts, with routes to an event hub, a webhook and a container", needed=True)
def _():
    config = WORK / "routing.toml"
    FILES.mkdir(exist_ok=True)
    config.write_text(f'[files]\nfolder = "{FILES}"\n')
    made["start"] = lambda: Server(WORK / "data", "--config", str(config))
    made["server"] = made["start"]()
    made["sink"] = Sink()
    declare("PUT", "crash", {"partitions": 1})
    path = f"/admin/resources/hub/{connections()['hub'][0]['name']}"
    for name, where in [
        ("stream", {"namespace": namespace()["name"], "eventHub": "crash"}),
        ("web", {"webhook": made["sink"].url}),
        ("archive", {"container": "archive", "encoding": "JSON", "batchFrequencyInSeconds": 60}),
    ]:
        admin("PUT", f"{path}/endpoints/{name}", where)
        admin("PUT", f"{path}/routes/{name}", {"source": "DeviceMessages", "endpoint": name})
    made["devices"] = []
    for number in range(DEVICES):
        identifier = f"crash-{number}"
        row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
        made["devices"].append(Device(identifier, row["authentication"]["symmetricKey"]["primaryKey"]))


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}) while {DEVICES} devices send", needed=True)
def _():
    dice = random.Random(SEED)
    for device in made["devices"]:
        device.start()
    for number in range(ROUNDS):
        before = [device.acknowledged for device in made["devices"]]
        time.sleep(dice.uniform(0.3, 1.5))  # the random point; nothing is expected of it
        if len(NODES) > 1 and number < ROUNDS - 1:
            index = dice.randrange(len(NODES))
            made["server"].kill_node(index)
            made["server"].start_node(index)
        else:
            made["server"].kill()
            made["server"] = made["start"]()
        devices = list(zip(made["devices"], before))
        eventually(lambda: all(device.error or device.acknowledged > count for device, count in devices), 60, "all send on")
    for device in made["devices"]:
        device.stopping.set()
        device.join(30)
        assert not device.is_alive() and device.error is None, device.error
    total = sum(device.acknowledged for device in made["devices"])
    out({"note": f"{total} messages acknowledged over {ROUNDS} kills"})


@crash.case("the event hub has each")
def _():
    receiving = Receiving(consumer("crash"), starting_position="-1")
    total = sum(device.acknowledged for device in made["devices"])
    try:
        receiving.wait(total, 60)
        # One that was sent twice comes twice, behind.
        eventually(lambda: check("event hub", [json.loads(event.body_as_str()) for event in list(receiving.events)]) >= 0, 30)
        return f"{check('event hub', [json.loads(event.body_as_str()) for event in receiving.events])} more than once"
    finally:
        receiving.stop()


@crash.case("the webhook took each")
def _():
    def rows():
        return [event["data"]["body"] for event in list(made["sink"].taken)]

    eventually(lambda: check("webhook", rows()) >= 0, 90, "the webhook has all")
    return f"{check('webhook', rows())} more than once"


@crash.case("blobs hold each, across one more kill before they are due")
def _():
    made["server"].kill()
    made["server"] = made["start"]()

    def rows():
        found = []
        # Of its first message, and of the lease where there is one.
        def first(path):
            return [int(number) for number in path.stem.split("_")[-1].split("-")]

        for path in sorted(FILES.rglob("*.json"), key=first):
            found += [json.loads(line)["Body"] for line in path.read_text().splitlines()]
        return found

    eventually(lambda: check("blobs", rows()) >= 0, 120, "the blobs have all")
    equal([path for path in FILES.rglob("*.json") if not path.read_text().endswith("\n")], [])
    return f"{check('blobs', rows())} more than once, in {len(list(FILES.rglob('*.json')))} blobs"


@crash.case("it stops in order")
def _():
    made["sink"].close()
    made["server"].stops_in_order()


crash.run()
