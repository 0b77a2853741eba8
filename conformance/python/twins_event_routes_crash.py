# about: kill -9 while twins change; each acknowledged change has its notification, of each twin in order
# server: none
# timeout: 240
"""Writers at work on a twin each while the server is killed again and again: all of it where there is one node, one of the
nodes where there are several (and all of them in the last round).

A writer counts in a property of its twin. A count that was acknowledged has to be told once; one that had no answer, once or
not at all; and those of a twin are told in the order in which they were counted.
"""

import os
import random
import threading
import time

from azure.core.exceptions import AzureError, HttpResponseError
from azure.digitaltwins.core import DigitalTwinsEventRoute

from lib import WORK, Scenario, connections, equal, eventually, out
from lib.admin import admin
from lib.events import consumer, declare, namespace, receive
from lib.server import NODES, Server
from lib.twins import client

SEED = int(os.environ.get("SEED", "20517"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
MODEL = "dtmi:crash:Counter;1"
crash = Scenario()
made = {}


class Writer(threading.Thread):
    """Counts on, whatever becomes of the server; what had no answer is not counted again."""

    def __init__(self, twin):
        super().__init__(daemon=True)
        self.twin, self.stopping, self.count = twin, threading.Event(), 0
        self.acknowledged, self.unanswered, self.error = [], [], None

    def run(self):
        twins = client()
        while not self.stopping.is_set():
            number, self.count = self.count, self.count + 1
            try:
                patch = [{"op": "add", "path": "/count", "value": number}]
                twins.update_digital_twin(self.twin, patch, retry_total=0, connection_timeout=5, read_timeout=10)
                self.acknowledged.append(number)
            except (AzureError, OSError) as error:
                if isinstance(error, HttpResponseError) and error.status_code and error.status_code < 500:
                    self.error = error  # what no crash explains
                    return
                self.unanswered.append(number)
                time.sleep(0.02)  # a server that is gone refuses fast
            except Exception as error:
                self.error = error
                return


@crash.case("the server starts in an empty folder, with twins and a route to an event hub", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    twins = client()
    declare("PUT", "told", {"partitions": 2})
    path = f"/admin/resources/twins/{connections()['twins'][0]['name']}/endpoints/own"
    admin("PUT", path, {"namespace": namespace()["name"], "eventHub": "told"})
    contents = [{"@type": "Property", "name": "count", "schema": "integer"}]
    twins.create_models([{"@id": MODEL, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": contents}])
    made["writers"] = [Writer(f"t{n}") for n in range(6)]
    for writer in made["writers"]:
        twins.upsert_digital_twin(writer.twin, {"$metadata": {"$model": MODEL}, "count": -1})
    text = "type = 'Microsoft.DigitalTwins.Twin.Update'"
    twins.upsert_event_route("r", DigitalTwinsEventRoute(endpoint_name="own", filter=text))


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}); it starts again each time", needed=True)
def _():
    dice, server = random.Random(SEED), made["server"]
    for writer in made["writers"]:
        writer.start()
    for number in range(ROUNDS):
        time.sleep(dice.uniform(0.5, 2.5))  # the random point; nothing is expected of it
        if len(NODES) == 1 or number == ROUNDS - 1:
            server.kill()
            server = made["server"] = Server(WORK / "data")
        else:
            node = dice.randrange(len(NODES))
            server.kill_node(node)
            server.start_node(node)
    before = [len(writer.acknowledged) for writer in made["writers"]]
    goes_on = lambda: all(len(writer.acknowledged) > count for writer, count in zip(made["writers"], before))
    eventually(goes_on, 30, "every writer goes on")
    for writer in made["writers"]:
        writer.stopping.set()
    for writer in made["writers"]:
        writer.join(40)
        assert not writer.is_alive() and writer.error is None, f"{writer.twin}: {writer.error!r}"
    counts = [sum(len(kind(writer)) for writer in made["writers"]) for kind in (lambda w: w.acknowledged, lambda w: w.unanswered)]
    out({"note": f"{counts[0]} changes acknowledged, {counts[1]} without an answer"})
    assert counts[0] > 6 * ROUNDS and counts[1], "the test did not do its work"


@crash.case("each acknowledged change is told once, one without an answer once or not at all; of each twin in order")
def _():
    # A last change of every twin: what was before it is told when it is.
    twins = client()
    for writer in made["writers"]:
        twins.update_digital_twin(writer.twin, [{"op": "add", "path": "/count", "value": writer.count}])
        writer.acknowledged.append(writer.count)
    told = eventually(everything, 60, "every last change is told")
    late = 0
    for writer in made["writers"]:
        counts = told[writer.twin]
        equal(counts, sorted(set(counts)), f"{writer.twin} is told in order and nothing twice")
        lost = set(writer.acknowledged) - set(counts)
        assert not lost, f"{writer.twin}: acknowledged and not told: {sorted(lost)[:10]}"
        extra = set(counts) - set(writer.acknowledged)
        assert extra <= set(writer.unanswered), f"{writer.twin}: told and never asked for: {sorted(extra)[:10]}"
        late += len(extra)
    out({"note": f"{late} changes are there although the answer was lost"})


def everything():
    """What was told of each twin, in order, once that of every last change is among it."""
    told = {writer.twin: [] for writer in made["writers"]}
    with consumer("told") as reader:
        sizes = {p: reader.get_partition_properties(p)["last_enqueued_sequence_number"] + 1 for p in reader.get_partition_ids()}
    for partition, size in sizes.items():
        if size > 0:
            for event in receive(consumer("told"), size, 30, partition_id=partition, starting_position="-1"):
                twin = event.properties[b"cloudEvents:subject"].decode()
                told[twin].append(event.body_as_json()["patch"][0]["value"])
    return all(writer.count in told[writer.twin] for writer in made["writers"]) and told


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
