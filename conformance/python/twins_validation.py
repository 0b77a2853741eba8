# about: instances against DTDL v3 models: arrays, maps, enums, objects, geospatial, units, components, relationships; model checks by command
# timeout: 120
"""What a twin and a relationship may hold, through azure-digitaltwins-core; `pollux twin model validate` beside it."""

import json
import os
import subprocess

from azure.core.exceptions import HttpResponseError

from lib import WORK, Scenario, connections, equal, refuses
from lib.rest import ADT_VERSION, bearer, request
from lib.twins import client

twins = client()
checks = Scenario()
SITE, PUMP, VALVE, OTHER = (f"dtmi:valid:{name};1" for name in ("Site", "Pump", "Valve", "Other"))
CONTEXT = ["dtmi:dtdl:context;3", "dtmi:dtdl:extension:quantitativeTypes;1"]


def interface(identifier, *contents, **more):
    return {"@id": identifier, "@type": "Interface", "@context": CONTEXT, "contents": list(contents)} | more


def prop(name, schema, *types, **more):
    return {"@type": ["Property", *types], "name": name, "schema": schema} | more


def named(name, schema):
    return {"name": name, "schema": schema}


def array(of):
    return {"@type": "Array", "elementSchema": of}


def mapped(of):
    return {"@type": "Map", "mapKey": named("key", "string"), "mapValue": named("value", of)}


MODE = {"@type": "Enum", "valueSchema": "string", "enumValues": [named_ | {"enumValue": named_["name"].upper()} for named_ in ({"name": "on"}, {"name": "off"})]}
LEVEL = {"@type": "Enum", "valueSchema": "integer", "enumValues": [{"name": "low", "enumValue": 1}, {"name": "high", "enumValue": 2}]}
SIZE = {"@type": "Object", "fields": [named("width", "double"), named("labels", array("string")), named("inner", {"@type": "Object", "fields": [named("deep", "boolean")]})]}
MODELS = [
    interface(VALVE, prop("open", "boolean"), prop("mode", MODE)),
    interface(OTHER),
    interface(
        PUMP,
        prop("speed", "double", "AngularVelocity", unit="revolutionPerMinute", writable=True),
        *(prop(kind, kind) for kind in ("boolean", "date", "dateTime", "double", "duration", "float", "integer", "long", "string", "time")),
        *(prop(kind, kind) for kind in ("point", "lineString", "polygon")),
        prop("mode", MODE),
        prop("level", LEVEL),
        prop("size", SIZE),
        prop("readings", array("double")),
        prop("table", array(array("integer"))),
        prop("limits", mapped("integer")),
        prop("groups", mapped(array(MODE))),
        {"@type": "Component", "name": "valve", "schema": VALVE},
        {"@type": "Relationship", "name": "feeds", "target": PUMP, "maxMultiplicity": 1, "properties": [prop("flow", "double"), prop("via", MODE)]},
        {"@type": "Relationship", "name": "near"},
        {"@type": "Telemetry", "name": "noise", "schema": "double"},
    ),
    interface(SITE, prop("city", "string"), extends=PUMP),
]


def pump(model=PUMP, **more):
    return {"$metadata": {"$model": model}, "valve": {"$metadata": {}}} | more


def refused(action, name="ValidationFailed"):
    error = refuses(action, kinds=(HttpResponseError,), status=400)
    equal(error.error.code, name, error.message)
    return [error.message, *(detail.message for detail in error.error.details or [])]


@checks.case("models of DTDL v3 with all that a schema can be", needed=True)
def _():
    equal(len(twins.create_models(MODELS)), 4)


GOOD = {
    "speed": [0, -1, 3000.5],
    "boolean": [True, False],
    "date": ["2024-02-29"],
    "dateTime": ["2024-05-17T08:30:00Z", "2024-05-17T08:30:00.123+02:00"],
    "double": [1, 1.5, -1e300],
    "duration": ["PT1H30M", "P3D"],
    "float": [1.5],
    "integer": [2**31 - 1, -(2**31)],
    "long": [2**63 - 1, -(2**63)],
    "string": ["", "ä", "'\"\\"],
    "time": ["08:30:00", "23:59:59Z"],
    "point": [{"type": "Point", "coordinates": [7.1, 51.2]}],
    "lineString": [{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}],
    "polygon": [{"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}],
    "mode": ["ON", "OFF"],
    "level": [1, 2],
    "size": [{}, {"width": 1}, {"width": 1.5, "labels": ["a", "b"], "inner": {"deep": True}}],
    "readings": [[], [1, 2.5]],
    "table": [[], [[1], [], [2, 3]]],
    "limits": [{}, {"a b": 1, "c": -1}],
    "groups": [{"x": ["ON", "OFF"], "y": []}],
    "valve": [{"$metadata": {}, "open": True, "mode": "OFF"}],
}
BAD = {
    "speed": ["fast", True, [1], None],
    "boolean": ["true", 1, 0],
    "date": ["2023-02-29", "17.05.2024", 20240517],
    "dateTime": ["2024-05-17", "yesterday", 0],
    "double": ["1.5"],
    "duration": ["1 hour", "PT", 5],
    "float": [1e39, "1"],
    "integer": [2**31, 1.5, "1"],
    "long": [2**63, 0.5],
    "string": [1, ["a"], {}],
    "time": ["8:30", "24:00:01"],
    "point": [{"type": "Point"}, {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, [7.1, 51.2], {"type": "Point", "coordinates": ["x", 1]}],
    "lineString": [{"type": "LineString", "coordinates": [[0, 0]]}],
    "polygon": [{"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1]]]}],
    "mode": ["on", "", 1],
    "level": [3, "low", 1.5],
    "size": [[], {"depth": 1}, {"width": "w"}, {"labels": [1]}, {"inner": {"deep": 1}}],
    "readings": [{}, [1, "x"], 5, [None]],
    "table": [[1], [[1.5]], [["1"]]],
    "limits": [[], {"a": "1"}, {"": 1}, {"a": None}],
    "groups": [{"x": "ON"}, {"x": ["on"]}],
    "valve": [{}, [], {"$metadata": {}, "open": 1}, {"$metadata": {}, "closed": True}, {"open": True}],
}


@checks.each(list(GOOD.items()), "values of `{}` that fit are kept as they are, by PUT and by PATCH")
def _(name, values):
    for value in values:
        twin = twins.upsert_digital_twin("v", pump(**{name: value}))
        strip = lambda got: {key: inner for key, inner in got.items() if key != "$metadata"} if name == "valve" else got
        equal(strip(twin[name]), strip(value))
        twins.update_digital_twin("v", [{"op": "add", "path": f"/{name}", "value": value}])
        equal(strip(twins.get_digital_twin("v")[name]), strip(value))


@checks.each(list(BAD.items()), "values of `{}` that do not fit are refused, by PUT and by PATCH, and change nothing")
def _(name, values):
    before = twins.upsert_digital_twin("v", pump(double=1.5))
    for value in values:
        messages = refused(lambda: twins.upsert_digital_twin("v", pump(**{name: value})))
        assert any(name in message for message in messages), messages
        refused(lambda: twins.update_digital_twin("v", [{"op": "add", "path": f"/{name}", "value": value}]))
    equal(twins.get_digital_twin("v"), before)


@checks.case("all that is wrong with a twin is told at once")
def _():
    messages = refused(lambda: twins.upsert_digital_twin("v", pump(integer="x", nothing=1, level=3, valve={"$metadata": {}, "open": 5})))
    for name in ("integer", "nothing", "level", "open"):
        assert any(name in message for message in messages), (name, messages)


@checks.case("inside an array, a map and an object a patch reaches what it names, and the whole is checked")
def _():
    twins.upsert_digital_twin("v", pump(limits={"a": 1}, size={"width": 1.0, "inner": {"deep": True}}, readings=[1.0, 2.0]))
    patch = [
        {"op": "add", "path": "/limits/b~1c", "value": 2},
        {"op": "remove", "path": "/limits/a"},
        {"op": "replace", "path": "/size/inner/deep", "value": False},
        {"op": "replace", "path": "/readings", "value": [3.0]},
    ]
    twins.update_digital_twin("v", patch)
    twin = twins.get_digital_twin("v")
    equal((twin["limits"], twin["size"], twin["readings"]), ({"b/c": 2}, {"width": 1.0, "inner": {"deep": False}}, [3.0]))
    refused(lambda: twins.update_digital_twin("v", [{"op": "add", "path": "/limits/x", "value": "one"}]))
    refused(lambda: twins.update_digital_twin("v", [{"op": "add", "path": "/readings/0", "value": 1}]), "JsonPatchInvalid")
    refused(lambda: twins.update_digital_twin("v", [{"op": "replace", "path": "/limits/none", "value": 1}]), "JsonPatchInvalid")


def relation(name, target, **more):
    return lambda: twins.upsert_relationship("a", "r", {"$relationshipId": "r", "$sourceId": "a", "$targetId": target, "$relationshipName": name} | more)


@checks.case("relationships: name, target with what extends it, properties; multiplicity is not enforced, as in Azure")
def _():
    for identifier, model in (("a", PUMP), ("b", PUMP), ("s", SITE)):
        twins.upsert_digital_twin(identifier, pump(model))
    twins.upsert_digital_twin("o", {"$metadata": {"$model": OTHER}})
    for good in (relation("feeds", "b", flow=1.5, via="ON"), relation("feeds", "s"), relation("near", "o")):
        good()
    for bad in (
        relation("feeds", "o"),
        relation("above", "b"),
        relation("feeds", "b", flow="much"),
        relation("feeds", "b", via="on"),
        relation("feeds", "b", colour="red"),
    ):
        refused(bad)
    equal(twins.get_relationship("a", "r")["$relationshipName"], "near", "what was refused changed nothing")
    for identifier in ("r1", "r2"):
        twins.upsert_relationship("a", identifier, {"$relationshipId": identifier, "$sourceId": "a", "$targetId": "b", "$relationshipName": "feeds"})
    equal(len(list(twins.list_relationships("a"))), 3)


@checks.case("a model that was deleted and uploaded anew decides from then on, for what it finds as well")
def _():
    model, rooms = "dtmi:valid:Floor;1", lambda name: {"@type": "Relationship", "name": name, "properties": [prop("since", "integer")]}
    twins.create_models([interface(model, rooms("rooms"), prop("level", "integer"))])
    twins.upsert_digital_twin("f", {"$metadata": {"$model": model}, "level": 1})
    put = lambda name, identifier: twins.upsert_relationship(
        "f", identifier, {"$relationshipId": identifier, "$sourceId": "f", "$targetId": "o", "$relationshipName": name}
    )
    put("rooms", "old")
    since = [{"op": "add", "path": "/since", "value": 2020}]
    twins.update_relationship("f", "old", since)
    twins.delete_model(model)
    refused(lambda: twins.update_relationship("f", "old", since))
    refused(lambda: twins.update_digital_twin("f", [{"op": "replace", "path": "/level", "value": 2}]))
    refused(lambda: put("rooms", "new"))
    twins.create_models([interface(model, rooms("halls"), prop("height", "integer"))])
    refused(lambda: put("rooms", "new"))
    refused(lambda: twins.update_relationship("f", "old", since))
    refused(lambda: twins.update_digital_twin("f", [{"op": "add", "path": "/height", "value": 2}]))  # it still has its level
    twins.update_digital_twin("f", [{"op": "remove", "path": "/level"}, {"op": "add", "path": "/height", "value": 2}])
    put("halls", "new")
    twins.delete_relationship("f", "old")
    equal([row["$relationshipName"] for row in twins.list_relationships("f")], ["halls"])


@checks.case("a condition that is no text is not taken for none; what is no component is not reached as one")
def _():
    twins.upsert_digital_twin("v", pump(limits={"a": 1}))
    before, base = twins.get_digital_twin("v"), connections()["twins"][0]["url"] + "/digitaltwins/v"
    headers = {"If-Match": b'W/"\xc3\xa9"', "Content-Type": "application/json"}
    patch = json.dumps([{"op": "add", "path": "/integer", "value": 5}])
    for method, data in (("PATCH", patch), ("DELETE", None)):
        answer = request(method, base, params=ADT_VERSION, token=bearer(), headers=headers, data=data)
        equal((answer.status_code, answer.json()["error"]["code"]), (412, "PreconditionFailed"), method)
    for component, path in (("limits", "/b"), ("$metadata", "/$model"), ("integer", "/x"), ("none", "/x")):
        refused(lambda: twins.update_component("v", component, [{"op": "add", "path": path, "value": PUMP if "$" in path else 1}]), "JsonPatchInvalid")
    equal(twins.get_digital_twin("v"), before)


@checks.case("models made to hurt: ten megabytes, circles, chains, depths")
def _():
    circle = [interface(f"dtmi:hurt:C{n};1", extends=f"dtmi:hurt:C{(n + 1) % 3};1") for n in range(3)]
    parts = [interface(f"dtmi:hurt:P{n};1", {"@type": "Component", "name": "p", "schema": f"dtmi:hurt:P{(n + 1) % 3};1"}) for n in range(3)]
    chain = [interface(f"dtmi:hurt:L{n};1", **({"extends": f"dtmi:hurt:L{n - 1};1"} if n else {})) for n in range(14)]
    deep = "double"
    for _ in range(60):
        deep = array(deep)
    for models, says in (
        (circle, "dtmi:hurt:C"),
        (parts, "dtmi:hurt:P"),
        (chain, "dtmi:hurt:L"),
        ([interface("dtmi:hurt:D;1", prop("d", deep))], "deep"),
        ([interface("dtmi:hurt:N;1", extends="dtmi:hurt:Nobody;1")], "dtmi:hurt:Nobody;1"),
        ([interface("dtmi:hurt:T;1"), interface("dtmi:hurt:T;1")], "dtmi:hurt:T;1"),
    ):
        messages = refused(lambda: twins.create_models(models), "DTDLParserError")
        assert says in messages[0] and len(messages[0]) < 40_000, messages[0][:300]
    base, token = connections()["twins"][0]["url"], bearer()
    huge = json.dumps([interface("dtmi:hurt:Huge;1", description="x" * 10_000_000)])
    wide = json.dumps([interface("dtmi:hurt:Wide;1", *(prop(f"p{n}", "double") for n in range(110_000)))])
    sunk = '[{"@id": "dtmi:hurt:S;1", "contents": ' + '[{"contents": ' * 100_000
    for data, status, code in ((huge, 413, "PayloadTooLarge"), (wide, 400, "DTDLParserError"), (sunk, 400, "InvalidArgument")):
        answer = request("POST", base + "/models", params=ADT_VERSION, token=token, headers={"Content-Type": "application/json"}, data=data)
        equal((answer.status_code, answer.json()["error"]["code"]), (status, code), answer.text[:300])
        assert len(answer.text) < 40_000
    equal(sorted(model.id for model in twins.list_models() if "hurt" in model.id), [])


def validate(*arguments, given=None):
    command = [os.environ["SUBJECT_BIN"], "twin", "model", "validate", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, input=given)
    return result.returncode, result.stdout, result.stderr


@checks.case("pollux twin model validate: files, a folder, --json, --ndjson; of files 0 only if all are valid")
def _():
    folder = WORK / "models" / "deep"
    folder.mkdir(parents=True)
    for model in MODELS:
        (folder / f"{model['@id'].split(':')[2].split(';')[0]}.json").write_text(json.dumps(model, indent=2))
    status, printed, _ = validate(folder.parent)
    equal(status, 0, printed)
    bad = WORK / "bad.json"
    bad.write_text('{\n  "@id": "dtmi:valid:Bad;1",\n  "@type": "Interface",\n  "@context": "dtmi:dtdl:context;3",\n  "contents": [\n    {"@type": "Property", "name": "x", "schema": "text"}\n  ]\n}')
    status, printed, said = validate(folder.parent, bad)
    assert status != 0 and "dtmi:valid:Bad;1" in printed + said and "schema" in printed + said, (printed, said)
    status, printed, _ = validate("--json", bad)
    assert status != 0
    report = json.loads(printed)
    (fault,) = report["errors"] if isinstance(report, dict) else report[0]["errors"]
    equal((fault["model"], fault["line"]), ("dtmi:valid:Bad;1", 6), fault)
    equal(json.loads(validate("--json", folder.parent)[1])["valid"], True)
    lines = [
        {"id": "good", "input": [MODELS[0]], "options": [], "maxDtdlVersion": 3, "resolution": []},
        {"id": "late", "input": [MODELS[0]], "options": [], "maxDtdlVersion": 2, "resolution": []},
    ]
    status, printed, said = validate("--ndjson", given="".join(json.dumps(line) + "\n" for line in lines) + "{\n")
    verdicts = [json.loads(line) for line in printed.splitlines()]
    equal([(one.get("id"), one["valid"]) for one in verdicts[:2]], [("good", True), ("late", False)], printed + said)
    equal((status, len(verdicts), verdicts[2]["valid"]), (0, 3, False), "every line has its answer")


checks.run()
