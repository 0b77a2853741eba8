# about: connection states of a PyPI device, and across kill -9: who is back in time is not told of, who is not is told to be gone
# server: none
# timeout: 150
"""azure-iot-device and raw MQTT devices connect; the server, or each of its nodes, is killed; azure-eventhub reads what is told."""

from pathlib import Path

from azure.iot.device import IoTHubDeviceClient

from lib import CONFORMANCE, WORK, Scenario, connections, equal, eventually
from lib.admin import admin
from lib.events import Receiving, consumer
from lib.mqtt import hub_connection
from lib.rest import hub
from lib.sas import parts
from lib.server import NODES, Server

UP, DOWN = "deviceConnected", "deviceDisconnected"
CONFIG = ("--config", str(Path(CONFORMANCE) / "config" / "connection_states.toml"))
states = Scenario()
made = {}


def device(identifier):
    row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
    return row["authentication"]["symmetricKey"]["primaryKey"]


def told(identifier, count):
    """The first `count` events of a device, and whether there are more."""
    text = connections()["hub"][0]["eventsConnectionString"]
    receiving = Receiving(consumer(parts(text)["EntityPath"], connection=text), starting_position="-1", partition_id=None)

    def own():
        return [event for event in list(receiving.events) if event.properties.get(b"deviceId") == identifier.encode()]

    try:
        eventually(lambda: len(own()) >= count, 25, f"{count} events of {identifier}")
        return [event.properties[b"opType"].decode() for event in own()]
    finally:
        receiving.stop()


@states.case("the server starts, with a route of connection states", needed=True)
def _():
    made["server"] = Server(WORK / "data", *CONFIG)
    route = {"source": "deviceConnectionStateEvents", "endpoint": "events"}
    admin("PUT", f"/admin/resources/hub/{connections()['hub'][0]['name']}/routes/states", route, status=400)
    route["source"] = "DeviceConnectionStateEvents"
    admin("PUT", f"/admin/resources/hub/{connections()['hub'][0]['name']}/routes/states", route)
    for name in ("sdk", "stays", "goes"):
        made[name] = device(name)


@states.case("PyPI's azure-iot-device connects and leaves")
def _():
    client = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made["sdk"], hostname=connections()["hub"][0]["hostName"], device_id="sdk",
        server_verification_cert=open(connections()["ca"]).read(),
    )
    client.connect()
    equal(told("sdk", 1), [UP])
    client.shutdown()
    equal(told("sdk", 2), [UP, DOWN])


@states.case("all is killed with two devices connected; one of them is back in time", needed=True)
def _():
    for name in ("stays", "goes"):
        made[f"{name}-connection"] = hub_connection(name, made[name])
    equal((told("stays", 1), told("goes", 1)), ([UP], [UP]))
    made["server"].kill()
    made["server"] = Server(WORK / "data", *CONFIG)
    made["stays-connection"] = hub_connection("stays", made["stays"])
    equal(told("goes", 2), [UP, DOWN])
    equal(told("stays", 1), [UP])


@states.case("where there are several nodes: one is killed, and its devices are gone; those of others are not")
def _():
    if len(NODES) < 2:
        return "one node only"
    spread = [f"spread-{number}" for number in range(2 * len(NODES))]
    keys = {name: device(name) for name in spread}
    kept = [hub_connection(name, keys[name]) for name in spread]
    for name in spread:
        equal(told(name, 1), [UP])
    made["server"].kill_node(1)
    gone = [name for name, connection in zip(spread, kept) if not alive(connection)]
    assert gone and len(gone) < len(spread), f"of {len(spread)} devices {len(gone)} were on that node"
    for name in gone:
        equal(told(name, 2), [UP, DOWN], name)
    for name in set(spread) - set(gone):
        equal(told(name, 1), [UP], name)
    made["server"].start_node(1)
    return f"{len(gone)} of {len(spread)}"


def alive(connection):
    try:
        connection.ping()
        return True
    except Exception:
        return False


@states.case("it stops in order")
def _():
    made["server"].stops_in_order()


states.run()
