# about: devices that do wrong: keys, tokens, scopes, payloads, QoS 2, too large, twice connected, garbage on each port
# timeout: 90
"""Each bad case: refused in the way a client can tell, nothing half-done, and the next good device served."""

import json
import random
import socket
import ssl
import struct

import requests

from lib import THERMOSTAT, Scenario, connections, equal, eventually, refuses
from lib.mqtt import (
    PUBLISH,
    Closed,
    Mqtt,
    Refused,
    hub_connection,
    packet,
    provision,
    provisioning_connection,
    register,
    telemetry_topic,
    text,
    tls,
)
from lib.rest import DEVICE_VERSION, HUB_VERSION, group, group_key, hub, provisioning, request
from lib.sas import derived_key, service_token, token
from lib.twins import client, twin_or_none, upload_models

subject = connections()
dps = subject["dps"][0]
twins = client()
service, registry = provisioning(), hub()
made = {}
bad = Scenario()
OTHER_KEY = "bm90IHRoZSBrZXkgb2YgYW55Ym9keSBhdCBhbGwhISE="
PAYLOAD = {"modelId": THERMOSTAT}


def not_authorized(action):
    """The server must refuse the CONNECT with "not authorized" (5) or "bad user name or password" (4)."""
    error = refuses(action, kinds=(Refused,))
    assert error.code in (4, 5), error


def no_device(identifier):
    equal(registry("GET", f"/devices/{identifier}").status_code, 404, f"device {identifier}")
    equal(twin_or_none(twins, identifier), None, f"twin {identifier}")


def device(identifier):
    """A device that provisioned well: its key."""
    status, answer = provision(identifier, made["key"], PAYLOAD)
    equal((status, answer["status"]), (200, "assigned"), str(answer))
    return derived_key(made["key"], identifier)


def works(identifier, key, value):
    """The device can still do its work."""
    with hub_connection(identifier, key) as connection:
        connection.publish(telemetry_topic(identifier), {"Temperature": value})
    eventually(lambda: twins.get_digital_twin(identifier)["Temperature"] == value, what="telemetry of the good device")


@bad.case("preparation: models and a group", needed=True)
def _():
    upload_models(twins)
    made["group"] = group(name="bad-devices")
    made["key"] = group_key(made["group"])
    made["device"] = device("good-1")


@bad.case("provisioning: a wrong key")
def _():
    not_authorized(lambda: provisioning_connection("wrong-key", OTHER_KEY))
    no_device("wrong-key")


@bad.case("provisioning: the key of another device")
def _():
    not_authorized(lambda: provisioning_connection("thief", derived_key(made["key"], "good-1")))
    no_device("thief")


@bad.case("provisioning: an expired token")
def _():
    key = derived_key(made["key"], "late")
    not_authorized(lambda: provisioning_connection("late", key, seconds=-60))
    no_device("late")


@bad.case("provisioning: a wrong ID scope")
def _():
    key = derived_key(made["key"], "lost")
    not_authorized(lambda: provisioning_connection("lost", key, scope="0ne00000000"))
    no_device("lost")


@bad.case("provisioning: a registration id nobody enrolled, over MQTT and HTTPS")
def _():
    not_authorized(lambda: provisioning_connection("stranger", derived_key(OTHER_KEY, "stranger")))
    path = f"/{dps['idScope']}/registrations/stranger/register"
    signed = token(f"{dps['idScope']}/registrations/stranger", OTHER_KEY, "registration")
    answer = request("PUT", url(path), params=DEVICE_VERSION, token=signed, body={"registrationId": "stranger"})
    equal(answer.status_code, 401, answer.text)
    no_device("stranger")


@bad.case("provisioning: a disabled enrollment, individual and group")
def _():
    body = {"registrationId": "off-1", "attestation": {"type": "symmetricKey"}, "provisioningStatus": "disabled"}
    service.ok("PUT", "/enrollments/off-1", body)
    key = service.ok("POST", "/enrollments/off-1/attestationmechanism")["symmetricKey"]["primaryKey"]
    disabled_group = group_key(group(name="off-group", provisioningStatus="disabled"))
    for identifier, device_key in (("off-1", key), ("off-2", derived_key(disabled_group, "off-2"))):
        not_assigned(identifier, device_key)
        no_device(identifier)


def not_assigned(identifier, key):
    try:
        with provisioning_connection(identifier, key) as connection:
            status, answer = register(connection, identifier, PAYLOAD)
    except Refused as error:
        assert error.code in (4, 5), error
        return
    assert status >= 400 or answer["status"] in ("disabled", "failed"), (status, answer)


@bad.case("provisioning: a disabled individual enrollment keeps a device of an enabled group out")
def _():
    body = {
        "registrationId": "stolen",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": OTHER_KEY, "secondaryKey": OTHER_KEY}},
        "provisioningStatus": "disabled",
    }
    service.ok("PUT", "/enrollments/stolen", body)
    not_assigned("stolen", derived_key(made["key"], "stolen"))
    no_device("stolen")


@bad.case("provisioning: a body that is no JSON, or names another device, is refused with 400")
def _():
    with provisioning_connection("mangled", derived_key(made["key"], "mangled")) as connection:
        connection.subscribe("$dps/registrations/res/#")
        bodies = [b"{", b"[]", b"\xff\xfe", json.dumps({"registrationId": "good-1"}).encode()]
        for number, body in enumerate(bodies):
            connection.publish(f"$dps/registrations/PUT/iotdps-register/?$rid={number}", body)
            topic, answer = connection.message("$dps/registrations/res/")
            assert topic.startswith("$dps/registrations/res/400/") and f"$rid={number}" in topic, (body, topic, answer)
            assert json.loads(answer).get("message"), answer
        status, answer = register(connection, "mangled", PAYLOAD)
        equal((status, answer["status"]), (200, "assigned"), "the good registration on the same connection")


@bad.case("provisioning: a payload that is too large is refused")
def _():
    with provisioning_connection("heavy", derived_key(made["key"], "heavy")) as connection:
        try:
            status, answer = register(connection, "heavy", {"modelId": THERMOSTAT, "junk": "x" * 100_000})
        except Closed:
            status = 413
        assert status >= 400, (status, answer)
    no_device("heavy")


@bad.case("provisioning: a model that is not there fails and the record says why")
def _():
    status, answer = provision("modelless", made["key"], {"modelId": "dtmi:nobody:Nothing;1"})
    equal((status, answer["status"]), (200, "failed"), str(answer))
    record = service.ok("GET", "/registrations/modelless")
    equal(record["status"], "failed")
    assert record["errorCode"] and "dtmi:nobody:Nothing;1" in record["errorMessage"], record
    no_device("modelless")


@bad.case("provisioning: a payload without modelId fails and the record says why")
def _():
    for identifier, payload in (("payloadless", None), ("wordy", {"model": 1})):
        status, answer = provision(identifier, made["key"], payload)
        equal((status, answer["status"]), (200, "failed"), str(answer))
        assert service.ok("GET", f"/registrations/{identifier}")["errorMessage"]
        no_device(identifier)


@bad.case("hub: a wrong key, an expired token, a token for another device")
def _():
    not_authorized(lambda: hub_connection("good-1", OTHER_KEY))
    not_authorized(lambda: hub_connection("good-1", made["device"], seconds=-60))
    host = subject["hub"][0]["hostName"]
    user = f"{host}/good-1/?api-version=2021-04-12"
    not_authorized(lambda: Mqtt(host, "good-1", user, token(f"{host}/devices/other", made["device"])))
    not_authorized(lambda: hub_connection("nobody", made["device"]))
    works("good-1", made["device"], 11.0)


@bad.case("hub: no credentials at all, and a client id that is not the user name's")
def _():
    host = subject["hub"][0]["hostName"]
    user = f"{host}/good-1/?api-version=2021-04-12"
    not_authorized(lambda: Mqtt(host, "good-1", None, None))
    not_authorized(lambda: Mqtt(host, "good-1", user, None))
    refuses(lambda: Mqtt(host, "good-2", user, token(f"{host}/devices/good-1", made["device"])), kinds=(Refused, Closed))


@bad.case("hub: a device may not publish or subscribe for another")
def _():
    device("good-3")
    with hub_connection("good-1", made["device"]) as connection:
        connection.publish(telemetry_topic("good-3"), {"Temperature": 666.0}, wait=False)
        connection.expect_close()
    with hub_connection("good-1", made["device"]) as connection:
        try:
            equal(connection.subscribe("devices/good-3/messages/devicebound/#"), 0x80, "SUBACK return code")
        except Closed:
            pass
    works("good-1", made["device"], 12.0)
    equal(twins.get_digital_twin("good-3")["Temperature"], 0.0)


@bad.case("hub: QoS 2 closes the connection")
def _():
    with hub_connection("good-1", made["device"]) as connection:
        topic = telemetry_topic("good-1")
        connection.send(packet(PUBLISH, text(topic) + connection.identifier() + b'{"Temperature": 99}', 4))
        connection.expect_close()
    works("good-1", made["device"], 13.0)


@bad.case("hub: a message over 256 KiB closes the connection; one just below is taken")
def _():
    with hub_connection("good-1", made["device"]) as connection:
        filler = "x" * (255 * 1024)
        connection.publish(telemetry_topic("good-1"), {"Temperature": 14.0, "filler": filler})
    eventually(lambda: twins.get_digital_twin("good-1")["Temperature"] == 14.0, what="the large message")
    with hub_connection("good-1", made["device"]) as connection:
        body = {"Temperature": 99.0, "filler": "x" * (257 * 1024)}
        try:
            connection.publish(telemetry_topic("good-1"), body, wait=False)
            connection.expect_close()
        except (OSError, ssl.SSLError):
            pass  # closed while we were still sending
    works("good-1", made["device"], 15.0)


@bad.case("hub: telemetry that fits no property or is no JSON leaves the twin alone")
def _():
    bodies = [b"{", b"\x00\x01", b'"text"', b'{"Temperature": "warm"}', b'{"Temperature": null}', b'{"Unknown": 5}']
    with hub_connection("good-1", made["device"]) as connection:
        for body in bodies:
            connection.publish(telemetry_topic("good-1"), body)
        connection.publish(telemetry_topic("good-1"), {"Temperature": 16.0})
    eventually(lambda: twins.get_digital_twin("good-1")["Temperature"] == 16.0, 40, "the good message after the bad ones")
    assert "Unknown" not in twins.get_digital_twin("good-1")


@bad.case("hub: a second connection with the same device id takes over")
def _():
    with hub_connection("good-1", made["device"]) as first, hub_connection("good-1", made["device"]) as second:
        first.expect_close()
        second.publish(telemetry_topic("good-1"), {"Temperature": 17.0})
        equal(registry.ok("GET", "/devices/good-1")["connectionState"], "Connected")
    eventually(lambda: twins.get_digital_twin("good-1")["Temperature"] == 17.0, what="telemetry of the second")


@bad.case("hub: a twin patch that is no object is answered 400 on the same connection")
def _():
    with hub_connection("good-1", made["device"]) as connection:
        connection.subscribe("$iothub/twin/res/#")
        for number, body in enumerate((b"[1]", b"{", b'{"$bad": 1}')):
            connection.publish(f"$iothub/twin/PATCH/properties/reported/?$rid=x{number}", body)
            topic, _ = connection.message("$iothub/twin/res/")
            assert topic.startswith("$iothub/twin/res/400/"), (body, topic)
        connection.publish("$iothub/twin/PATCH/properties/reported/?$rid=y", {"fine": True})
        topic, _ = connection.message("$iothub/twin/res/")
        assert topic.startswith("$iothub/twin/res/204/"), topic


@bad.case("mqtt: packets that break the protocol close the connection and nothing else")
def _():
    host = subject["hub"][0]["hostName"]
    wrong = [
        packet(PUBLISH, text("devices/good-1/messages/events/") + b"{}"),  # before CONNECT
        b"\x10\xff\xff\xff\xff\x01",  # a remaining length of five bytes
        packet(1, text("MQIsdp") + bytes([3, 2, 0, 60]) + text("a")),
        packet(1, text("MQTT") + bytes([9, 2, 0, 60]) + text("a")),  # a protocol level nobody knows
        packet(1, text("MQTT") + bytes([4, 3, 0, 60]) + text("a")),  # the reserved flag
        packet(15, b""),
        packet(1, text("MQTT") + bytes([4, 2])),  # cut short
    ]
    for data in wrong:
        connection = Mqtt(host, "", None, None, connect=False)
        connection.socket.settimeout(30)
        connection.send(data)
        connection.expect_close()
        connection.close()
    with hub_connection("good-1", made["device"]) as connection:
        connection.send(packet(8, b"\x00\x01" + text("devices/good-1/messages/devicebound/#") + b"\x01", 0))  # SUBSCRIBE wants flags 2
        connection.expect_close()
    works("good-1", made["device"], 18.0)


def garbage(port, encrypted, seed):
    noise = random.Random(seed).randbytes(4096)
    if encrypted:
        connection = tls("localhost", port)
    else:
        connection = socket.create_connection(("localhost", port), timeout=20)
    try:
        connection.sendall(noise)
        while connection.recv(4096):
            pass
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        connection.close()


@bad.case("garbage bytes on each port, in clear and inside TLS, and half-open connections")
def _():
    ports = subject["ports"]["https"] + subject["ports"]["mqtt"]
    for port in ports:
        for seed in range(6):
            garbage(port, encrypted=seed % 2 == 1, seed=seed)
    idle = [socket.create_connection(("localhost", port), timeout=20) for port in ports for _ in range(40)]
    works("good-1", made["device"], 19.0)
    equal(registry("GET", "/devices/good-1").status_code, 200)
    for connection in idle:
        # A reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


@bad.case("http: bodies that are no JSON, too large, or of the wrong shape are refused with Azure's envelope")
def _():
    path = "/devices/odd"
    for data, status in ((b"{", 400), (b"[]", 400), (b"{}", 400), (b'{"deviceId": "other"}', 400)):
        answer = raw("PUT", path, data)
        equal(answer.status_code, status, f"{data}: {answer.text}")
        assert "Message" in answer.json(), answer.text
    try:
        assert raw("PUT", path, b'{"deviceId":"odd","x":"' + b"y" * 3_000_000 + b'"}').status_code in (400, 413)
    except requests.exceptions.ConnectionError:
        pass  # refused and closed while we were still sending
    equal(registry("GET", path).status_code, 404)


def raw(method, path, data):
    headers = {"Content-Type": "application/json"}
    signed = service_token(subject["hub"][0]["connectionString"])
    return request(method, url(path), params=HUB_VERSION, token=signed, headers=headers, data=data)


def url(path):
    return f"https://localhost:{subject['ports']['https'][0]}{path}"


bad.run()
