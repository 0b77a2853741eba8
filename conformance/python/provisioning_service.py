# about: the DPS service API over plain REST: enrollments, groups, etags, attestation, registrations
# timeout: 60
"""The provisioning service API, field by field and etag by etag."""

from lib import Scenario, THERMOSTAT, equal
from lib.mqtt import provision, provisioning_connection, register
from lib.rest import allocate_url, connections, group, group_key, provisioning
from lib.twins import client, upload_models

dps = Scenario()
service = provisioning()
upload_models(client())
made = {}


def enrollment(registration_id, **more):
    return {"registrationId": registration_id, "attestation": {"type": "symmetricKey"}} | more


@dps.case("an enrollment is created with keys, etag and times", needed=True)
def _():
    created = service.ok("PUT", "/enrollments/single-1", enrollment("single-1", deviceId="named-device"))
    equal((created["registrationId"], created["deviceId"]), ("single-1", "named-device"))
    assert created["etag"] and created["createdDateTimeUtc"] and created["lastUpdatedDateTimeUtc"]
    made["enrollment"] = created


@dps.case("what is read is what was created")
def _():
    answer = service("GET", "/enrollments/single-1")
    equal(answer.status_code, 200)
    equal(answer.json()["etag"], made["enrollment"]["etag"])


@dps.case("the keys are told by attestationmechanism only")
def _():
    mechanism = service.ok("POST", "/enrollments/single-1/attestationmechanism")
    equal(mechanism["type"], "symmetricKey")
    made["key"] = mechanism["symmetricKey"]["primaryKey"]
    read = service.ok("GET", "/enrollments/single-1")
    assert made["key"] not in str(read), "GET tells the key"


@dps.case("an update needs the current etag: 412 on another one")
def _():
    changed = made["enrollment"] | {"provisioningStatus": "disabled"}
    equal(service("PUT", "/enrollments/single-1", changed, If_Match='"AAAA"').status_code, 412)
    answer = service("PUT", "/enrollments/single-1", changed, If_Match=made["enrollment"]["etag"])
    equal(answer.status_code, 200, answer.text)
    assert answer.json()["etag"] != made["enrollment"]["etag"], "the etag stayed the same"
    equal(service.ok("POST", "/enrollments/single-1/attestationmechanism")["symmetricKey"]["primaryKey"], made["key"])


@dps.case("a disabled enrollment registers nobody")
def _():
    state = attempt("single-1", made["key"])
    assert state != "assigned", state


@dps.case("once enabled, the device registers under the name the enrollment gives")
def _():
    body = made["enrollment"] | {"provisioningStatus": "enabled"}
    service.ok("PUT", "/enrollments/single-1", body, If_Match="*")
    with provisioning_connection("single-1", made["key"]) as connection:
        status, answer = register(connection, "single-1", None)
    equal((status, answer["status"]), (200, "assigned"), answer)
    equal(answer["registrationState"]["deviceId"], "named-device")


@dps.case("a delete needs the current etag, and is final")
def _():
    equal(service("DELETE", "/enrollments/single-1", If_Match='"AAAA"').status_code, 412)
    equal(service("DELETE", "/enrollments/single-1", If_Match="*").status_code, 204)
    equal(service("GET", "/enrollments/single-1").status_code, 404)


@dps.case("groups: create, read, change, and the keys given are kept", needed=True)
def _():
    made["group"] = group(name="group-crud")
    read = service.ok("GET", "/enrollmentGroups/group-crud")
    equal((read["allocationPolicy"], read["customAllocationDefinition"]["webhookUrl"]), ("custom", allocate_url()))
    changed = service.ok("PUT", "/enrollmentGroups/group-crud", read, If_Match=read["etag"])
    assert changed["etag"] != read["etag"]
    again = service.ok("POST", "/enrollmentgroups/group-crud/attestationmechanism")
    equal(group_key(again), group_key(made["group"]), "the key, asked for with the path in lower case")


@dps.case("a stale group etag is refused: 412")
def _():
    read = service.ok("GET", "/enrollmentGroups/group-crud")
    equal(service("PUT", "/enrollmentGroups/group-crud", read, If_Match='"AAAA"').status_code, 412)
    equal(service("DELETE", "/enrollmentGroups/group-crud", If_Match='"AAAA"').status_code, 412)


@dps.case("registrations of a group are listed, read and deleted")
def _():
    for device in ("reg-a", "reg-b"):
        status, answer = provision(device, group_key(made["group"]), {"modelId": THERMOSTAT})
        equal((status, answer["status"]), (200, "assigned"), answer)
    rows = service.ok("POST", "/registrations/group-crud/query", {"query": "*"})
    equal(sorted(row["registrationId"] for row in rows), ["reg-a", "reg-b"])
    record = service.ok("GET", "/registrations/reg-a")
    equal((record["status"], record["assignedHub"]), ("assigned", connections()["hub"][0]["hostName"]))
    equal(service("DELETE", "/registrations/reg-a", If_Match="*").status_code, 204)
    equal(service("GET", "/registrations/reg-a").status_code, 404)


@dps.case("a bad body is refused with 400 and says what is wrong")
def _():
    bad = [
        ("/enrollments/bad-1", enrollment("another-name")),
        ("/enrollments/bad-1", {"registrationId": "bad-1"}),
        ("/enrollments/bad-1", enrollment("bad-1", attestation={"type": "magic"})),
        ("/enrollmentGroups/bad-1", {"enrollmentGroupId": "bad-1", "attestation": {"type": "symmetricKey"}, "allocationPolicy": "custom"}),
        ("/enrollments/bad%20id", enrollment("bad id")),
    ]
    for path, body in bad:
        answer = service("PUT", path, body)
        equal(answer.status_code, 400, f"{path} {body}: {answer.text}")
        assert answer.json().get("message"), answer.text
    equal(service("GET", "/enrollments/bad-1").status_code, 404)


@dps.case("what is not there is 404")
def _():
    for path in ("/enrollments/none", "/enrollmentGroups/none", "/registrations/none"):
        equal(service("GET", path).status_code, 404, path)


def attempt(registration_id, key):
    """The status a registration ends with, or the error that refused it."""
    try:
        with provisioning_connection(registration_id, key) as connection:
            status, answer = register(connection, registration_id, None)
            return (answer or {}).get("status") or status
    except Exception as error:
        return repr(error)


dps.run()
