# about: policies, consumer groups, partitions and retention of an event hub change under open links of azure-eventhub
# timeout: 180
"""What the operator changes, seen by producers and consumers that are open meanwhile."""

from azure.eventhub import EventData
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from lib import Scenario, connections, equal, eventually, refuses
from lib.events import Receiving, consumer, namespace, producer, receive
from lib.rest import port, request

HUB = "live"
policies = Scenario()
held = {}


def admin(method, path, body=None):
    """The operator's API below the namespace."""
    url = f"https://localhost:{port()}/admin/resources/events/{namespace()['name']}{path}"
    return request(method, url, params={}, token=f"Bearer {connections()['admin']['key']}", body=body)


def well(method, path, body=None):
    answer = admin(method, path, body)
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text[:400]}"
    return answer.json()


def policy(name, hub=HUB):
    return (f"/event-hubs/{hub}" if hub else "") + f"/policies/{name}"


def opened(made, key="primary", hub=HUB):
    """The connection string of a policy; an event hub's says which."""
    text = f"Endpoint=sb://{namespace()['hostName']}/;SharedAccessKeyName={made['name']};SharedAccessKey={made['keys'][key]}"
    return text + (f";EntityPath={hub}" if hub else "")


def regenerate(name, key, hub=HUB):
    return well("POST", policy(name, hub) + "/regenerate-key", {"key": key})


def unauthorized(error):
    """A link that is detached is a lost connection to the client, whatever the reason, which it tells."""
    assert isinstance(error, EventHubError) and "amqp:unauthorized-access" in str(error), repr(error)


def receiving(group="$Default", **how):
    """An open consumer that has shown that it receives."""
    one = Receiving(consumer(None, group=group, **how), starting_position="-1")
    one.wait(1)
    return one


@policies.case("an event hub with a policy for each right", needed=True)
def _():
    well("PUT", f"/event-hubs/{HUB}", {"partitions": 2})
    for name, rights in (("sender", ["Send"]), ("reader", ["Listen"]), ("owner", ["Manage"])):
        held[name] = well("PUT", policy(name), {"rights": rights})
    equal(held["owner"]["rights"], ["Manage", "Send", "Listen"])
    with producer(None, connection=opened(held["sender"])) as client:
        client.send_batch([EventData("first")], partition_id="0")
    got = receive(consumer(None, connection=opened(held["reader"], "secondary")), 1, starting_position="-1")
    equal(got[0].body_as_str(), "first")
    with producer(None, connection=opened(held["owner"])) as client:
        equal(client.get_eventhub_properties()["partition_ids"], ["0", "1"])


@policies.case("a policy opens what it names and no more")
def _():
    with producer(None, connection=opened(held["reader"])) as client:
        error = refuses(lambda: client.send_batch([EventData("x")]), kinds=(EventHubError,))
        assert "Send" in str(error), error
        unauthorized(error)
    other = Receiving(consumer(None, connection=opened(held["sender"])), starting_position="-1")
    unauthorized(other.error())
    other.stop()
    with producer(None, connection=opened(held["owner"], hub="deviceevents")) as client:
        refuses(lambda: client.send_batch([EventData("x")]), kinds=(AuthenticationError,))


@policies.case("a key made anew: the link that the old one opened is detached, the other key's stays")
def _():
    primary = receiving(connection=opened(held["reader"]))
    secondary = receiving(connection=opened(held["reader"], "secondary"))
    anew = regenerate("reader", "primary")
    unauthorized(primary.error())
    primary.stop()
    with producer(None, connection=opened(held["sender"])) as client:
        client.send_batch([EventData("still there")], partition_id="0")
    equal(secondary.wait(2)[1].body_as_str(), "still there")
    old = Receiving(consumer(None, connection=opened(held["reader"])), starting_position="-1")
    assert isinstance(old.error(), AuthenticationError), repr(old.error())
    old.stop()
    receiving(connection=opened(anew)).stop()
    regenerate("reader", "secondary")
    unauthorized(secondary.error())
    secondary.stop()
    held["reader"] = well("GET", policy("reader"))


@policies.case("both keys made anew: an open producer is refused, the new key opens")
def _():
    with producer(None, connection=opened(held["sender"])) as client:
        client.send_batch([EventData("before")], partition_id="1")
        for key in ("primary", "secondary"):
            held["sender"] = regenerate("sender", key)
        refuses(lambda: client.send_batch([EventData("after")], partition_id="1"), kinds=(EventHubError,))
    with producer(None, connection=opened(held["sender"])) as client:
        equal(client.get_partition_properties("1")["last_enqueued_sequence_number"], 0)
        client.send_batch([EventData("again")], partition_id="1")


@policies.case("a policy deleted: its links are detached, its keys open nothing")
def _():
    well("PUT", policy("passing"), {"rights": ["Listen"]})
    passing = well("GET", policy("passing"))
    open_link = receiving(connection=opened(passing))
    well("DELETE", policy("passing"))
    unauthorized(open_link.error())
    open_link.stop()
    with producer(None, connection=opened(passing)) as client:
        refuses(client.get_eventhub_properties, kinds=(EventHubError,))
    equal(admin("GET", policy("passing")).status_code, 404)


@policies.case("a policy of the namespace comes and goes likewise; the one it came with stays")
def _():
    made = well("PUT", policy("everywhere", None), {"rights": ["Listen"]})
    open_link = Receiving(consumer(HUB, connection=opened(made, hub=None)), starting_position="-1")
    open_link.wait(1)
    well("DELETE", policy("everywhere", None))
    unauthorized(open_link.error())
    open_link.stop()
    answer = admin("DELETE", policy("RootManageSharedAccessKey", None))
    assert answer.status_code == 400 and "stays" in answer.text, answer.text


@policies.case("a right taken away detaches the links that need it")
def _():
    both = well("PUT", policy("both"), {"rights": ["Send", "Listen"]})
    open_link = receiving(connection=opened(both))
    well("PUT", policy("both"), {"rights": ["Send"]})
    unauthorized(open_link.error())
    open_link.stop()
    with producer(None, connection=opened(both)) as client:
        client.send_batch([EventData("sent")], partition_id="0")


@policies.case("a consumer group deleted: its receivers are detached, the others stay")
def _():
    group = f"/event-hubs/{HUB}/consumer-groups/analytics"
    well("PUT", group)
    reader = opened(held["reader"])
    theirs, others = receiving("analytics", connection=reader), receiving(connection=reader)
    well("DELETE", group)
    lost = theirs.error()
    assert isinstance(lost, EventHubError) and "analytics" in str(lost), repr(lost)
    theirs.stop()
    again = Receiving(consumer(None, group="analytics", connection=reader), starting_position="-1")
    assert "amqp:not-found" in str(again.error()) or "could not be found" in str(again.error()), repr(again.error())
    again.stop()
    before = len(others.events)
    with producer(None, connection=opened(held["sender"])) as client:
        client.send_batch([EventData("go on")], partition_id="0")
    others.wait(before + 1)
    others.stop()
    equal(admin("DELETE", f"/event-hubs/{HUB}/consumer-groups/$Default").status_code, 400)


@policies.case("partitions grow and retention changes under open links")
def _():
    open_link = receiving(connection=opened(held["reader"]))
    count = len(open_link.events)
    with producer(None, connection=opened(held["owner"])) as client:
        equal(client.get_eventhub_properties()["partition_ids"], ["0", "1"])
        client.send_batch([EventData("two")], partition_id="0")
        well("PUT", f"/event-hubs/{HUB}", {"partitions": 4, "retentionHours": 72, "retentionBytes": 1 << 30})
        equal(client.get_eventhub_properties()["partition_ids"], ["0", "1", "2", "3"])
        client.send_batch([EventData("four")], partition_id="0")
    got = [event.body_as_str() for event in open_link.wait(count + 2)]
    equal(got[-2:], ["two", "four"])
    equal(open_link.errors, [])
    open_link.stop()
    with producer(None, connection=opened(held["sender"])) as client:
        client.send_batch([EventData("new")], partition_id="3")
    got = receive(consumer(None, connection=opened(held["reader"])), 1, partition_id="3", starting_position="-1")
    equal(got[0].body_as_str(), "new")
    shown = well("GET", f"/event-hubs/{HUB}")
    equal((shown["partitions"], shown["retentionHours"], shown["retentionBytes"]), (4, 72, 1 << 30))
    equal(admin("PUT", f"/event-hubs/{HUB}", {"partitions": 2}).status_code, 400)


@policies.case("an event hub deleted: its links are detached; one of the same name is empty and closed to old keys")
def _():
    open_link = receiving(connection=opened(held["reader"]))
    well("DELETE", f"/event-hubs/{HUB}")
    lost = open_link.error()
    assert isinstance(lost, EventHubError), repr(lost)
    open_link.stop()
    well("PUT", f"/event-hubs/{HUB}", {"partitions": 1})
    with producer(None, connection=opened(held["owner"])) as client:
        refuses(client.get_eventhub_properties, kinds=(EventHubError,))
    with producer(HUB) as client:
        assert eventually(lambda: client.get_partition_properties("0"))["is_empty"]


policies.run()
