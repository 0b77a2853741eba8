# about: PyPI's azure-eventhub sends and receives: keys, batches, positions, owner levels, types, refusals
# timeout: 300
"""Event hubs through azure-eventhub's synchronous client."""

import datetime
import logging
import uuid

from azure.eventhub import EventData, TransportType
from azure.eventhub.amqp import AmqpAnnotatedMessage
from azure.eventhub.exceptions import AuthenticationError, ConnectError, ConnectionLostError, EventHubError

from lib import Scenario, equal, refuses
from lib.events import Receiving, consumer, namespace, producer, receive

HUB = "deviceevents"
events = Scenario()
mark = uuid.uuid4().hex[:8]
sent = {}


@events.case("the event hub's properties", needed=True)
def _():
    with producer(HUB) as client:
        about = client.get_eventhub_properties()
        equal(about["eventhub_name"], HUB)
        assert about["created_at"].year >= 2024, about
        sent["partitions"] = about["partition_ids"]
        equal(sent["partitions"], [str(n) for n in range(len(sent["partitions"]))])


@events.case("a partition's properties before anything is sent")
def _():
    with producer(HUB) as client:
        about = client.get_partition_properties("0")
        equal((about["id"], about["eventhub_name"]), ("0", HUB))
        equal((about["is_empty"], about["beginning_sequence_number"]), (True, 0))


@events.case("a batch to a partition arrives in order, with its place", needed=True)
def _():
    with producer(HUB) as client:
        batch = client.create_batch(partition_id="0")
        for n in range(100):
            batch.add(EventData(f"{mark}-{n}"))
        client.send_batch(batch)
        about = client.get_partition_properties("0")
        equal((about["last_enqueued_sequence_number"], about["is_empty"]), (99, False))
    got = receive(consumer(HUB), 100, starting_position="-1")
    equal([event.body_as_str() for event in got], [f"{mark}-{n}" for n in range(100)])
    equal([event.sequence_number for event in got], list(range(100)))
    offsets = [int(event.offset) for event in got]
    assert offsets == sorted(set(offsets)), offsets
    now = datetime.datetime.now(datetime.timezone.utc)
    assert all(abs(now - event.enqueued_time).total_seconds() < 60 for event in got)
    sent["events"] = got


@events.case("receiving begins where it is asked to")
def _():
    fifth = sent["events"][5]
    for position, inclusive, first in [
        (fifth.sequence_number, False, 6),
        (fifth.sequence_number, True, 5),
        (fifth.offset, False, 6),
        (fifth.offset, True, 5),
    ]:
        how = {"starting_position": position, "starting_position_inclusive": inclusive}
        got = receive(consumer(HUB), 1, **how)[0]
        equal(got.sequence_number, first, f"{position!r}, inclusive {inclusive}")
    before = sent["events"][0].enqueued_time - datetime.timedelta(seconds=1)
    equal(receive(consumer(HUB), 1, starting_position=before)[0].sequence_number, 0)


@events.case("@latest sees only what comes after")
def _():
    receiving = Receiving(consumer(HUB), partition_id="1", starting_position="@latest", track_last_enqueued_event_properties=True)
    with producer(HUB) as client:
        # Whether the receiver is attached cannot be seen from outside: events are sent until one arrives.
        for n in range(200):
            client.send_batch([EventData(f"late-{n}")], partition_id="1")
            with receiving.came:
                if receiving.came.wait_for(lambda: receiving.events, 0.1):
                    break
    got = receiving.wait(1)[0]
    assert got.body_as_str().startswith("late-")
    receiving.stop()


@events.case("the newest event's place comes along when it is asked for")
def _():
    seen = []
    client = consumer(HUB)

    def on_event(context, event):
        seen.append(context.last_enqueued_event_properties)

    import threading

    done = threading.Event()
    thread = threading.Thread(
        target=lambda: client.receive(
            lambda context, event: (on_event(context, event), done.set()),
            partition_id="0",
            starting_position="-1",
            track_last_enqueued_event_properties=True,
        ),
        daemon=True,
    )
    thread.start()
    assert done.wait(20)
    client.close()
    equal(seen[0]["sequence_number"], 99)
    assert seen[0]["offset"] == sent["events"][99].offset and seen[0]["enqueued_time"] and seen[0]["retrieval_time"]


@events.case("a partition key leads where it leads in Azure")
def _():
    # Computed with npm's partitionKeyToIdMapper for 4 partitions; `thermostat67` is the sample's device.
    with producer(HUB) as client:
        for n in range(20):
            client.send_batch([EventData(f"key-{n}")], partition_key=f"key-{n}")
    count = len(sent["partitions"])
    found = {}
    for partition in sent["partitions"]:
        with producer(HUB) as client:
            newest = client.get_partition_properties(partition)["last_enqueued_sequence_number"]
        if newest >= 0:
            for event in receive(consumer(HUB), newest + 1, partition_id=partition, starting_position="-1"):
                if event.partition_key:
                    found[event.partition_key.decode() if isinstance(event.partition_key, bytes) else event.partition_key] = int(partition)
    equal(len(found), 20)
    equal(found, {key: reference_partition(key, count) for key in found})


def reference_partition(key, count):
    """lookup3 as @azure/event-hubs computes it, written independently of the server."""
    data, mask = key.encode(), 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(data)) & mask

    def rot(x, k):
        return ((x << k) | (x >> (32 - k))) & mask

    i, length = 0, len(data)
    word = lambda at: int.from_bytes(data[at : at + 4].ljust(4, b"\0"), "little")
    while length > 12:
        a, b, c = (a + word(i)) & mask, (b + word(i + 4)) & mask, (c + word(i + 8)) & mask
        a = ((a - c) & mask) ^ rot(c, 4); c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 6); a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 8); b = (b + a) & mask
        a = ((a - c) & mask) ^ rot(c, 16); c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 19); a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 4); b = (b + a) & mask
        i, length = i + 12, length - 12
    if length:
        a, b, c = (a + word(i)) & mask, (b + word(i + 4)) & mask, (c + word(i + 8)) & mask
        c = ((c ^ b) - rot(b, 14)) & mask
        a = ((a ^ c) - rot(c, 11)) & mask
        b = ((b ^ a) - rot(a, 25)) & mask
        c = ((c ^ b) - rot(b, 16)) & mask
        a = ((a ^ c) - rot(c, 4)) & mask
        b = ((b ^ a) - rot(a, 14)) & mask
        c = ((c ^ b) - rot(b, 24)) & mask
    value = (c ^ b) & 0xFFFF
    value = value - 0x10000 if value >= 0x8000 else value
    return abs(value) % count


@events.case("properties of every type come back as they were sent")
def _():
    properties = {
        "text": "ä€",
        "int": 5,
        "negative": -7,
        "double": 1.5,
        "yes": True,
        "bytes": b"\x00\xff",
        "uuid": uuid.uuid4(),
        "none": None,
        "when": datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.timezone.utc),
    }
    event = EventData(b"\x00\x01\xff")
    event.properties = properties
    event.content_type, event.correlation_id, event.message_id = "application/x-test", "c-1", "m-1"
    with producer(HUB) as client:
        client.send_batch([event], partition_id="2")
        newest = client.get_partition_properties("2")["last_enqueued_sequence_number"]
    got = receive(consumer(HUB), 1, partition_id="2", starting_position=newest, starting_position_inclusive=True)[0]
    equal(b"".join(got.body), b"\x00\x01\xff")
    equal((got.content_type, got.correlation_id, got.message_id), ("application/x-test", "c-1", "m-1"))
    back = {key.decode(): value for key, value in got.properties.items()}
    back["text"] = back["text"].decode()
    when = back.pop("when")
    equal(when, int(properties.pop("when").timestamp() * 1000) if isinstance(when, int) else properties.pop("when", when))
    equal(back, properties)


@events.case("sequence and value bodies come back as they were sent")
def _():
    with producer(HUB) as client:
        client.send_batch([AmqpAnnotatedMessage(value_body={"a": [1, "x"]}), AmqpAnnotatedMessage(sequence_body=[[1, 2], ["x"]])], partition_id="3")
        newest = client.get_partition_properties("3")["last_enqueued_sequence_number"]
    value, sequence = receive(consumer(HUB), 2, partition_id="3", starting_position=newest - 1, starting_position_inclusive=True)
    equal(value.raw_amqp_message.body, {b"a": [1, b"x"]})
    equal(list(sequence.raw_amqp_message.body), [[1, 2], [b"x"]])


@events.case("a higher owner level takes the partition, a lower one and none are refused")
def _():
    first = Receiving(consumer(HUB), starting_position="-1", owner_level=1)
    first.wait(1)
    second = Receiving(consumer(HUB), starting_position="-1", owner_level=2)
    second.wait(1)
    lost = first.error()
    assert isinstance(lost, ConnectionLostError) and "higher epoch" in str(lost), repr(lost)
    first.stop()
    for level in (1, None):
        lower = Receiving(consumer(HUB), starting_position="-1", owner_level=level)
        refused = lower.error()
        assert isinstance(refused, ConnectionLostError) and "epoch" in str(refused), repr(refused)
        lower.stop()
    equal(second.errors, [])
    second.stop()


@events.case("five receivers without an owner level, and no sixth")
def _():
    held = [Receiving(consumer(HUB), starting_position="-1") for _ in range(5)]
    for one in held:
        one.wait(1)
    sixth = Receiving(consumer(HUB), starting_position="-1")
    assert "5" in str(sixth.error()) and "receivers" in str(sixth.error()), sixth.errors
    for one in held + [sixth]:
        one.stop()


@events.case("a consumer group of its own has to exist")
def _():
    receiving = Receiving(consumer(HUB, group="nobody"), starting_position="-1")
    error = receiving.error()
    assert isinstance(error, EventHubError) and "nobody" in str(error), repr(error)
    receiving.stop()


@events.case("what does not exist is refused with its name")
def _():
    with producer("nothere") as client:
        error = refuses(lambda: client.send_batch([EventData("x")]), kinds=(EventHubError,))
        assert "nothere" in str(error), error
    with producer(HUB) as client:
        error = refuses(lambda: client.send_batch([EventData("x")], partition_id="99"), kinds=(EventHubError, ValueError))
        assert "partition" in str(error).lower(), error


@events.case("a wrong key opens nothing")
def _():
    good = namespace()["connectionString"]
    start = good.index("SharedAccessKey=") + len("SharedAccessKey=")
    bad = good[:start] + "A" * 43 + "="
    with producer(HUB, connection=bad) as client:
        refuses(lambda: client.send_batch([EventData("x")]), kinds=(AuthenticationError, ConnectError))
    unknown = good.replace("SharedAccessKeyName=", "SharedAccessKeyName=no")
    with producer(HUB, connection=unknown) as client:
        refuses(client.get_eventhub_properties, kinds=(AuthenticationError, ConnectError))


@events.case("an event that is too large is refused, the link goes on")
def _():
    with producer(HUB) as client:
        refuses(lambda: client.send_batch([EventData(b"x" * (1024 * 1024 + 1))]), kinds=(EventHubError, ValueError))
        client.send_batch([EventData(b"x" * (900 * 1024))], partition_id="3")


@events.case("a reader goes on for good although it settles nothing")
def _():
    with producer(HUB) as client:
        first = client.get_partition_properties("2")["last_enqueued_sequence_number"] + 1
        for start in range(0, 12_000, 3000):
            batch = client.create_batch(partition_id="2")
            for n in range(start, start + 3000):
                batch.add(EventData(f"many-{n}"))
            client.send_batch(batch)
    got = receive(consumer(HUB), 12_000, 60, partition_id="2", starting_position=first, starting_position_inclusive=True)
    equal([event.body_as_str() for event in got], [f"many-{n}" for n in range(12_000)])


@events.case("it works in a WebSocket on 443")
def _():
    how = {"transport_type": TransportType.AmqpOverWebsocket}
    with producer(HUB, **how) as client:
        client.send_batch([EventData(b"w" * 500_000)], partition_id="1")
        newest = client.get_partition_properties("1")["last_enqueued_sequence_number"]
    position = {"starting_position": newest, "starting_position_inclusive": True}
    got = receive(consumer(HUB, **how), 1, partition_id="1", **position)[0]
    equal(len(b"".join(got.body)), 500_000)


@events.case("it works with the client's wire log on")
def _():
    logging.getLogger("azure").setLevel(logging.DEBUG)
    try:
        with producer(HUB, logging_enable=True) as client:
            client.send_batch([EventData("logged")], partition_id="0")
            newest = client.get_partition_properties("0")["last_enqueued_sequence_number"]
        how = {"starting_position": newest, "starting_position_inclusive": True}
        got = receive(consumer(HUB, logging_enable=True), 1, **how)
        equal(got[0].body_as_str(), "logged")
    finally:
        logging.getLogger("azure").setLevel(logging.WARNING)


events.run()
