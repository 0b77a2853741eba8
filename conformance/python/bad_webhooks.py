# about: custom allocation that goes wrong: webhook down, slow, 500, no JSON, no hub, a hub that is not linked
# timeout: 90
"""The registration fails, the record says why with the webhook's status and body, and no device is made."""

import threading

from lib import THERMOSTAT, Scenario, connections, equal
from lib.mqtt import provision
from lib.rest import group, group_key, hub, provisioning
from lib.webhook import Webhook

subject = connections()
linked = subject["hub"][0]["hostName"]
service, registry = provisioning(), hub()
hooks = Scenario()
never = threading.Event()


def slow(_):
    never.wait(60)
    return 200, {"iotHubHostName": linked}


ANSWERS = [
    ("answers 500", lambda _: (500, "the sky fell"), ["500", "the sky fell"]),
    ("answers 400", lambda _: (400, "Registration ID not provided for the device."), ["400", "Registration ID"]),
    ("answers 302", lambda _: (302, "elsewhere"), ["302"]),
    ("answers no JSON", lambda _: (200, "<html>"), ["<html>"]),
    ("names no hub", lambda _: (200, {"initialTwin": {}}), ["iotHubHostName"]),
    ("names a hub that is not linked", lambda _: (200, {"iotHubHostName": "other.test"}), ["other.test"]),
    ("sends tags that are no object", lambda _: (200, {"iotHubHostName": linked, "initialTwin": {"tags": 5}}), ["tags"]),
    ("answers more than it may", lambda _: (200, "x" * 1_000_000), []),
    ("is slow", slow, []),
]


def failed(name, url, words):
    key = group_key(group(webhook=url, name=f"group-{name}"))
    status, answer = provision(name, key, {"modelId": THERMOSTAT})
    equal((status, answer["status"]), (200, "failed"), str(answer))
    record = service.ok("GET", f"/registrations/{name}")
    assert record["status"] == "failed" and record["errorCode"], record
    for word in words:
        assert word in record["errorMessage"], f"{word!r} is not in {record['errorMessage']!r}"
    assert "code=secret" not in str(record), "the record tells the function key"
    equal(registry("GET", f"/devices/{name}").status_code, 404)
    return record["errorMessage"]


@hooks.each(ANSWERS, "a webhook that {}")
def _(name, answer, words):
    webhook = Webhook(answer)
    detail = failed("hook-" + name.replace(" ", "-"), webhook.url, words)
    assert webhook.seen, "the webhook was never called"
    webhook.close()
    return detail


@hooks.case("a webhook that is down")
def _():
    webhook = Webhook(lambda _: (200, {}))
    webhook.close()
    return failed("hook-down", webhook.url, [])


@hooks.case("a failed registration can be tried again, once the webhook is well")
def _():
    # Of 400, unlike 500, another attempt would change nothing.
    answers = [(400, "not now"), (200, {"iotHubHostName": linked})]
    webhook = Webhook(lambda _: answers.pop(0))
    key = group_key(group(webhook=webhook.url, name="group-again"))
    equal(provision("hook-again", key, None)[1]["status"], "failed")
    equal(provision("hook-again", key, None)[1]["status"], "assigned")
    webhook.close()


@hooks.case("what the webhook is told and what it answers go where they belong")
def _():
    answer = {
        "iotHubHostName": linked,
        "initialTwin": {"tags": {"site": "north"}, "properties": {"desired": {"interval": 7}}},
        "payload": {"welcome": True},
    }
    webhook = Webhook(lambda _: (200, answer))
    key = group_key(group(webhook=webhook.url, name="group-well"))
    status, result = provision("hook-well", key, {"modelId": THERMOSTAT, "more": [1]})
    equal((status, result["status"]), (200, "assigned"), str(result))
    equal(result["registrationState"]["payload"], {"welcome": True})
    (told,) = webhook.seen
    context = told["deviceRuntimeContext"]
    equal((context["registrationId"], context["payload"]), ("hook-well", {"modelId": THERMOSTAT, "more": [1]}))
    equal(told["linkedHubs"], [linked])
    equal(told["enrollmentGroup"]["enrollmentGroupId"], "group-well")
    assert key not in str(told), "the webhook is told the group's key"
    twin = registry.ok("GET", "/twins/hook-well")
    equal((twin["tags"], twin["properties"]["desired"]["interval"]), ({"site": "north"}, 7))
    webhook.close()


@hooks.case("the allocation function wants its key")
def _():
    url = subject["functions"][0]["allocateUrl"].split("?")[0]
    failed("hook-keyless", url, ["401"])
    failed("hook-wrong-key", url + "?code=wrong", ["401"])


hooks.run()
