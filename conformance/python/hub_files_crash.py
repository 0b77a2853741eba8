# about: kill -9 while identities are imported and exported and files are uploaded: jobs go on, what was acknowledged is there
# server: none
# timeout: 240
"""Jobs over files of a folder that is open to them, and uploads into the deployment's folder, while the server is killed again and again."""

import json
import os
import random
import time

import requests

from lib import WORK, Scenario, connections, equal, eventually
from lib.rest import hub
from lib.sas import token
from lib.server import Server

SEED = int(os.environ.get("SEED", "20261"))
ROUNDS = int(os.environ.get("ROUNDS", "6"))
DEVICES = 4000
JOBS = WORK / "jobs"
# With several nodes the runner names a folder that all of them share.
FILES = WORK / "files"
CRASH = Scenario()
made = {}


def start():
    os.environ["POLLUX_JOBS__FOLDER"] = str(JOBS)
    made["server"] = Server(WORK / "data")


def kill():
    made["server"].kill()
    start()


def job(kind, **more):
    uri = f"file://{JOBS / 'c'}"
    body = {"type": kind, "inputBlobContainerUri": uri, "outputBlobContainerUri": uri, **more}
    return hub().ok("POST", "/jobs/create", body)["jobId"]


def state(identifier):
    return hub().ok("GET", f"/jobs/{identifier}")


def ended(identifier):
    return eventually(lambda: (lambda found: found["status"] in ("completed", "failed") and found)(state(identifier)), 60, f"job {identifier} is over")


@CRASH.case("the server starts in an empty folder", needed=True)
def _():
    (JOBS / "c").mkdir(parents=True)
    start()


@CRASH.case(f"an import goes on behind its last batch after each kill (seed {SEED}), and tells of no error that was none", needed=True)
def _():
    dice = random.Random(SEED)
    lines = [json.dumps({"id": f"crash-{n:04}", "importMode": "create", "tags": {"n": n}}) for n in range(DEVICES)]
    lines.append(json.dumps({"id": "crash-0000", "importMode": "create"}))
    (JOBS / "c" / "devices.txt").write_text("\n".join(lines))
    made["import"] = job("import")
    kills, last = 0, 0
    for _ in range(ROUNDS):
        time.sleep(dice.uniform(0.1, 0.6))  # the random point; nothing is expected of it
        found = state(made["import"])
        if found["status"] == "completed":
            break
        assert found["progress"] >= last, f"{found['progress']} after {last}"
        last = found["progress"]
        kill()
        kills += 1
    found = ended(made["import"])
    equal((found["status"], found["progress"]), ("completed", 100), found["failureReason"])
    equal(hub().ok("GET", "/statistics/devices")["totalDeviceCount"], DEVICES)
    errors = [json.loads(line) for line in (JOBS / "c" / "importErrors.log").read_text().splitlines()]
    equal({(one["deviceId"], one["errorCode"]) for one in errors}, {("crash-0000", "DeviceAlreadyExists")})
    equal(hub().ok("GET", "/twins/crash-3999")["tags"], {"n": 3999})
    return f"{kills} kills"


@CRASH.case("an export begins anew after a kill, and its file is whole or not there", needed=True)
def _():
    path = JOBS / "c" / "all.txt"
    identifier = job("export", outputBlobName="all.txt")
    for _ in range(2):
        if state(identifier)["status"] == "completed":
            break
        assert not path.exists(), "a file that is not whole has its name"
        kill()
    equal(ended(identifier)["status"], "completed")
    ids = [json.loads(line)["id"] for line in path.read_text().splitlines() if line]
    equal((len(ids), ids == sorted(ids)), (DEVICES, True))


@CRASH.case("a file that was acknowledged is there, its notification too, and a place that was taken stays so", needed=True)
def _():
    device = hub().ok("GET", "/devices/crash-0001")
    key = device["authentication"]["symmetricKey"]["primaryKey"]
    subject = connections()
    host = subject["hub"][0]["hostName"]
    base = f"https://{host}:{subject['ports']['https'][0]}"
    headers = {"Authorization": token(f"{host}/devices/crash-0001", key)}
    ask = lambda path, body: requests.post(f"{base}/devices/crash-0001/files{path}?api-version=2021-04-12", json=body, headers=headers, timeout=30)
    place = ask("", {"blobName": "f"}).json()
    url = f"https://{place['hostName']}/{place['containerName']}/{place['blobName']}{place['sasToken']}"
    content = os.urandom(300_000)
    equal(requests.put(url, data=content, headers={"x-ms-blob-type": "BlockBlob"}, timeout=30).status_code, 201)
    kill()
    equal(requests.get(url, timeout=30).content == content, True)
    end = {"correlationId": place["correlationId"], "isSuccess": True, "statusCode": 201}
    equal(ask("/notifications", end).status_code, 204)
    kill()
    equal(ask("/notifications", end).status_code, 400)
    notification = hub()("GET", "/messages/serviceBound/filenotifications")
    equal((notification.status_code, notification.json()["blobName"]), (200, "crash-0001/f"))


@CRASH.case("it stops in order when asked to, and nothing panicked")
def _():
    made["server"].stops_in_order()


CRASH.run()
