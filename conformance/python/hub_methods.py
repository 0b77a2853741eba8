# about: direct methods with PyPI's clients: azure-iot-hub asks, azure-iot-device answers
# timeout: 60
"""Direct methods: azure-iot-device on one side, azure-iot-hub on the other."""

import uuid

from azure.iot.device import IoTHubDeviceClient, MethodResponse
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod

from lib import Scenario, connections, equal, eventually, refuses

DEVICE = f"methods-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
methods = Scenario()


def invoke(name, payload=None, seconds=10, device=DEVICE):
    method = CloudToDeviceMethod(method_name=name, payload=payload, response_timeout_in_seconds=seconds)
    return registry.invoke_device_method(device, method)


@methods.case("a device that is created and not connected is not online", needed=True)
def _():
    device = registry.create_device_with_sas(DEVICE, "", "", "enabled")
    made["key"] = device.authentication.symmetric_key.primary_key
    refuses(lambda: invoke("echo"), status=404)
    refuses(lambda: invoke("echo", device="nobody"), status=404)


@methods.case("it answers with its own status and payload", needed=True)
def _():
    device = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made["key"],
        hostname=hub["hostName"],
        device_id=DEVICE,
        server_verification_cert=open(subject["ca"]).read(),
        connection_retry=False,
    )
    made["device"] = device
    device.connect()

    def answer(request):
        if request.name != "silence":
            status = 200 if request.name == "echo" else 404
            device.send_method_response(MethodResponse.create_from_method_request(request, status, request.payload))

    device.on_method_request_received = answer
    eventually(lambda: invoke("echo").status == 200, what="the device listens")
    for payload in [{"a": [1, "ü", None]}, [1, 2], "text", 17.5, True, None]:
        found = invoke("echo", payload)
        # The client sends "" for None.
        equal((found.status, found.payload), (200, "" if payload is None else payload))
    equal(invoke("other", {"x": 1}).status, 404)


@methods.case("one that does not answer in time is 504")
def _():
    refuses(lambda: invoke("silence", seconds=5), status=504)


@methods.case("when it has gone it is not online")
def _():
    made["device"].shutdown()
    refuses(lambda: invoke("echo"), status=404)


methods.run()
