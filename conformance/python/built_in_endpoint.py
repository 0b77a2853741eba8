# about: a hub's built-in endpoint and endpoints elsewhere: fallback route, system properties, retry, order, dead letters
# server: config/small_events.toml
# timeout: 150
"""What devices send, read from the hub itself and from an event hub that is reached over AMQP."""

import json
import uuid

from azure.eventhub import EventData
from azure.eventhub.exceptions import AuthenticationError, ConnectError, EventHubError
from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.hub import IoTHubRegistryManager

from lib import Scenario, connections, equal, eventually, refuses
from lib.admin import admin
from lib.events import Receiving, consumer, namespace, producer, receive
from lib.sas import parts

DEVICE = f"sensor-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
HUB = f"/admin/resources/hub/{hub['name']}"
built_in = hub["eventsConnectionString"]
name = parts(built_in)["EntityPath"]
made = {}
scenario = Scenario()


def reader(connection=built_in, **more):
    return consumer(name, connection=connection, **more)


def of_partition(device, connection, hub_name, count, partitions=4):
    """The first events of a device, whichever partition they are in: one has all of them."""
    with consumer(hub_name, connection=connection) as client:
        filled = [
            partition
            for partition in client.get_partition_ids()
            if not client.get_partition_properties(partition)["is_empty"]
        ]
    got = []
    for partition in filled:
        with consumer(hub_name, connection=connection) as client:
            last = client.get_partition_properties(partition)["last_enqueued_sequence_number"]
        events = receive(
            consumer(hub_name, connection=connection), last + 1, partition_id=partition, starting_position="-1"
        )
        own = [one for one in events if one.system_properties.get(b"iothub-connection-device-id") == device.encode()]
        assert not (own and got), "the device's events are in two partitions"
        got = got or own
    assert len(got) >= count, f"{len(got)} of {count} events"
    return got


def route(endpoint, condition="true"):
    admin("PUT", f"{HUB}/routes/deviceevents", {"source": "DeviceMessages", "endpoint": endpoint, "condition": condition})


def send(text, **properties):
    message = Message(text)
    message.content_type, message.content_encoding = "application/json", "utf-8"
    message.message_id = str(uuid.uuid4())
    message.custom_properties = properties
    made["device"].send_message(message)


@scenario.case("a device connects", needed=True)
def _():
    registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
    device = registry.create_device_with_sas(DEVICE, "", "", "enabled")
    made["device"] = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=device.authentication.symmetric_key.primary_key,
        hostname=hub["hostName"],
        device_id=DEVICE,
        server_verification_cert=open(subject["ca"]).read(),
    )
    made["device"].connect()


@scenario.case("the built-in endpoint is an event hub of its compatible name", needed=True)
def _():
    equal(name, f"iothub-ehub-{hub['name']}")
    with reader() as client:
        about = client.get_eventhub_properties()
        equal((about["eventhub_name"], about["partition_ids"]), (name, ["0", "1", "2", "3"]))


@scenario.case("what no route takes is there, with the hub's system properties", needed=True)
def _():
    # The hub of a first start has a route to it beside the one to its event hub.
    admin("DELETE", f"{HUB}/routes/built-in")
    route("deviceevents", "level = 'high'")
    for n in range(20):
        send(json.dumps({"n": n}), level="low")
    send(json.dumps({"n": "routed"}), level="high")
    got = of_partition(DEVICE, built_in, name, 20)
    equal([json.loads(one.body_as_str())["n"] for one in got], list(range(20)))
    first = got[0]
    equal(first.properties, {b"level": b"low"})
    equal((first.content_type, first.partition_key), ("application/json", DEVICE.encode()))
    system = first.system_properties
    equal(system[b"iothub-message-source"], b"Telemetry")
    assert system[b"iothub-enqueuedtime"] and b"iothub-connection-auth-method" in system, system
    assert b"iothub-connection-auth-generation-id" in system, system


@scenario.case("without the fallback route it is dropped; a route may lead to `events`")
def _():
    admin("PATCH", HUB, {"fallbackRoute": False})
    send('"dropped"', level="low")
    route("events", "level = 'high'")
    send('"by a route"', level="high")
    got = of_partition(DEVICE, built_in, name, 21)
    equal([json.loads(one.body_as_str()) for one in got][20:], ["by a route"])
    admin("PATCH", HUB, {"fallbackRoute": True})


@scenario.case("nobody sends there, and only who may connect as a service reads")
def _():
    def sends():
        with producer(name, connection=built_in) as client:
            client.send_batch([EventData("x")])

    refuses(sends, kinds=(AuthenticationError, ConnectError, EventHubError))
    shown = admin("GET", HUB)
    for policy in shown["policies"]:
        key = policy["keys"]["secondary"]
        text = f"Endpoint=sb://{hub['hostName']}/;SharedAccessKeyName={policy['name']};SharedAccessKey={key};EntityPath={name}"
        if "ServiceConnect" in policy["rights"]:
            with reader(text) as client:
                equal(client.get_eventhub_properties()["eventhub_name"], name)
        else:
            with reader(text) as client:
                refuses(client.get_eventhub_properties, kinds=(AuthenticationError, ConnectError, EventHubError))
    with consumer(name) as client:
        refuses(client.get_eventhub_properties, kinds=(AuthenticationError, ConnectError, EventHubError))


@scenario.case("consumer groups and partitions of it are made while it runs")
def _():
    admin("PATCH", HUB, {"events": {"consumerGroups": ["dashboards"], "partitions": 6}})
    with reader(group="dashboards") as client:
        equal(len(client.get_partition_ids()), 6)
    got = receive(reader(group="dashboards"), 1, partition_id=partition_of_device(), starting_position="-1")
    equal(len(got), 1)
    said = admin("PATCH", HUB, {"events": {"partitions": 2}}, status=400)
    assert "grow" in json.dumps(said), said
    group = f"{HUB}/consumer-groups/short-lived"
    admin("PUT", group, {})
    theirs = Receiving(reader(group="short-lived"), partition_id=partition_of_device(), starting_position="-1")
    theirs.wait(1)
    names = [one["name"] for one in admin("GET", f"{HUB}/consumer-groups")["value"]]
    equal(names, ["$Default", "dashboards", "short-lived"])
    admin("DELETE", group)
    lost = theirs.error()
    theirs.stop()
    assert isinstance(lost, EventHubError) and "short-lived" in str(lost), repr(lost)
    admin("DELETE", f"{HUB}/consumer-groups/$Default", status=400)


def partition_of_device():
    with reader() as client:
        for partition in client.get_partition_ids():
            if not client.get_partition_properties(partition)["is_empty"]:
                return partition
    raise AssertionError("every partition is empty")


@scenario.case("an endpoint elsewhere waits until it lets us in, then has everything in order", needed=True)
def _():
    elsewhere = parts(namespace()["connectionString"])
    text = f"Endpoint={elsewhere['Endpoint']};SharedAccessKeyName={elsewhere['SharedAccessKeyName']};EntityPath=far"
    admin("PUT", f"/admin/resources/events/{namespace()['name']}/event-hubs/far", {"partitions": 2})
    admin("PUT", f"{HUB}/endpoints/far", {"connectionString": text}, status=400)
    wrong = f"{text};SharedAccessKey=d3Jvbmc="
    admin("PUT", f"{HUB}/endpoints/far", {"connectionString": wrong})
    shown = next(one for one in admin("GET", HUB)["endpoints"] if one["name"] == "far")
    assert "d3Jvbmc" not in json.dumps(shown), shown
    route("far")
    for n in range(300):
        send(json.dumps(n), size="small")
    with producer("far") as client:
        counts = [client.get_partition_properties(partition)["is_empty"] for partition in client.get_partition_ids()]
        equal(counts, [True, True])
    admin("PUT", f"{HUB}/endpoints/far", {"connectionString": f"{text};SharedAccessKey={elsewhere['SharedAccessKey']}"})
    got = eventually(
        lambda: of_partition(DEVICE, namespace()["connectionString"], "far", 300), 60, "all events elsewhere"
    )
    equal([json.loads(one.body_as_str()) for one in got], list(range(300)))
    first = got[0]
    equal((first.properties, first.partition_key), ({b"size": b"small"}, DEVICE.encode()))
    equal(first.system_properties[b"iothub-message-source"], b"Telemetry")


@scenario.case("an event that is refused elsewhere is a dead letter and holds up none behind it")
def _():
    send(json.dumps("x" * 100_000), size="large")
    send(json.dumps("after"), size="small")
    got = eventually(lambda: of_partition(DEVICE, namespace()["connectionString"], "far", 301), 30, "the event behind it")
    equal(json.loads(got[300].body_as_str()), "after")
    letters = admin("GET", f"{HUB}/dead-letters?endpoint=far")["value"]
    equal([(one["endpoint"], one["attempts"]) for one in letters], [("far", letters[0]["attempts"])])
    equal(admin("GET", f"{HUB}/dead-letters?endpoint=other")["value"], [])
    made["letter"] = letters[0]["id"]
    shown = admin("GET", f"{HUB}/dead-letters/{made['letter']}")
    assert len(shown["payload"]) > 100_000 and "size" in shown["reason"], shown["reason"]


@scenario.case("a dead letter is sent again, or forgotten")
def _():
    path = f"{HUB}/dead-letters/{made['letter']}"
    said = admin("POST", f"{path}/replay", status=400)
    assert "size" in json.dumps(said), said
    equal(admin("GET", path)["attempts"], 2)
    admin("DELETE", path)
    admin("GET", path, status=404)
    equal(admin("GET", f"{HUB}/dead-letters")["value"], [])


@scenario.case("an endpoint that routes lead to stays; without them it goes with what waits for it")
def _():
    admin("DELETE", f"{HUB}/endpoints/far", status=409)
    admin("DELETE", f"{HUB}/routes/deviceevents")
    admin("DELETE", f"{HUB}/endpoints/far")
    equal([one["name"] for one in admin("GET", HUB)["endpoints"] if one["name"] == "far"], [])


scenario.run()
