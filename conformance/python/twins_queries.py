# about: the query language, function by function: types, escapes, NIN, paths, models; and queries made to hurt
# server: config/small_queries.toml
# timeout: 120
"""Each function and operator of the language over twins that have what it asks for, with azure-digitaltwins-core."""

import itertools
import json
import re
import time

from azure.core.exceptions import HttpResponseError

from lib import Scenario, connections, equal, refuses
from lib.rest import ADT_VERSION, bearer, request
from lib.twins import client

twins = client()
queries = Scenario()
THING, PART, SPECIAL, OTHER = "dtmi:asked:Thing;1", "dtmi:asked:Part;1", "dtmi:asked:Special;1", "dtmi:asked:Other;1"


def interface(identifier, *contents, version=3, **more):
    return {"@id": identifier, "@type": "Interface", "@context": f"dtmi:dtdl:context;{version}", "contents": list(contents)} | more


def prop(name, schema):
    return {"@type": "Property", "name": name, "schema": schema}


def named(name, schema):
    return {"name": name, "schema": schema}


TAGS = {"@type": "Map", "mapKey": named("key", "string"), "mapValue": named("value", "boolean")}
MODELS = [
    interface(PART, prop("level", "double"), prop("unit", "string")),
    interface(
        THING,
        prop("text", "string"),
        prop("number", "double"),
        prop("whole", "integer"),
        prop("flag", "boolean"),
        prop("list", {"@type": "Array", "elementSchema": "integer"}),
        prop("words", {"@type": "Array", "elementSchema": "string"}),
        prop("size", {"@type": "Object", "fields": [named("width", "double"), named("group", "string")]}),
        prop("tags", TAGS),
        prop("order", "string"),
        {"@type": "Component", "name": "part", "schema": PART},
        {"@type": "Relationship", "name": "to", "properties": [prop("weight", "integer")]},
    ),
    interface(SPECIAL, extends=THING),
    interface(OTHER),
]
THINGS = {
    "a": {"text": "alpha", "number": 1.5, "whole": 1, "flag": True, "list": [1, 2], "words": ["red"], "tags": {"red": True, "a b": False}},
    "b": {"text": "O'Brien \\ \"Sons\"", "number": -2.0, "whole": 2, "flag": False, "size": {"width": 3.0, "group": "x"}},
    "c": {"text": "", "whole": 3, "list": [], "order": "last", "part": {"$metadata": {}, "level": 0.5, "unit": "bar"}},
    "d": {"text": "äöü%_*", "number": 1e300},
    "e": {},
}


@queries.case("the twins", needed=True)
def _():
    twins.create_models(MODELS)
    for identifier, values in THINGS.items():
        model = SPECIAL if identifier == "d" else THING
        twins.upsert_digital_twin(identifier, {"$metadata": {"$model": model}, "part": {"$metadata": {}}} | values)
    twins.upsert_digital_twin("o", {"$metadata": {"$model": OTHER}})


def ids(where):
    return "".join(sorted(row["$dtId"] for row in twins.query_twins(f"SELECT * FROM DIGITALTWINS T WHERE {where}")))


CONDITIONS = [
    ("IS_DEFINED(T.text)", "abcd"),
    ("IS_DEFINED(T.size.width)", "b"),
    ("IS_DEFINED(T.tags.red)", "a"),
    ("NOT IS_DEFINED(T.text)", "eo"),
    ("IS_NULL(T.text)", ""),
    ("IS_NUMBER(T.number)", "abd"),
    ("IS_NUMBER(T.text)", ""),
    ("IS_STRING(T.text)", "abcd"),
    ("IS_BOOL(T.flag)", "ab"),
    ("IS_OBJECT(T.size)", "b"),
    ("IS_OBJECT(T.tags)", "a"),
    ("IS_OBJECT(T.list)", ""),
    ("IS_PRIMITIVE(T.text)", "abcd"),
    ("IS_PRIMITIVE(T.flag)", "ab"),
    ("IS_PRIMITIVE(T.size)", ""),
    ("IS_PRIMITIVE(T.list)", ""),
    ("IS_PRIMITIVE(T.none)", ""),
    ("STARTSWITH(T.text, 'al')", "a"),
    ("STARTSWITH(T.text, '')", "abcd"),
    ("ENDSWITH(T.text, 'pha')", "a"),
    ("CONTAINS(T.text, 'lph')", "a"),
    ("CONTAINS(T.text, 'LPH')", ""),
    ("CONTAINS(T.text, '%')", "d"),
    ("CONTAINS(T.text, '\\u00e4')", "d"),
    ("ARRAY_CONTAINS(T.list, 2)", "a"),
    ("ARRAY_CONTAINS(T.list, '2')", ""),
    ("ARRAY_CONTAINS(T.words, 'red')", "a"),
    ("ARRAY_CONTAINS(T.text, 'a')", ""),
    ("T.whole IN [1, 3]", "ac"),
    ("T.whole NIN [1, 3]", "b"),
    ("NOT T.whole IN [1, 3]", "b"),
    ("T.text IN ['alpha', '']", "ac"),
    ("T.$dtId IN ['a', 'e', 'zz']", "ae"),
    ("T.whole = 1 OR T.whole = 2 AND T.flag = true", "a"),
    ("(T.whole = 1 OR T.whole = 2) AND NOT T.flag = true", "b"),
    ("T.whole != 1", "bc"),
    ("T.number >= 1.5 AND T.number < 1e301", "ad"),
    ("T.number < 0", "b"),
    ("T.number = -2", "b"),
    ("T.text = 'O\\'Brien \\\\ \"Sons\"'", "b"),
    ('T.text = "O\'Brien \\\\ \\"Sons\\""', "b"),
    ("T.text = ''", "c"),
    ("T.flag = true", "a"),
    ("T.flag", "a"),
    ("T.tags.red = true", "a"),
    ("T.tags.[[a b]] = false", "a"),
    ("T.size.[[group]] = 'x'", "b"),
    ("T.[[order]] = 'last'", "c"),
    ("T.part.level = 0.5 AND T.part.unit = 'bar'", "c"),
    ("IS_DEFINED(T.part.$metadata)", "abcde"),
    (f"T.$metadata.$model = '{SPECIAL}'", "d"),
    ("IS_DEFINED(T.$metadata.number.lastUpdateTime)", "abd"),
    ("T.$metadata.$lastUpdateTime > '2020-01-01T00:00:00Z'", "abcdeo"),
    (f"IS_OF_MODEL(T, '{THING}')", "abcde"),
    (f"IS_OF_MODEL('{THING}')", "abcde"),
    (f"IS_OF_MODEL(T, '{THING}', exact)", "abce"),
    (f"IS_OF_MODEL('{SPECIAL}', exact)", "d"),
    (f"NOT IS_OF_MODEL(T, '{THING}')", "o"),
    ("T.none = 1", ""),
    ("NOT T.none = 1", ""),
    ("T.text > 'b' AND IS_STRING(T.text)", "d"),
]


@queries.case("each function and operator finds what it says")
def _():
    for where, wanted in CONDITIONS:
        equal(ids(where), wanted, where)
        # The other way of writing keywords and blanks means the same.
        shouted = re.sub(r"\b(IN|NIN|AND|OR|NOT)\b", lambda word: word.group().lower(), where).replace(" = ", "\n\t=  ")
        equal(ids(shouted), wanted, shouted)


@queries.case("projections: properties, components, maps, aliases, what is not there, duplicates, TOP and COUNT")
def _():
    ask = lambda text: list(twins.query_twins(text))
    equal(ask("SELECT T.text, T.size.width AS w FROM DIGITALTWINS T WHERE T.$dtId = 'b'"), [{"text": THINGS["b"]["text"], "w": 3.0}])
    equal(ask("SELECT T.part FROM DIGITALTWINS T WHERE T.$dtId = 'c'")[0]["part"]["level"], 0.5)
    equal(ask("SELECT T.part.unit, T.tags FROM DIGITALTWINS T WHERE T.$dtId = 'a'"), [{"tags": THINGS["a"]["tags"]}])
    equal(ask("SELECT T.none FROM DIGITALTWINS T WHERE T.$dtId = 'a'"), [{}])
    equal(ask("SELECT T.$dtId AS [[order]] FROM DIGITALTWINS T WHERE T.whole = 1"), [{"order": "a"}])
    equal(len(ask("SELECT TOP(2) FROM DIGITALTWINS")), 2)
    equal(ask("SELECT COUNT() FROM DIGITALTWINS"), [{"COUNT": 6}])
    equal(ask("SELECT COUNT() FROM DIGITALTWINS T WHERE T.whole > 1"), [{"COUNT": 2}])
    equal(ask("SELECT COUNT() FROM RELATIONSHIPS"), [{"COUNT": 0}])


WRONG = [
    # text, line, position, what it says
    ("SELECT * FROM DIGITALTWINS T WHERE T.a = ", 1, 41, "expected"),
    ("SELECT * FROM DIGITALTWINS T\nWHERE T.a == 1", 2, 11, "expected"),
    ("SELECT * FROM DIGITALTWINS T WHERE STARTSWITH(T.a)", 1, 35, "2 arguments"),
    ("SELECT * FROM DIGITALTWINS T WHERE STARTSWITH(T.a, 5)", 1, 51, "string"),
    ("SELECT * FROM DIGITALTWINS T WHERE STARTWITH(T.a, 'b')", 1, 35, "STARTSWITH"),
    ("SELECT * FROM DIGITALTWINS T WHERE T.a = 'x", 1, 41, "clos"),
    ("SELECT * FROM NOWHERE", 1, 14, "DIGITALTWINS"),
    ("SELECT TOP(-1) * FROM DIGITALTWINS", 1, 11, ""),
    ("DELETE FROM DIGITALTWINS", 1, 0, "SELECT"),
    ("", 1, 0, "SELECT"),
]


@queries.case("what is wrong with a query is said where it is")
def _():
    for text, line, position, says in WRONG:
        error = refuses(lambda: list(twins.query_twins(text)), kinds=(HttpResponseError,), status=400)
        equal(error.error.code, "SqlQueryError", text)
        found = re.search(r"Line=(\d+), Position=(\d+), Message=(.*)", error.error.message)
        assert found, error.error.message
        equal((int(found[1]), int(found[2])), (line, position), f"{text!r}: {error.error.message}")
        assert says in found[3], f"{text!r}: {error.error.message}"


def post(body):
    began = time.monotonic()
    answer = request("POST", connections()["twins"][0]["url"] + "/query", params=ADT_VERSION, token=bearer(), data=body,
                     headers={"Content-Type": "application/json"})
    return answer, time.monotonic() - began


@queries.case("queries made to hurt: long, deep, and of ten thousand terms")
def _():
    start = "SELECT * FROM DIGITALTWINS T WHERE "
    for text in (
        start + " OR ".join(f"T.whole = {n}" for n in range(10_000)),
        start + " AND ".join(["T.flag"] * 10_000),
        start + f"T.whole IN [{','.join(map(str, range(10_000)))}]",
        start + "(" * 3_000 + "T.flag" + ")" * 3_000,
        start + "NOT " * 1_900 + "T.flag",
        "SELECT " + "T.a, " * 2_000 + "T.b FROM DIGITALTWINS T",
        "x" * 900_000,
    ):
        answer, seconds = post(json.dumps({"query": text}))
        equal((answer.status_code, answer.json()["error"]["code"]), (400, "SqlQueryError"), text[:60] + answer.text[:200])
        assert len(answer.text) < 4_000 and seconds < 5, (seconds, text[:60])
    answer, _ = post(json.dumps({"query": "x" * 2_000_000}))
    equal((answer.status_code, answer.json()["error"]["code"]), (413, "PayloadTooLarge"))
    answer, _ = post('{"query": ' + "[" * 50_000)
    equal((answer.status_code, answer.json()["error"]["code"]), (400, "InvalidArgument"))
    # As many terms as fit are answered.
    equal(ids(" OR ".join(["T.whole=1"] * 590)), "a")
    equal(ids("T." + "a." * 3_800 + "b = 1"), "")
    equal(ids(f"T.whole IN [{','.join(map(str, range(1_500)))}]"), "abc")


@queries.case("a pattern with more ways through the graph than there is time for ends in an error that says so")
def _():
    nodes = [f"n{number}" for number in range(10)]
    for node in nodes:
        twins.upsert_digital_twin(node, {"$metadata": {"$model": THING}, "part": {"$metadata": {}}})
    for source, target in itertools.permutations(nodes, 2):
        row = {"$relationshipId": f"to-{target}", "$sourceId": source, "$targetId": target, "$relationshipName": "to"}
        twins.upsert_relationship(source, row["$relationshipId"], row)
    for text in (
        "SELECT COUNT() FROM DIGITALTWINS MATCH (A)-[*..30]->(B) WHERE A.$dtId = 'n0'",
        "SELECT COUNT() FROM DIGITALTWINS MATCH (A)-[*..9]-(B)-[*..9]-(C)",
        "SELECT A.$dtId FROM DIGITALTWINS MATCH (A)-[*..9]->(B)-[*..9]->(A) WHERE A.$dtId = 'n0' AND B.text = 'never'",
        "SELECT COUNT() FROM DIGITALTWINS A JOIN B RELATED A.to JOIN C RELATED B.to JOIN D RELATED C.to JOIN E RELATED D.to JOIN F RELATED E.to WHERE A.$dtId = 'n0'",
    ):
        error = refuses(lambda: list(twins.query_twins(text)), kinds=(HttpResponseError,), status=400)
        equal(error.error.code, "LimitExceeded", text)
        assert "50000" in error.error.message, error.error.message
    hops = "SELECT COUNT() FROM DIGITALTWINS MATCH (A)-[*..2]->(B) WHERE A.$dtId = 'n0'"
    equal(list(twins.query_twins(hops)), [{"COUNT": 9 + 9 * 9}])


@queries.case("tokens: one that is bent, of another list, or of another query's form is refused")
def _():
    answer, _ = post(json.dumps({"query": "SELECT * FROM DIGITALTWINS"}))
    whole = answer.json()
    equal(whole["continuationToken"], None)
    base, headers = connections()["twins"][0]["url"], {"max-items-per-page": "2"}
    page = request("POST", base + "/query", params=ADT_VERSION, token=bearer(), headers=headers, body={"query": "SELECT * FROM DIGITALTWINS"}).json()
    token = page["continuationToken"]
    bent = token[:-2] + ("AA" if not token.endswith("AA") else "BB")
    models = request("GET", base + "/models", params=ADT_VERSION, token=bearer(), headers=headers).json()["nextLink"]
    foreign = re.search("continuationToken=([^&]+)", models)[1]
    for bad in (bent, token[5:], foreign, "", "x", "x" * 300_000, "é", "." * 100):
        answer, _ = post(json.dumps({"continuationToken": bad}))
        equal(answer.status_code, 400, bad[:40])
        equal(answer.json()["error"]["code"], "BadRequest")
    seen = list(page["value"])
    while token:
        page = request("POST", base + "/query", params=ADT_VERSION, token=bearer(), headers=headers, body={"continuationToken": token}).json()
        seen, token = seen + page["value"], page["continuationToken"]
    equal(sorted(row["$dtId"] for row in seen), sorted(row["$dtId"] for row in whole["value"]))


queries.run()
