# about: what twins and relationships were: AS OF through PyPI's client, the history of one, and an operator who switches it on
"""History of digital twins, an extension: whatever changes is kept with its times and can be queried."""

import json
import os
import subprocess
from datetime import datetime, timedelta, timezone

from azure.core.exceptions import HttpResponseError

from lib import WORK, Scenario, connections, equal, eventually, refuses
from lib.admin import admin
from lib.rest import ADT_VERSION, bearer, request
from lib.twins import client

instance = connections()["twins"][0]
twins = client()
history = Scenario()
ROOM = "dtmi:test:Room;1"
MODEL = {
    "@id": ROOM,
    "@type": "Interface",
    "@context": "dtmi:dtdl:context;2",
    "contents": [
        {"@type": "Property", "name": "area", "schema": "double"},
        {"@type": "Relationship", "name": "has", "properties": [{"@type": "Property", "name": "since", "schema": "integer"}]},
    ],
}
moments = []


def now():
    """A moment behind all that was done and before all that will be: the server's clock is this machine's."""
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def versions(path, status=200):
    answer = request("GET", f"{instance['url']}{path}/history", params=ADT_VERSION, token=bearer())
    equal(answer.status_code, status, answer.text)
    return answer.json()["value"] if status == 200 else answer.json()["error"]["code"]


def rows(query):
    return sorted(twins.query_twins(query), key=str)


GRAPH = [
    "SELECT * FROM DIGITALTWINS{}",
    "SELECT * FROM RELATIONSHIPS{}",
    "SELECT COUNT() FROM DIGITALTWINS{}",
    "SELECT T.$dtId AS a, U.$dtId AS b, e.since AS since FROM DIGITALTWINS{} MATCH (T)-[e:has]->(U) WHERE U.area > 1",
]


def keep():
    """Remembers what the graph is now."""
    moments.append((now(), [rows(query.format("")) for query in GRAPH]))


@history.case("without a history: the list and AS OF are refused with how to switch it on", needed=True)
def _():
    twins.create_models([MODEL])
    twins.upsert_digital_twin("old", {"$metadata": {"$model": ROOM}, "area": 1.0})
    error = refuses(lambda: rows(f"SELECT * FROM DIGITALTWINS AS OF '{now()}'"), kinds=(HttpResponseError,), status=400)
    assert "--history-hours" in error.message, error.message
    equal(versions("/digitaltwins/old", status=400), "InvalidArgument")


@history.case("switched on over the admin API, it keeps every version with its times", needed=True)
def _():
    shown = admin("PATCH", f"/admin/resources/twins/{instance['name']}", {"historyHours": 24})
    equal(shown["historyHours"], 24)
    keep()
    for area in (2.0, 3.0):
        twins.update_digital_twin("old", [{"op": "replace", "path": "/area", "value": area}])
        keep()
    found = versions("/digitaltwins/old")
    equal([version["twin"]["area"] for version in found], [1.0, 2.0, 3.0])
    equal([version["deleted"] for version in found], [False] * 3)
    equal([version["validTo"] for version in found[:-1]], [version["validFrom"] for version in found[1:]])
    equal((found[-1]["validTo"], found[-1]["twin"]), (None, twins.get_digital_twin("old")))
    command = [os.environ["SUBJECT_BIN"], "--json", "--data-dir", str(WORK), "twin", "history", "--twin-id", "old"]
    equal(json.loads(subprocess.check_output(command, timeout=60)), found, "as the command prints it")


@history.case("relationships and deletions are kept too")
def _():
    twins.upsert_digital_twin("new", {"$metadata": {"$model": ROOM}, "area": 5.0})
    keep()
    for since in (1, 2):
        twins.upsert_relationship(
            "old", "e", {"$relationshipId": "e", "$sourceId": "old", "$targetId": "new", "$relationshipName": "has", "since": since}
        )
        keep()
    twins.update_relationship("old", "e", [{"op": "replace", "path": "/since", "value": 3}])
    keep()
    twins.delete_digital_twin("new", params={"deleteRelationships": "true"})
    keep()
    twins.upsert_digital_twin("new", {"$metadata": {"$model": ROOM}})
    keep()
    found = versions("/digitaltwins/old/relationships/e")
    equal([(version["relationship"]["since"], version["deleted"]) for version in found], [(1, False), (2, False), (3, True)])
    equal([version["deleted"] for version in versions("/digitaltwins/new")], [True, False])
    equal(versions("/digitaltwins/nobody", status=404), "DigitalTwinNotFound")
    equal(versions("/digitaltwins/old/relationships/nobody", status=404), "RelationshipNotFound")


@history.case("AS OF answers what the same query answered at that moment, for every query of the graph")
def _():
    for moment, answers in moments:
        for query, then in zip(GRAPH, answers):
            equal(rows(query.format(f" AS OF '{moment}'")), then, f"{query} as of {moment}")
    (one,) = rows(f"SELECT T.area FROM DIGITALTWINS T AS OF '{moments[1][0]}' WHERE T.$dtId = 'old'")
    equal(one, {"area": 2.0})


@history.case("a moment that is no time, in the future or before the history is refused with its position")
def _():
    future = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    for moment in ("yesterday", future, "2001-01-01T00:00:00Z"):
        query = f"SELECT * FROM DIGITALTWINS AS OF '{moment}'"
        error = refuses(lambda: rows(query), kinds=(HttpResponseError,), status=400)
        equal(error.error.code, "SqlQueryError")
        assert "Line=1, Position=33" in error.message, error.message


@history.case("queries are late where the operator asks for it, and a GET is not")
def _():
    path = f"/admin/resources/twins/{instance['name']}"
    admin("PATCH", path, {"consistency": "eventual:"}, status=400)
    equal(admin("PATCH", path, {"consistency": "eventual:2s"})["consistency"], "eventual:2s")
    twins.upsert_digital_twin("late", {"$metadata": {"$model": ROOM}, "area": 7.0})
    equal(twins.get_digital_twin("late")["area"], 7.0)
    query = "SELECT * FROM DIGITALTWINS WHERE $dtId = 'late'"
    equal(rows(query), [])
    eventually(lambda: len(rows(query)) == 1, what="the twin in an answer")
    admin("PATCH", path, {"consistency": "strong"})
    twins.delete_digital_twin("late")
    equal(rows(query), [])
    admin("PATCH", path, {"consistency": "eventual:2s", "historyHours": 0}, status=400)


@history.case("switched off, it is gone")
def _():
    admin("PATCH", f"/admin/resources/twins/{instance['name']}", {"historyHours": 0})
    equal(versions("/digitaltwins/old", status=400), "InvalidArgument")
    equal(twins.get_digital_twin("old")["area"], 3.0)


history.run()
