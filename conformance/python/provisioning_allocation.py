# about: which hub azure-iot-device's clients are given: a webhook that fails at first, the nearest of two hubs, moves between them
# timeout: 90
"""Allocation and reprovisioning between two hubs, with PyPI's azure-iot-device."""

from azure.iot.device import ProvisioningDeviceClient

from lib import THERMOSTAT, Scenario, connections, equal
from lib.admin import admin
from lib.rest import HUB_VERSION, Service, group, group_key, provisioning
from lib.sas import derived_key
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


@allocation.case("one that takes no part in allocation is not picked")
def _():
    link("south", latencyMs=1, applyAllocationPolicy=False)
    root = group_key(service.ok("POST", "/enrollmentGroups/near/attestationmechanism"))
    equal(register("near-9", root).registration_state.assigned_hub, north["hostName"])


allocation.run()
