# about: the DPS service API under each policy right and each role, with the API versions that clients send, and its errors
# timeout: 60
"""Who may do what with a provisioning service, over plain REST."""

from lib import Scenario, connections, equal
from lib.admin import admin
from lib.rest import bearer, port, provisioning, request
from lib.sas import token

rights = Scenario()
service = provisioning()
row = connections()["dps"][0]
PLACE = f"/admin/resources/dps/{row['name']}/policies"
BODY = {"registrationId": "rights-1", "attestation": {"type": "symmetricKey"}}
GROUP = {"enrollmentGroupId": "rights-group", "attestation": {"type": "symmetricKey"}}
QUERY = {"query": "*"}
READS = [
    ("GET", "/enrollments/rights-1", None),
    ("POST", "/enrollments/query", QUERY),
    ("GET", "/enrollmentGroups/rights-group", None),
    ("POST", "/enrollmentGroups/query", QUERY),
    ("POST", "/registrations/rights-1/explain", {}),
    ("POST", "/enrollmentGroups/rights-group/explain", {}),
    ("GET", "/stats", None),
    ("GET", "/revocations", None),
]
WRITES = [
    ("PUT", "/enrollments/rights-1", BODY),
    ("POST", "/enrollments", {"mode": "update", "enrollments": [BODY]}),
    ("PUT", "/enrollmentGroups/rights-group", GROUP),
    ("POST", "/enrollmentGroups", {"mode": "update", "enrollmentGroups": [GROUP]}),
    ("POST", "/audit", {"registrationId": "rights-1", "detail": "a note"}),
    ("DELETE", "/enrollments/rights-none", None),
]
# Keys are told to those only who may read enrollments and write keys.
KEYS = [
    ("POST", "/enrollments/rights-1/attestationmechanism", None),
    ("POST", "/enrollmentGroups/rights-group/attestationmechanism", None),
]
RECORD_READS = [("GET", "/registrations/rights-1", None), ("POST", "/registrations/rights-group/query", QUERY)]
RECORD_WRITES = [("DELETE", "/registrations/rights-1", None)]
# The audit record tells of enrollments and of registrations.
AUDIT = [("GET", "/audit", None)]
# What was issued to a device lets it in, and stands in its record.
REVOKING = [("POST", "/revocations", {"registrationId": "rights-none"})]
ALL = READS + WRITES + KEYS + RECORD_READS + RECORD_WRITES + AUDIT + REVOKING
POLICIES = {
    "EnrollmentRead": READS,
    "EnrollmentWrite": WRITES,
    "RegistrationStatusRead": RECORD_READS,
    "RegistrationStatusWrite": RECORD_WRITES,
    "DeviceConnect": [],
}
VERSIONS = ["2018-09-01-preview", "2018-11-01", "2019-03-31", "2021-06-01", "2021-10-01"]


def call(credential, method, path, body, version="2021-10-01"):
    headers = {"If-Match": "*"} if method == "PUT" else {}
    url = f"https://{row['hostName']}:{port()}{path}"
    return request(method, url, params={"api-version": version}, token=credential, body=body, headers=headers)


def opens(credential, wanted):
    for one in ALL:
        status = call(credential, *one).status_code
        refused = status in (401, 403)
        assert refused == (one not in wanted), f"{one[0]} {one[1]}: {status}"


@rights.case("preparation: an enrollment and a group", needed=True)
def _():
    service.ok("PUT", "/enrollments/rights-1", BODY)
    service.ok("PUT", "/enrollmentGroups/rights-group", GROUP)


for name, wanted in POLICIES.items():

    @rights.case(f"a policy with {name} opens what needs it and no more")
    def _(name=name, wanted=wanted):
        made = admin("PUT", f"{PLACE}/only{name.lower()}", {"rights": [name]})
        opens(token(row["hostName"], made["keys"]["primary"], f"only{name.lower()}"), wanted)


@rights.case("keys need the rights to read and to write enrollments, the audit record those to read both")
def _():
    for name, held, wanted in (
        ("both", ["EnrollmentRead", "EnrollmentWrite"], READS + WRITES + KEYS),
        ("reader", ["EnrollmentRead", "RegistrationStatusRead"], READS + RECORD_READS + AUDIT),
    ):
        made = admin("PUT", f"{PLACE}/{name}", {"rights": held})
        opens(token(row["hostName"], made["keys"]["primary"], name), wanted)


@rights.case("the role Data Contributor opens everything, no role at all nothing")
def _():
    opens(bearer("https://azure-devices-provisioning.net/.default"), ALL)
    opens(bearer(), [])
    equal(call(None, "GET", "/enrollments/rights-1", None).status_code, 401)


@rights.case("every API version that clients send is answered, in a path of any case")
def _():
    credential = bearer("https://azure-devices-provisioning.net/.default")
    for version in VERSIONS:
        answer = call(credential, "GET", "/Enrollments/RIGHTS-1", None, version)
        equal((answer.status_code, answer.json()["registrationId"]), (200, "rights-1"))
    equal(call(credential, "GET", "/enrollments/rights-1", None, "latest").status_code, 400)


@rights.case("an error has its code, a tracking id, a message and the time")
def _():
    answer = service("GET", "/enrollments/rights-none")
    body = answer.json()
    equal((answer.status_code, body["errorCode"], answer.headers["x-ms-error-code"]), (404, 404201, "404201"))
    assert body["trackingId"] and body["message"] and body["timestampUtc"], body


@rights.case("a page has at most as many items as asked for, and a number above 0 must be asked for")
def _():
    for n in range(3):
        service.ok("PUT", f"/enrollments/rights-page-{n}", BODY | {"registrationId": f"rights-page-{n}"})
    answer = service("POST", "/enrollments/query", QUERY, x_ms_max_item_count="2")
    equal((len(answer.json()), answer.headers["x-ms-item-type"]), (2, "enrollment"))
    rest = service("POST", "/enrollments/query", QUERY, x_ms_continuation=answer.headers["x-ms-continuation"])
    assert len(rest.json()) >= 2, rest.text
    for wrong in ["0", "-1", "many"]:
        equal(service("POST", "/enrollments/query", QUERY, x_ms_max_item_count=wrong).status_code, 400)


rights.run()
