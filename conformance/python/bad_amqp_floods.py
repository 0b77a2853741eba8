# about: AMQP peers that ask for more than is theirs: tokens, floods, silence, slow readers
# server: none
# timeout: 120
"""Each is told no or borne with, with bounded memory, and the next good client is served."""

import random
import socket
import struct
import time

from azure.eventhub import EventData

from lib import amqp, connections, equal, eventually
from lib.amqp import (
    AMQP_HEADER, DETACH, FALSE, FLOW, INIT, NULL, OPEN, RECEIVER, SASL_HEADER, SENDER, TRANSFER, TRUE, Peer, binary,
    data, described, frame, mapped, performative, policy, put_token, request, sas, string, symbol, uint,
)  # fmt: skip
from lib.events import producer
from lib.hostile import (
    AUDIENCE, HUB, NAMESPACE, Hostile, PARTITION, PATIENCE, TOO_MUCH, UNAUTHORIZED, nested, trusted, works, works_for_pypi,
)  # fmt: skip

bad = Hostile()


# Tokens.


@bad.case("$cbs and $management: what is no request, or asks for nothing known")
def _():
    with trusted() as peer:
        peer.request_link("$management", first=2)
        for number, payload in enumerate((b"", b"\xff", random.Random(2).randbytes(3000), described(0x77, nested(100)))):
            for handle in (0, 2):
                peer.transfer(handle, 2 * number + handle // 2 + 1, payload)
        good = {"operation": "READ", "type": "com.microsoft:eventhub", "name": HUB}
        rows = [
            (0, put_token("", NAMESPACE), 401),
            (0, put_token("SharedAccessSignature", NAMESPACE), 401),
            (0, put_token("x" * 50_000, NAMESPACE), 401),
            (0, put_token(sas(NAMESPACE), NAMESPACE, kind="kerberos"), 400),
            (0, put_token("a.b.c", NAMESPACE, kind="jwt"), 401),
            (0, request(9, operation="delete-token", name=NAMESPACE), 400),
            (0, request(9, operation="put-token"), 400),
            (0, request(9, mapped([(string("x"), NULL)]), operation="put-token", name=NAMESPACE, type="jwt"), 400),
            (2, request(9), 400),
            (2, request(9, **good | {"operation": "DELETE"}), 400),
            (2, request(9, **good | {"type": "com.microsoft:queue"}), 400),
            (2, request(9, **good | {"name": "nothere"}), 404),
            (2, request(9, **good | {"name": "x" * 50_000}), 404),
            (2, request(9, **good | {"type": "com.microsoft:partition"}), 400),
            (2, request(9, **good | {"type": "com.microsoft:partition", "partition": "-1"}), 400),
            (2, request(9, **good | {"type": "com.microsoft:partition", "partition": "4"}), 400),
            (2, request(9, **good), 200),
        ]
        wrong = []
        for number, (handle, payload, status) in enumerate(rows, 100):
            peer.transfer(handle, number, payload)
            got, condition, said = peer.answer()
            if got != status or (status != 200 and not condition):
                wrong.append((number - 100, got, status, said["application"]["status-description"][:100]))
            assert len(str(said)) < 5000, "the answer repeats what was asked at its full length"
        equal(wrong, [], "(row, got, want, description)")


@bad.case("tokens that do not hold open nothing")
def _():
    name, key = policy()
    wrong = {
        "expired": sas(AUDIENCE, seconds=-60),
        "another key": sas(AUDIENCE, key="A" * 43 + "="),
        "an unknown policy": sas(AUDIENCE, name="nobody"),
        "another namespace": sas("sb://elsewhere.servicebus.windows.net/deviceevents"),
        "no host": sas("/deviceevents"),
        "a changed signature": sas(AUDIENCE).replace("&sig=", "&sig=A"),
        "a changed expiry": sas(AUDIENCE).replace("&se=", "&se=9"),
        "no signature": f"SharedAccessSignature sr=sb%3A%2F%2Flocalhost%2F{HUB}&se=9999999999&skn={name}",
        "the key itself": key,
    }
    with Peer().open().begin().request_link("$cbs") as peer:
        for number, (what, token) in enumerate(wrong.items()):
            peer.transfer(0, number, put_token(token, AUDIENCE))
            status, condition, _ = peer.answer()
            equal((status, condition), (401, UNAUTHORIZED), what)
        for handle, role, how in ((2, SENDER, {"target": string(HUB)}), (3, RECEIVER, {"source": string(PARTITION)})):
            refused = peer.attached(role, handle, **how)
            equal((refused.name, refused.error()), ("detach", UNAUTHORIZED))


@bad.case("a token opens what it names and no more")
def _():
    for resource, target, opens in (
        (f"{NAMESPACE}{HUB}/Partitions/1", f"{HUB}/Partitions/1", True),
        (f"{NAMESPACE}{HUB}/Partitions/1", f"{HUB}/Partitions/2", False),
        (f"{NAMESPACE}{HUB}/Partitions/1", HUB, False),
        (f"{NAMESPACE}{HUB}x", HUB, False),
        (f"{NAMESPACE}device", HUB, False),
        (f"{NAMESPACE}{HUB}/Publishers/one", f"{HUB}/Publishers/one", True),
        (f"{NAMESPACE}{HUB}/Publishers/one", f"{HUB}/Publishers/two", False),
        (f"{NAMESPACE}{HUB}/Publishers/one", f"{HUB}/Publishers/one/../two", False),
        (f"AMQPS://LOCALHOST/{HUB.upper()}", HUB, True),
    ):
        with Peer().open().begin().request_link("$cbs") as peer:
            # What the token is put for is the client's word; what it is signed for counts.
            peer.transfer(0, 0, put_token(sas(resource), AUDIENCE))
            equal(peer.answer()[0], 202, resource)
            refused = peer.attached(SENDER, 2, target=string(target))
            equal(refused is None, opens, f"{resource} opens {target}")


@bad.case("a link whose token expires is detached with unauthorized-access; a new token opens a new link")
def _():
    with Peer().open().begin().request_link("$cbs") as peer:
        peer.transfer(0, 0, put_token(sas(AUDIENCE, seconds=2), AUDIENCE))
        equal(peer.answer()[0], 202)
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        equal(peer.attached(RECEIVER, 3, source=string(PARTITION)), None)
        peer.transfer(2, 1, data(b"while it holds"))
        equal(peer.expect("disposition").fields[4].descriptor, 0x24)
        began = time.monotonic()
        for _ in range(2):
            gone = peer.expect("detach", "end", "close")
            equal((gone.name, gone.error()), ("detach", UNAUTHORIZED))
            peer.say(DETACH, uint(gone.fields[0]), TRUE)
        assert time.monotonic() - began < 5
        peer.transfer(0, 2, put_token(sas(AUDIENCE), AUDIENCE))
        equal(peer.answer()[0], 202)
        equal(peer.attached(SENDER, 4, target=string(f"{HUB}/Partitions/2")), None)
        peer.transfer(4, 3, data(b"again"))
        equal(peer.expect("disposition").fields[4].descriptor, 0x24)


@bad.case("a token that is put again in time keeps the link")
def _():
    with Peer().open().begin().request_link("$cbs") as peer:
        peer.transfer(0, 0, put_token(sas(AUDIENCE, seconds=2), AUDIENCE))
        equal(peer.answer()[0], 202)
        equal(peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2")), None)
        peer.transfer(0, 1, put_token(sas(AUDIENCE), AUDIENCE))
        equal(peer.answer()[0], 202)
        ends = time.monotonic() + 3
        number = 2
        while time.monotonic() < ends:
            peer.transfer(2, number, data(b"x"))
            equal(peer.expect("disposition", "detach", "close").name, "disposition")
            number += 1


@bad.case("endless tokens, each for another audience, with names as long as they can be")
def _():
    with Peer().open().begin().request_link("$cbs") as peer:
        token, long = sas(NAMESPACE), "x" * 50_000
        statuses = set()
        for number in range(1500):
            peer.transfer(0, number, put_token(token, f"{AUDIENCE}/{number}/{long}"))
            if number % 50 == 49:
                statuses |= {peer.answer()[0] for _ in range(50)}
        assert statuses - {202}, "each of 1500 tokens was taken"
    with Peer().open().begin().request_link("$cbs") as peer:
        for number in range(250):
            whole = put_token(token, f"{AUDIENCE}/{number}/{long * 18}")
            pieces = [whole[at : at + 65_000] for at in range(0, len(whole), 65_000)]
            for piece in pieces:
                peer.transfer(0, number, piece, more=FALSE if piece is pieces[-1] else TRUE)
            if peer.expect("transfer", "detach", "end", "close").name != "transfer":
                break


# Floods.


@bad.case("a flood of requests by a stranger who takes no answers")
def _():
    with Peer().open().begin() as peer:
        for handle, node in ((0, "$management"), (1, "$cbs")):
            equal(peer.attached(SENDER, handle, target=string(node)), None)
        small = {"operation": "READ", "type": "com.microsoft:eventhub", "name": HUB}
        asked = request(1, **small), put_token("SharedAccessSignature sr=x&sig=x&se=1&skn=x", NAMESPACE)
        number, ends = 0, time.monotonic() + 3
        peer.socket.settimeout(2)
        try:
            while time.monotonic() < ends:
                several = bytearray()
                for _ in range(500):
                    several += frame(performative(TRANSFER, uint(number % 2), uint(number), binary(b"t"), uint(0), TRUE) + asked[number % 2])
                    number += 1
                peer.send(several)
                # What the server has to say is read only to learn that it still takes requests.
        except TimeoutError:
            return f"{number} requests, then it took no more"
        return f"{number} requests"


@bad.case("a flood of requests with an answering link without credit")
def _():
    with Peer().open().begin().request_link("$management", credit=0) as peer:
        asked = request(1, operation="READ", type="com.microsoft:eventhub", name=HUB)
        for number in range(20_000):
            peer.transfer(0, number, asked, settled=TRUE)
        said = peer.expect("detach", "end", "close")
        assert said.error() in (TOO_MUCH, "com.microsoft:server-busy", "amqp:link:transfer-limit-exceeded"), said


@bad.case("echo upon echo: a peer that asks for flows and reads none")
def _():
    with Peer(encrypted=False).open().begin() as peer:
        peer.socket.settimeout(2)
        echo = frame(performative(FLOW, uint(0), uint(9), uint(0), uint(9), NULL, NULL, NULL, NULL, NULL, TRUE)) * 2000
        ends, sent = time.monotonic() + 4, 0
        try:
            while time.monotonic() < ends:
                peer.socket.sendall(echo)
                sent += 1
        except (TimeoutError, ConnectionError):
            pass
        return f"{sent * 2000} flows"


# Silence, and readers that do not read.


@bad.case("half-open connections are closed: silent, or slow drop by drop")
def _():
    port = {True: connections()["ports"]["amqp"][0], False: connections()["ports"]["amqpPlain"][0]}
    bare = socket.create_connection(("localhost", port[True]), timeout=20)  # not even TLS
    silent = [Peer(), Peer(encrypted=False)]
    headed, secured, dripping = Peer(), Peer(), Peer(encrypted=False)
    headed.send(SASL_HEADER)
    secured.secure()
    secured.send(AMQP_HEADER)
    began = time.monotonic()
    drops = iter(SASL_HEADER + frame(performative(INIT, symbol("ANONYMOUS")), kind=1) + AMQP_HEADER + frame(performative(OPEN, string("x" * 500))))
    dripping.socket.settimeout(0.2)
    dripped = 0
    while time.monotonic() < began + PATIENCE + 5:
        try:
            dripping.socket.sendall(bytes([next(drops)]))
            dripped += 1
            if not dripping.socket.recv(4096):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    equal(dripping.socket.fileno() >= 0 and time.monotonic() < began + PATIENCE + 4, True, f"closed after {dripped} drops")
    for peer in [*silent, headed, secured]:
        peer.ended()
        peer.socket.close()
    try:
        assert not bare.recv(1)
    except ConnectionError:
        pass
    assert time.monotonic() - began < PATIENCE + 5, "it took longer than the limit"


@bad.case("hundreds of half-open connections leave room for a good one")
def _():
    peers = [socket.create_connection(("localhost", connections()["ports"]["amqp"][0]), timeout=20) for _ in range(300)]
    works_for_pypi()
    for peer in peers:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


@bad.case("preparation: 48 MiB of events in a partition", needed=True)
def _():
    with producer(HUB) as client:
        for _ in range(48):
            client.send_batch([EventData(b"x" * (1000 * 1024))], partition_id="1")


@bad.case("readers with endless credit that do not read")
def _():
    source = string(f"{HUB}/ConsumerGroups/$Default/Partitions/1")
    peers = []
    for _ in range(5):
        peer = trusted(window=0x7FFFFFFF)
        equal(peer.attached(RECEIVER, 2, source=source), None)
        peer.say(FLOW, uint(1), uint(0x7FFFFFFF), uint(1), uint(0x7FFFFFFF), uint(2), uint(0), uint(0x7FFFFFFF))
        peers.append(peer)
    for peer in peers:
        equal(peer.expect("transfer", "detach").name, "transfer")
    for _ in range(5):
        works()
    # One that reads after all gets everything, in order.
    peer, numbers, payload = peers[0], [], b""
    while peer.expect("transfer").fields[5]:
        pass  # the rest of the message of which the beginning was looked at
    with producer(HUB) as client:
        newest = client.get_partition_properties("1")["last_enqueued_sequence_number"]
    while not numbers or numbers[-1] < newest:
        said = peer.expect("transfer", "detach")
        equal(said.name, "transfer")
        payload += said.payload
        if not said.fields[5]:
            numbers.append(amqp.decode(payload)[0].value["x-opt-sequence-number"])
            payload = b""
    equal(numbers, list(range(1, newest + 1)))
    for peer in peers:
        peer.socket.close()


@bad.case("a reader with the smallest frames there are")
def _():
    with trusted(max_frame=512) as peer:
        equal(peer.attached(RECEIVER, 2, source=string(f"{HUB}/ConsumerGroups/$Default/Partitions/1")), None)
        peer.flow(2, 1)
        size = 0
        while True:
            said = peer.expect("transfer", "detach", "close")
            equal(said.name, "transfer")
            size += len(said.payload)
            if not said.fields[5]:
                break
        assert size > 1000 * 1024, size


@bad.case("a reader whose window is one frame at a time")
def _():
    with trusted(window=3) as peer:
        peer.say(FLOW, uint(1), uint(1), uint(1), uint(9))
        equal(peer.attached(RECEIVER, 2, source=string(f"{HUB}/ConsumerGroups/$Default/Partitions/1")), None)
        taken, whole = 1, 0  # the answer on $cbs was the first
        peer.say(FLOW, uint(taken), uint(1), uint(1), uint(9), uint(2), uint(0), uint(3))
        while whole < 3:
            said = peer.expect("transfer", "detach", "end", "close")
            equal(said.name, "transfer")
            taken, whole = taken + 1, whole + (not said.fields[5])
            peer.say(FLOW, uint(taken), uint(1), uint(1), uint(9))
    return f"{taken} frames"


@bad.case("connections that are cut in the middle of everything")
def _():
    for number in range(60):
        peer = trusted()
        peer.attached(SENDER, 2, target=string(f"{HUB}/Partitions/2"))
        peer.attached(RECEIVER, 3, source=string(f"{HUB}/ConsumerGroups/$Default/Partitions/1"))
        peer.flow(3, 100)
        peer.transfer(2, 1, b"\x00" * 1000, more=TRUE)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
    # Of six that receive without an owner level one is refused: those that were cut must have given their places back.
    eventually(lambda: all_seats(f"{HUB}/ConsumerGroups/$Default/Partitions/1"), what="five free places")


def all_seats(source):
    with trusted() as peer:
        for handle in range(2, 7):
            equal(peer.attached(RECEIVER, handle, source=string(source)), None)
        for handle in range(2, 7):
            peer.flow(handle, 1)
        for _ in range(5):
            said = peer.expect("transfer", "detach")
            while said.name == "transfer" and said.fields[5]:
                said = peer.expect("transfer", "detach")
            equal(said.name, "transfer")
    return True


bad.run()
