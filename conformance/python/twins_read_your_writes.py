# about: queries see every acknowledged write, from many clients at once, while the graph is read into memory and after
"""Read your writes through azure-digitaltwins-core: changes, new twins, relationships, deletions, each asked for at once."""

from concurrent.futures import ThreadPoolExecutor

from lib import Scenario, connections, equal, eventually
from lib.admin import admin
from lib.twins import client

twins = client()
api = Scenario()
MODEL = "dtmi:fresh:Node;1"
WRITERS, ROUNDS = 6, 25


def ask(service, query):
    return list(service.query_twins(query))


def count(service, query):
    return ask(service, "SELECT COUNT() FROM DIGITALTWINS " + query)[0]["COUNT"]


@api.case("a model and a few twins", needed=True)
def _():
    twins.create_models([{
        "@id": MODEL, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": [
            {"@type": "Property", "name": "number", "schema": "integer"},
            {"@type": "Relationship", "name": "next"},
        ]}])
    for writer in range(WRITERS):
        twins.upsert_digital_twin(f"fresh-{writer}", {"$metadata": {"$model": MODEL}, "number": -1})


def write_and_ask(writer):
    """How many answers were behind what their own client had written."""
    service, stale = client(), 0
    for turn in range(ROUNDS):
        mine, new, value = f"fresh-{writer}", f"fresh-{writer}-{turn}", writer * 1000 + turn
        service.update_digital_twin(mine, [{"op": "replace", "path": "/number", "value": value}])
        stale += ask(service, f"SELECT T.$dtId AS id FROM DIGITALTWINS T WHERE T.number = {value}") != [{"id": mine}]
        service.upsert_digital_twin(new, {"$metadata": {"$model": MODEL}, "number": 100000 + value})
        edge = {"$relationshipId": "r", "$sourceId": mine, "$targetId": new, "$relationshipName": "next"}
        service.upsert_relationship(mine, "r", edge)
        joined = f"SELECT B.number AS n FROM DIGITALTWINS A JOIN B RELATED A.next WHERE A.$dtId = '{mine}'"
        stale += ask(service, joined) != [{"n": 100000 + value}]
        service.delete_relationship(mine, "r")
        stale += ask(service, joined) != []
        service.delete_digital_twin(new)
        stale += count(service, f"T WHERE T.number = {100000 + value}") != 0
    return stale


@api.case("no answer is behind what its own client has written")
def _():
    with ThreadPoolExecutor(WRITERS) as pool:
        equal(sum(pool.map(write_and_ask, range(WRITERS))), 0, "stale answers")


@api.case("EXPLAIN says where the graph was read, and the pages add up")
def _():
    explained = ask(twins, f"EXPLAIN SELECT T FROM DIGITALTWINS T WHERE IS_OF_MODEL(T, '{MODEL}')")[0]
    equal(explained["source"].split(":")[0] in ("memory", "store"), True, explained["source"])
    pages = twins.query_twins(f"SELECT T.$dtId AS id FROM DIGITALTWINS T WHERE IS_OF_MODEL(T, '{MODEL}')").by_page()
    equal(sorted(row["id"] for page in pages for row in page), [f"fresh-{writer}" for writer in range(WRITERS)])


@api.case("a declared index is there before anybody asks, whatever keeps the state, and is behind no write")
def _():
    path = f"/admin/resources/twins/{connections()['twins'][0]['name']}"
    refused = admin("PATCH", path, {"indexes": ["number:integer"]}, status=400)
    assert "number:integer" in str(refused) and "letters, digits" in str(refused), refused
    equal(admin("PATCH", path, {"indexes": ["number:number"]})["indexes"], ["number:number"])
    access = lambda: ask(twins, "EXPLAIN SELECT T FROM DIGITALTWINS T WHERE T.number = 7")[0]["plan"][0]["access"]  # noqa: E731
    eventually(lambda: access() == "index on number", seconds=60, what="the index")
    equal(write_and_ask(0), 0, "stale answers")


api.run()
