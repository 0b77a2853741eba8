# about: Azure's counts as limits, and the error codes of the data plane that take a limit, a version or an order to meet
# server: config/few_twins.toml
# timeout: 90
"""What is refused because there is too much of it, or because of what comes first."""

from azure.core.exceptions import HttpResponseError

from lib import Scenario, connections, equal, refuses
from lib.rest import ADT_VERSION, bearer, request
from lib.twins import client

twins = client()
limits = Scenario()
BASE, PART, ROOM = "dtmi:limits:Base;1", "dtmi:limits:Part;1", "dtmi:limits:Room;1"


def interface(identifier, *contents, version=2, **more):
    return {"@id": identifier, "@type": "Interface", "@context": f"dtmi:dtdl:context;{version}", "contents": list(contents)} | more


def code(status, name, action):
    error = refuses(action, kinds=(HttpResponseError,), status=status)
    equal((error.error.code if error.error else None, error.response.headers["x-ms-error-code"]), (name, name), str(error))
    return error.message


def twin(identifier):
    return twins.upsert_digital_twin(identifier, {"$metadata": {"$model": ROOM}, "part": {"$metadata": {}}})


def relate(source, identifier, target):
    row = {"$relationshipId": identifier, "$sourceId": source, "$targetId": target, "$relationshipName": "next"}
    return twins.upsert_relationship(source, identifier, row)


@limits.case("models: a version that is not spoken, too many at once, too many in all", needed=True)
def _():
    room = interface(
        ROOM,
        {"@type": "Component", "name": "part", "schema": PART},
        {"@type": "Relationship", "name": "next"},
        {"@type": "Property", "name": "size", "schema": "integer"},
        extends=BASE,
    )
    message = code(400, "ModelVersionNotSupported", lambda: twins.create_models([interface("dtmi:limits:New;1", version=4)]))
    assert "DTDL version 4 is not accepted here" in message, message
    code(400, "ModelVersionNotSupported", lambda: twins.create_models([room, interface(BASE, version=99)]))
    code(400, "DTDLParserError", lambda: twins.create_models([interface("dtmi:limits:New;1", version=3, extends=5)]))
    more = [interface(f"dtmi:limits:More{n};1") for n in range(5)]
    code(400, "LimitExceeded", lambda: twins.create_models(more))
    twins.create_models([room, interface(BASE), interface(PART)])
    twins.create_models(more[:3])
    code(400, "LimitExceeded", lambda: twins.create_models(more[3:4]))
    for model in more[:3]:
        twins.delete_model(model["@id"])


@limits.case("a request about a model that names none")
def _():
    base, token = connections()["twins"][0]["url"], bearer()
    for method in ("GET", "PATCH", "DELETE"):
        answer = request(method, base + "/models/", params=ADT_VERSION, token=token, body=[] if method == "PATCH" else None)
        equal((answer.status_code, answer.json()["error"]["code"]), (400, "MissingArgument"), method)


@limits.case("twins: as many as there may be; what is there can be replaced, and room that is made is found", needed=True)
def _():
    for number in range(4):
        twin(f"t{number}")
    message = code(400, "TwinLimitReached", lambda: twin("t4"))
    assert "4 digital twins" in message, message
    twin("t0")
    twins.update_digital_twin("t0", [{"op": "add", "path": "/size", "value": 1}])
    twins.delete_digital_twin("t3")
    twin("t4")
    code(400, "TwinLimitReached", lambda: twin("t3"))


@limits.case("relationships likewise", needed=True)
def _():
    relate("t0", "a", "t1")
    relate("t1", "b", "t2")
    code(400, "LimitExceeded", lambda: relate("t2", "c", "t0"))
    relate("t1", "b", "t2")
    twins.delete_relationship("t0", "a")
    relate("t2", "c", "t0")


@limits.case("relationships of one twin, out of it and into it", needed=True)
def _():
    twins.delete_relationship("t2", "c")
    message = code(400, "LimitExceeded", lambda: relate("t1", "d", "t0"))
    assert "1 outgoing relationships" in message and "'t1'" in message, message
    message = code(400, "LimitExceeded", lambda: relate("t0", "d", "t2"))
    assert "1 incoming relationships" in message and "'t2'" in message, message
    relate("t1", "b", "t2")
    relate("t2", "c", "t0")
    message = code(400, "LimitExceeded", lambda: relate("t1", "b", "t0"))
    assert "'t0'" in message, message


@limits.case("a query that must see everything, and has no time for it")
def _():
    ordered = "SELECT T, V FROM DIGITALTWINS T JOIN U RELATED T.next JOIN V RELATED U.next ORDER BY T.size"
    message = code(400, "TimeoutError", lambda: list(twins.query_twins(ordered)))
    assert "within 0 seconds" in message, message
    page_by_page = ordered.split(" ORDER BY")[0]
    equal([(row["T"]["$dtId"], row["V"]["$dtId"]) for row in twins.query_twins(page_by_page)], [("t1", "t0")], "pages that end early lead on")


@limits.case("a model that others use is decommissioned after them, and deleted after them")
def _():
    message = code(409, "ModelReferencesNotDecommissioned", lambda: twins.decommission_model(BASE))
    assert ROOM in message, message
    code(409, "ModelReferencesNotDecommissioned", lambda: twins.decommission_model(PART))
    twins.decommission_model(ROOM)
    twins.decommission_model(PART)
    twins.decommission_model(BASE)
    equal([twins.get_model(one).decommissioned for one in (ROOM, PART, BASE)], [True] * 3)
    # The article "Manage models": twins that are there are not affected.
    twin("t0")
    code(400, "ModelDecommissioned", lambda: twin("t-late"))
    code(409, "ModelReferencesNotDeleted", lambda: twins.delete_model(PART))


limits.run()
