"""Scenarios of hostile AMQP peers: the server beside them, what must hold after each case, and the peers' common steps."""

import struct
from pathlib import Path

from azure.eventhub import EventData

from . import CONFORMANCE, WORK, Scenario, amqp, equal, out
from .amqp import ATTACH, NULL, RECEIVER, SENDER, TRUE, Peer, data, described, listed, mapped, put_token, sas, string, symbol, uint
from .events import consumer, producer, receive
from .server import Server

HUB = "deviceevents"
NAMESPACE = "sb://localhost/"
AUDIENCE = f"{NAMESPACE}{HUB}"
UNAUTHORIZED = "amqp:unauthorized-access"
TOO_MUCH = "amqp:resource-limit-exceeded"
PARTITION = f"{HUB}/ConsumerGroups/$Default/Partitions/0"
PATIENCE = 3  # seconds, as config/impatient.toml says
MEMORY = 150  # MiB that the server may hold more after a case than before it
made = {}


class Hostile(Scenario):
    """After each case: no panic, bounded memory, and a good client is served as if nothing had happened."""

    def case(self, name, needed=False):
        add = super().case(name, needed)
        return lambda run: add(lambda: self.survive(run))

    def run(self):
        """The server comes first and goes last."""
        begin, end = Scenario(), Scenario()
        begin.case("a server with little patience", needed=True)(start)
        end.case("in the end the server stops in order")(stop)
        self._cases = begin._cases + self._cases + end._cases
        super().run()

    @staticmethod
    def survive(run):
        nodes = made["server"].nodes
        for node in nodes:
            Path(f"/proc/{node.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before = [memory(node) for node in nodes]
        detail = run()
        for node, floor in zip(nodes, before):
            assert node.process.poll() is None, "the server is gone"
            assert b"panicked" not in node.log.read_bytes(), "a panic in the log"
            grown = (memory(node, "VmHWM") - floor) // 1024
            assert grown < MEMORY, f"the server held {grown} MiB more than before"
        works()
        return detail


def start():
    made["server"] = Server(WORK / "data", "--config", str(CONFORMANCE / "config" / "impatient.toml"))
    works_for_pypi()


def stop():
    works_for_pypi()
    for node in made["server"].nodes:
        out({"note": f"memory at the end: {memory(node) // 1024} MiB"})
    made["server"].stop()


def memory(node, line="VmRSS"):
    """In KiB."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split(line + ":")[1].split()[0])


def works():
    """A good client by hand sends and receives, which takes no time; PyPI's does at the beginning and the end."""
    made["count"] = made.get("count", 0) + 1
    text = f"good-{made['count']}".encode()
    with trusted() as peer:
        from_now = filtered("amqp.annotation.x-opt-offset > '@latest'", f"{HUB}/ConsumerGroups/$Default/Partitions/3")
        peer.say(ATTACH, string("r"), uint(2), RECEIVER, NULL, NULL, from_now, described(0x29, listed()), NULL, NULL, NULL)
        assert peer.expect("attach").fields[5], "the receiver was refused"
        equal(peer.attached(SENDER, 3, target=string(f"{HUB}/Partitions/3")), None)
        peer.flow(2, 1)
        peer.transfer(3, 1, data(text), settled=TRUE)
        equal(amqp.message(peer.expect("transfer", "detach").payload)["data"], text)


def works_for_pypi():
    with producer(HUB) as client:
        client.send_batch([EventData("good")], partition_id="3")
        newest = client.get_partition_properties("3")["last_enqueued_sequence_number"]
    how = {"partition_id": "3", "starting_position": newest, "starting_position_inclusive": True}
    equal(receive(consumer(HUB), 1, **how)[0].body_as_str(), "good")


def trusted(window=5000, max_frame=65536, encrypted=True):
    """A peer with a token for everything, and a session."""
    peer = Peer(encrypted).open(max_frame=max_frame).begin(window=window).request_link("$cbs")
    peer.transfer(0, 0, put_token(sas(NAMESPACE), NAMESPACE))
    equal(peer.answer()[0], 202)
    return peer


def closes(peer, condition=None):
    """The server closes the connection, with that condition where it can still say one."""
    said = peer.ended()
    close = [one for one in said if one.name == "close"]
    if condition:
        assert close, f"no close among {[one.name for one in said]}"
        equal(close[0].error(), condition, close[0].text())


def filtered(selector, address=PARTITION):
    """A source with a selector."""
    name = symbol("apache.org:selector-filter:string")
    filters = mapped([(name, b"\x00" + name + string(selector))])
    return described(0x28, listed(string(address), NULL, NULL, NULL, NULL, NULL, NULL, filters))


def nested(depth):
    value = NULL
    for _ in range(depth):
        value = listed(value)
    return value


def many_nulls(count=4_000_000_000):
    """An array of so many nulls, in nine bytes."""
    return b"\xf0" + struct.pack(">II", 5, count) + b"\x40"
