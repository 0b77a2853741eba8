# about: the whole story with PyPI's clients: models, enrollment, device, twin, telemetry, queries, delete
# timeout: 90
"""A device provisions and its twin appears; the device is deleted and its twin is gone."""

import os
import threading

from azure.iot.device import IoTHubDeviceClient, Message, ProvisioningDeviceClient
from azure.iot.hub import IoTHubRegistryManager

from lib import SPACE, THERMOSTAT, Scenario, connections, equal, eventually, out, refuses
from lib.rest import group, group_key
from lib.sas import derived_key
from lib.twins import client, twin_or_none, upload_models

DEVICE = "thermostat-67"
subject = connections()
dps, hub = subject["dps"][0], subject["hub"][0]
ca = open(subject["ca"]).read()
twins = client()
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
story = Scenario()


def register():
    key = derived_key(group_key(made["group"]), DEVICE)
    device = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=dps["hostName"],
        registration_id=DEVICE,
        id_scope=dps["idScope"],
        symmetric_key=key,
        server_verification_cert=ca,
    )
    device.provisioning_payload = {"modelId": THERMOSTAT}
    return key, device.register()


def connect(key, hub_name):
    device = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key, hostname=hub_name, device_id=DEVICE, server_verification_cert=ca, connection_retry=False
    )
    device.connect()
    return device


def telemetry(temperature):
    message = Message('{"Temperature": %s}' % temperature)
    message.content_type, message.content_encoding = "application/json", "utf-8"
    made["device"].send_message(message)


def temperature():
    return twins.get_digital_twin(DEVICE)["Temperature"]


def query(where):
    return [twin["$dtId"] for twin in twins.query_twins(f"SELECT * FROM DIGITALTWINS T WHERE {where}")]


@story.case("the models are uploaded", needed=True)
def _():
    out({"note": f"ready {float(os.environ['READY_AFTER']):.3f} s after the start"})
    upload_models(twins)
    equal({model.id for model in twins.list_models()} >= {THERMOSTAT, SPACE}, True, "the models are listed")


@story.case("an enrollment group with custom allocation is made", needed=True)
def _():
    made["group"] = group()


@story.case("the device registers and is assigned to the hub", needed=True)
def _():
    key, result = register()
    equal((result.status, result.registration_state.device_id), ("assigned", DEVICE))
    equal(result.registration_state.assigned_hub, hub["hostName"])
    equal(result.registration_state.sub_status, "initialAssignment")
    made["key"], made["hub"] = key, result.registration_state.assigned_hub


@story.case("its twin is there, named like the registration id")
def _():
    twin = twins.get_digital_twin(DEVICE)
    equal(twin["$metadata"]["$model"], THERMOSTAT)
    equal(twin["Temperature"], 0.0)


@story.case("the device twin has the tags dtmi and dtId, and the key is the derived key")
def _():
    tags = registry.get_twin(DEVICE).tags
    equal((tags["dtmi"], tags["dtId"]), (THERMOSTAT, DEVICE))
    equal(registry.get_device(DEVICE).authentication.symmetric_key.primary_key, made["key"])


@story.case("the device connects to the assigned hub", needed=True)
def _():
    made["device"] = connect(made["key"], made["hub"])
    eventually(lambda: registry.get_device(DEVICE).connection_state == "Connected", what="connectionState Connected")


@story.case("its telemetry arrives on the twin")
def _():
    for value in (20.5, 21.25, 23.75):
        telemetry(value)
    eventually(lambda: temperature() == 23.75, what="the last temperature on the twin")


@story.case("the queries of the story find it")
def _():
    equal(query(f"$dtId = '{DEVICE}' AND IS_OF_MODEL('{THERMOSTAT}')"), [DEVICE])
    equal(query("T.Temperature > 20"), [DEVICE])
    equal(query("T.Temperature > 50"), [])


@story.case("registering again finds the same twin and device")
def _():
    generation = registry.get_device(DEVICE).generation_id
    _, result = register()
    equal((result.status, result.registration_state.device_id), ("assigned", DEVICE))
    equal(registry.get_device(DEVICE).generation_id, generation, "generation id")
    equal(temperature(), 23.75, "the temperature")


@story.case("the twin has relationships in both directions", needed=True)
def _():
    space = {"$metadata": {"$model": SPACE}, "Temperature": 0.0}
    twins.upsert_digital_twin("room-1", space)

    def relate(source, target, identifier, name):
        relationship = {
            "$relationshipId": identifier,
            "$sourceId": source,
            "$targetId": target,
            "$relationshipName": name,
        }
        twins.upsert_relationship(source, identifier, relationship)

    relate("room-1", DEVICE, "room-contains", "contains")
    relate(DEVICE, "room-1", "thermostat-serves", "serves")
    equal(len(list(twins.list_incoming_relationships(DEVICE))), 1)


@story.case("the device is deleted and cut off")
def _():
    gone = threading.Event()
    made["device"].on_connection_state_change = lambda: None if made["device"].connected else gone.set()
    registry.delete_device(DEVICE)
    assert gone.wait(10), "the device's connection stayed open"
    refuses(lambda: registry.get_device(DEVICE), status=404)
    refuses(lambda: connect(made["key"], made["hub"]))


@story.case("its twin is gone, with the relationships in both directions")
def _():
    eventually(lambda: twin_or_none(twins, DEVICE) is None, what="the twin's end")
    equal(list(twins.list_relationships("room-1")), [], "what the room contains")
    equal(list(twins.list_incoming_relationships("room-1")), [], "what serves the room")


@story.case("the device provisions again, and the old delete does not touch the new twin")
def _():
    _, result = register()
    equal(result.status, "assigned")
    made["device"] = connect(made["key"], made["hub"])
    telemetry(30.5)
    eventually(lambda: temperature() == 30.5, what="the new twin's temperature")


story.run()
