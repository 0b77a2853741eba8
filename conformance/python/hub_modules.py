# about: modules of devices with PyPI's clients: identities, telemetry, twins, methods, certificates, what ends with a device
# timeout: 90
"""IoTHubModuleClient of azure-iot-device on one side, azure-iot-hub on the other."""

import queue
import uuid

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties

from lib import Scenario, connections, equal, eventually, refuses
from lib.events import Receiving, consumer
from lib.pki import made as made_certificate, shown, thumbprint

DEVICE = f"modules-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
modules = Scenario()


def client(module, key, websockets=False):
    """One that does not come back by itself."""
    return IoTHubModuleClient.create_from_connection_string(
        f"HostName={hub['hostName']};DeviceId={DEVICE};ModuleId={module};SharedAccessKey={key}",
        server_verification_cert=open(subject["ca"]).read(),
        connection_retry=False,
        auto_connect=False,
        websockets=websockets,
    )


@modules.case("identities of every kind of proof are made, read, listed and changed", needed=True)
def _():
    made["device"] = registry.create_device_with_sas(DEVICE, "", "", "enabled").authentication.symmetric_key.primary_key
    module = registry.create_module_with_sas(DEVICE, "m", "me", "", "")
    equal((module.device_id, module.module_id, module.managed_by), (DEVICE, "m", "me"))
    equal(module.connection_state, "Disconnected")
    made["key"] = module.authentication.symmetric_key.primary_key
    registry.create_module_with_x509(DEVICE, "x", "me", "A" * 40, "B" * 64)
    registry.create_module_with_certificate_authority(DEVICE, "ca", "me")
    equal([one.module_id for one in registry.get_modules(DEVICE)], ["ca", "m", "x"])
    equal([one.authentication.type for one in registry.get_modules(DEVICE)], ["certificateAuthority", "sas", "selfSigned"])
    changed = registry.update_module_with_x509(DEVICE, "ca", "you", "*", "C" * 40, None)
    equal((changed.managed_by, changed.authentication.x509_thumbprint.primary_thumbprint), ("you", "C" * 40))
    refuses(lambda: registry.update_module_with_certificate_authority(DEVICE, "x", "me", "stale"), status=412)
    registry.delete_module(DEVICE, "x")
    refuses(lambda: registry.get_module(DEVICE, "x"), status=404)
    refuses(lambda: registry.create_module_with_sas(DEVICE, "m", "", "", ""), status=409)
    refuses(lambda: registry.create_module_with_sas("modules-none", "m", "", "", ""), status=404)


@modules.case("telemetry and outputs bear the module's id")
def _():
    for websockets in (False, True):
        module = client("m", made["key"], websockets)
        module.connect()
        module.send_message(Message(f'{{"ws": {str(websockets).lower()}}}', content_encoding="utf-8", content_type="application/json"))
        module.send_message_to_output("out", "alerts")
        module.shutdown()

    def own(receiving):
        events = receiving.events
        return [one for one in events if one.system_properties.get(b"iothub-connection-device-id") == DEVICE.encode()]

    receiving = Receiving(consumer("deviceevents"), partition_id=None, starting_position="-1")
    eventually(lambda: len(own(receiving)) >= 4, what="four messages")
    events = own(receiving)
    receiving.stop()
    equal([one.system_properties[b"iothub-connection-module-id"] for one in events], [b"m"] * 4)
    equal([one.system_properties.get(b"iothub-outputname") for one in events], [None, b"alerts"] * 2)


@modules.case("twins, both ways", needed=True)
def _():
    module = client("m", made["key"])
    made["module"] = module
    module.connect()
    desired = queue.Queue()
    module.on_twin_desired_properties_patch_received = desired.put
    equal(module.get_twin()["desired"]["$version"], 1)
    module.patch_twin_reported_properties({"firmware": "1.2"})
    twin = registry.get_module_twin(DEVICE, "m")
    equal((twin.device_id, twin.module_id, twin.properties.reported["firmware"]), (DEVICE, "m", "1.2"))
    patch = Twin(tags={"floor": 3}, properties=TwinProperties(desired={"interval": 5}))
    changed = registry.update_module_twin(DEVICE, "m", patch, twin.etag)
    equal((changed.tags["floor"], changed.properties.desired["interval"]), (3, 5))
    equal(desired.get(timeout=10)["interval"], 5)
    refuses(lambda: registry.update_module_twin(DEVICE, "m", patch, twin.etag), status=412)
    replaced = registry.replace_module_twin(DEVICE, "m", Twin(tags={}, properties=TwinProperties(desired={"rate": 1})))
    equal((replaced.tags, "interval" in replaced.properties.desired), (None, False))
    told = desired.get(timeout=10)
    equal((told["rate"], told["interval"]), (1, None))
    equal(registry.get_twin(DEVICE).properties.desired.get("rate"), None)


@modules.case("methods")
def _():
    module = made["module"]
    module.on_method_request_received = lambda request: module.send_method_response(
        MethodResponse.create_from_method_request(request, 207, request.payload)
    )

    def invoke():
        method = CloudToDeviceMethod(method_name="echo", payload={"a": 1}, response_timeout_in_seconds=10)
        return registry.invoke_device_module_method(DEVICE, "m", method)

    answer = eventually(invoke, what="the module listens")
    equal((answer.status, answer.payload), (207, {"a": 1}))
    method = CloudToDeviceMethod(method_name="echo", response_timeout_in_seconds=5)
    refuses(lambda: registry.invoke_device_method(DEVICE, method), status=404)
    refuses(lambda: registry.invoke_device_module_method(DEVICE, "none", method), status=404)


@modules.case("the keys of its device and of nobody do not open")
def _():
    for key in (made["device"], "bm9ib2R5J3Mga2V5IGF0IGFsbA=="):
        refuses(client("m", key).connect)


@modules.case("by a certificate of its own, over MQTT and MQTT over WebSocket")
def _():
    own, stranger = made_certificate(f"{DEVICE}/by-certificate", "own"), made_certificate("another", "stranger")
    registry.create_module_with_x509(DEVICE, "by-certificate", "", thumbprint(own), None)

    def shows(stem, websockets):
        return IoTHubModuleClient.create_from_x509_certificate(
            x509=shown(stem),
            hostname=hub["hostName"],
            device_id=DEVICE,
            module_id="by-certificate",
            server_verification_cert=open(subject["ca"]).read(),
            connection_retry=False,
            auto_connect=False,
            websockets=websockets,
        )

    for websockets in (False, True):
        module = shows(own, websockets)
        module.connect()
        module.send_message("hello")
        equal(module.get_twin()["desired"]["$version"], 1)
        module.shutdown()
        refuses(shows(stranger, websockets).connect)


@modules.case("queries find modules")
def _():
    query = QuerySpecification(query=f"SELECT * FROM devices.modules WHERE deviceId = '{DEVICE}' AND is_defined(properties.reported.firmware)")
    equal([(row.device_id, row.module_id) for row in registry.query_iot_hub(query).items], [(DEVICE, "m")])


@modules.case("a module that is deleted is cut off; so are those of a device that is")
def _():
    other = registry.create_module_with_sas(DEVICE, "n", "", "", "")
    beside = client("n", other.authentication.symmetric_key.primary_key)
    beside.connect()
    registry.delete_module(DEVICE, "m")
    eventually(lambda: not made["module"].connected, what="it is cut off")
    assert beside.connected
    registry.delete_device(DEVICE)
    eventually(lambda: not beside.connected, what="it is cut off with its device")
    refuses(lambda: registry.get_modules(DEVICE), status=404)


modules.run()
