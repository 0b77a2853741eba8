# about: kill -9 while azure-eventhub sends and receives, at seeded random points; each accepted event is there once, in order, where it was
# server: none
# timeout: 180
"""Many producers and readers at work while the server is killed again and again: all of it where there is one node, one of
the nodes where there are several (and all of them in the last round).

What a producer says was accepted has to be there once; what had no answer, once or not at all. The client's retries are off,
but it sends once more by itself what a broken connection left without an answer (`send_batch` of `_producer_client.py`): of a
message that was under way at a kill there may be two, each of them whole. What was read before a kill has to be there after
it, with the same sequence number and offset.
"""

import collections
import os
import random
import threading
import time

from azure.eventhub import EventData
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from lib import WORK, Scenario, equal, out
from lib.events import Receiving, consumer, producer, receive
from lib.server import NODES, Server

SEED = int(os.environ.get("SEED", "50171"))
ROUNDS = int(os.environ.get("ROUNDS", "8"))
HUB = "deviceevents"
crash = Scenario()
made = {}


class Sender(threading.Thread):
    """One producer. Sends one message after the other, each with one event or several, and notes what was accepted; when the
    server is gone it connects again and goes on with the next one. An event says whose it is, of which message, and which
    of how many."""

    def __init__(self, name, seed, single, **where):
        super().__init__(daemon=True)
        self.name_, self.random, self.single, self.where = name, random.Random(seed), single, where
        self.stopping, self.sent = threading.Event(), 0
        self.accepted, self.unanswered = {}, {}  # number of the message: events in it
        self.times = {}  # when it was begun and when it had its answer, or none
        self.lost, self.error = collections.Counter(), None

    def run(self):
        while not self.stopping.is_set():
            try:
                with producer(HUB) as client:
                    while not self.stopping.is_set():
                        self.step(client)
            except AuthenticationError as error:
                self.error = error  # what no crash explains
                return
            except (EventHubError, OSError) as error:
                self.lost[type(error).__name__] += 1
            except Exception as error:
                self.error = error
                return

    def step(self, client):
        count = 1 if self.single else self.random.randrange(2, 12)
        number, self.sent = self.sent, self.sent + 1
        events = [EventData(f"{self.name_} {number} {n} {count} {'.' * self.random.randrange(200)}") for n in range(count)]
        self.unanswered[number], began = count, time.monotonic()
        try:
            self.send(client, events)
            self.accepted[number] = self.unanswered.pop(number)
        finally:
            self.times[number] = (began, time.monotonic())

    def send(self, client, events):
        if self.single:
            client.send_event(events[0], **self.where)
        else:
            batch = client.create_batch(**self.where)
            for event in events:
                batch.add(event)
            client.send_batch(batch)

    def most(self, number):
        """How often a message may be there."""
        began, ended = self.times[number]
        return 2 if any(began < after and before < ended for before, after in made["kills"]) else 1


class Reader(threading.Thread):
    """Reads a partition to its end and on; when the server is gone it goes on after what it has had."""

    def __init__(self, partition):
        super().__init__(daemon=True)
        self.partition, self.stopping = partition, threading.Event()
        self.seen, self.interrupted, self.error = [], 0, None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.read()
        except Exception as error:
            self.error = error

    def read(self):
        begin = self.seen[-1].sequence_number if self.seen else "-1"
        receiving = Receiving(consumer(HUB), partition_id=self.partition, starting_position=begin)
        with receiving.came:
            while not receiving.errors and not self.stopping.is_set():
                receiving.came.wait(0.2)
        receiving.stop()
        self.seen.extend(receiving.events)
        self.interrupted += bool(receiving.errors)


@crash.case("the server starts in an empty folder, with a hub of several partitions", needed=True)
def _():
    made["server"] = Server(WORK / "data")
    with producer(HUB) as client:
        made["partitions"] = client.get_partition_ids()
    assert len(made["partitions"]) > 1, made["partitions"]
    dice = random.Random(SEED)
    partitions = made["partitions"]
    senders = [(f"batch-{p}", False, {"partition_id": p}) for p in partitions]
    senders += [(f"single-{p}", True, {"partition_id": p}) for p in partitions[:2]]
    senders += [(f"key-{n}", n % 2 == 0, {"partition_key": f"key-{n}"}) for n in range(4)]
    senders += [("anywhere", False, {})]
    made["senders"] = [Sender(name, dice.random(), single, **where) for name, single, where in senders]
    made["readers"] = [Reader(p) for p in partitions]
    made["kills"] = []


@crash.case(f"{ROUNDS} kills at random points (seed {SEED}); it starts again each time", needed=True)
def _():
    dice, server, slowest = random.Random(SEED), made["server"], 0.0
    workers = made["readers"] + made["senders"]
    for worker in workers:
        worker.start()
    for number in range(ROUNDS):
        time.sleep(dice.uniform(0.6, 3.6))  # the random point; nothing is expected of it
        if len(NODES) == 1 or number == ROUNDS - 1:
            killed(server.kill)
            server = made["server"] = Server(WORK / "data")
            slowest = max(slowest, server.ready_after)
        else:
            node = dice.randrange(len(NODES))
            killed(lambda: server.kill_node(node))
            time.sleep(dice.uniform(0, 1))  # the others go on alone
            server.start_node(node)
    before = [len(sender.accepted) for sender in made["senders"]]
    going_on(before)
    for worker in workers:
        worker.stopping.set()
    for worker in workers:
        worker.join(40)
        assert not worker.is_alive(), f"{worker} hangs"
        assert worker.error is None, f"{worker}: {worker.error!r}"
    accepted = sum(sum(sender.accepted.values()) for sender in made["senders"])
    unanswered = sum(sum(sender.unanswered.values()) for sender in made["senders"])
    lost = sum((sender.lost for sender in made["senders"]), collections.Counter())
    interrupted = sum(reader.interrupted for reader in made["readers"])
    out({"note": f"{accepted} events accepted, {unanswered} without an answer ({dict(lost)}), readers interrupted {interrupted} times; slowest restart {slowest:.2f} s"})
    assert sum(before) > ROUNDS * len(before) and unanswered and interrupted, f"the test did not do its work: {before}"


def killed(kill):
    before = time.monotonic()
    kill()
    made["kills"].append((before, time.monotonic()))


def going_on(before):
    """After the last restart every producer is accepted again."""
    deadline = time.monotonic() + 20
    while any(len(sender.accepted) == count for sender, count in zip(made["senders"], before)):
        errors = [(sender.name_, sender.error, sender.lost) for sender in made["senders"]]
        assert time.monotonic() < deadline, f"not every producer goes on: {errors}"
        time.sleep(0.05)


@crash.case("what each partition has can be read from its beginning", needed=True)
def _():
    made["read"] = {}
    for partition in made["partitions"]:
        with producer(HUB) as client:
            count = client.get_partition_properties(partition)["last_enqueued_sequence_number"] + 1
        made["read"][partition] = receive(consumer(HUB), count, 30, partition_id=partition, starting_position="-1")
    return f"{sum(map(len, made['read'].values()))} events"


def told(event):
    """Whose it is, of which message, which of how many."""
    name, number, which, count, _ = event.body_as_str().split(" ")
    return name, int(number), int(which), int(count)


@crash.case("sequence numbers are dense, offsets ascend")
def _():
    for partition, events in made["read"].items():
        equal([event.sequence_number for event in events], list(range(len(events))), f"sequence numbers of {partition}")
        offsets = [int(event.offset) for event in events]
        assert offsets == sorted(set(offsets)), f"offsets of {partition}"


@crash.case("what was read before a kill is the same after it, with its sequence number, offset and time")
def _():
    count = 0
    place = lambda event: (event.sequence_number, event.offset, event.enqueued_time, event.body_as_str())
    for reader in made["readers"]:
        seen, read = [place(event) for event in reader.seen], made["read"][reader.partition]
        equal([one[0] for one in seen], list(range(len(seen))), f"what was read of {reader.partition} meanwhile")
        wrong = [(was, place(now)) for was, now in zip(seen, read) if was != place(now)]
        assert not wrong and len(seen) <= len(read), f"{len(wrong)} differ, such as {wrong[:1]}"
        count += len(seen)
    assert count > 0
    return f"{count} events"


@crash.case("every accepted event is there once; what had no answer, whole and once or not at all")
def _():
    copies = collections.defaultdict(collections.Counter)  # of each message: how often each of its events is there
    for events in made["read"].values():
        for event in events:
            name, number, which, _ = told(event)
            copies[name, number][which] += 1
    kept = again = 0
    for sender in made["senders"]:
        for number, count in (sender.accepted | sender.unanswered).items():
            found = copies.pop((sender.name_, number), {})
            times = {found.get(which, 0) for which in range(count)}
            least, most = int(number in sender.accepted), sender.most(number)
            what = f"message {number} of {sender.name_}, {'accepted' if least else 'unanswered'}"
            assert len(times) == 1, f"{what}: a part of it is there: {dict(found)}"
            assert least <= min(times) <= most, f"{what}: it is there {times} times"
            kept += number in sender.unanswered and min(times)
            again += min(times) > 1
    equal(list(copies), [], "messages that nobody sent")
    out({"note": f"{kept} messages are there although the answer was lost; {again} twice, as the client sent them again"})


@crash.case("each partition has a producer's events in the order it sent them; a key's are in one partition")
def _():
    homes = collections.defaultdict(set)
    for partition, events in made["read"].items():
        last = {}
        for event in events:
            name, number, which, count = told(event)
            homes[name].add(partition)
            before = last.get(name, (-1, 0, 1))
            # The next of its message, or the first of a later one, or of the same that was sent once more.
            follows = before[0] == number and before[1] + 1 == which
            begins = before[0] <= number and which == 0 and before[1] + 1 == before[2]
            assert follows or begins, f"{name} in {partition}: {(number, which)} after {before}"
            last[name] = (number, which, count)
    for sender in made["senders"]:
        if "partition_id" in sender.where:
            equal(homes[sender.name_], {sender.where["partition_id"]}, sender.name_)
        elif "partition_key" in sender.where:
            equal(len(homes[sender.name_]), 1, f"partitions of {sender.name_}")


@crash.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


crash.run()
