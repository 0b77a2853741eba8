# about: cloud-to-device messages with PyPI's azure-iot-device over MQTT: properties, order, while it is away, after a lost connection
# timeout: 120
"""azure-iot-device receives; what is sent is sent over REST."""

import queue
import uuid

from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.common.transport_exceptions import NoConnectionError
from azure.iot.hub import IoTHubRegistryManager

from lib import Scenario, connections, equal, eventually
from lib.rest import HUB_VERSION, hub as hub_service, request
from lib.sas import service_token

DEVICE = f"c2d-{uuid.uuid4().hex[:8]}"
subject = connections()
hub = subject["hub"][0]
service = hub_service()
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
messages = Scenario()


def client(websockets=False):
    return IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=made["key"],
        hostname=hub["hostName"],
        device_id=DEVICE,
        server_verification_cert=open(subject["ca"]).read(),
        websockets=websockets,
        connection_retry=False,
        auto_connect=False,
    )


def send(body, **headers):
    headers = {f"iothub-{name.replace('_', '-')}": value for name, value in headers.items()}
    headers["iothub-to"] = f"/devices/{DEVICE}/messages/devicebound"
    token = service_token(hub["connectionString"])
    sent = request("POST", service.base + "/messages/devicebound", params=HUB_VERSION, token=token, headers=headers, data=body)
    equal(sent.status_code, 204)


def waiting():
    return registry.get_device(DEVICE).cloud_to_device_message_count


def emptied():
    eventually(lambda: waiting() == 0, what="the queue is empty")


@messages.case("a device that listens gets a message with its properties", needed=True)
def _():
    made["key"] = registry.create_device_with_sas(DEVICE, "", "", "enabled").authentication.symmetric_key.primary_key
    came = queue.Queue()
    device = client()
    device.connect()
    device.on_message_received = came.put
    send("hello", messageid="m 1", correlationid="c/1", userid="me", contenttype="text/plain", contentencoding="utf-8", ack="full", app_level="a&b=c")
    message = came.get(timeout=15)
    equal(
        (message.data, message.message_id, message.correlation_id, message.user_id, message.content_type, message.content_encoding, message.ack),
        (b"hello", "m 1", "c/1", "me", "text/plain", "utf-8", "full"),
    )
    equal(message.custom_properties, {"level": "a&b=c"})
    emptied()
    feedback = service("GET", "/messages/serviceBound/feedback")
    record = feedback.json()[0]
    equal((record["originalMessageId"], record["statusCode"], record["deviceId"]), ("m 1", "Success", DEVICE))
    service.ok("DELETE", f"/messages/serviceBound/feedback/{feedback.headers['ETag'][1:-1]}")
    device.shutdown()


@messages.case("what is sent while it is away comes when it is back, in order, over a WebSocket too")
def _():
    for websockets in (False, True):
        for number in range(20):
            send(str(number))
        equal(waiting(), 20)
        came = queue.Queue()
        device = client(websockets)
        # What comes before there is a handler of anything is laid where no handler looks (`use_unified_msg_mode`), and the session's
        # messages come at once.
        try:
            device.on_message_received = came.put
        except NoConnectionError:
            pass
        device.connect()
        device.on_message_received = came.put
        equal([came.get(timeout=15).data for _ in range(20)], [str(number).encode() for number in range(20)])
        emptied()
        device.shutdown()


@messages.case("a client that does not subscribe again gets what its session was subscribed to")
def _():
    came = queue.Queue()
    device = client()
    device.connect()
    device.on_message_received = came.put
    send("one")
    equal(came.get(timeout=15).data, b"one")
    # The same client: it holds its subscription to be there still, for its sessions are not clean.
    device.disconnect()
    send("two")
    device.connect()
    equal(came.get(timeout=15).data, b"two")
    emptied()
    device.shutdown()


messages.run()
