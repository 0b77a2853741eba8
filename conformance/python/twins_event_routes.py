# about: event routes of digital twins: routes by PyPI's twins client, notifications read by azure-eventhub and by a webhook
# server: config/event_routes.toml
# timeout: 240
"""What is told of twins, relationships and telemetry, and to whom."""

import json
import os
import re
import subprocess
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.digitaltwins.core import DigitalTwinsEventRoute

from lib import WORK, Scenario, connections, equal, eventually, refuses
from lib.admin import admin
from lib.cloudevents import Sink
from lib.events import consumer, declare, namespace, receive
from lib.rest import ADT_VERSION, bearer, request
from lib.sas import parts
from lib.twins import client

twins = client()
scenario = Scenario()
INSTANCE = f"/admin/resources/twins/{connections()['twins'][0]['name']}"
HOST = admin("GET", INSTANCE)["hostName"]
ROOM, SENSOR = "dtmi:routes:Room;1", "dtmi:routes:Sensor;1"
TWIN, RELATIONSHIP = "Microsoft.DigitalTwins.Twin.", "Microsoft.DigitalTwins.Relationship."
made = {"seen": 0}


def interface(identifier, *contents):
    return {"@id": identifier, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": list(contents)}


def prop(name, schema):
    return {"@type": "Property", "name": name, "schema": schema}


MODELS = [
    interface(SENSOR, prop("level", "double")),
    interface(
        ROOM,
        prop("temperature", "double"),
        prop("name", "string"),
        {"@type": "Component", "name": "sensor", "schema": SENSOR},
        {"@type": "Relationship", "name": "next", "properties": [prop("since", "integer")]},
    ),
]


def room(**more):
    return {"$metadata": {"$model": ROOM}, "sensor": {"$metadata": {}}} | more


def relationship(source, identifier, target, **more):
    return {"$relationshipId": identifier, "$sourceId": source, "$relationshipName": "next", "$targetId": target} | more


def route(identifier, endpoint, text="true"):
    twins.upsert_event_route(identifier, DigitalTwinsEventRoute(endpoint_name=endpoint, filter=text))


def refused(name, identifier, endpoint, text="true"):
    error = refuses(lambda: route(identifier, endpoint, text), kinds=(HttpResponseError,), status=400)
    equal(error.error.code, name)
    return error.error.message


def endpoint(name, **where):
    admin("PUT", f"{INSTANCE}/endpoints/{name}", where)


def pollux(*arguments):
    """What a command prints, as JSON."""
    command = [os.environ["SUBJECT_BIN"], "--json", "--data-dir", str(WORK), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{arguments}: {result.stdout[-300:]} {result.stderr[-600:]}"
    return json.loads(result.stdout) if result.stdout.strip().startswith(("{", "[")) else result.stdout


def told(count, hub="twinevents"):
    """The next events of the event hub, as (attributes, data, event)."""
    events = receive(consumer(hub), made["seen"] + count, 30, starting_position="-1")[made["seen"] :]
    made["seen"] += count
    return [one(event) for event in events]


def one(event):
    names = {name.decode(): value.decode() for name, value in event.properties.items()}
    assert all(name.startswith("cloudEvents:") for name in names), names
    return {name.removeprefix("cloudEvents:"): value for name, value in names.items()}, json.loads(event.body_as_str()), event


def check(attributes, kind, subject):
    """The attributes of a notification of a change, all of them."""
    equal(
        {name: value for name, value in attributes.items() if name not in ("id", "time", "traceparent")},
        {"source": HOST, "specversion": "1.0", "type": kind, "subject": subject, "datacontenttype": "application/json"},
    )
    equal(str(uuid.UUID(attributes["id"])), attributes["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", attributes["time"]), attributes["time"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", attributes["traceparent"]), attributes["traceparent"]


@scenario.case("an endpoint is an event hub that exists, made by the operator's API or by command", needed=True)
def _():
    twins.create_models(MODELS)
    declare("PUT", "twinevents", {"partitions": 1})
    declare("PUT", "far", {"partitions": 1})
    admin("PUT", f"{INSTANCE}/endpoints/own", {"namespace": namespace()["name"], "eventHub": "none"}, status=404)
    admin("PUT", f"{INSTANCE}/endpoints/own", {}, status=400)
    pollux("twin", "endpoint", "create", "--endpoint-name", "own", "--namespace", namespace()["name"], "--event-hub", "twinevents")
    equal([row["name"] for row in pollux("twin", "endpoint", "list")], ["own"])


@scenario.case("routes: made, listed in pages, shown, replaced, deleted; refused with Azure's codes", needed=True)
def _():
    equal(list(twins.list_event_routes()), [])
    message = refused("EventRouteEndpointInvalid", "r", "nowhere")
    assert message.startswith("The endpoint provided does not exist or is not active."), message
    message = refused("EventRouteFilterInvalid", "r", "own", "true and\n typ = 'x'")
    assert "Line=2, Position=1" in message, message
    for text in ["", "type =", "$body = 1", "'text'", "(" * 5000 + "true", "STARTS(type, 'a')"]:
        refused("EventRouteFilterInvalid", "r", "own", text)
    refused("EventRouteIdInvalid", "a b", "own")
    for n in range(6):
        route(f"r{n}", "own", "false")
    refused("LimitExceeded", "r6", "own")
    pages = list(twins.list_event_routes(headers={"max-items-per-page": "4"}).by_page())
    found = [list(page) for page in pages]
    equal([[one.id for one in page] for page in found], [["r0", "r1", "r2", "r3"], ["r4", "r5"]])
    equal((found[0][0].endpoint_name, found[0][0].filter), ("own", "false"))
    route("r5", "own", "type = 'x'")
    equal(twins.get_event_route("r5").filter, "type = 'x'")
    for n in range(6):
        twins.delete_event_route(f"r{n}")
    for gone in (lambda: twins.get_event_route("r5"), lambda: twins.delete_event_route("r5")):
        equal(refuses(gone, kinds=(ResourceNotFoundError,), status=404).error.code, "EventRouteNotFound")


@scenario.case("the filter that the SDK's own tests use is taken where its endpoint is")
def _():
    endpoint("endpoint-5398160f", namespace=namespace()["name"], eventHub="far")
    text = "$eventType = 'DigitalTwinTelemetryMessages' or $eventType = 'DigitalTwinLifecycleNotification'"
    route("eventRoute-5398160f", "endpoint-5398160f", text)
    equal(pollux("twin", "route", "list")[0]["filter"], text)
    admin("DELETE", f"{INSTANCE}/endpoints/endpoint-5398160f", status=409)
    pollux("twin", "route", "delete", "--route-name", "eventRoute-5398160f")
    pollux("twin", "endpoint", "delete", "--endpoint-name", "endpoint-5398160f")


@scenario.case("twins: created, patched, replaced and deleted, each told as documented", needed=True)
def _():
    pollux("twin", "route", "create", "--route-name", "all", "--endpoint-name", "own")
    created = twins.upsert_digital_twin("r1", room(name="one"))
    twins.update_digital_twin("r1", [{"op": "add", "path": "/temperature", "value": 21.5}, {"op": "replace", "path": "/name", "value": "two"}])
    twins.update_component("r1", "sensor", [{"op": "add", "path": "/level", "value": 0.5}])
    twins.upsert_digital_twin("r1", room(temperature=3.5))
    last = twins.get_digital_twin("r1")
    twins.delete_digital_twin("r1")
    (create, update, component, replace, delete) = told(5)
    for event, kind in [(create, "Create"), (update, "Update"), (component, "Update"), (replace, "Update"), (delete, "Delete")]:
        check(event[0], TWIN + kind, "r1")
        equal((event[2].partition_key, event[2].content_type), (b"r1", "application/json"))
    equal(create[1], created)
    first = [{"value": 21.5, "path": "/temperature", "op": "add"}, {"value": "two", "path": "/name", "op": "replace"}]
    equal(update[2].body_as_str(), json.dumps({"modelId": ROOM, "patch": first}, separators=(",", ":")))
    equal(component[1], {"modelId": ROOM, "patch": [{"value": 0.5, "path": "/sensor/level", "op": "add"}]})
    whole = sorted(replace[1]["patch"], key=lambda operation: operation["path"])
    equal(
        whole,
        [{"path": "/name", "op": "remove"}, {"path": "/sensor/level", "op": "remove"}, {"value": 3.5, "path": "/temperature", "op": "replace"}],
    )
    equal(delete[1], last)


@scenario.case("relationships: created, patched and deleted; all that go with a twin")
def _():
    for identifier in ("a", "b", "c"):
        twins.upsert_digital_twin(identifier, room())
    twins.upsert_relationship("a", "x", relationship("a", "x", "b", since=1))
    made_x = twins.get_relationship("a", "x")
    twins.update_relationship("a", "x", [{"op": "replace", "path": "/since", "value": 2}])
    last = twins.get_relationship("a", "x")
    twins.delete_relationship("a", "x")
    twins.upsert_relationship("a", "y", relationship("a", "y", "b"))
    twins.upsert_relationship("b", "z", relationship("b", "z", "c"))
    twins.delete_digital_twin("b", params={"deleteRelationships": "true"})
    events = told(3 + 3 + 2 + 3)
    of = lambda twin: [event for event in events if event[2].partition_key == twin]
    (_, create, update, delete, again, gone) = of(b"a")
    for event, kind, identifier in [(create, "Create", "x"), (update, "Update", "x"), (delete, "Delete", "x"), (again, "Create", "y"), (gone, "Delete", "y")]:
        check(event[0], RELATIONSHIP + kind, f"a/relationships/{identifier}")
    equal((create[1], delete[1]), (made_x, last))
    equal(update[1], {"modelId": ROOM, "patch": [{"value": 2, "path": "/since", "op": "replace"}]})
    (_, create, gone, twin) = of(b"b")
    check(create[0], RELATIONSHIP + "Create", "b/relationships/z")
    check(gone[0], RELATIONSHIP + "Delete", "b/relationships/z")
    check(twin[0], TWIN + "Delete", "b")


@scenario.case("telemetry: passed on as it is, with its id, its time, its component and its model")
def _():
    twins.publish_telemetry("a", {"temperature": 10, "any": ["thing"]}, message_id="m1")
    twins.publish_component_telemetry("a", "sensor", {"level": 1}, message_id="m2")
    (whole, component) = told(2)
    assert whole[0].pop("time") and re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", whole[0].pop("traceparent"))
    source = f"{HOST}/digitaltwins/a"
    expected = {"id": "m1", "source": source, "specversion": "1.0", "type": "microsoft.iot.telemetry", "dataschema": ROOM, "datacontenttype": "application/json"}
    equal(whole[0], expected)
    equal((whole[1], whole[2].partition_key), ({"temperature": 10, "any": ["thing"]}, b"a"))
    equal((component[0]["subject"], component[0]["dataschema"], component[0]["id"]), ("sensor", SENSOR, "m2"))
    # PyPI's client sends a time of its own whatever it is told.
    text, headers = b'{ "n": 12345678901234567890.10 }', {"Message-Id": "m3", "Telemetry-Source-Time": "yesterday, at noon"}
    url = f"{connections()['twins'][0]['url'].rstrip('/')}/digitaltwins/a/telemetry"
    headers["Content-Type"] = "application/json"
    equal(request("POST", url, params=ADT_VERSION, token=bearer(), data=text, headers=headers).status_code, 204)
    (attributes, _, event) = told(1)[0]
    equal((attributes["time"], event.body_as_str()), ("yesterday, at noon", text.decode()))
    # The older name of the time, and a trace that the caller is part of (OpenAPI of digital twins: traceparent, tracestate).
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"Message-Id": "m4", "dt-timestamp": "2020-11-25T10:03:54Z", "traceparent": f"00-{trace}-b7ad6b7169203331-01", "tracestate": "rojo=1"}
    headers["Content-Type"] = "application/json"
    equal(request("POST", url, params=ADT_VERSION, token=bearer(), data=text, headers=headers).status_code, 204)
    (attributes, _, _) = told(1)[0]
    equal((attributes["time"], attributes["tracestate"]), ("2020-11-25T10:03:54Z", "rojo=1"))
    assert re.fullmatch(rf"00-{trace}-(?!b7ad6b7169203331)[0-9a-f]{{16}}-01", attributes["traceparent"]), attributes


@scenario.case("filters choose by attribute and body, and can be changed")
def _():
    route("all", "own", f"type = '{TWIN}Update' AND subject = 'c' OR $body.level > 5")
    for identifier in ("a", "c"):
        twins.update_digital_twin(identifier, [{"op": "add", "path": "/name", "value": "n"}])
    for level in (5, 6):
        twins.publish_telemetry("a", {"level": level}, message_id=f"l{level}")
    found = eventually(lambda: told(2), 30, "two events")
    equal({(event[0]["type"], event[0].get("subject")) for event in found}, {(TWIN + "Update", "c"), ("microsoft.iot.telemetry", None)})
    twins.delete_event_route("all")


@scenario.case("an event hub elsewhere waits until it lets us in, then has everything in order")
def _():
    elsewhere = parts(namespace()["connectionString"])
    text = f"Endpoint={elsewhere['Endpoint']};SharedAccessKeyName={elsewhere['SharedAccessKeyName']};EntityPath=far"
    endpoint("far", connectionString=f"{text};SharedAccessKey=d3Jvbmc=")
    assert "d3Jvbmc" not in json.dumps(admin("GET", INSTANCE)), "a key shows"
    route("far", "far", f"type = '{TWIN}Update'")
    for n in range(60):
        twins.update_digital_twin("ac"[n % 2], [{"op": "add", "path": "/temperature", "value": float(n)}])
    endpoint("far", connectionString=f"{text};SharedAccessKey={elsewhere['SharedAccessKey']}")
    events = [one(event) for event in receive(consumer("far"), 60, 60, starting_position="-1")]
    for number, twin in enumerate("ac"):
        values = [data["patch"][0]["value"] for attributes, data, _ in events if attributes["subject"] == twin]
        equal(values, [float(n) for n in range(number, 60, 2)], f"events of {twin}")
    twins.delete_event_route("far")
    admin("DELETE", f"{INSTANCE}/endpoints/far")


@scenario.case("a webhook must say that it wants events; its URL's key is not shown", needed=True)
def _():
    unwilling = Sink(allows=None)
    said = json.dumps(admin("PUT", f"{INSTANCE}/endpoints/web", {"webhook": unwilling.url}, status=400))
    assert "WebHook-Allowed-Origin" in said and "secret" not in said, said
    equal(unwilling.origins, [HOST])
    admin("PUT", f"{INSTANCE}/endpoints/web", {"webhook": "ftp://localhost/x"}, status=400)
    admin("PUT", f"{INSTANCE}/endpoints/web", {"webhook": "http://localhost:1/x"}, status=400)
    admin("PUT", f"/admin/resources/hub/{connections()['hub'][0]['name']}/endpoints/web", {"webhook": unwilling.url}, status=400)
    unwilling.close()


@scenario.case("a webhook has every event, of each twin in order, though it fails now and then", needed=True)
def _():
    statuses = {1: 503, 2: 500, 3: 200}
    sink = made["sink"] = Sink(lambda event, times: statuses[times] if event["subject"] == "a" and event["data"]["patch"][0]["value"] % 7 == 0 else 200, HOST)
    endpoint("web", webhook=sink.url)
    assert "secret" not in json.dumps(admin("GET", INSTANCE)), "the key of a webhook shows"
    route("web", "web", f"type = '{TWIN}Update'")
    for n in range(42):
        twins.update_digital_twin("ac"[n % 2], [{"op": "add", "path": "/temperature", "value": float(n)}])
    events = sink.wait(42, 60)
    for number, twin in enumerate("ac"):
        values = [event["data"]["patch"][0]["value"] for event in events if event["subject"] == twin]
        equal(values, [float(n) for n in range(number, 42, 2)], f"events of {twin}")
    equal(set(sink.origins), {HOST})
    assert sink.headers[0]["content-type"].startswith("application/cloudevents+json"), sink.headers[0]
    first = events[0]
    equal(set(first), {"id", "source", "specversion", "type", "time", "subject", "datacontenttype", "traceparent", "data"})
    equal((first["specversion"], first["source"], first["data"]["modelId"]), ("1.0", HOST, ROOM))


@scenario.case("what a webhook does not take is a dead letter, holds up none behind it, and is sent again or forgotten", needed=True)
def _():
    sink, broken = made["sink"], {"now": True}
    bad = {100.0: 400, 101.0: 500, 102.0: 307}
    sink.judge = lambda event, times: bad.get(event["data"]["patch"][0]["value"], 200) if broken["now"] else 200
    before = len(sink.taken)
    for value in (99.0, 100.0, 101.0, 102.0, 103.0):
        twins.update_digital_twin("a", [{"op": "add", "path": "/temperature", "value": value}])
    values = [event["data"]["patch"][0]["value"] for event in sink.wait(before + 2, 60)[before:]]
    equal(values, [99.0, 103.0])
    letters = pollux("twin", "dead-letter", "list", "--endpoint-name", "web")
    equal([letter["attempts"] for letter in letters], [1, 3, 3])
    assert all(str(status) in letter["reason"] for letter, status in zip(letters, (400, 500, 307))), letters
    assert "secret" not in json.dumps(letters)
    equal(pollux("twin", "dead-letter", "list", "--endpoint-name", "own"), [])
    path = f"{INSTANCE}/dead-letters/{letters[0]['id']}"
    admin("POST", f"{path}/replay", status=400)
    equal(admin("GET", path)["attempts"], 2)
    broken["now"] = False
    pollux("twin", "dead-letter", "replay", str(letters[0]["id"]))
    equal(sink.wait(before + 3)[-1]["data"]["patch"][0]["value"], 100.0)
    pollux("twin", "dead-letter", "delete", str(letters[1]["id"]))
    equal([letter["id"] for letter in pollux("twin", "dead-letter", "list")], [letters[2]["id"]])


@scenario.case("a webhook that is away is waited for; one without dead letters loses what it refuses")
def _():
    made["sink"].close()
    for value in (1.0, 2.0, 3.0):
        twins.update_digital_twin("c", [{"op": "add", "path": "/temperature", "value": value}])
    sink = Sink(lambda event, times: 400 if event["data"]["patch"][0]["value"] == 2.0 else 200)
    pollux("twin", "endpoint", "create", "--endpoint-name", "web", "--webhook", sink.url, "--dead-letters", "false")
    values = [event["data"]["patch"][0]["value"] for event in sink.wait(2, 60)]
    equal(values, [1.0, 3.0])
    equal(len(pollux("twin", "dead-letter", "list")), 1)
    sink.close()


scenario.run()
