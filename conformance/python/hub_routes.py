# about: enrichments of messages, routes tried beforehand, and simulated devices, read with azure-eventhub
# timeout: 90
"""What a hub adds to messages on their way; `pollux hub route test`; `pollux device simulate`."""

import json
import subprocess
import uuid

from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from lib import WORK, Scenario, connections, equal, eventually
from lib.admin import admin
from lib.events import Receiving, consumer
from lib.sas import parts
from lib.server import BINARY

DEVICE = f"routes-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
HUB = f"/admin/resources/hub/{hub['name']}"
built_in = hub["eventsConnectionString"]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
routes = Scenario()

MODEL = {
    "@id": "dtmi:conformance:Pump;1",
    "@type": "Interface",
    "@context": "dtmi:dtdl:context;3",
    "contents": [
        {"@type": "Telemetry", "name": "pressure", "schema": "double"},
        {"@type": "Telemetry", "name": "state", "schema": {
            "@type": "Enum", "valueSchema": "string", "enumValues": [{"name": "on", "enumValue": "on"}, {"name": "off", "enumValue": "off"}]}},
        {"@type": "Property", "name": "serial", "schema": "string"},
        {"@type": "Property", "name": "target", "schema": "double", "writable": True},
        {"@type": "Command", "name": "reset", "request": {"name": "hard", "schema": "boolean"}, "response": {"name": "count", "schema": "integer"}},
    ],
}


def pollux(*arguments):
    (WORK / "data").mkdir(exist_ok=True)
    (WORK / "data" / "connections.json").write_text(json.dumps(subject))
    command = [BINARY, "--data-dir", WORK / "data", "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def from_device(device, count):
    """What the built-in endpoint has of a device, once there is so much."""
    receiving = Receiving(consumer(parts(built_in)["EntityPath"], connection=built_in), starting_position="-1", partition_id=None)
    try:
        def own():
            return [one for one in list(receiving.events) if one.system_properties.get(b"iothub-connection-device-id") == device.encode()]

        eventually(lambda: len(own()) >= count, what=f"{count} events of {device}")
        return own()
    finally:
        receiving.stop()


def properties(event):
    return {name.decode(): value.decode() for name, value in event.properties.items()}


@routes.case("enrichments are declared, and what cannot be is refused", needed=True)
def _():
    registry.create_device_with_sas(DEVICE, "", "", "enabled")
    twin = registry.get_twin(DEVICE)
    registry.update_twin(DEVICE, Twin(tags={"site": "north"}, properties=TwinProperties(desired={"limit": 7})), twin.etag)
    admin("PUT", f"{HUB}/routes/deviceevents", {"source": "DeviceMessages", "endpoint": "events", "condition": "true"})
    for key, value in [("site", "$twin.tags.site"), ("limit", "$twin.properties.desired.limit"), ("none", "$twin.tags.none"), ("from", "$iothubname")]:
        admin("PUT", f"{HUB}/enrichments/{key}", {"value": value, "endpointNames": ["events"]})
    admin("PUT", f"{HUB}/enrichments/bad", {"value": "x", "endpointNames": ["nowhere"]}, status=400)
    admin("PUT", f"{HUB}/enrichments/b%20d", {"value": "x", "endpointNames": ["events"]}, status=400)


@routes.case("a message arrives with them")
def _():
    key = registry.get_device(DEVICE).authentication.symmetric_key.primary_key
    client = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key, hostname=hub["hostName"], device_id=DEVICE, server_verification_cert=open(subject["ca"]).read()
    )
    message = Message(json.dumps({"a": 1}))
    message.custom_properties = {"own": "kept", "site": "the device's"}
    client.send_message(message)
    client.shutdown()
    (event,) = from_device(DEVICE, 1)
    equal(properties(event), {"own": "kept", "site": "north", "limit": "7", "none": "$twin.tags.none", "from": hub["name"]})


@routes.case("pollux hub route test: all routes, one condition, and one that is none")
def _():
    all_routes = json.loads(pollux("hub", "route", "test", "--body", '{"a": 1}').stdout)
    assert "deviceevents" in all_routes["routes"], all_routes
    for condition, device, result in [
        ("$body.a = 1", None, True),
        ("$body.a = 2", None, False),
        ("$twin.tags.site = 'north'", DEVICE, True),
        ("level = 'high'", None, False),
        ("$contentType = 'application/json' AND $contentEncoding = 'UTF-8'", None, True),
        ("$twin.properties.desired.$version >= 1", DEVICE, True),
    ]:
        more = ["--device-id", device] if device else []
        found = pollux("hub", "route", "test", "--condition", condition, "--body", '{"a": 1}', *more)
        equal(json.loads(found.stdout), {"result": result}, condition)
    wrong = pollux("hub", "route", "test", "--condition", "$body.a = ")
    equal(wrong.returncode, 1)
    assert "condition" in wrong.stderr, wrong.stderr


@routes.case("pollux device simulate: telemetry in the schema's types, properties, commands")
def _():
    model = WORK / "pump.json"
    model.write_text(json.dumps(MODEL))
    command = [BINARY, "--data-dir", WORK / "data", "--json", "device", "simulate", "--model", model, "--devices", "3",
               "--interval", "0.5", "--messages", "40", "--prefix", "pump", "--delete"]
    playing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: registry.get_twin("pump-00002").properties.reported.get("serial"), what="it reports")
        twin = registry.get_twin("pump-00002")
        registry.update_twin("pump-00002", Twin(properties=TwinProperties(desired={"target": 21.5})), twin.etag)
        eventually(lambda: registry.get_twin("pump-00002").properties.reported.get("target"), what="it acknowledges")
        target = registry.get_twin("pump-00002").properties.reported["target"]
        equal((target["value"], target["ac"], target["av"]), (21.5, 200, 2))
        registry.update_twin("pump-00002", Twin(properties=TwinProperties(desired={"target": "warm"})), "*")
        eventually(lambda: registry.get_twin("pump-00002").properties.reported["target"]["ac"] == 400, what="it refuses")

        def invoke(name, payload=None):
            return registry.invoke_device_method("pump-00003", CloudToDeviceMethod(method_name=name, payload=payload))

        answer = invoke("reset", True)
        assert answer.status == 200 and isinstance(answer.payload, int), answer
        equal(invoke("reset", "hard").status, 400)
        equal(invoke("explode").status, 404)
        for event in from_device("pump-00001", 3):
            body = json.loads(event.body_as_str())
            assert isinstance(body["pressure"], float) and body["state"] in ("on", "off"), body
            equal(event.system_properties[b"dt-dataschema"], b"dtmi:conformance:Pump;1")
        said, errors = playing.communicate(timeout=45)
        equal(playing.returncode, 0, errors)
        summary = json.loads(said)
        equal((summary["devices"], summary["messages"], summary["connectionsLost"]), (3, 120, 0), summary)
        assert summary["commands"] >= 3 and summary["desiredChanges"] >= 2, summary
    finally:
        if playing.poll() is None:
            playing.kill()
    left = [device.device_id for device in registry.get_devices() if device.device_id.startswith("pump-")]
    equal(left, [])


routes.run()
