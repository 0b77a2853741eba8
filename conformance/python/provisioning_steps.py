# about: kill -9 at each named step of a device's life; after a restart and the device's retry there is one device, one twin, one record
# server: none
# timeout: 200
"""The server dies at a step (`[faults] crash_at`), starts again, and the device tries again: nothing is there twice or by half."""

import os
import signal
from contextlib import contextmanager

import requests

from lib import SPACE, THERMOSTAT, WORK, Scenario, equal, eventually
from lib.mqtt import Closed, Refused, hub_connection, provision, telemetry_topic
from lib.rest import group, group_key, hub, provisioning
from lib.sas import derived_key
from lib.server import Server
from lib.twins import client, twin_or_none, upload_models

REGISTRATION = ["admitted", "recorded", "begun", "allocating", "twin-made", "allocated", "planned", "assigned"]
LOST = (OSError, Closed, Refused, requests.RequestException)
made = {}
steps = Scenario()


@contextmanager
def server(crash_at=None):
    """The subject on the data folder of the scenario; with a step at which it dies, it must have died there."""
    variable = "POLLUX_FAULTS__CRASH_AT"
    os.environ.pop(variable, None)
    if crash_at:
        os.environ[variable] = crash_at
    running = Server(WORK / "data")
    try:
        yield running
        if crash_at:
            codes = [node.process.poll() for node in running.nodes]
            assert -signal.SIGABRT in codes, f"nobody died at {crash_at}: {codes}"
    finally:
        running.kill()
        os.environ.pop(variable, None)


def register(identifier):
    return provision(identifier, made["key"], {"modelId": THERMOSTAT})


def until_dead(running, action):
    """Does it again and again until a node has died of it."""

    def tried():
        try:
            action()
        except LOST:
            pass
        return any(node.process.poll() is not None for node in running.nodes)

    eventually(tried, what="the crash")


def devices(identifier):
    query = {"query": f"SELECT * FROM devices WHERE deviceId = '{identifier}'"}
    return [row["deviceId"] for row in hub().ok("POST", "/devices/query", query)]


def twins(identifier):
    return [twin["$dtId"] for twin in client().query_twins(f"SELECT * FROM DIGITALTWINS WHERE $dtId = '{identifier}'")]


def records():
    rows = provisioning().ok("POST", "/registrations/steps/query", {"query": "*"})
    return {row["registrationId"]: row["status"] for row in rows}


@steps.case("models and a group", needed=True)
def _():
    with server():
        upload_models(client())
        made["key"] = group_key(group(name="steps"))


def registration_case(step):
    @steps.case(f"registration/{step}")
    def _():
        identifier = f"step-{step}"
        with server(f"registration/{step}") as running:
            until_dead(running, lambda: register(identifier))
        with server():
            status, answer = register(identifier)
            equal((status, answer["status"]), (200, "assigned"), str(answer))
            equal(devices(identifier), [identifier])
            equal(twins(identifier), [identifier])
            equal(records()[identifier], "assigned")
            with hub_connection(identifier, derived_key(made["key"], identifier)) as connection:
                connection.publish(telemetry_topic(identifier), {"Temperature": 21.5})
            eventually(lambda: client().get_digital_twin(identifier)["Temperature"] == 21.5, what="telemetry on its twin")
            hub().ok("DELETE", f"/devices/{identifier}", If_Match="*")
            eventually(lambda: twin_or_none(client(), identifier) is None, what="the twin's end")


for name in REGISTRATION:
    registration_case(name)


@steps.case("registration/recorded: without a retry the operation is taken up at the next start")
def _():
    with server("registration/recorded") as running:
        until_dead(running, lambda: register("step-alone"))
    with server():
        eventually(lambda: records().get("step-alone") == "assigned", what="the end of the operation")
        equal((devices("step-alone"), twins("step-alone")), (["step-alone"], ["step-alone"]))


def retirement_case(step):
    @steps.case(step)
    def _():
        identifier = f"gone-{step.split('/')[1]}"
        with server():
            equal(register(identifier)[1]["status"], "assigned")
            service = client()
            service.upsert_digital_twin("hall", {"$metadata": {"$model": SPACE}})
            for source, target, kind in [(identifier, "hall", "serves"), ("hall", identifier, "contains")]:
                name = f"{source}-{target}"
                relationship = {
                    "$relationshipId": name, "$sourceId": source, "$targetId": target, "$relationshipName": kind,
                }
                service.upsert_relationship(source, name, relationship)
        with server(step) as running:
            until_dead(running, lambda: hub()("DELETE", f"/devices/{identifier}", If_Match="*"))
        with server():
            eventually(lambda: devices(identifier) == [], what="the device's end")
            eventually(lambda: twin_or_none(client(), identifier) is None, what="the twin's end")
            equal(records()[identifier], "assigned", "the record stays")
            # Nothing that was told twice takes the twin of a device that comes back.
            equal(register(identifier)[1]["status"], "assigned")
            equal((devices(identifier), twins(identifier)), ([identifier], [identifier]))


for name in ["event/appended", "retirement/unrelated", "retirement/retired"]:
    retirement_case(name)

steps.run()
