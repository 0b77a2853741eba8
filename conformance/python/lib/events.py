"""PyPI's azure-eventhub against the subject: clients, and receiving as many events as are wanted."""

import threading

import requests

from azure.eventhub import EventHubConsumerClient, EventHubProducerClient

from lib import connections


def options(**more):
    """What every client is given beside its names: whom to trust, and no patience for what does not work."""
    return {"connection_verify": connections()["ca"], "retry_total": 0, **more}


def namespace(index=0):
    return connections()["events"][index]


def declare(method, hub, body=None, index=0):
    """PUT or DELETE of an event hub of a namespace, as the operator may."""
    admin = connections()["admin"]
    response = requests.request(
        method,
        f"{admin['url']}/admin/resources/events/{namespace(index)['name']}/event-hubs/{hub}",
        headers={"Authorization": f"Bearer {admin['key']}"},
        json=body,
        timeout=30,
    )
    assert response.status_code < 300, f"{method} {hub}: {response.status_code} {response.text[:400]}"


def producer(hub, connection=None, **more):
    connection = connection or namespace()["connectionString"]
    return EventHubProducerClient.from_connection_string(connection, eventhub_name=hub, **options(**more))


def consumer(hub, group="$Default", connection=None, **more):
    connection = connection or namespace()["connectionString"]
    return EventHubConsumerClient.from_connection_string(
        connection, consumer_group=group, eventhub_name=hub, **options(**more)
    )


class Receiving:
    """Receives in a thread until it is stopped; what came and what went wrong can be looked at meanwhile.

    The client hands over some four events a second of each partition, where it is asked for them one by one; `many` of them at once
    where it is asked for that.
    """

    def __init__(self, client, many=0, **how):
        self.client, self.events, self.errors = client, [], []
        self.came = threading.Condition()
        how.setdefault("partition_id", "0")

        def on_event(context, event):
            with self.came:
                self.events.append(event)
                self.came.notify_all()

        def on_error(context, error):
            with self.came:
                self.errors.append(error)
                self.came.notify_all()

        def on_events(context, events):
            with self.came:
                self.events.extend(events)
                self.came.notify_all()

        def receive():
            if many:
                client.receive_batch(on_events, max_batch_size=many, on_error=on_error, **how)
            else:
                client.receive(on_event, on_error=on_error, **how)

        self.thread = threading.Thread(target=receive, daemon=True)
        self.thread.start()

    def wait(self, count, seconds=20):
        """The first `count` events."""
        with self.came:
            full = self.came.wait_for(lambda: len(self.events) >= count or self.errors, seconds)
            assert full and not self.errors, f"{len(self.events)} of {count} events came; errors: {self.errors}"
            return self.events[:count]

    def error(self, seconds=20):
        """The first error."""
        with self.came:
            assert self.came.wait_for(lambda: self.errors, seconds), "nothing went wrong"
            return self.errors[0]

    def stop(self):
        self.client.close()
        self.thread.join(10)


def receive(client, count, seconds=20, **how):
    """As many events, and the client closed."""
    receiving = Receiving(client, **how)
    try:
        return receiving.wait(count, seconds)
    finally:
        receiving.stop()
