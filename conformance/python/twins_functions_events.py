# about: what functions do to twins is told by event routes: allocation, telemetry, retirement; a webhook declared in the configuration
# server: config/functions_events.toml
# timeout: 120
"""A device provisions, sends telemetry and is deleted; an event hub and a declared webhook are told of its twin."""

import json

from azure.iot.device import IoTHubDeviceClient, Message, ProvisioningDeviceClient
from azure.iot.hub import IoTHubRegistryManager

from lib import THERMOSTAT, SPACE, Scenario, connections, equal, eventually
from lib.cloudevents import Sink
from lib.events import consumer, receive
from lib.rest import group, group_key
from lib.sas import derived_key
from lib.twins import client, twin_or_none, upload_models

DEVICE = "thermostat-9"
TWIN, RELATIONSHIP = "Microsoft.DigitalTwins.Twin.", "Microsoft.DigitalTwins.Relationship."
subject = connections()
dps, hub = subject["dps"][0], subject["hub"][0]
ca = open(subject["ca"]).read()
twins = client()
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
scenario = Scenario()
# What conformance/config/functions_events.toml declares.
sink = Sink(port=18081)
made = {"seen": 0}


def told(count):
    """The next notifications in the event hub, as (type, subject, data)."""
    events = receive(consumer("twinevents"), made["seen"] + count, 30, starting_position="-1")[made["seen"] :]
    made["seen"] += count
    return [one(event) for event in events]


def one(event):
    names = {name.decode(): value.decode() for name, value in event.properties.items()}
    return names["cloudEvents:type"], names["cloudEvents:subject"], json.loads(event.body_as_str())


def register():
    device = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=dps["hostName"],
        registration_id=DEVICE,
        id_scope=dps["idScope"],
        symmetric_key=made["key"],
        server_verification_cert=ca,
    )
    device.provisioning_payload = {"modelId": THERMOSTAT}
    return device.register()


@scenario.case("allocation makes the twin, and that is told", needed=True)
def _():
    upload_models(twins)
    made["key"] = derived_key(group_key(group()), DEVICE)
    equal(register().status, "assigned")
    ((kind, which, data),) = told(1)
    equal((kind, which, data["$dtId"], data["$metadata"]["$model"]), (TWIN + "Create", DEVICE, DEVICE, THERMOSTAT))
    equal(data, twins.get_digital_twin(DEVICE))


@scenario.case("telemetry that is taken onto the twin is told as its change", needed=True)
def _():
    device = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made["key"], hostname=hub["hostName"], device_id=DEVICE, server_verification_cert=ca, connection_retry=False
    )
    device.connect()
    made["device"] = device
    for value in (20.5, 21.25):
        message = Message('{"Temperature": %s}' % value)
        message.content_type, message.content_encoding = "application/json", "utf-8"
        device.send_message(message)
    eventually(lambda: twins.get_digital_twin(DEVICE)["Temperature"] == 21.25, what="the last temperature on the twin")
    changes = [told(1)[0]]
    while changes[-1][2]["patch"][0]["value"] != 21.25:  # both at once may be one change
        changes.append(told(1)[0])
    for kind, which, data in changes:
        equal((kind, which, data["modelId"]), (TWIN + "Update", DEVICE, THERMOSTAT))
        equal([row["path"] for row in data["patch"]], ["/Temperature", "/$metadata/Temperature/sourceTime"])


@scenario.case("registering again takes the same twin; nothing is created twice")
def _():
    equal(register().status, "assigned")
    ((kind, which, _),) = told(1)
    equal((kind, which), (TWIN + "Update", DEVICE))


@scenario.case("retirement deletes the relationships and the twin, each told in that order", needed=True)
def _():
    twins.upsert_digital_twin("room-1", {"$metadata": {"$model": SPACE}, "Temperature": 0.0})
    relationship = {"$relationshipId": "in", "$sourceId": "room-1", "$targetId": DEVICE, "$relationshipName": "contains"}
    twins.upsert_relationship("room-1", "in", relationship)
    equal([(kind, which) for kind, which, _ in told(2)], [(TWIN + "Create", "room-1"), (RELATIONSHIP + "Create", "room-1/relationships/in")])
    registry.delete_device(DEVICE)
    eventually(lambda: twin_or_none(twins, DEVICE) is None, what="the twin's end")
    gone = sorted((kind, which) for kind, which, _ in told(2))
    equal(gone, [(RELATIONSHIP + "Delete", "room-1/relationships/in"), (TWIN + "Delete", DEVICE)])


@scenario.case("the webhook that the configuration declares was asked once whether it wants them, and got its own route's")
def _():
    ends = eventually(lambda: [event for event in sink.taken if event["type"] == TWIN + "Delete"], what="the deletion")
    equal([event["subject"] for event in ends], [DEVICE])
    kinds = {event["type"] for event in sink.taken}
    assert kinds <= {TWIN + "Create", TWIN + "Delete"}, kinds
    made_here = [event["subject"] for event in sink.taken if event["type"] == TWIN + "Create"]
    equal(made_here, [DEVICE, "room-1"])


scenario.run()
