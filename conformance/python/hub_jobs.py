# about: scheduled jobs with azure-iot-hub's job manager: twins, methods, modules, cancelling, pages, and what routes hear of them
# timeout: 120
"""Scheduled jobs: IoTHubJobManager schedules, azure-iot-device answers, azure-eventhub reads the events."""

import datetime
import json
import uuid

from azure.iot.device import IoTHubDeviceClient, MethodResponse
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
from azure.iot.hub.protocol.models import JobRequest

from lib import Scenario, connections, equal, eventually, refuses
from lib.admin import admin
from lib.events import Receiving, consumer
from lib.rest import HUB_VERSION, hub as service, request
from lib.sas import parts, service_token

RUN = uuid.uuid4().hex[:6]
subject = connections()
hub = subject["hub"][0]
HUB = f"/admin/resources/hub/{hub['name']}"
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
manager = IoTHubJobManager.from_connection_string(hub["connectionString"])
made = {}
jobs = Scenario()


def name(text):
    return f"{text}-{RUN}"


def schedule(job, condition, twin=None, method=None, start=None, seconds=300):
    kind = "scheduleUpdateTwin" if twin else "scheduleDeviceMethod"
    wanted = JobRequest(
        job_id=job, type=kind, update_twin=twin, cloud_to_device_method=method, query_condition=condition,
        start_time=start, max_execution_time_in_seconds=seconds,
    )
    return manager.create_scheduled_job(job, wanted)


def ended(job, seconds=20):
    def over():
        found = manager.get_scheduled_job(job)
        return found if found.status in ("completed", "failed", "cancelled") else None

    return eventually(over, seconds, f"the end of {job}")


def statistics(job):
    found = job.device_job_statistics
    return (found.device_count, found.failed_count, found.succeeded_count, found.running_count, found.pending_count)


def rows(query, size=2):
    """All rows of a query, page by page; what the pages say they are."""
    found, more, kinds = [], None, set()
    while True:
        headers = {"x-ms-max-item-count": str(size)} | ({"x-ms-continuation": more} if more else {})
        token = service_token(hub["connectionString"])
        answer = request("POST", service().base + "/devices/query", params=HUB_VERSION, token=token, body={"query": query}, headers=headers)
        equal(answer.status_code, 200, answer.text[:300])
        found += answer.json()
        kinds.add(answer.headers["x-ms-item-type"])
        more = answer.headers.get("x-ms-continuation")
        if not more:
            return found, kinds


def desired(**properties):
    return Twin(etag="*", properties=TwinProperties(desired=properties))


@jobs.case("devices and modules are made; a route takes what jobs tell", needed=True)
def _():
    admin("PUT", f"{HUB}/routes/jobevents", {"source": "DeviceJobLifecycleEvents", "endpoint": "events", "condition": "opType <> 'deviceJobPending'"})
    for number in range(3):
        device = registry.create_device_with_sas(name(f"py{number}"), "", "", "enabled")
        made[number] = device.authentication.symmetric_key.primary_key
        registry.update_twin(name(f"py{number}"), Twin(tags={"run": RUN}), "*")
    registry.create_module_with_sas(name("py0"), "filter", "conformance", "", "")


@jobs.case("a job changes twins: status, statistics, the twins, the row of each device")
def _():
    made["twins"] = name("twins")
    answer = schedule(made["twins"], f"tags.run = '{RUN}'", twin=Twin(etag="*", tags={"floor": "G"}, properties=TwinProperties(desired={"interval": 5})))
    equal((answer.job_id, answer.type, answer.status), (made["twins"], "scheduleUpdateTwin", "queued"))
    job = ended(made["twins"])
    equal((job.status, statistics(job), job.query_condition), ("completed", (3, 0, 3, 0, 0), f"tags.run = '{RUN}'"))
    equal((job.update_twin.tags, job.update_twin.properties.desired), ({"floor": "G"}, {"interval": 5}))
    assert job.created_time <= job.start_time <= job.end_time, job
    for number in range(3):
        twin = registry.get_twin(name(f"py{number}"))
        equal((twin.tags, twin.properties.desired["interval"], twin.properties.desired["$version"]), ({"run": RUN, "floor": "G"}, 5, 2))
    found, kinds = rows(f"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{made['twins']}'")
    equal(kinds, {"deviceJob"})
    equal([(row["deviceId"], row["status"], row["jobType"]) for row in found], [(name(f"py{number}"), "completed", "scheduleUpdateTwin") for number in range(3)])
    found, _kinds = rows(f"SELECT * FROM devices.jobs WHERE DeviceId IN ['{name('py1')}', '{name('py2')}'] AND jobId = '{made['twins']}' AND startTimeUtc > '2020-01-01'")
    equal(len(found), 2)
    found, kinds = rows(f"SELECT deviceId, status FROM devices.jobs WHERE jobId = '{made['twins']}' AND NOT (deviceId = '{name('py1')}')")
    equal((found, kinds), ([{"deviceId": name(f"py{number}"), "status": "completed"} for number in (0, 2)], {"raw"}))


@jobs.case("a job calls a method: answers, a device that is away, one whose handler fails")
def _():
    clients = []
    for number in (0, 1):
        client = IoTHubDeviceClient.create_from_symmetric_key(
            symmetric_key=made[number], hostname=hub["hostName"], device_id=name(f"py{number}"), server_verification_cert=open(subject["ca"]).read()
        )

        def answer(call, client=client, number=number):
            client.send_method_response(MethodResponse.create_from_method_request(call, 200 + number, {"got": call.payload}))

        client.on_method_request_received = answer
        client.connect()
        clients.append(client)
    made["methods"] = name("methods")
    method = CloudToDeviceMethod(method_name="ask", payload={"n": [1, None]}, response_timeout_in_seconds=10, connect_timeout_in_seconds=1)
    schedule(made["methods"], f"tags.run = '{RUN}'", method=method)
    job = ended(made["methods"])
    equal((job.status, statistics(job)), ("completed", (3, 1, 2, 0, 0)))
    equal((job.cloud_to_device_method.method_name, job.cloud_to_device_method.payload), ("ask", {"n": [1, None]}))
    found, _kinds = rows(f"SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{made['methods']}'")
    got = {"got": {"n": [1, None]}}
    answers = [row["outcome"]["deviceMethodResponse"] for row in found]
    equal(answers, [{"status": 200, "payload": got}, {"status": 201, "payload": got}, None])
    equal((found[2]["status"], found[2]["error"]["code"]), ("failed", "DeviceNotOnline"))
    found, _kinds = rows("SELECT COUNT() AS n FROM devices.jobs WHERE outcome.deviceMethodResponse.status >= 200")
    equal(found, [{"n": 2}])
    for client in clients:
        client.shutdown()


@jobs.case("a job for modules, and one for nobody")
def _():
    schedule(name("module"), f"FROM devices.modules WHERE deviceId = '{name('py0')}' AND moduleId = 'filter'", twin=Twin(etag="*", tags={"checked": True}))
    equal(statistics(ended(name("module"))), (1, 0, 1, 0, 0))
    equal(registry.get_module_twin(name("py0"), "filter").tags, {"checked": True})
    schedule(name("nobody"), "tags.run = 'nobody'", twin=desired(a=1))
    job = ended(name("nobody"))
    equal((job.status, statistics(job)), ("completed", (0, 0, 0, 0, 0)))


@jobs.case("an etag that is no twin's: each device fails by itself; a deleted device keeps its row")
def _():
    schedule(name("etag"), f"tags.run = '{RUN}'", twin=Twin(etag="AAAA", tags={"never": 1}))
    equal(statistics(ended(name("etag"))), (3, 3, 0, 0, 0))
    assert "never" not in registry.get_twin(name("py0")).tags
    registry.delete_device(name("py2"))
    found, _kinds = rows(f"SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = '{name('py2')}'")
    equal(sorted(row["jobId"] for row in found), sorted([made["twins"], made["methods"], name("etag")]))


@jobs.case("scheduled for later, cancelled, listed by type and status in pages")
def _():
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=6)
    for number in range(3):
        schedule(name(f"later{number}"), "*", twin=desired(a=1), start=later)
    equal(manager.get_scheduled_job(name("later0")).status, "scheduled")
    equal(manager.cancel_scheduled_job(name("later0")).status, "cancelled")
    equal(manager.get_scheduled_job(name("later0")).status, "cancelled")

    def listed(size, **filters):
        found, more = [], None
        while True:
            headers = {"x-ms-max-item-count": str(size)} | ({"x-ms-continuation": more} if more else {})
            token = service_token(hub["connectionString"])
            answer = request("GET", service().base + "/jobs/v2/query", params=HUB_VERSION | filters, token=token, headers=headers)
            equal((answer.status_code, answer.headers["x-ms-item-type"]), (200, "jobResponse"))
            found += [row["jobId"] for row in answer.json()]
            more = answer.headers.get("x-ms-continuation")
            if not more:
                return found

    for size in (1, 100):
        equal(listed(size, jobType="ScheduleUpdateTwin", jobStatus="Scheduled"), [name("later1"), name("later2")])
        equal(listed(size, jobType="scheduleDeviceMethod", jobStatus="completed"), [made["methods"]])
    assert name("later0") in listed(100, jobStatus="cancelled")
    for number in (1, 2):
        manager.cancel_scheduled_job(name(f"later{number}"))


@jobs.case("refused: what is in use, not there, over, or cannot be")
def _():
    refuses(lambda: schedule(made["twins"], "*", twin=desired(a=1)), status=409)
    equal(manager.get_scheduled_job("none").status, "unknown")
    refuses(lambda: manager.cancel_scheduled_job("none"), status=404)
    refuses(lambda: manager.cancel_scheduled_job(made["twins"]), status=412)
    refuses(lambda: schedule(name("bad"), "tags.run =", twin=desired(a=1)), status=400)
    refuses(lambda: schedule(name("bad"), None, twin=desired(a=1)), status=400)
    refuses(lambda: schedule(name("bad"), "*", twin=Twin(tags={"a": 1})), status=400)
    refuses(lambda: schedule(name("bad"), "*", method=CloudToDeviceMethod(method_name="")), status=400)
    refuses(lambda: schedule(name("bad"), "*", method=CloudToDeviceMethod(method_name="m", payload="x" * 140000)), status=413)
    wrong = JobRequest(job_id=name("bad"), type="export", query_condition="*")
    refuses(lambda: manager.create_scheduled_job(name("bad"), wrong), status=400)
    equal(manager.get_scheduled_job(name("bad")).status, "unknown")


@jobs.case("routes hear what becomes of jobs at devices")
def _():
    built_in = hub["eventsConnectionString"]
    receiving = Receiving(consumer(parts(built_in)["EntityPath"], connection=built_in), starting_position="-1", partition_id=None)

    def told():
        found = {}
        for event in list(receiving.events):
            if event.system_properties.get(b"iothub-message-source") == b"deviceJobLifecycleEvents":
                said = {key.decode(): value.decode() for key, value in event.properties.items()}
                found.setdefault((said["jobId"], said["deviceId"]), []).append((said, json.loads(event.body_as_str())))
        return found

    try:
        wanted = [(made["methods"], name("py0")), (made["methods"], name("py2")), (made["twins"], name("py0"))]
        eventually(lambda: all(told().get(key, [])[-1:] and told()[key][-1][1].get("endTimeUtc") for key in wanted), 20, "the events")
        found = told()
        equal([said["opType"] for said, _body in found[wanted[0]]], ["deviceJobRunning", "deviceJobCompleted"])
        equal([said["opType"] for said, _body in found[wanted[1]]], ["deviceJobFailed"])
        said, body = found[wanted[2]][-1]
        equal((said["opType"], said["hubName"], said["iothub-message-schema"], said["jobType"]), ("deviceJobCompleted", hub["name"], "deviceJobLifecycleNotification", "scheduleUpdateTwin"))
        row = rows(f"SELECT * FROM devices.jobs WHERE jobId = '{made['twins']}' AND deviceId = '{name('py0')}'")[0][0]
        equal(body, row)
    finally:
        receiving.stop()


jobs.run()
