# about: a hub's endpoints: webhooks over TLS, blobs as JSON and Avro in a folder, Azurite and a bucket, health, dead letters, kill -9
# server: none
# timeout: 300
"""Devices send; PyPI's clients, web servers of the test's own, and files read what arrives where routes lead."""

import base64
import json
import os
import ssl
import subprocess
import time

from azure.iot.device import IoTHubDeviceClient, Message

from lib import WORK, Scenario, connections, equal, eventually, pki, s3
from lib.admin import admin
from lib.avro import read as read_avro
from lib.azurite import KEY, start
from lib.cloudevents import Sink
from lib.events import declare, namespace, receive, consumer
from lib.rest import hub
from lib.server import Server

FILES = WORK / "files"
BATCH = {"batchFrequencyInSeconds": 60}
scenario = Scenario()
made = {"sent": 0}


def pollux(*arguments, status=0):
    command = [os.environ["SUBJECT_BIN"], "--json", "--data-dir", str(WORK), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == status, f"{arguments}: {result.stdout[-300:]} {result.stderr[-600:]}"
    return json.loads(result.stdout) if result.stdout.strip().startswith(("{", "[")) else result.stdout + result.stderr


def path(rest=""):
    return f"/admin/resources/hub/{connections()['hub'][0]['name']}{rest}"


def endpoint(name, status=None, **where):
    return admin("PUT", path(f"/endpoints/{name}"), where, status=status)


def route(name, endpoint_name, condition="true", source="DeviceMessages"):
    admin("PUT", path(f"/routes/{name}"), {"source": source, "endpoint": endpoint_name, "condition": condition})


def health(name):
    rows = admin("GET", path("/endpoints-health"))["value"]
    return next(row for row in rows if row["endpointId"] == name)


def device(identifier):
    """A client of PyPI's that is connected."""
    row = hub().ok("PUT", f"/devices/{identifier}", {"deviceId": identifier})
    client = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=row["authentication"]["symmetricKey"]["primaryKey"], hostname=connections()["hub"][0]["hostName"],
        device_id=identifier, server_verification_cert=open(connections()["ca"]).read(),
    )
    client.connect()
    return client


def send(client, body, content=("application/json", "utf-8"), **properties):
    message = Message(body)
    message.message_id = f"m{made['sent']}"
    made["sent"] += 1
    if content:
        message.content_type, message.content_encoding = content
    message.custom_properties = properties
    client.send_message(message)
    return message.message_id


class TlsSink(Sink):
    """A web server with a certificate of an authority that the subject was told to trust."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{made['certificate']}.pem", f"{made['certificate']}.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")


@scenario.case("the server starts; endpoints that cannot be are refused, and say why", needed=True)
def _():
    authority = pki.made("Endpoints' authority", "authority", authority=True)
    made["certificate"] = pki.made("localhost", "localhost", above=authority, names=["localhost"])
    config = WORK / "routing.toml"
    config.write_text(f'[tls]\ntrust = ["{authority}.pem"]\n[files]\nfolder = "{FILES}"\n[limits]\nwebhook_attempts = 3\n')
    FILES.mkdir(exist_ok=True)
    made["server"] = Server(WORK / "data", "--config", str(config))
    made["config"] = str(config)
    declare("PUT", "alarms", {"partitions": 1})
    folder = {"container": "archive"}
    for wrong in [
        {"container": "A"},
        {"container": "archive", "webhook": "https://localhost/"},
        {"container": "archive", "batchFrequencyInSeconds": 59},
        {"container": "archive", "batchFrequencyInSeconds": 721},
        {"container": "archive", "maxChunkSizeInBytes": 1024},
        {"container": "archive", "fileNameFormat": "{iothub}/{partition}"},
        {"container": "archive", "fileNameFormat": "../{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}"},
        {"container": "archive", "encoding": "Parquet"},
        {"container": "archive", "connectionString": "AccountName=x"},
        {"container": "archive", "connectionString": "S3Endpoint=https://localhost;AccessKeyId=k"},
    ]:
        endpoint("bad", status=400, **wrong)
    for number in range(8):
        endpoint(f"e{number}", **folder)
    endpoint("e8", status=403, **folder)
    for number in range(8):
        admin("DELETE", path(f"/endpoints/e{number}"))
    equal(admin("GET", path("/endpoints-health"))["value"][0]["endpointId"], "events")
    twins = f"/admin/resources/twins/{connections()['twins'][0]['name']}"
    admin("PUT", f"{twins}/endpoints/archive", folder, status=400)
    admin("GET", f"/admin/resources/dps/{connections()['dps'][0]['name']}/endpoints-health", status=404)


@scenario.case("a webhook over TLS takes CloudEvents as Event Grid has them; its key is not shown", needed=True)
def _():
    unwilling = TlsSink(allows=None)
    endpoint("web", status=400, webhook=unwilling.url)
    unwilling.close()
    made["sink"] = sink = TlsSink(lambda event, times: 400 if event["data"].get("properties", {}).get("poison") else 200)
    endpoint("web", webhook=sink.url)
    assert "secret" not in json.dumps(admin("GET", path())), "the key of a webhook shows"
    equal(health("web"), {"endpointId": "web", "healthStatus": "unknown"})
    route("web-telemetry", "web", "level = 'hot'")
    route("web-lifecycle", "web", source="DeviceLifecycleEvents")
    route("web-states", "web", "opType = 'deviceConnected'", source="DeviceConnectionStateEvents")
    made["device"] = client = device("sends")
    send(client, '{"temperature": 20.50}', level="hot")
    send(client, "a text", content=None, level="hot")
    # Of each source in order.
    told, sent = [], []
    for event in sink.wait(4):
        (sent if event["type"] == "Microsoft.Devices.DeviceTelemetry" else told).append(event)
    (created, connected), (json_body, text_body) = told, sent
    equal([event["type"] for event in told], ["Microsoft.Devices.DeviceCreated", "Microsoft.Devices.DeviceConnected"])
    for event in sink.taken:
        equal((event["subject"], event["source"], event["specversion"]), ("devices/sends", connections()["hub"][0]["hostName"], "1.0"))
    equal(created["data"]["twin"]["deviceId"], "sends")
    equal(len(connected["data"]["deviceConnectionStateEventInfo"]["sequenceNumber"]), 64)
    equal(json_body["data"]["body"], {"temperature": 20.5})
    equal(json_body["data"]["properties"], {"level": "hot"})
    equal(json_body["data"]["systemProperties"]["iothub-connection-device-id"], "sends")
    equal(base64.b64decode(text_body["data"]["body"]), b"a text")
    eventually(lambda: health("web")["healthStatus"] == "healthy", what="it is healthy")


@scenario.case("what it does not take is a dead letter, and is sent again; others pass")
def _():
    client, sink = made["device"], made["sink"]
    send(client, '{"n": 1}', level="hot", poison="yes")
    send(client, '{"n": 2}', level="hot")
    sink.wait(5)
    letters = eventually(lambda: pollux("hub", "dead-letter", "list"), what="the dead letter")
    equal((len(letters), letters[0]["endpoint"]), (1, "web"))
    pollux("hub", "dead-letter", "replay", str(letters[0]["id"]), status=1)
    sink.judge = lambda event, times: 200
    pollux("hub", "dead-letter", "replay", str(letters[0]["id"]))
    equal(sink.wait(6)[5]["data"]["body"], {"n": 1})
    equal(pollux("hub", "dead-letter", "list"), [])


@scenario.case("an endpoint that is away holds up neither devices nor other endpoints, and gets what waited")
def _():
    client, sink = made["device"], made["sink"]
    endpoint("alarms", namespace=namespace()["name"], eventHub="alarms")
    route("alarms", "alarms", "level = 'hot'")
    port = sink.server.server_port
    sink.close()
    for number in range(20):
        send(client, json.dumps({"late": number}), level="hot")
    equal([json.loads(event.body_as_str())["late"] for event in receive(consumer("alarms"), 20, starting_position="-1")], list(range(20)))
    found = eventually(lambda: (row := health("web"))["healthStatus"] == "unhealthy" and row, what="it is unhealthy")
    assert found["lastKnownError"] and found["lastKnownErrorTime"].endswith("GMT"), found
    rows = {row["endpointId"]: row["healthStatus"] for row in pollux("hub", "message-endpoint", "health")}
    equal((rows["web"], rows["alarms"]), ("unhealthy", "healthy"))
    made["sink"] = again = TlsSink(port=port)
    equal([event["data"]["body"]["late"] for event in again.wait(20, seconds=60)], list(range(20)))
    eventually(lambda: health("web")["healthStatus"] == "healthy", what="it is healthy again")


@scenario.case("containers: a folder of the deployment, Azurite by connection string and by signed URL; keys are not shown", needed=True)
def _():
    container, signed, made["azurite"] = start("signed")
    made["container"] = container
    account = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
    endpoint("folder", container="archive", encoding="JSON", **BATCH)
    pollux("hub", "endpoint", "create", "--endpoint-name", "account", "--container", "telemetry", "--batch-frequency", "60",
           "--connection-string", account, "--file-name-format", "{iothub}/{YYYY}-{MM}-{DD}/{HH}{mm}-{partition}.avro")
    endpoint("url", container="signed", connectionString=signed("").replace("/signed/?", "/signed?"), encoding="JSON", **BATCH)
    bucket, made["objects"] = s3.start("telemetry")
    endpoint("bucket", container="telemetry", connectionString=bucket, encoding="JSON", **BATCH)
    endpoint("locked", container="telemetry", connectionString=bucket.replace("AccessKeyId=", "AccessKeyId=not-"), encoding="JSON", **BATCH)
    text = json.dumps(admin("GET", path()))
    assert "S3RVER" not in text and KEY not in text and "sig=" not in text, text
    shown = pollux("hub", "endpoint", "show", "--endpoint-name", "account")
    equal((shown["container"], shown["encoding"], shown["batchFrequencyInSeconds"], shown["maxChunkSizeInBytes"]),
          ("telemetry", "Avro", 60, 300 << 20))
    for name in ("folder", "account", "url"):
        route(f"to-{name}", name, "archive = 'yes'")
    route("to-bucket", "bucket", "archive IN ['yes', 'large']")
    route("to-locked", "locked", "archive = 'large'")
    client = made["device"]
    utf16 = '{"ä": 1}'.encode("utf-16-le")
    made["archived"] = [
        send(client, '{"n":\n 12345678901234567890.10}', archive="yes"),
        send(client, utf16, ("application/json", "utf-16"), archive="yes"),
        send(client, "plain", None, archive="yes"),
        send(client, '{"n": 4}', ("application/json", None), archive="yes"),
    ]
    made["bodies"] = [b'{"n":\n 12345678901234567890.10}', utf16, b"plain", b'{"n": 4}']
    send(client, '{"n": 5}', archive="no")
    made["large"] = [send(client, json.dumps({"text": "x" * 250_000}), archive="large") for _ in range(40)]


@scenario.case("kill -9 before a batch is due", needed=True)
def _():
    made["device"].shutdown()
    made["server"].kill()
    made["server"] = Server(WORK / "data", "--config", made["config"])
    equal(list(FILES.rglob("*.json")), [])


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def archived(rows):
    return [row["SystemProperties"]["messageId"] for row in rows]


@scenario.case("JSON in a folder: a line each, base64 unless it says that it is JSON; once")
def _():
    files = eventually(lambda: list(FILES.rglob("*.json")), 90, "the blob")
    name = connections()["hub"][0]["name"]
    equal(len(files), 1)
    parts = files[0].relative_to(FILES).parts
    equal((parts[0], parts[1], parts[2]), (name, "archive", name))
    assert parts[3] in "0123" and parts[4] == time.strftime("%Y") and parts[-1].split("_")[0].isdigit(), parts
    text = files[0].read_text()
    rows = lines(text)
    equal(archived(rows), made["archived"])
    assert "12345678901234567890.10" in text, "the number is another one"
    equal([rows[1]["Body"], base64.b64decode(rows[2]["Body"]), base64.b64decode(rows[3]["Body"])], [{"ä": 1}, b"plain", b'{"n": 4}'])
    first = rows[0]
    equal(first["Properties"], {"archive": "yes"})
    equal(sorted(first), ["Body", "EnqueuedTimeUtc", "Properties", "SystemProperties"])
    for key in ("connectionDeviceId", "connectionAuthMethod", "connectionDeviceGenerationId", "enqueuedTime", "contentType", "contentEncoding"):
        assert first["SystemProperties"].get(key), first
    # The blob has its name a moment before that is known.
    eventually(lambda: health("folder")["healthStatus"] == "healthy", what="it is healthy")


@scenario.case("Avro in a container of an account, with Azure's schema; JSON in one by a signed URL")
def _():
    from azure.eventhub.extensions.checkpointstoreblob._vendor.storage.blob import ContainerClient

    account = ContainerClient.from_container_url("http://127.0.0.1:10000/devstoreaccount1/telemetry", credential=KEY, retry_total=0)
    (blob,) = eventually(lambda: list(account.list_blobs()), 60, "the blob")
    assert blob.name.startswith(f"{connections()['hub'][0]['name']}/{time.strftime('%Y')}-") and blob.name.endswith(".avro"), blob.name
    schema, records = read_avro(account.download_blob(blob.name).readall())
    equal((schema["namespace"], schema["name"], [field["name"] for field in schema["fields"]]),
          ("Microsoft.Azure.Devices", "Message", ["EnqueuedTimeUtc", "Properties", "SystemProperties", "Body"]))
    equal(archived(records), made["archived"])
    equal([record["Body"] for record in records], made["bodies"])
    equal(records[0]["Properties"], {"archive": "yes"})
    (blob,) = eventually(lambda: list(made["container"].list_blobs()), 60, "the blob")
    equal(archived(lines(made["container"].download_blob(blob.name).readall().decode())), made["archived"])


@scenario.case("an object of a bucket, in parts; one whose key is wrong is told by its health, and holds up no other")
def _():
    # s3rver shows an object while it puts the parts together.
    wanted = made["archived"] + made["large"]
    eventually(lambda: [archived(lines(content.decode())) for content in made["objects"]().values()] == [wanted], 60, "the object")
    ((name, content),) = made["objects"]().items()
    assert name.startswith(connections()["hub"][0]["name"] + "/") and name.endswith(".json"), name
    assert len(content) > 8 << 20, len(content)
    found = eventually(lambda: (row := health("locked"))["healthStatus"] == "unhealthy" and row, 60, "it is unhealthy")
    assert "403" in found["lastKnownError"], found
    eventually(lambda: health("bucket")["healthStatus"] == "healthy", what="it is healthy")


@scenario.case("an endpoint that a route leads to stays; it stops in order")
def _():
    admin("DELETE", path("/endpoints/folder"), status=409)
    admin("DELETE", path("/routes/to-folder"))
    admin("DELETE", path("/endpoints/folder"))
    made["sink"].close()
    made["server"].stops_in_order()


scenario.run()
