# about: AMQP peers that break the protocol: headers, SASL, frames, states, links, credit, sizes, payloads
# server: none
# timeout: 120
"""Each bad peer: answered as the standard says, with bounded memory, and the next good client served."""

import random
import socket
import struct

from lib import equal
from lib.amqp import (
    AMQP_HEADER, ATTACH, BEGIN, CLOSE, DETACH, DISPOSITION, END, FALSE, FLOW, INIT, NULL, OPEN, RECEIVER, RESPONSE,
    SASL_HEADER, SENDER, TRANSFER, TRUE, Peer, binary, data, described, frame, listed, long, mapped, performative,
    policy, string, symbol, ubyte, uint, ulong, ushort,
)  # fmt: skip
from lib.events import producer
from lib.hostile import HUB, Hostile, PARTITION, TOO_MUCH, closes, filtered, many_nulls, nested, trusted

bad = Hostile()


# Before open.


@bad.case("a wrong protocol header is answered with the right one")
def _():
    wrong = [b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x00\x09\x01", b"AMQP\x02\x01\x00\x00", b"AMQP\x03\x01\x00\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]  # fmt: skip
    for encrypted in (True, False):
        for header in wrong:
            with Peer(encrypted) as peer:
                peer.send(header)
                equal(peer.take(8), SASL_HEADER, f"the answer to {header}")
                closes(peer)


@bad.case("noise on both ports, before and after the header")
def _():
    for seed in range(12):
        noise = random.Random(seed).randbytes(4096)
        with Peer(encrypted=seed % 2 == 0) as peer:
            peer.send((SASL_HEADER if seed % 3 else b"") + noise)
            while peer.socket.recv(65536):
                pass


@bad.case("SASL: an unknown mechanism, PLAIN in part or with wrong keys: outcome auth")
def _():
    name, key = policy()
    wrong = [("SCRAM-SHA-256", binary(b"n,,n=x,r=y")), ("", NULL), ("PLAIN", NULL)]
    for text in ("", name, f"\0{name}", f"\0{name}\0", f"\0\0{key}", f"{name}\0{key}", "\0\0", f"\0{name}\0{key}\0",
                 f"\0{name}x\0{key}", f"\0{name}\0{key[:-1]}", f"\0{name}\0{'x' * 4000}"):  # fmt: skip
        wrong.append(("PLAIN", binary(text.encode())))
    wrong.append(("PLAIN", binary(b"\0\xff\xfe\0\xff")))
    for mechanism, response in wrong:
        with Peer() as peer:
            equal(peer.secure(mechanism, response), 1, f"outcome of {mechanism} {response[:40]}")
            closes(peer)
    with Peer() as peer:
        equal(peer.secure("PLAIN", binary(f"\0{name}\0{key}".encode())), 0)


@bad.case("SASL: frames out of turn, or no SASL at all, close the connection")
def _():
    wrong = [
        frame(performative(RESPONSE, binary(b"x")), kind=1),
        frame(performative(0x44, ubyte(0)), kind=1),
        frame(performative(OPEN, string("x")), kind=0),
        frame(performative(INIT), kind=1),
        frame(performative(INIT, string("PLAIN")), kind=1),
        frame(b"\x00\x53\x41\xd0\xff\xff\xff\xff\xff\xff\xff\xff", kind=1),
        frame(b"\xff" * 100, kind=1),
        frame(b"", kind=1),
        frame(b"x" * 70000, kind=1),
    ]
    for data in wrong:
        with Peer() as peer:
            peer.send(SASL_HEADER + data)
            equal(peer.take(8), SASL_HEADER)
            assert [one.name for one in peer.ended()] in (["mechanisms"], ["mechanisms", "outcome"])


@bad.case("what comes before open closes the connection")
def _():
    for code, fields in ((BEGIN, (NULL, uint(0), uint(1), uint(1))), (TRANSFER, (uint(0),)), (CLOSE, ()), (END, ())):
        with Peer() as peer:
            equal(peer.secure(), 0)
            peer.send(AMQP_HEADER)
            equal(peer.take(8), AMQP_HEADER)
            peer.say(code, *fields)
            closes(peer)


@bad.case("an open that asks for what cannot be")
def _():
    for fields, condition in (
        ((string("x"), string("localhost"), uint(511)), "amqp:invalid-field"),
        ((string("x"), string("localhost"), uint(512), ushort(0), uint(1)), "amqp:not-allowed"),
        ((NULL,), "amqp:decode-error"),
        ((uint(5),), "amqp:decode-error"),
        ((string(b"\xff\xfe"),), "amqp:decode-error"),
        ((string("x"),) * 40, "amqp:decode-error"),
    ):
        with Peer() as peer:
            peer.secure()
            peer.send(AMQP_HEADER)
            peer.take(8)
            peer.say(OPEN, *fields)
            closes(peer, condition)


# Frames.

BAD_FRAMES = [
    ("an announced size of 4 GiB", frame(b"", size=0xFFFFFFFF), "amqp:connection:framing-error"),
    ("a frame over max-frame-size", frame(b"\0" * 66000), "amqp:connection:framing-error"),
    ("a size below the header's", frame(b"", size=7), "amqp:connection:framing-error"),
    ("a size of nothing", frame(b"", size=0), "amqp:connection:framing-error"),
    ("a data offset within the header", frame(b"xxxx", doff=1), "amqp:connection:framing-error"),
    ("a data offset behind the end", frame(b"xxxx", doff=255), "amqp:connection:framing-error"),
    ("an unknown frame type", frame(b"xxxx", kind=9), "amqp:connection:framing-error"),
    ("a SASL frame after SASL", frame(performative(INIT, symbol("PLAIN")), kind=1), "amqp:not-allowed"),
    ("a body that is no performative", frame(b"\xa1\x01x"), "amqp:decode-error"),
    ("a performative nobody knows", frame(described(0x19, listed())), "amqp:decode-error"),
    ("a performative by an unknown name", frame(b"\x00" + symbol("amqp:nothing:list") + listed()), "amqp:decode-error"),
    ("a list of four billion fields", frame(b"\x00\x53\x11\xd0\x00\x00\x00\x08\xff\xff\xff\xff\x40\x40\x40\x40"), "amqp:decode-error"),
    ("a list longer than its frame", frame(b"\x00\x53\x11\xd0\x7f\xff\xff\xff\x00\x00\x00\x01"), "amqp:decode-error"),
    ("a field of another type", frame(performative(BEGIN, NULL, string("0"), uint(1), uint(1))), "amqp:decode-error"),
    ("a mandatory field that is not there", frame(performative(BEGIN)), "amqp:decode-error"),
    ("a second open", frame(performative(OPEN, string("again"), string("localhost"))), "amqp:illegal-state"),
    ("a begin on a channel in use", frame(performative(BEGIN, NULL, uint(0), uint(9), uint(9))), "amqp:illegal-state"),
    ("a begin that answers none of ours", frame(performative(BEGIN, ushort(7), uint(0), uint(9), uint(9)), 1), "amqp:not-allowed"),
    ("a begin above channel-max", frame(performative(BEGIN, NULL, uint(0), uint(9), uint(9)), 65535), "amqp:connection:framing-error"),
    ("an attach on a channel without a session", frame(performative(ATTACH, string("x"), uint(0), SENDER), 5), "amqp:illegal-state"),
    ("a transfer on a channel without a session", frame(performative(TRANSFER, uint(0), uint(0), binary(b"t")), 5), "amqp:illegal-state"),
    ("an end on a channel without a session", frame(performative(END), 9), "amqp:illegal-state"),
]  # fmt: skip


@bad.case("frames that break the protocol close the connection with the reason")
def _():
    deep = frame(performative(OPEN, string("x"), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, mapped([(symbol("x"), nested(5000))])))
    wide = frame(performative(BEGIN, NULL, uint(0), uint(9), uint(9), NULL, NULL, NULL, mapped([(symbol("x"), many_nulls())])), 1)
    more = [("values nested without end", deep, None), ("an array of four billion nulls", wide, "amqp:decode-error")]
    wrong = []
    for what, data, condition in BAD_FRAMES + more:
        with Peer().open().begin() as peer:
            peer.send(data)
            try:
                closes(peer, condition)
            except (AssertionError, TimeoutError) as error:
                wrong.append(f"{what}: {error!r}")
    assert not wrong, wrong


@bad.case("a frame cut short by the end of the connection, at every length")
def _():
    whole = frame(performative(ATTACH, string("x"), uint(0), SENDER, NULL, NULL, NULL, described(0x29, listed(string(HUB)))))
    for length in range(0, len(whole), 5):
        with Peer(encrypted=False).open().begin() as peer:
            peer.send(whole[:length])
            peer.socket.shutdown(socket.SHUT_WR)
            closes(peer)


@bad.case("frames in pieces of one byte, and many in one write")
def _():
    with Peer(encrypted=False) as peer:
        opening = frame(performative(OPEN, string("slow"), string("localhost")))
        for byte in SASL_HEADER + frame(performative(INIT, symbol("ANONYMOUS")), kind=1) + AMQP_HEADER + opening:
            peer.send(bytes([byte]))
        equal(peer.take(8), SASL_HEADER)
        equal(peer.expect("outcome").fields[0], 0)
        equal(peer.take(8), AMQP_HEADER)
        peer.expect("open")
        peer.send(frame(b"") * 10_000 + frame(performative(BEGIN, NULL, uint(0), uint(9), uint(9))))
        peer.expect("begin")


# Sessions and links.


@bad.case("what is wrong on a session ends the session, and the connection takes another")
def _():
    wrong = [
        ("a transfer before attach", (TRANSFER, uint(7), uint(0), binary(b"t")), "amqp:session:unattached-handle"),
        ("a flow for no link", (FLOW, uint(0), uint(9), uint(0), uint(9), uint(7)), "amqp:session:unattached-handle"),
        ("a detach of no link", (DETACH, uint(7)), "amqp:session:unattached-handle"),
        ("a handle in use", (ATTACH, string("other"), uint(0), SENDER, NULL, NULL, NULL, described(0x29, listed(string("$cbs")))), "amqp:session:handle-in-use"),
        ("a disposition that ends before it begins", (DISPOSITION, RECEIVER, uint(9), uint(3), TRUE), "amqp:invalid-field"),
    ]  # fmt: skip
    for what, (code, *fields), condition in wrong:
        with trusted() as peer:
            peer.say(code, *fields)
            ended = peer.expect("end", "close")
            equal((ended.name, ended.error()), ("end", condition), what)
            peer.say(END)
            peer.begin(channel=1)
            equal(peer.attached(SENDER, 0, target=string(HUB), channel=1), None, what)


@bad.case("dispositions and flows with absurd numbers do no harm")
def _():
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        top = 0xFFFFFFFF
        for role in (SENDER, RECEIVER):
            peer.say(DISPOSITION, role, uint(0), uint(0x7FFFFFFF), TRUE, described(0x24, listed()))
            peer.say(DISPOSITION, role, uint(top), NULL, TRUE, described(0x24, listed()))
        for handle in (0, 1, 2):
            peer.say(FLOW, uint(top), uint(top), uint(top), uint(top), uint(handle), uint(top), uint(top), uint(top), TRUE, TRUE)
            peer.say(FLOW, NULL, uint(0), uint(0), uint(0), uint(handle), NULL, uint(0))
            peer.say(FLOW, uint(0), uint(5000), uint(0), uint(5000), uint(handle), uint(0), uint(1000))
        peer.transfer(2, 1, data(b"still here"))
        equal(peer.expect("disposition", "end", "close").name, "disposition")


@bad.case("links that lead nowhere are refused one by one, the session stays")
def _():
    with trusted() as peer:
        wrong = [
            (SENDER, {"target": string("nothere")}, "amqp:not-found"),
            (SENDER, {"target": NULL}, "amqp:not-implemented"),
            (SENDER, {"target": string("")}, "amqp:not-found"),
            (SENDER, {"target": string("/" * 60_000)}, "amqp:not-found"),
            (SENDER, {"target": string("ä" * 20_000)}, "amqp:not-found"),
            (SENDER, {"target": string(f"{HUB}/Partitions/99999999999999999999")}, "amqp:not-found"),
            (SENDER, {"target": string(f"{HUB}/Partitions/4000000000")}, "com.microsoft:argument-error"),
            (SENDER, {"target": string(PARTITION)}, "com.microsoft:argument-error"),
            (RECEIVER, {"source": string(HUB)}, "com.microsoft:argument-error"),
            (RECEIVER, {"source": NULL}, "amqp:invalid-field"),
            (RECEIVER, {"source": string(f"{HUB}/ConsumerGroups/nobody/Partitions/0")}, "amqp:not-found"),
            (RECEIVER, {"source": string(f"{HUB}/ConsumerGroups/$Default/Partitions/4")}, "com.microsoft:argument-error"),
        ]  # fmt: skip
        for handle, (role, how, condition) in enumerate(wrong, 2):
            refused = peer.attached(role, handle, **how)
            assert refused is not None, f"{how} was accepted"
            equal((refused.name, refused.error()), ("detach", condition), str(how)[:80])
            assert len(refused.text()) < 1000, "an address comes back at its full length"
        for number, selector in enumerate(("", "true", "x-opt-offset > '1'", "amqp.annotation.x-opt-offset > 'x'", "'" * 50_000)):
            handle = 40 + number
            peer.say(ATTACH, string(f"selective-{handle}"), uint(handle), RECEIVER, NULL, NULL, filtered(selector), NULL, NULL, NULL, NULL)
            peer.expect("attach")
            equal(peer.expect("detach").error(), "com.microsoft:argument-error", selector[:40])
        equal(peer.attached(SENDER, 60, target=string(HUB)), None)


@bad.case("an owner level of another type, or below zero, does no harm")
def _():
    with trusted() as peer:
        for handle, level in enumerate((string("1"), long(-5), ulong(2**64 - 1), listed(), NULL, b"\x72\x7f\xc0\x00\x00"), 2):
            refused = peer.attached(RECEIVER, handle, source=string(PARTITION), properties=mapped([(symbol("com.microsoft:epoch"), level)]))
            assert refused is None or refused.name == "detach", refused


@bad.case("no more sessions than channel-max, no more links than handle-max")
def _():
    with Peer().open() as peer:
        for channel in range(1_100):
            peer.say(BEGIN, NULL, uint(0), uint(9), uint(9), channel=channel)
        closes(peer, "amqp:connection:framing-error")
    with trusted() as peer:
        for handle in range(2, 1000):
            peer.attach(SENDER, handle, target=string(HUB))
        closes(peer, "amqp:connection:framing-error")


@bad.case("begin and end, attach and detach, thousands of times")
def _():
    with trusted() as peer:
        for round in range(20):
            for _ in range(200):
                peer.attach(SENDER, 2, target=string(HUB), name=f"again-{round}")
                peer.say(DETACH, uint(2), TRUE)
                peer.say(BEGIN, NULL, uint(0), uint(9), uint(9), channel=5)
                peer.say(END, channel=5)
            for _ in range(200):
                peer.expect("end")
        equal(peer.attached(SENDER, 2, target=string(HUB)), None)


@bad.case("as many links as there can be, each with a very long address, by a stranger")
def _():
    with Peer().open() as peer:
        long = string("x" * 60_000)
        for channel in range(20):
            peer.begin(channel=channel)
            for handle in range(250):
                peer.attach(RECEIVER, handle, source=string("$cbs"), target=long, channel=channel)
                try:
                    if peer.expect("attach", "end", "close").name != "attach":
                        return "refused"
                except AssertionError:
                    return "closed"


# Messages.


@bad.case("more transfers than credit: the link is detached")
def _():
    with trusted(encrypted=False) as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        # In one piece: the server reads thousands before it can have stored a thousand and granted more.
        one = performative(TRANSFER, uint(2), uint(0), binary(b""), uint(0), TRUE)
        at = one.index(uint(0)) + 1
        several = bytearray()
        for number in range(1, 40_000):
            several += frame(one[:at] + struct.pack(">I", number) + one[at + 4 :] + data(b""))
        peer.send(several)
        said = peer.expect("detach", "end", "close")
        assert said.error() in ("amqp:link:transfer-limit-exceeded", "amqp:session:window-violation"), said


@bad.case("a transfer where the server sends")
def _():
    with trusted() as peer:
        peer.transfer(1, 1, data(b"x"))
        equal(peer.expect("detach", "end", "close").error(), "amqp:not-allowed")


def large(peer, handle, number, size, chunk=60_000):
    """One message in many frames."""
    body = data(b"x" * size)
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    for piece in pieces[:-1]:
        peer.transfer(handle, number, piece, more=TRUE)
    peer.transfer(handle, number, pieces[-1])


def outcome(peer):
    """What became of the next delivery: `accepted`, or the condition it was rejected with."""
    said = peer.expect("disposition", "detach", "end", "close")
    if said.name != "disposition":
        return f"{said.name}: {said.error()}"
    state = said.fields[4]
    return "accepted" if state.descriptor == 0x24 else state.value[0].value[0]


@bad.case("a message over the maximum, in many frames, is rejected; the largest allowed is taken; the link goes on")
def _():
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        large(peer, 2, 1, 1024 * 1024 - 5 - 3)
        equal(outcome(peer), "accepted")
        # As Azure does: the delivery is rejected. npm's client waits in vain for that when the link is detached instead.
        large(peer, 2, 2, 1024 * 1024 + 1)
        equal(outcome(peer), "amqp:link:message-size-exceeded")
        large(peer, 2, 3, 3 * 1024 * 1024)
        equal(outcome(peer), "amqp:link:message-size-exceeded")
        large(peer, 2, 4, 5000, chunk=7)
        equal(outcome(peer), "accepted")


@bad.case("a message that never ends, on one link and on hundreds")
def _():
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(HUB)), None)
        for number in range(200):
            peer.transfer(2, 1, b"\x00" * 60_000, more=TRUE)
        peer.transfer(2, 1, b"")
        assert "amqp:link:message-size-exceeded" in outcome(peer)
        for _ in range(3_000):
            peer.transfer(0, 2, b"", more=TRUE)
    with trusted() as peer:
        for handle in range(2, 202):
            equal(peer.attached(SENDER, handle, target=string(HUB)), None)
        for handle in range(2, 202):
            for _ in range(10):
                peer.transfer(handle, handle, b"\x00" * 60_000, more=TRUE)
        closes(peer, TOO_MUCH)


@bad.case("aborted deliveries leave nothing")
def _():
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        credit = peer.expect("flow").fields[6]
        for number in range(1, credit + 1):
            peer.transfer(2, number, b"\x00" * (50_000 if number < 300 else 5), more=TRUE)
            peer.say(TRANSFER, uint(2), uint(number), binary(b"t"), uint(0), FALSE, FALSE, NULL, NULL, FALSE, TRUE)
        # They have used up all the credit there was; a sender that waits for more gets it.
        peer.socket.settimeout(5)
        while not peer.expect("flow", "detach", "end", "close").fields[6]:
            pass
        peer.transfer(2, credit + 1, data(b"after the aborted"))
        settled = peer.expect("disposition", "detach", "end", "close")
        equal((settled.name, settled.fields[1]), ("disposition", credit + 1))


@bad.case("a payload that is no message is rejected, the link goes on")
def _():
    wrong = [
        b"",
        b"\xff",
        b"hello",
        random.Random(1).randbytes(1000),
        described(0x75, string("no binary")),
        described(0x74, mapped([(uint(1), uint(2))])),
        described(0x72, mapped([(symbol("x-opt-partition-key"), uint(2))])) + data(b"x"),
        described(0x72, mapped([(symbol("x-opt-partition-key"), string("k" * 129))])) + data(b"x"),
        described(0x77, NULL) + described(0x73, listed()),
        described(0x77, nested(200)),
        described(0x77, many_nulls()),
        data(b"x") + described(0x77, NULL),
        described(0x74, b"\xd1\xff\xff\xff\xff\x00\x00\x00\x02"),
        b"\x00\x53\x75\xb0\x7f\xff\xff\xff",
    ]
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        states = {}
        for number, payload in enumerate(wrong, 1):
            peer.transfer(2, number, payload)
            settled = peer.expect("disposition", "detach", "end", "close")
            assert settled.name == "disposition", (payload[:40], settled)
            states[number] = settled.fields[4].descriptor
        # An empty message has no section at all; whether it is an event is not ours to say.
        equal({n for n, state in states.items() if state != 0x25} - {1}, set(), "accepted though not decodable")
        peer.transfer(2, 100, data(b"good"))
        equal(peer.expect("disposition").fields[4].descriptor, 0x24)


@bad.case("a batch that is none is rejected whole")
def _():
    good, batch = data(b"inner"), 0x80013700
    wrong = [
        described(0x77, string("no data")),
        data(good) + data(b"\xff\xff"),
        data(described(0x75, string("x"))),
        data(good) * 10 + data(b"hello"),
        described(0x72, mapped([(symbol("x-opt-partition-key"), string("k" * 129))])) + data(good),
    ]
    two_keys = [data(described(0x72, mapped([(symbol("x-opt-partition-key"), string(key))])) + good) for key in "ab"]
    with trusted() as peer:
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        equal(peer.attached(SENDER, 3, target=string(HUB)), None)
        with producer(HUB) as client:
            before = client.get_partition_properties("2")["last_enqueued_sequence_number"]
            accepted = []
            # Keys may differ where the partition is named: buffered producers of Azure's clients batch so.
            rows = [(2, payload) for payload in wrong] + [(3, b"".join(two_keys))]
            for number, (handle, payload) in enumerate(rows, 1):
                peer.say(TRANSFER, uint(handle), uint(number), binary(b"t"), uint(batch), FALSE, FALSE, payload=payload)
                if peer.expect("disposition").fields[4].descriptor != 0x25:
                    accepted.append(number)
            equal(accepted, [], "batches that were accepted")
            equal(client.get_partition_properties("2")["last_enqueued_sequence_number"], before, "nothing of them is kept")


bad.run()
