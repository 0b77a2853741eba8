"""PyPI's azure-eventhub for asyncio against the subject: clients, and receiving as many events as are wanted."""

import asyncio

from azure.eventhub.aio import EventHubConsumerClient, EventHubProducerClient

from lib.events import namespace, options


def producer(hub, connection=None, **more):
    connection = connection or namespace()["connectionString"]
    return EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **options(**more))


def consumer(hub, group="$Default", connection=None, **more):
    connection = connection or namespace()["connectionString"]
    return EventHubConsumerClient.from_connection_string(
        connection, consumer_group=group, eventhub_name=hub, **options(**more)
    )


class Receiving:
    """Receives in a task until it is stopped; what came and what went wrong can be looked at meanwhile.

    `checkpoint` notes each event as done with; `partitions` are those that the client owns now.
    """

    def __init__(self, client, *, checkpoint=False, **how):
        self.client, self.events, self.errors, self.partitions = client, [], [], set()
        self._changed = asyncio.Condition()

        async def on_event(context, event):
            if checkpoint and event:
                await context.update_checkpoint(event)
            await self._note(lambda: self.events.append(event))

        async def on_error(context, error):
            await self._note(lambda: self.errors.append(error))

        async def on_partition_initialize(context):
            await self._note(lambda: self.partitions.add(context.partition_id))

        async def on_partition_close(context, reason):
            await self._note(lambda: self.partitions.discard(context.partition_id))

        self._task = asyncio.create_task(
            client.receive(
                on_event,
                on_error=on_error,
                on_partition_initialize=on_partition_initialize,
                on_partition_close=on_partition_close,
                **how,
            )
        )

    async def _note(self, change):
        async with self._changed:
            change()
            self._changed.notify_all()

    async def until(self, condition, seconds=20):
        """Waits for what is asked of this receiver; fails with what it has when the time is over."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: condition(self))
        except TimeoutError:
            have = f"{len(self.events)} events, partitions {sorted(self.partitions)}, errors {self.errors}"
            raise AssertionError(f"it did not come true within {seconds} s; there are {have}") from None

    async def wait(self, count):
        """The first `count` events."""
        await self.until(lambda self: len(self.events) >= count or self.errors)
        assert not self.errors, self.errors
        return self.events[:count]

    async def error(self):
        """The first error."""
        await self.until(lambda self: self.errors)
        return self.errors[0]

    async def stop(self):
        await self.client.close()
        # It may be asleep until partitions are balanced again.
        self._task.cancel()
        await asyncio.wait([self._task])


async def receive(client, count, **how):
    """As many events, and the client closed. From the beginning of partition 0, where nothing else is said."""
    receiving = Receiving(client, **{"partition_id": "0", "starting_position": "-1"} | how)
    try:
        return await receiving.wait(count)
    finally:
        await receiving.stop()
