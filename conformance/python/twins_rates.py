# about: Azure's rate limits of digital twins where they are switched on: 429 with Retry-After, and clients that wait
# server: config/twin_rates.toml
# timeout: 120
"""Clients that come too fast are told to wait; those that wait, as the SDK does by itself, get through."""

from azure.core.exceptions import HttpResponseError

from lib import Scenario, equal
from lib.twins import client

rates = Scenario()
patient, hasty = client(), client(retry_total=0)
ROOM = "dtmi:rates:Room;1"


def refused(action, times):
    """The first refusal in so many quick tries."""
    for _ in range(times):
        try:
            action()
        except HttpResponseError as error:
            return error
    raise AssertionError(f"nothing of {times} was refused")


def told_to_wait(error, words):
    code = error.error.code if error.error else None
    equal((error.status_code, code, error.response.headers["x-ms-error-code"]), (429, "QuotaReachedError", "QuotaReachedError"), str(error))
    assert float(error.response.headers["Retry-After"]) >= 1, dict(error.response.headers)
    assert words in error.message, error.message


@rates.case("a twin", needed=True)
def _():
    patient.create_models([{"@id": ROOM, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": [{"@type": "Property", "name": "size", "schema": "integer"}]}])
    patient.upsert_digital_twin("room", {"$metadata": {"$model": ROOM}, "size": 0})


@rates.case("one twin that is changed too often: the hasty are refused, and what is refused changes nothing")
def _():
    made = 0

    def change():
        nonlocal made
        hasty.update_digital_twin("room", [{"op": "add", "path": "/size", "value": made + 1}])
        made += 1

    told_to_wait(refused(change, 40), "changes of 'room'")
    equal(patient.get_digital_twin("room")["size"], made, "the last change that was taken")


@rates.case("the SDK waits as it is told, and all its changes are made")
def _():
    for size in range(100, 112):
        patient.update_digital_twin("room", [{"op": "add", "path": "/size", "value": size}])
    equal(patient.get_digital_twin("room")["size"], 111, "after twelve changes")


@rates.case("reads, and the units of queries")
def _():
    told_to_wait(refused(lambda: hasty.get_digital_twin("room"), 200), "reads of twins")
    told_to_wait(refused(lambda: list(hasty.query_twins("SELECT * FROM DIGITALTWINS")), 200), "query units")
    for _ in range(6):
        equal([row["$dtId"] for row in patient.query_twins("SELECT * FROM DIGITALTWINS")], ["room"], "after a while")


rates.run()
