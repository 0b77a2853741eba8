"""AMQP 1.0 by hand, for what no client library would send: values, frames, and a peer that says exactly what it is told.

Encoders return bytes; `decode` makes plain Python values of them, a described value a `Described`. Only the forms that
the scenarios need are written; every form is read. Source: OASIS AMQP 1.0 parts 1 and 2.
"""

import base64
import hashlib
import hmac
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from urllib.parse import quote

from . import connections

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
MECHANISMS, INIT, CHALLENGE, RESPONSE, OUTCOME = range(0x40, 0x45)
NAMES = {
    OPEN: "open", BEGIN: "begin", ATTACH: "attach", FLOW: "flow", TRANSFER: "transfer", DISPOSITION: "disposition",
    DETACH: "detach", END: "end", CLOSE: "close", MECHANISMS: "mechanisms", OUTCOME: "outcome", CHALLENGE: "challenge",
}  # fmt: skip
NULL, TRUE, FALSE = b"\x40", b"\x41", b"\x42"
SENDER, RECEIVER = FALSE, TRUE


class Gone(Exception):
    """The server has closed the socket."""


# Values to bytes.


def uint(number):
    return b"\x70" + struct.pack(">I", number)


def ulong(number):
    return b"\x80" + struct.pack(">Q", number)


def ubyte(number):
    return b"\x50" + struct.pack(">B", number)


def long(number):
    return b"\x81" + struct.pack(">q", number)


def ushort(number):
    return b"\x60" + struct.pack(">H", number)


def string(text):
    return b"\xb1" + _sized(text if isinstance(text, bytes) else text.encode())


def symbol(text):
    return b"\xb3" + _sized(text.encode())


def binary(data):
    return b"\xb0" + _sized(data)


def listed(*fields):
    return b"\xd0" + _sized(struct.pack(">I", len(fields)) + b"".join(fields))


def mapped(pairs):
    return b"\xd1" + _sized(struct.pack(">I", 2 * len(pairs)) + b"".join(key + value for key, value in pairs))


def described(code, value):
    return b"\x00\x53" + bytes([code]) + value


def _sized(data):
    return struct.pack(">I", len(data)) + data


def performative(code, *fields):
    return described(code, listed(*fields))


def frame(body, channel=0, kind=0, doff=2, size=None):
    """A frame; `size` and `doff` may lie."""
    return struct.pack(">IBBH", 8 + len(body) if size is None else size, doff, kind, channel) + body


# Bytes to values.


@dataclass
class Described:
    descriptor: object
    value: object


def decode(data, at=0):
    """One value and where it ends."""
    code, at = data[at], at + 1
    if code == 0:
        descriptor, at = decode(data, at)
        value, at = decode(data, at)
        return Described(descriptor, value), at
    return _content(code, data, at)


FIXED = {
    0x40: "", 0x41: "", 0x42: "", 0x43: "", 0x44: "", 0x45: "", 0x56: "B", 0x50: "B", 0x60: "H", 0x70: "I", 0x80: "Q",
    0x51: "b", 0x61: "h", 0x71: "i", 0x81: "q", 0x52: "B", 0x53: "B", 0x54: "b", 0x55: "b", 0x72: "f", 0x82: "d",
    0x73: "I", 0x74: "4s", 0x84: "8s", 0x94: "16s", 0x83: "q", 0x98: "16s",
}  # fmt: skip
CONSTANTS = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0, 0x45: []}


def _content(code, data, at):
    if code in CONSTANTS:
        return CONSTANTS[code], at
    if code in FIXED:
        layout = ">" + FIXED[code]
        return struct.unpack_from(layout, data, at)[0], at + struct.calcsize(layout)
    width = ">I" if code & 0x10 else ">B"
    size, start = struct.unpack_from(width, data, at)[0], at + struct.calcsize(width)
    if code < 0xC0:
        raw = bytes(data[start : start + size])
        return (raw if code in (0xA0, 0xB0) else raw.decode()), start + size
    count, at = struct.unpack_from(width, data, start)[0], start + struct.calcsize(width)
    items = []
    constructor = None
    if code >= 0xE0:
        constructor, at = data[at], at + 1
    for _ in range(count):
        item, at = decode(data, at) if constructor is None else _content(constructor, data, at)
        items.append(item)
    if code in (0xC1, 0xD1):
        return dict(zip(items[::2], items[1::2])), start + size
    return items, start + size


@dataclass
class Frame:
    """What the server said: `name` and `fields` of the performative, and what follows it."""

    name: str
    channel: int
    fields: list
    payload: bytes

    def error(self):
        """The condition of a close, end or detach; None without one."""
        found = self.fields[{"close": 0, "end": 0, "detach": 2}[self.name]]
        return found and found.value[0]

    def text(self):
        return self.fields[{"close": 0, "end": 0, "detach": 2}[self.name]].value[1]


class Peer:
    """One connection, as far along as it is told to go."""

    def __init__(self, encrypted=True, seconds=20):
        ports = connections()["ports"]
        port = ports["amqp" if encrypted else "amqpPlain"][0]
        self.socket = socket.create_connection(("localhost", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if encrypted:
            self.socket = ssl.create_default_context(cafile=connections()["ca"]).wrap_socket(self.socket, server_hostname="localhost")
        self.input = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends; that the server has closed meanwhile is seen when it is read."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass

    def say(self, code, *fields, channel=0, payload=b""):
        self.send(frame(performative(code, *fields) + payload, channel))

    def take(self, count):
        while len(self.input) < count:
            try:
                more = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                more = b""
            if not more:
                raise Gone()
            self.input += more
        taken = bytes(self.input[:count])
        del self.input[:count]
        return taken

    def read(self):
        """The next frame that is no heartbeat."""
        while True:
            size, doff, _, channel = struct.unpack(">IBBH", self.take(8))
            body = self.take(size - 8)[doff * 4 - 8 :]
            if body:
                said, end = decode(body)
                return Frame(NAMES[said.descriptor], channel, said.value, body[end:])

    def expect(self, *names):
        """The next frame of one of these names; others before it are passed over."""
        passed = []
        while True:
            try:
                said = self.read()
            except Gone:
                raise AssertionError(f"closed without a word of {names}; before it: {passed}") from None
            if said.name in names:
                return said
            passed.append(said)

    def ended(self):
        """All frames up to the end of the connection, which the server must close."""
        said = []
        try:
            while True:
                said.append(self.read())
                if said[-1].name == "close":
                    self.say(CLOSE, NULL)
        except Gone:
            return said

    # The steps of a good client.

    def secure(self, mechanism="ANONYMOUS", response=NULL):
        """SASL; the code of the outcome."""
        self.send(SASL_HEADER)
        assert self.take(8) == SASL_HEADER
        self.expect("mechanisms")
        self.send(frame(performative(INIT, symbol(mechanism), response, string("localhost")), kind=1))
        return self.expect("outcome").fields[0]

    def open(self, *, max_frame=65536, idle=NULL, **sasl):
        """To the server's open."""
        code = self.secure(**sasl)
        assert code == 0, f"SASL ended with {code}"
        self.send(AMQP_HEADER)
        assert self.take(8) == AMQP_HEADER
        self.say(OPEN, string("hand-made"), string("localhost"), uint(max_frame), ushort(65535), idle)
        self.expect("open")
        return self

    def begin(self, channel=0, window=5000):
        self.say(BEGIN, NULL, uint(0), uint(window), uint(5000), uint(255), channel=channel)
        self.expect("begin")
        return self

    def attach(self, role, handle, *, source=NULL, target=NULL, name=None, channel=0, properties=NULL):
        name = string(name or f"link-{handle}")
        self.say(
            ATTACH, name, uint(handle), role, NULL, NULL, _node(0x28, source), _node(0x29, target), NULL, NULL, uint(0),
            NULL, NULL, NULL, properties, channel=channel,
        )  # fmt: skip

    def attached(self, role, handle, **how):
        """Attaches and returns the error it was refused with, or None."""
        self.attach(role, handle, **how)
        answer = self.expect("attach", "end", "close")
        if answer.name != "attach":
            return answer
        refused = answer.fields[6 if role == SENDER else 5] is None
        return self.expect("detach") if refused else None

    def flow(self, handle, credit, *, channel=0, window=1_000_000):
        self.say(FLOW, uint(0), uint(window), uint(0), uint(5000), uint(handle), uint(0), uint(credit), channel=channel)

    def transfer(self, handle, number, payload, *, more=FALSE, settled=FALSE, channel=0, tag=None):
        tag = struct.pack(">I", number) if tag is None else tag
        fields = uint(handle), uint(number), binary(tag), uint(0), settled, more
        self.say(TRANSFER, *fields, channel=channel, payload=payload)

    def request_link(self, node, first=0, channel=0, credit=100_000):
        """A pair of links with `$cbs` or `$management`: handle `first` sends, the one after it receives."""
        error = self.attached(SENDER, first, target=string(node), name=f"to {node}", channel=channel)
        assert error is None, error
        answers = string(f"answers of {node}")
        error = self.attached(RECEIVER, first + 1, source=string(node), target=answers, name=f"of {node}", channel=channel)
        assert error is None, error
        self.flow(first + 1, credit, channel=channel)
        return self

    def answer(self):
        """The next answer to a request that had an id: the status, the condition, and the whole message."""
        while True:
            said = message(self.expect("transfer").payload)
            if any(said["properties"]):
                return said["application"]["status-code"], said["application"].get("errorCondition"), said


def _node(code, address):
    return NULL if address == NULL else described(code, listed(address))


def request(number=1, body=NULL, **properties):
    """A message as `$cbs` and `$management` take it."""
    application = mapped([(string(key), string(value)) for key, value in properties.items()])
    return (
        described(0x73, listed(ulong(number), NULL, NULL, NULL, NULL))
        + described(0x74, application)
        + described(0x77, body)
    )


def put_token(text, audience, number=1, kind="servicebus.windows.net:sastoken"):
    return request(number, string(text), operation="put-token", type=kind, name=audience)


def data(body):
    """A message with just a body."""
    return described(0x75, binary(body))


def message(payload):
    """The sections of a message that tests look at."""
    found, at = {"application": {}, "annotations": {}, "data": b""}, 0
    names = {0x72: "annotations", 0x73: "properties", 0x74: "application", 0x77: "value"}
    while at < len(payload):
        section, at = decode(payload, at)
        if section.descriptor == 0x75:
            found["data"] += section.value
        elif section.descriptor in names:
            found[names[section.descriptor]] = section.value
    return found


def policy(index=0):
    """The name and key of the namespace's own policy."""
    text = connections()["events"][index]["connectionString"]
    named = dict(part.split("=", 1) for part in text.split(";") if part)
    return named["SharedAccessKeyName"], named["SharedAccessKey"]


def sas(resource, seconds=3600, name=None, key=None):
    """A token for `resource`, such as `sb://localhost/deviceevents`. Event hubs sign with the key's text as it stands."""
    own_name, own_key = policy()
    resource, expiry = quote(resource, safe=""), int(time.time()) + seconds
    signed = hmac.new((key or own_key).encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(signed), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={name or own_name}"
