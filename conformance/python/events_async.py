# about: PyPI's azure-eventhub for asyncio: producers, buffered ones too, positions, owner levels, load balancing, refusals
# timeout: 180
"""Event hubs through azure-eventhub's asynchronous client."""

import asyncio
import collections
import datetime
import logging
import uuid

from azure.eventhub import EventData, TransportType
from azure.eventhub.aio._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.exceptions import AuthenticationError, ConnectError, ConnectionLostError, EventHubError

from lib import Scenario, equal
from lib.events import declare, namespace
from lib.events_async import Receiving, consumer, producer, receive

HUB = "deviceevents"
events = Scenario()
mark = uuid.uuid4().hex[:8]
seen = {}


def case(name, needed=False):
    """A case that is a coroutine, in an event loop of its own."""
    return lambda run: events.case(name, needed)(lambda: asyncio.run(run()))


async def refused(action, *kinds):
    try:
        result = await action
    except kinds as error:
        return error
    raise AssertionError(f"it was accepted: {result!r}")


async def newest(partition):
    async with producer(HUB) as client:
        return (await client.get_partition_properties(partition))["last_enqueued_sequence_number"]


async def newest_of_all():
    every = seen["partitions"]
    return dict(zip(every, await asyncio.gather(*(newest(one) for one in every))))


async def since(before):
    """What came after these places: by partition, in order."""
    now = await newest_of_all()
    more = {one: last for one, last in before.items() if now[one] > last}
    got = await asyncio.gather(
        *(receive(consumer(HUB), now[one] - last, partition_id=one, starting_position=last) for one, last in more.items())
    )
    return dict(zip(more, got))


@case("the event hub's and a partition's properties", needed=True)
async def _():
    async with producer(HUB) as client:
        about = await client.get_eventhub_properties()
        equal(about["eventhub_name"], HUB)
        seen["partitions"] = await client.get_partition_ids()
        equal(about["partition_ids"], seen["partitions"])
        about = await client.get_partition_properties("0")
        equal((about["id"], about["is_empty"], about["last_enqueued_sequence_number"]), ("0", True, -1))


@case("a batch to a partition arrives in order, with its place", needed=True)
async def _():
    async with producer(HUB) as client:
        batch = await client.create_batch(partition_id="0")
        for n in range(100):
            batch.add(EventData(f"{mark}-{n}"))
        await client.send_batch(batch)
    got = await receive(consumer(HUB), 100)
    equal([event.body_as_str() for event in got], [f"{mark}-{n}" for n in range(100)])
    equal([event.sequence_number for event in got], list(range(100)))
    seen["events"] = got


@case("what names no partition goes to each in turn, a batch as a whole")
async def _():
    before = await newest_of_all()
    count = len(seen["partitions"])
    async with producer(HUB) as client:
        for n in range(2 * count):
            await client.send_batch([EventData(f"turn-{n}") for _ in range(3)])
    got = await since(before)
    equal({one: len(of) for one, of in got.items()}, {one: 6 for one in seen["partitions"]})
    for of in got.values():
        bodies = [event.body_as_str() for event in of]
        assert len(set(bodies[:3])) == 1 == len(set(bodies[3:])), bodies


@case("a full batch is taken")
async def _():
    before = await newest("1")
    async with producer(HUB) as client:
        batch = await client.create_batch(partition_id="1")
        assert batch.max_size_in_bytes >= 1024 * 1024, batch.max_size_in_bytes
        try:
            while True:
                batch.add(EventData(b"f" * 10_000))
        except ValueError:
            await client.send_batch(batch)
    equal(await newest("1") - before, len(batch))
    return f"{len(batch)} events, {batch.size_in_bytes} of {batch.max_size_in_bytes} bytes"


@case("what has one partition key goes to one partition, in order, and comes with its key")
async def _():
    before = await newest_of_all()
    keys = [f"key-{n}" for n in range(20)]
    async with producer(HUB) as client:
        for n in range(3):
            for key in keys:
                await client.send_batch([EventData(f"{key} {n}")], partition_key=key)
    got = await since(before)
    found = collections.defaultdict(list)
    for one, of in got.items():
        for event in of:
            found[event.partition_key.decode(), one].append(event.body_as_str())
    equal(sorted(found.values()), sorted([f"{key} {n}" for n in range(3)] for key in keys))
    equal(sorted(key for key, _ in found), sorted(keys))
    assert len(got) > 1, "all keys lead to one partition"


@case("a buffered producer sends all that it was given, each event once, in order where a key or partition was named")
async def _():
    before = await newest_of_all()
    done, wrong = collections.Counter(), []

    async def on_success(sent, partition):
        done[partition] += len(sent)

    async def on_error(sent, partition, error):
        wrong.append(error)

    how = {"buffered_mode": True, "on_success": on_success, "on_error": on_error, "max_wait_time": 0.5}
    async with producer(HUB, **how) as client:
        for n in range(100):
            await client.send_event(EventData(f"any-{n}"))
            await client.send_event(EventData(f"named-{n}"), partition_id="2")
            await client.send_event(EventData(f"keyed-{n}"), partition_key="one key")
        await client.send_batch([EventData(f"together-{n}") for n in range(100)])
        await client.flush()
        equal(client.total_buffered_event_count, 0)
    equal((wrong, sum(done.values())), ([], 400))
    got = await since(before)
    equal({one: len(of) for one, of in got.items()}, dict(done))
    bodies = {one: [event.body_as_str() for event in of] for one, of in got.items()}
    for kind in ("any", "named", "keyed", "together"):
        equal(
            sorted(body for of in bodies.values() for body in of if body.startswith(kind)),
            sorted(f"{kind}-{n}" for n in range(100)),
        )
    for kind in ("named", "keyed"):
        of = [[body for body in of if body.startswith(kind)] for of in bodies.values()]
        equal([one for one in of if one], [[f"{kind}-{n}" for n in range(100)]])


@case("a buffered producer hears of what could not be sent")
async def _():
    wrong = asyncio.Queue()

    async def on_success(sent, partition):
        await wrong.put(AssertionError(f"{len(sent)} events were taken"))

    async def on_error(sent, partition, error):
        await wrong.put((len(sent), partition, error))

    hub = f"short-{mark}"
    declare("PUT", hub, {"partitions": 1})
    how = {"buffered_mode": True, "on_success": on_success, "on_error": on_error, "max_wait_time": 60}
    client = producer(hub, **how)
    await client.send_event(EventData("x"), partition_id="0")
    declare("DELETE", hub)
    await client.flush()
    count, partition, error = await asyncio.wait_for(wrong.get(), 20)
    equal((count, partition), (1, "0"))
    assert isinstance(error, EventHubError) and hub in str(error), repr(error)
    await client.close()


@case("receiving begins where it is asked to")
async def _():
    fifth = seen["events"][5]
    rows = [
        (fifth.sequence_number, False, 6),
        (fifth.sequence_number, True, 5),
        (fifth.offset, False, 6),
        (fifth.offset, True, 5),
        (seen["events"][0].enqueued_time - datetime.timedelta(seconds=1), False, 0),
    ]

    async def begins(position, inclusive, first):
        how = {"starting_position": position, "starting_position_inclusive": inclusive}
        got = (await receive(consumer(HUB), 1, **how))[0]
        equal(got.sequence_number, first, f"{position!r}, inclusive {inclusive}")

    # A partition has five receivers at most, and those that have just gone may be counted still.
    await asyncio.gather(*(begins(*row) for row in rows[:3]))
    await asyncio.gather(*(begins(*row) for row in rows[3:]))


@case("each partition may have a place of its own")
async def _():
    last = await newest_of_all()
    async with producer(HUB) as client:
        for one in seen["partitions"]:
            await client.send_batch([EventData(f"own-{one}")], partition_id=one)
    how = {"starting_position": last, "starting_position_inclusive": False}
    receiving = Receiving(consumer(HUB), **how)
    got = await receiving.wait(len(last))
    await receiving.stop()
    equal(sorted(event.body_as_str() for event in got), [f"own-{one}" for one in sorted(last)])


@case("@latest sees only what comes after, and the newest event's place comes along")
async def _():
    how = {"partition_id": "1", "starting_position": "@latest", "track_last_enqueued_event_properties": True}
    receiving = Receiving(consumer(HUB), **how)
    async with producer(HUB) as client:
        # Whether the receiver is attached cannot be seen from outside: events are sent until one arrives.
        for n in range(200):
            await client.send_batch([EventData(f"late-{n}")], partition_id="1")
            try:
                await receiving.until(lambda self: self.events, 0.1)
                break
            except AssertionError:
                continue
    got = (await receiving.wait(1))[0]
    await receiving.stop()
    assert got.body_as_str().startswith("late-"), got
    told = got.raw_amqp_message.delivery_annotations
    assert told[b"last_enqueued_sequence_number"] >= got.sequence_number, told


@case("who waits for nothing is told so")
async def _():
    how = {"partition_id": "1", "starting_position": "@latest", "max_wait_time": 0.5}
    receiving = Receiving(consumer(HUB), **how)
    equal(await receiving.wait(2), [None, None])
    await receiving.stop()


@case("a higher owner level takes the partition, a lower one and none are refused")
async def _():
    how = {"partition_id": "0", "starting_position": "-1"}
    first = Receiving(consumer(HUB), owner_level=1, **how)
    await first.wait(1)
    second = Receiving(consumer(HUB), owner_level=2, **how)
    await second.wait(1)
    lost = await first.error()
    assert isinstance(lost, ConnectionLostError) and "higher epoch" in str(lost), repr(lost)
    await first.stop()
    for level in (1, None):
        lower = Receiving(consumer(HUB), owner_level=level, **how)
        error = await lower.error()
        assert isinstance(error, ConnectionLostError) and "epoch" in str(error), repr(error)
        await lower.stop()
    equal(second.errors, [])
    await second.stop()


def sharing(store):
    """One of several consumers that share the partitions through a checkpoint store."""
    balanced = {"load_balancing_interval": 0.5, "partition_ownership_expiration_interval": 6}
    client = consumer(HUB, checkpoint_store=store, **balanced)
    return Receiving(client, checkpoint=True, starting_position=seen["before"])


@case("two consumers share the partitions, each event comes to one of them, and one takes over from the other")
async def _():
    store = InMemoryCheckpointStore()
    seen["before"] = await newest_of_all()
    every = set(seen["partitions"])
    first = sharing(store)
    await first.until(lambda self: self.partitions == every, 30)
    second = sharing(store)
    half = len(every) // 2
    await second.until(lambda self: len(self.partitions) == half, 30)
    await first.until(lambda self: len(self.partitions) == half, 30)
    equal(first.partitions | second.partitions, every)
    async with producer(HUB) as client:
        for one in every:
            await client.send_batch([EventData(f"shared-{one}-{n}") for n in range(10)], partition_id=one)
    await first.wait(10 * half)
    await second.wait(10 * half)
    await second.stop()
    await first.until(lambda self: self.partitions == every, 30)
    async with producer(HUB) as client:
        for one in every:
            await client.send_batch([EventData(f"alone-{one}")], partition_id=one)
    await first.wait(10 * half + len(every))
    await first.stop()
    got = collections.Counter(event.body_as_str() for one in (first, second) for event in one.events)
    wanted = {f"shared-{one}-{n}" for one in every for n in range(10)} | {f"alone-{one}" for one in every}
    equal(got, collections.Counter(wanted))


@case("what does not exist is refused with its name")
async def _():
    async with producer("nothere") as client:
        # Azure says so when the token is put, which this client takes for a failed authentication.
        error = await refused(client.send_batch([EventData("x")]), AuthenticationError)
        assert "404" in str(error) and "nothere" in str(error), error
    receiving = Receiving(consumer("nothere"), partition_id="0", starting_position="-1")
    assert "nothere" in str(await receiving.error()), receiving.errors
    await receiving.stop()
    async with producer(HUB) as client:
        error = await refused(client.send_batch([EventData("x")], partition_id="99"), EventHubError, ValueError)
        assert "partition" in str(error).lower(), error
        await refused(client.get_partition_properties("99"), EventHubError)


@case("a wrong key opens nothing, neither for sending nor for receiving nor for looking")
async def _():
    good = namespace()["connectionString"]
    start = good.index("SharedAccessKey=") + len("SharedAccessKey=")
    bad = good[:start] + "A" * 43 + "="
    unknown = good.replace("SharedAccessKeyName=", "SharedAccessKeyName=no")

    async def opens_nothing(connection):
        async with producer(HUB, connection) as client:
            await refused(client.send_batch([EventData("x")]), AuthenticationError, ConnectError)
            await refused(client.get_eventhub_properties(), AuthenticationError, ConnectError)
        receiving = Receiving(consumer(HUB, connection=connection), partition_id="0", starting_position="-1")
        error = await receiving.error()
        assert isinstance(error, (AuthenticationError, ConnectError)), repr(error)
        await receiving.stop()
        equal(receiving.events, [])

    await asyncio.gather(opens_nothing(bad), opens_nothing(unknown))


@case("an event that is too large is refused, the link goes on")
async def _():
    before = await newest("3")
    async with producer(HUB) as client:
        large = EventData(b"x" * (1024 * 1024 + 1))
        await refused(client.send_batch([large], partition_id="3"), EventHubError, ValueError)
        await client.send_batch([EventData(b"x" * (900 * 1024))], partition_id="3")
    equal(await newest("3"), before + 1)


@case("it works in a WebSocket on 443")
async def _():
    how = {"transport_type": TransportType.AmqpOverWebsocket}
    before = await newest("1")
    async with producer(HUB, **how) as client:
        await client.send_batch([EventData(b"w" * 500_000)], partition_id="1")
    got = await receive(consumer(HUB, **how), 1, partition_id="1", starting_position=before)
    equal(len(b"".join(got[0].body)), 500_000)


@case("it works with the client's wire log on")
async def _():
    logging.getLogger("azure").setLevel(logging.DEBUG)
    try:
        before = await newest("0")
        async with producer(HUB, logging_enable=True) as client:
            await client.send_batch([EventData("logged")], partition_id="0")
        got = await receive(consumer(HUB, logging_enable=True), 1, starting_position=before)
        equal(got[0].body_as_str(), "logged")
    finally:
        logging.getLogger("azure").setLevel(logging.WARNING)


events.run()
