# about: cloud-to-device messages sent with PyPI's azure-iot-hub over AMQP (uamqp), by policy and bearer token, over WebSocket too
# timeout: 90
"""IoTHubRegistryManager.send_c2d_message on one side, azure-iot-device on the other."""

import uuid

import certifi

from lib import Scenario, connections, equal, eventually

subject = connections()
# Who runs these clients adds the authority to the bundle they read (`_build_auth` of uamqp's `authentication/common.py`).
certifi.where = lambda: subject["ca"]

from azure.identity import ClientSecretCredential  # noqa: E402
from azure.iot.device import IoTHubDeviceClient  # noqa: E402
from azure.iot.hub import IoTHubRegistryManager  # noqa: E402
from uamqp import TransportType  # noqa: E402

DEVICE = f"c2d-{uuid.uuid4().hex[:8]}"
hub = subject["hub"][0]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
came = []
c2d = Scenario()


def arrived(count):
    eventually(lambda: len(came) >= count, what=f"{count} messages")
    return came[count - 1]


@c2d.case("a device is there and listens", needed=True)
def _():
    made = registry.create_device_with_sas(DEVICE, "", "", "enabled")
    device = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made.authentication.symmetric_key.primary_key,
        hostname=hub["hostName"],
        device_id=DEVICE,
        server_verification_cert=open(subject["ca"]).read(),
        connection_retry=False,
    )
    device.on_message_received = came.append
    device.connect()


@c2d.case("send_c2d_message: the body, system and application properties arrive")
def _():
    properties = {"messageId": "m1", "correlationId": "c1", "contentType": "application/json", "contentEncoding": "utf-8", "level": "high"}
    registry.send_c2d_message(DEVICE, '{"a": "ü"}', properties)
    message = arrived(1)
    equal(message.data, '{"a": "ü"}'.encode())
    equal((message.message_id, message.correlation_id), ("m1", "c1"))
    equal((message.content_type, message.content_encoding), ("application/json", "utf-8"))
    equal(message.custom_properties.get("level"), "high")


@c2d.case("many, in order, on one client")
def _():
    before = len(came)
    for number in range(20):
        registry.send_c2d_message(DEVICE, str(number))
    arrived(before + 20)
    equal([message.data.decode() for message in came[before:]], [str(number) for number in range(20)])


@c2d.case("over WebSocket")
def _():
    before = len(came)
    over = IoTHubRegistryManager.from_connection_string(hub["connectionString"], transport_type=TransportType.AmqpOverWebsocket)
    over.send_c2d_message(DEVICE, "over WebSocket")
    equal(arrived(before + 1).data, b"over WebSocket")


@c2d.case("by a bearer token")
def _():
    before = len(came)
    identity = subject["identity"]
    credential = ClientSecretCredential(
        identity["tenantId"],
        identity["clientId"],
        identity["clientSecret"],
        authority=identity["authority"],
        disable_instance_discovery=True,
    )
    by = IoTHubRegistryManager.from_token_credential(hub["hostName"], credential)
    by.send_c2d_message(DEVICE, "by a bearer")
    equal(arrived(before + 1).data, b"by a bearer")


@c2d.case("one to nobody fails")
def _():
    try:
        registry.send_c2d_message("nobody", "x")
    except Exception as error:  # the client says no more than that
        assert "failure" in str(error), error
    else:
        raise AssertionError("it was taken")


c2d.run()
