"""A small MQTT 3.1.1 client on plain sockets: for what the SDKs refuse to send, and for many devices at once."""

import json
import socket
import ssl
import struct
import uuid

from . import connections
from .sas import derived_key, token

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 5, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


class Closed(Exception):
    """The server closed the connection."""


class Refused(Exception):
    """CONNACK with a return code other than 0; `code` is that code."""

    def __init__(self, code):
        super().__init__(f"CONNACK return code {code}")
        self.code = code


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(value)) + value


def packet(kind, body, flags=0):
    length, left = b"", len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length += bytes([byte | (0x80 if left else 0)])
        if not left:
            return bytes([kind << 4 | flags]) + length + body


_context = None


def tls(host, port, timeout=20):
    """A TLS connection to the subject that trusts its CA only."""
    global _context
    if _context is None:
        _context = ssl.create_default_context(cafile=connections()["ca"])
    return _context.wrap_socket(socket.create_connection((host, port), timeout=timeout), server_hostname=host)


class Mqtt:
    """One connection. Every wait is bounded by the socket's timeout."""

    def __init__(self, host, client_id, username, password, *, port=None, clean=True, keep_alive=60, connect=True):
        self._buffer = b""
        self._next = 0
        self.inbox = []
        self.socket = tls(host, port or connections()["ports"]["mqtt"][0])
        if connect:
            self.connect(client_id, username, password, clean, keep_alive)

    def connect(self, client_id, username, password, clean=True, keep_alive=60):
        flags = (0x80 if username is not None else 0) | (0x40 if password is not None else 0) | (2 if clean else 0)
        body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", keep_alive) + text(client_id)
        body += b"".join(text(part) for part in (username, password) if part is not None)
        self.send(packet(CONNECT, body))
        kind, _, answer = self.read()
        assert kind == CONNACK, f"first packet of the server is {kind}, not CONNACK"
        if answer[1]:
            raise Refused(answer[1])

    def send(self, data):
        self.socket.sendall(data)

    def _take(self, count):
        while len(self._buffer) < count:
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError) as error:
                raise Closed(str(error)) from error
            if not more:
                raise Closed("the server closed the connection")
            self._buffer += more
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read(self):
        """The next packet: kind, flags, body."""
        first, length, shift = self._take(1)[0], 0, 0
        while True:
            byte = self._take(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first >> 4, first & 15, self._take(length)

    def _until(self, wanted):
        """Reads until `wanted(kind, body)` says yes; publishes that come meanwhile go to the inbox and are acknowledged."""
        while True:
            kind, flags, body = self.read()
            if kind == PUBLISH:
                size = struct.unpack(">H", body[:2])[0]
                topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
                if flags & 6:
                    self.send(packet(PUBACK, rest[:2]))
                    rest = rest[2:]
                self.inbox.append((topic, rest))
            answer = wanted(kind, body)
            if answer is not None:
                return answer

    def identifier(self):
        self._next = self._next % 65535 + 1
        return struct.pack(">H", self._next)

    def subscribe(self, topic, qos=1):
        identifier = self.identifier()
        self.send(packet(SUBSCRIBE, identifier + text(topic) + bytes([qos]), 2))
        return self._until(lambda kind, body: body[2] if kind == SUBACK and body[:2] == identifier else None)

    def publish(self, topic, payload, qos=1, wait=True):
        """Returns once the server has acknowledged."""
        payload = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        identifier = self.identifier() if qos else b""
        self.send(packet(PUBLISH, text(topic) + identifier + payload, qos << 1))
        if qos and wait:
            self._until(lambda kind, body: True if kind == PUBACK and body == identifier else None)

    def message(self, prefix):
        """The next message whose topic begins with `prefix`: (topic, payload)."""
        while True:
            for index, (topic, payload) in enumerate(self.inbox):
                if topic.startswith(prefix):
                    return self.inbox.pop(index)
            self._until(lambda kind, _: True if kind == PUBLISH else None)

    def ping(self):
        self.send(packet(PINGREQ, b""))
        self._until(lambda kind, _: True if kind == PINGRESP else None)

    def expect_close(self):
        """Reads until the server closes; fails when it stays open."""
        try:
            while True:
                self._until(lambda *_: None)
        except Closed:
            return
        except socket.timeout as error:
            raise AssertionError("the connection stayed open") from error

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def provisioning_connection(registration_id, key, *, scope=None, seconds=3600, version="2019-03-31", **options):
    """Connects to DPS like a device that has only host, ID scope and key."""
    dps = connections()["dps"][0]
    scope = scope or dps["idScope"]
    username = f"{scope}/registrations/{registration_id}/api-version={version}&ClientVersion=conformance"
    password = token(f"{scope}/registrations/{registration_id}", key, "registration", seconds)
    return Mqtt(dps["hostName"], registration_id, username, password, **options)


def register(connection, registration_id, payload):
    """Runs one registration to its end; returns (status of the last answer, its JSON)."""
    connection.subscribe("$dps/registrations/res/#")
    body = {"registrationId": registration_id, "payload": payload}
    connection.publish(f"$dps/registrations/PUT/iotdps-register/?$rid={uuid.uuid4()}", body)
    while True:
        topic, answer = connection.message("$dps/registrations/res/")
        status = int(topic.split("/")[3])
        answer = json.loads(answer or b"null")
        if status != 202:
            return status, answer
        operation = answer["operationId"]
        ask = f"$dps/registrations/GET/iotdps-get-operationstatus/?$rid={uuid.uuid4()}&operationId={operation}"
        connection.publish(ask, b" ")


def provision(registration_id, group_key, payload, **options):
    """Registers below an enrollment group; returns (status, answer)."""
    with provisioning_connection(registration_id, derived_key(group_key, registration_id), **options) as connection:
        return register(connection, registration_id, payload)


def hub_connection(device_id, key, *, host=None, seconds=3600, **options):
    host = host or connections()["hub"][0]["hostName"]
    username = f"{host}/{device_id}/?api-version=2021-04-12&DeviceClientType=conformance"
    password = token(f"{host}/devices/{device_id}", key, None, seconds)
    return Mqtt(host, device_id, username, password, **options)


def telemetry_topic(device_id, bag="%24.ct=application%2Fjson&%24.ce=utf-8"):
    return f"devices/{device_id}/messages/events/{bag}"
