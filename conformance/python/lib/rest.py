"""Plain HTTPS where no client asks what a scenario wants to know."""

import itertools
import json

import requests

from . import connections
from .sas import service_token

DPS_VERSION = {"api-version": "2021-10-01"}
HUB_VERSION = {"api-version": "2021-04-12"}
ADT_VERSION = {"api-version": "2023-10-31"}
DEVICE_VERSION = {"api-version": "2019-03-31"}


def request(method, url, *, params, token=None, body=None, headers=None, data=None):
    headers = dict(headers or {})
    if token:
        headers["Authorization"] = token
    if body is not None:
        data = json.dumps(body)
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
    return requests.request(method, url, params=params, headers=headers, data=data, timeout=30)


class Service:
    """One resource of the subject by name, spoken to with its connection string."""

    def __init__(self, kind, version, name=None):
        rows = connections()[kind]
        self.row = next(row for row in rows if name in (None, row["name"]))
        self.version = version
        self.base = f"https://{self.row['hostName']}:{port()}"

    def __call__(self, method, path, body=None, **headers):
        token = service_token(self.row["connectionString"])
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(method, self.base + path, params=self.version, token=token, body=body, headers=headers)

    def ok(self, method, path, body=None, **headers):
        response = self(method, path, body, **headers)
        assert response.status_code < 300, f"{method} {path}: {response.status_code} {response.text[:400]}"
        return response.json() if response.content else None


def port():
    """The HTTPS port that every client can use."""
    return connections()["ports"]["https"][0]


def provisioning():
    return Service("dps", DPS_VERSION)


def hub():
    return Service("hub", HUB_VERSION)


def bearer(scope="https://digitaltwins.azure.net/.default", **override):
    """A token of the built-in issuer, by client credentials."""
    identity = connections()["identity"] | override
    form = {
        "grant_type": "client_credentials",
        "client_id": identity["clientId"],
        "client_secret": identity["clientSecret"],
        "scope": scope,
    }
    response = requests.post(f"{identity['authority']}/{identity['tenantId']}/oauth2/v2.0/token", data=form, timeout=30)
    response.raise_for_status()
    return "Bearer " + response.json()["access_token"]


_groups = itertools.count(1)


def group(webhook=None, name=None, **more):
    """Creates an enrollment group with custom allocation; returns what the service answered, keys included."""
    name = name or f"group-{next(_groups)}"
    body = {
        "enrollmentGroupId": name,
        "attestation": {"type": "symmetricKey"},
        "allocationPolicy": "custom",
        "customAllocationDefinition": {"webhookUrl": webhook or allocate_url(), "apiVersion": "2019-03-31"},
        "iotHubs": [connections()["hub"][0]["hostName"]],
        "provisioningStatus": "enabled",
    } | more
    service = provisioning()
    service.ok("PUT", f"/enrollmentGroups/{name}", body)
    return service.ok("POST", f"/enrollmentGroups/{name}/attestationmechanism") | {"name": name}


def group_key(created):
    return created["symmetricKey"]["primaryKey"]


def allocate_url():
    return connections()["functions"][0]["allocateUrl"]
