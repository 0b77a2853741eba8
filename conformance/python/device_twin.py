# about: device twins from both ends with PyPI's clients: get, reported, desired, etags, queries
# timeout: 60
"""Device twins: azure-iot-device on one side, azure-iot-hub on the other."""

import json
import queue
import uuid

import paho.mqtt.client as mqtt
from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties

from lib import Scenario, connections, equal, eventually, refuses
from lib.rest import hub as hub_service
from lib.sas import token

DEVICE = f"twin-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
desired = queue.Queue()
twins = Scenario()


def device_client():
    """One that does not come back by itself: its end is what a case waits for."""
    return IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made["key"],
        hostname=hub["hostName"],
        device_id=DEVICE,
        server_verification_cert=open(subject["ca"]).read(),
        connection_retry=False,
        auto_connect=False,
    )


@twins.case("a device is created with keys of the service's own", needed=True)
def _():
    device = registry.create_device_with_sas(DEVICE, "", "", "enabled")
    equal((device.device_id, device.status, device.connection_state), (DEVICE, "enabled", "Disconnected"))
    made["key"] = device.authentication.symmetric_key.primary_key
    assert device.etag and device.generation_id and made["key"]


@twins.case("creating it again is a conflict")
def _():
    refuses(lambda: registry.create_device_with_sas(DEVICE, "", "", "enabled"), status=409)


@twins.case("the device connects and gets its twin", needed=True)
def _():
    device = device_client()
    device.connect()
    device.on_twin_desired_properties_patch_received = desired.put
    made["device"] = device
    twin = device.get_twin()
    equal(twin, {"desired": {"$version": 1}, "reported": {"$version": 1}}, "without metadata, for it did not ask")


@twins.case("reported properties arrive at the service")
def _():
    made["device"].patch_twin_reported_properties({"firmware": {"version": "1.2"}, "fan": True})
    reported = registry.get_twin(DEVICE).properties.reported
    equal((reported["firmware"], reported["fan"]), ({"version": "1.2"}, True))
    equal(reported["$version"], 2)
    assert "$lastUpdated" in reported["$metadata"]


@twins.case("a device that asks for metadata learns when each property was changed (paho-mqtt)")
def _():
    answers = queue.Queue()
    client = mqtt.Client(client_id=f"{DEVICE}-m", clean_session=True)
    other = registry.create_device_with_sas(f"{DEVICE}-m", "", "", "enabled")
    patch = Twin(properties=TwinProperties(desired={"interval": 5}))
    seen = registry.update_twin(f"{DEVICE}-m", patch, "*").properties.desired
    key = other.authentication.symmetric_key.primary_key
    client.username_pw_set(f"{hub['hostName']}/{DEVICE}-m/?api-version=2021-04-12", token(f"{hub['hostName']}/devices/{DEVICE}-m", key))
    client.tls_set(ca_certs=subject["ca"])
    client.on_subscribe = lambda *_: client.publish("$iothub/twin/GET/?$rid=1&$metadata=true")
    client.on_connect = lambda *_: client.subscribe("$iothub/twin/res/#")
    client.on_message = lambda _, __, message: answers.put((message.topic, json.loads(message.payload)))
    client.connect(hub["hostName"], subject["ports"]["mqtt"][0])
    client.loop_start()
    topic, twin = answers.get(timeout=10)
    client.loop_stop()
    client.disconnect()
    equal((topic, twin["desired"]), ("$iothub/twin/res/200/?$rid=1", seen))
    assert twin["desired"]["$metadata"]["interval"]["$lastUpdated"], "the time of the change"
    registry.delete_device(f"{DEVICE}-m")


@twins.case("null removes a reported property")
def _():
    made["device"].patch_twin_reported_properties({"fan": None})
    reported = made["device"].get_twin()["reported"]
    equal(("fan" in reported, reported["$version"]), (False, 3))


@twins.case("a desired property reaches the connected device")
def _():
    patch = Twin(tags={"floor": 3}, properties=TwinProperties(desired={"interval": 5}))
    twin = registry.update_twin(DEVICE, patch, "*")
    equal((twin.tags["floor"], twin.properties.desired["interval"]), (3, 5))
    pushed = desired.get(timeout=10)
    equal((pushed["interval"], pushed["$version"]), (5, 2))


@twins.case("a stale etag is refused and changes nothing")
def _():
    stale = Twin(properties=TwinProperties(desired={"interval": 99}))
    refuses(lambda: registry.update_twin(DEVICE, stale, '"AAAAAAAAAAA="'), status=412)
    equal(registry.get_twin(DEVICE).properties.desired["interval"], 5)


@twins.case("replacing the twin drops what is not named")
def _():
    current = registry.get_twin(DEVICE)
    whole = Twin(tags={"building": "b1"}, properties=TwinProperties(desired={"mode": "eco"}))
    twin = registry.replace_twin(DEVICE, whole, f'"{current.etag}"')
    equal((twin.tags, twin.properties.desired.get("interval")), ({"building": "b1"}, None))
    pushed = desired.get(timeout=10)
    equal(pushed["mode"], "eco")


@twins.case("SELECT * FROM devices finds it, by tag and by reported property")
def _():
    def found(query):
        return [twin.device_id for twin in registry.query_iot_hub(QuerySpecification(query=query)).items]

    assert DEVICE in found("SELECT * FROM devices")
    equal(found("SELECT * FROM devices WHERE tags.building = 'b1'"), [DEVICE])
    equal(found("SELECT * FROM devices WHERE properties.reported.firmware.version = '1.2'"), [DEVICE])
    equal(found("SELECT * FROM devices WHERE tags.building = 'b2'"), [])


@twins.case("a query that is wrong is refused with 400")
def _():
    refuses(lambda: registry.query_iot_hub(QuerySpecification(query="SELECT FROM WHERE")), status=400)


@twins.case("a tag with a key that is not allowed is refused with 400")
def _():
    service = hub_service()
    for tags in ({"a.b": 1}, {"$x": 1}):
        answer = service("PATCH", f"/twins/{DEVICE}", {"tags": tags})
        equal(answer.status_code, 400, f"{tags}")


@twins.case("a disabled device is cut off now, and let in again once enabled")
def _():
    device = registry.get_device(DEVICE)
    key = device.authentication.symmetric_key
    registry.update_device_with_sas(DEVICE, device.etag, key.primary_key, key.secondary_key, "disabled")
    eventually(lambda: not made["device"].connected, what="the end of the connection")
    device = registry.get_device(DEVICE)
    equal((device.status, device.connection_state), ("disabled", "Disconnected"))
    refuses(lambda: device_client().connect())
    registry.update_device_with_sas(DEVICE, device.etag, key.primary_key, key.secondary_key, "enabled")
    again = device_client()
    again.connect()
    equal(again.get_twin()["desired"]["mode"], "eco")


@twins.case("the registry lists it, and deletes it with a matching etag only")
def _():
    assert DEVICE in [device.device_id for device in registry.get_devices(1000)]
    refuses(lambda: registry.delete_device(DEVICE, etag='"AAAAAAAAAAA="'), status=412)
    registry.delete_device(DEVICE, etag=registry.get_device(DEVICE).etag)
    refuses(lambda: registry.get_twin(DEVICE), status=404)


twins.run()
