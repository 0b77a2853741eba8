# about: which hub azure-iot-device's clients are given: a webhook that fails at first, the nearest of two hubs, moves between them
# timeout: 90
"""Allocation and reprovisioning between two hubs, with PyPI's azure-iot-device."""

import requests
from azure.iot.device import ProvisioningDeviceClient

from lib import THERMOSTAT, Scenario, connections, equal, eventually
from lib.admin import admin
from lib.mqtt import provisioning_connection
from lib.mqtt import register as mqtt_register
from lib.rest import HUB_VERSION, Service, bearer, group, group_key, port, provisioning, request
from lib.sas import derived_key, token
from lib.twins import client, upload_models
from lib.webhook import Webhook

allocation = Scenario()
service = provisioning()
dps = connections()["dps"][0]
north = connections()["hub"][0]
upload_models(client())
ca = open(connections()["ca"]).read()
hubs = {}


def register(registration_id, root):
    device = ProvisioningDeviceClient.create_from_symmetric_key(
        provisioning_host=dps["hostName"], registration_id=registration_id, id_scope=dps["idScope"],
        symmetric_key=derived_key(root, registration_id), server_verification_cert=ca,
    )
    device.provisioning_payload = {"modelId": THERMOSTAT}
    return device.register()


def link(hub, **more):
    return admin("PUT", f"/admin/resources/dps/{dps['name']}/linked-hubs/{hub}", more)


@allocation.case("preparation: a second hub is made and linked", needed=True)
def _():
    south = admin("POST", "/admin/resources/hub", {"name": "south"})
    hubs.update(north=north, south=south)
    link("south")


@allocation.case("a webhook that fails twice is asked again under the same key, and says which hub")
def _():
    answers = iter([(503, "busy"), (500, "the sky fell")])
    hook = Webhook(lambda _: next(answers, (200, {"iotHubHostName": north["hostName"]})))
    root = group_key(group(webhook=hook.url, name="retried", iotHubs=[]))
    result = register("retried-1", root)
    equal((result.status, result.registration_state.assigned_hub), ("assigned", north["hostName"]))
    equal((len(hook.keys), len(set(hook.keys))), (3, 1), str(hook.keys))
    assert hook.keys[0], "there is no key"
    first = hook.seen[0]
    equal(first["deviceRuntimeContext"]["symmetricKey"], {})
    equal(sorted(first["linkedHubs"]), sorted([north["hostName"], hubs["south"]["hostName"]]))
    register("retried-1", root)
    again = hook.seen[-1]["deviceRuntimeContext"]
    equal((again["currentIotHubHostName"], again["currentDeviceId"]), (north["hostName"], "retried-1"))
    assert hook.keys[-1] != hook.keys[0], "another registration is another request"


@allocation.case("the nearest hub is picked, and a device moves when another comes nearer")
def _():
    link(north["name"], latencyMs=20)
    link("south", latencyMs=5)
    body = {"enrollmentGroupId": "near", "attestation": {"type": "symmetricKey"}, "allocationPolicy": "geoLatency"}
    service.ok("PUT", "/enrollmentGroups/near", body)
    root = group_key(service.ok("POST", "/enrollmentGroups/near/attestationmechanism"))
    for n in range(4):
        equal(register(f"near-{n}", root).registration_state.assigned_hub, hubs["south"]["hostName"])
    link("south", latencyMs=50)
    result = register("near-0", root)
    state = service.ok("GET", "/registrations/near-0")
    equal((result.registration_state.assigned_hub, state["substatus"]), (north["hostName"], "deviceDataMigrated"))
    equal(Service("hub", HUB_VERSION, north["name"]).ok("GET", "/devices/near-0")["status"], "enabled")


def over_https(registration_id, key, version):
    """A device's own request, and its polls; gives the hub it is assigned to."""
    place = f"https://{dps['hostName']}:{connections()['ports']['https'][0]}/{dps['idScope']}/registrations/{registration_id}"
    headers = {"Authorization": token(f"{dps['idScope']}/registrations/{registration_id}", key, "registration")}
    ask = lambda method, path, **more: requests.request(  # noqa: E731
        method, f"{place}/{path}?api-version={version}", headers=headers, verify=connections()["ca"], timeout=30, **more)
    answer = ask("PUT", "register", json={"registrationId": registration_id})
    operation = answer.json()["operationId"]
    assigned = lambda: ask("GET", f"operations/{operation}").json().get("registrationState", {}).get("assignedHub")  # noqa: E731
    return eventually(assigned, what="a hub")


def over_mqtt(registration_id, key, version):
    with provisioning_connection(registration_id, key, version=version) as connection:
        return mqtt_register(connection, registration_id, None)[1]["registrationState"]["assignedHub"]


@allocation.case("a device of before reprovisioning policies stays where it was, over HTTPS and MQTT, unless its enrollment has one")
def _():
    policy = {"updateHubAssignment": True, "migrateDeviceData": True}
    for name, assigned_to in [("old-https", over_https), ("old-mqtt", over_mqtt)]:
        entry = {"registrationId": name, "attestation": {"type": "symmetricKey"}, "iotHubs": [north["hostName"]]}
        made = service.ok("PUT", f"/enrollments/{name}", entry)
        assert "reprovisionPolicy" not in made, made
        key = service.ok("POST", f"/enrollments/{name}/attestationmechanism")["symmetricKey"]["primaryKey"]
        steps = [
            ("north", {}, "2018-04-01", "north"), ("south", {}, "2018-04-01", "north"), ("south", {}, "2018-09-01-preview", "south"),
            ("north", {"reprovisionPolicy": policy}, "2017-11-15", "north"),
        ]
        for hub, more, version, expected in steps:
            current = service.ok("GET", f"/enrollments/{name}")
            current |= {"iotHubs": [hubs[hub]["hostName"]]} | more
            service.ok("PUT", f"/enrollments/{name}", current, If_Match=current["etag"])
            equal(assigned_to(name, key, version), hubs[expected]["hostName"], f"{name} {hub} {version}")


@allocation.case("of two enrollments with the same deviceId the one that registers last has the device, in its hub alone")
def _():
    keys, signed = {}, bearer("https://iothubs.azure.net/.default")
    places = lambda: [  # noqa: E731
        hub for hub in hubs
        if request("GET", f"https://localhost:{port()}/devices/m9x", params=HUB_VERSION, token=signed,
                   headers={"Host": hubs[hub]["hostName"]}).ok
    ]
    for name, hub in [("m9a", "north"), ("m9b", "south")]:
        entry = {
            "registrationId": name, "deviceId": "m9x", "attestation": {"type": "symmetricKey"},
            "iotHubs": [hubs[hub]["hostName"]],
        }
        service.ok("PUT", f"/enrollments/{name}", entry)
        keys[name] = service.ok("POST", f"/enrollments/{name}/attestationmechanism")["symmetricKey"]["primaryKey"]
    for name, hub, other in [("m9a", "north", None), ("m9b", "south", "m9a"), ("m9a", "north", "m9b")]:
        device = ProvisioningDeviceClient.create_from_symmetric_key(
            provisioning_host=dps["hostName"], registration_id=name, id_scope=dps["idScope"], symmetric_key=keys[name],
            server_verification_cert=ca,
        )
        result = device.register()
        state = result.registration_state
        equal((result.status, state.assigned_hub, state.device_id), ("assigned", hubs[hub]["hostName"], "m9x"))
        equal(places(), [hub])
        if other:
            told = service.ok("GET", f"/registrations/{other}")
            equal((told["status"], told["errorCode"], "assignedHub" in told), ("unassigned", 409000, False))


@allocation.case("one that takes no part in allocation is not picked")
def _():
    link("south", latencyMs=1, applyAllocationPolicy=False)
    root = group_key(service.ok("POST", "/enrollmentGroups/near/attestationmechanism"))
    equal(register("near-9", root).registration_state.assigned_hub, north["hostName"])


allocation.run()
