# about: each REST route without credentials and with wrong ones; unsigned, foreign, altered and expired tokens
# timeout: 90
"""Nobody gets in: the golden list of routes, and every way a token can be wrong."""

import base64
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
import requests

from lib import Scenario, connections, equal, refuses
from lib.rest import ADT_VERSION, DEVICE_VERSION, DPS_VERSION, HUB_VERSION, bearer, request
from lib.routes import ADMIN, DEVICE, DPS, FUNCTIONS, HUB, TWINS
from lib.sas import parts, service_token, token
from lib.twins import client

subject = connections()
WRONG_KEY = base64.b64encode(b"w" * 32).decode()
dps, hub = (parts(subject[kind][0]["connectionString"]) for kind in ("dps", "hub"))
locks = Scenario()


def urlsafe(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**more):
    """What a good token of the built-in issuer says."""
    good = bearer().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(good + "==")) | more


def unsigned(**more):
    return f"Bearer {urlsafe({'alg': 'none', 'typ': 'JWT'})}.{urlsafe(claims(**more))}."


_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def foreign(header=None, **more):
    """Signed well, but with a key of our own."""
    header = {"alg": "RS256", "typ": "JWT"} | (header or {})
    text = f"{urlsafe(header)}.{urlsafe(claims(**more))}"
    return f"Bearer {text}.{urlsafe(_key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def altered():
    """The real signature under other claims."""
    head, _, signature = bearer().removeprefix("Bearer ").split(".")
    return f"Bearer {head}.{urlsafe(claims(exp=int(time.time()) + 10**6))}.{signature}"


def genuine_header():
    head = bearer().removeprefix("Bearer ").split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=="))


def sas(named, key=None, resource=None, policy=None, seconds=3600):
    return token(resource or named["HostName"], key or named["SharedAccessKey"], policy or named["SharedAccessKeyName"], seconds)


def wrong_sas(named, other):
    return {
        "no credentials": None,
        "an empty header": "",
        "a wrong key": sas(named, key=WRONG_KEY),
        "an expired token": sas(named, seconds=-60),
        "a policy that is not there": sas(named, policy="nobody"),
        "a token for another host": sas(named, resource="other.test"),
        "the token of another service": sas(other),
        "no signature": f"SharedAccessSignature sr={named['HostName']}&se=99999999999&skn={named['SharedAccessKeyName']}",
        "another scheme": "Basic YTpi",
        "an unsigned JWT": unsigned(),
    }


def wrong_jwt():
    return {
        "no credentials": None,
        "an empty bearer": "Bearer ",
        "no JWT": "Bearer abc",
        "an unsigned JWT": unsigned(),
        "an unsigned JWT that names the right key": f"Bearer {urlsafe(genuine_header() | {'alg': 'none'})}.{urlsafe(claims())}.",
        "a JWT signed with a foreign key": foreign(),
        "a foreign JWT that names our key": foreign(header={"kid": genuine_header().get("kid")}),
        "a JWT of a foreign issuer": foreign(iss="https://evil.test/"),
        "an altered JWT": altered(),
        "a SAS token": sas(hub),
    }


def probe(method, path, version, authorization):
    url = f"https://localhost:{subject['ports']['https'][0]}{path}"
    body = {} if method in ("PUT", "POST", "PATCH") else None
    return request(method, url, params=version, token=authorization, body=body)


def all_refused(routes, version, wrong, statuses=(401,)):
    open_doors = []
    for method, path in routes:
        for what, authorization in wrong.items():
            status = probe(method, path, version, authorization).status_code
            if status not in statuses:
                open_doors.append(f"{method} {path} with {what}: {status}")
    assert not open_doors, f"{len(open_doors)} not refused with {statuses}: " + "; ".join(open_doors[:12])
    return f"{len(routes)} routes, {len(wrong)} wrong credentials each"


@locks.case("every route of the provisioning service API")
def _():
    return all_refused(DPS, DPS_VERSION, wrong_sas(dps, hub))


@locks.case("every route of the hub")
def _():
    return all_refused(HUB, HUB_VERSION, wrong_sas(hub, dps))


@locks.case("every route of the twins")
def _():
    wrong = wrong_jwt()
    # On a name that both have, these are the hub's too, whose credential it is.
    shared = [("GET", "/digitaltwins/x"), ("PATCH", "/digitaltwins/x")]
    all_refused(shared, ADT_VERSION, {what: credential for what, credential in wrong.items() if what != "a SAS token"})
    return all_refused([route for route in TWINS if route not in shared], ADT_VERSION, wrong)


@locks.case("every route of the device API")
def _():
    scope = subject["dps"][0]["idScope"]
    wrong = {"no credentials": None, "a service token": sas(dps), "a wrong key": token(f"{scope}/registrations/x", WRONG_KEY, "registration")}
    return all_refused([(method, path.format(scope=scope)) for method, path in DEVICE], DEVICE_VERSION, wrong)


@locks.case("every route of the operator's API")
def _():
    key = subject["admin"]["key"]
    altered = ("B" if key[0] == "A" else "A") + key[1:]
    wrong = {
        "no credentials": None,
        "an empty bearer": "Bearer ",
        "a wrong key": f"Bearer {WRONG_KEY}",
        "an altered key": f"Bearer {altered}",
        "the start of the key": f"Bearer {key[:10]}",
        "a twins token": bearer(),
        "a hub token": sas(hub),
    }
    return all_refused(ADMIN, {}, wrong)


@locks.case("every function")
def _():
    return all_refused(FUNCTIONS, {}, {"no key": None}) + all_refused(FUNCTIONS, {"code": "wrong"}, {"a wrong key": None})


@locks.case("a token for another audience is refused by the twins")
def _():
    try:
        other = bearer(scope="https://iothubs.azure.net/.default")
    except requests.HTTPError as error:
        return f"the issuer does not give one: {error.response.status_code}"
    equal(probe("GET", "/models", ADT_VERSION, other).status_code, 401)


@locks.case("the issuer refuses a wrong secret, client and tenant, in OAuth's words")
def _():
    for wrong in ({"clientSecret": "wrong"}, {"clientId": "00000000-0000-0000-0000-000000000000"}):
        error = refuses(lambda wrong=wrong: bearer(**wrong), kinds=(requests.HTTPError,))
        assert error.response.status_code in (400, 401), error
        equal(error.response.json()["error"], "invalid_client")
    refuses(lambda: bearer(tenantId="00000000-0000-0000-0000-000000000000"), kinds=(requests.HTTPError,))


@locks.case("the errors have the shape each SDK parses")
def _():
    hub_error = probe("GET", "/devices/x", HUB_VERSION, None).json()
    assert "Message" in hub_error, hub_error
    adt_error = probe("GET", "/digitaltwins/x", ADT_VERSION, None).json()
    assert adt_error["error"]["code"] and adt_error["error"]["message"], adt_error


@locks.case("the good credentials still work")
def _():
    equal(probe("GET", "/devices", HUB_VERSION, service_token(subject["hub"][0]["connectionString"])).status_code, 200)
    list(client().list_models())


@locks.case("paths that lead out, unknown routes and methods are refused, not served")
def _():
    good = bearer()
    for path in ("/../etc/passwd", "/digitaltwins/..%2f..%2fetc", "/nothing/here", "/digitaltwins/"):
        status = probe("GET", path, ADT_VERSION, good).status_code
        assert 400 <= status < 500, (path, status)
    assert probe("TRACE", "/models", ADT_VERSION, good).status_code in (400, 401, 404, 405)


locks.run()
