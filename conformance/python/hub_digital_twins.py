# about: digital twins of Plug and Play devices with azure-iot-hub: properties, commands, what routes are told, the command line
# timeout: 120
"""DigitalTwinClient of PyPI's azure-iot-hub, a device of azure-iot-device, and `pollux hub digital-twin`."""

import json
import uuid

from azure.iot.device import IoTHubDeviceClient, MethodResponse
from azure.iot.hub import DigitalTwinClient, IoTHubRegistryManager

from lib import Scenario, connections, equal, eventually
from lib.admin import admin
from lib.events import Receiving, consumer
from lib.hub import pollux, refused
from lib.sas import parts

ID = f"pnp-{uuid.uuid4().hex[:8]}"
MODEL = "dtmi:com:example:TemperatureController;2"
subject = connections()
hub = subject["hub"][0]
HUB = f"/admin/resources/hub/{hub['name']}"
built_in = hub["eventsConnectionString"]
twins = DigitalTwinClient.from_connection_string(hub["connectionString"])
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
digital_twins = Scenario()
made = {}


@digital_twins.case("a device with a model", needed=True)
def _():
    admin("PUT", f"{HUB}/routes/digitaltwins", {"source": "DigitalTwinChangeEvents", "endpoint": "events", "condition": "true"})
    registry.create_device_with_sas(ID, "", "", "enabled")
    key = registry.get_device(ID).authentication.symmetric_key.primary_key
    client = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key, hostname=hub["hostName"], device_id=ID, server_verification_cert=open(subject["ca"]).read(),
        product_info=MODEL,
    )

    def answer(request):
        client.send_method_response(MethodResponse.create_from_method_request(request, 200, {"name": request.name, "in": request.payload}))

    client.on_method_request_received = answer
    client.connect()
    client.patch_twin_reported_properties({"serialNumber": "s1", "thermostat1": {"__t": "c", "maxTempSinceLastReboot": 25.3}})
    made["client"] = client
    twin = twins.get_digital_twin(ID)
    equal((twin["$dtId"], twin["$metadata"]["$model"], twin["serialNumber"]), (ID, MODEL, "s1"))
    equal(twin["thermostat1"]["maxTempSinceLastReboot"], 25.3)


@digital_twins.case("patches, under an etag too")
def _():
    twins.update_digital_twin(ID, [{"op": "add", "path": "/thermostat1/targetTemperature", "value": 21.8}])
    desired = registry.get_twin(ID).properties.desired
    equal(desired["thermostat1"], {"__t": "c", "targetTemperature": 21.8})
    metadata = twins.get_digital_twin(ID)["thermostat1"]["$metadata"]["targetTemperature"]
    equal(metadata, {"desiredValue": 21.8, "desiredVersion": desired["$version"]})
    etag = registry.get_twin(ID).etag
    twins.update_digital_twin(ID, [{"op": "add", "path": "/fanSpeed", "value": 1}], etag)
    equal(refused(twins.update_digital_twin, ID, [{"op": "add", "path": "/fanSpeed", "value": 2}], etag), 412)
    equal(refused(twins.update_digital_twin, ID, [{"op": "add", "path": "/fanSpeed", "value": [2]}]), 400)
    made["client"].patch_twin_reported_properties(
        {"thermostat1": {"__t": "c", "targetTemperature": {"value": 21.8, "ac": 200, "av": desired["$version"]}}})


@digital_twins.case("commands")
def _():
    equal(eventually(lambda: twins.invoke_command(ID, "reboot", 3), what="the subscription"), {"name": "reboot", "in": 3})
    equal(twins.invoke_component_command(ID, "thermostat1", "getMaxMinReport", "now", 5, 10), {"name": "thermostat1*getMaxMinReport", "in": "now"})
    equal(refused(twins.invoke_command, ID, "x" * 101, 1), 400)
    equal(refused(twins.invoke_command, f"{ID}-none", "reboot", 1), 404)


@digital_twins.case("the command line")
def _():
    equal(pollux("digital-twin", "show", "-d", ID)["$metadata"]["$model"], MODEL)
    pollux("digital-twin", "update", "-d", ID, "--patch", '{"op": "replace", "path": "/fanSpeed", "value": 7}')
    equal(pollux("digital-twin", "show", "-d", ID)["$metadata"]["fanSpeed"]["desiredValue"], 7)
    invoked = pollux("digital-twin", "invoke-command", "-d", ID, "--cn", "reboot", "--payload", '{"hard": true}')
    equal(invoked, {"status": 200, "payload": {"name": "reboot", "in": {"hard": True}}})
    invoked = pollux("digital-twin", "invoke-command", "-d", ID, "--cn", "reset", "--component-path", "thermostat1")
    equal(invoked["payload"]["name"], "thermostat1*reset")
    assert "InvalidDigitalTwinJsonPatch" in pollux("digital-twin", "update", "-d", ID, "--patch", '{"op": "move", "path": "/a"}', status=1)


@digital_twins.case("routes are told of each change as a JSON patch")
def _():
    receiving = Receiving(consumer(parts(built_in)["EntityPath"], connection=built_in), starting_position="-1", partition_id=None)
    try:
        def told():
            mine = [one for one in list(receiving.events) if one.system_properties.get(b"iothub-connection-device-id") == ID.encode()]
            return [one for one in mine if one.system_properties.get(b"iothub-message-source") == b"digitalTwinChangeEvents"]

        def operations():
            return [operation for one in told() for operation in json.loads(one.body_as_str())]

        def find(path):
            return [operation for operation in operations() if operation["path"] == path]

        eventually(lambda: find("/thermostat1/targetTemperature"), what="what the device acknowledged")
        eventually(lambda: find("/$metadata/fanSpeed/desiredValue"), what="what was set twice")
        first = find("/thermostat1/$metadata/targetTemperature")[0]
        equal((first["op"], first["value"]["desiredValue"]), ("add", 21.8))
        equal(find("/thermostat1/targetTemperature")[0], {"op": "add", "path": "/thermostat1/targetTemperature", "value": 21.8})
        equal(find("/thermostat1/$metadata/targetTemperature/ackCode")[0]["value"], 200)
        equal([one["value"] for one in find("/$metadata/fanSpeed/desiredValue")], [7])
        system = told()[-1].system_properties
        equal(system[b"content-type"], b"application/json-patch+json")
    finally:
        receiving.stop()
        made["client"].shutdown()


digital_twins.run()
