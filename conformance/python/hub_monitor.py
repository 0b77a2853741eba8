# about: `pollux hub monitor` shows what azure-iot-device sends: which devices, which properties, from when on, and what is wrong
# timeout: 90
"""The command beside a device of PyPI's azure-iot-device."""

import json
import subprocess
import threading
import uuid

from azure.iot.device import IoTHubDeviceClient, Message
from azure.iot.hub import IoTHubRegistryManager

from lib import WORK, Scenario, connections, equal, eventually
from lib.server import BINARY

PREFIX = f"monitor-{uuid.uuid4().hex[:6]}"
subject = connections()
hub = subject["hub"][0]
registry = IoTHubRegistryManager.from_connection_string(hub["connectionString"])
made = {}
monitor = Scenario()


def command(*arguments):
    (WORK / "data").mkdir(exist_ok=True)
    (WORK / "data" / "connections.json").write_text(json.dumps(subject))
    return [BINARY, "--data-dir", str(WORK / "data"), "hub", "monitor", "-n", hub["name"], *arguments]


def run(*arguments, timeout=60):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout)


def events(result):
    equal(result.returncode, 0, result.stderr)
    return [json.loads(line)["event"] for line in result.stdout.splitlines()]


class Running:
    """The command while it runs."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.said = [], []
        for stream, into in ((self.process.stdout, self.lines), (self.process.stderr, self.said)):
            threading.Thread(target=lambda stream=stream, into=into: into.extend(iter(stream.readline, "")), daemon=True).start()
        self.arguments = arguments


def device(name):
    key = registry.create_device_with_sas(name, "", "", "enabled").authentication.symmetric_key.primary_key
    client = IoTHubDeviceClient.create_from_symmetric_key(
        symmetric_key=key, hostname=hub["hostName"], device_id=name, server_verification_cert=open(subject["ca"]).read()
    )
    client.connect()
    return client


def send(name, body, content_type=None, **properties):
    message = Message(body)
    if content_type:
        message.content_type, message.content_encoding = content_type, "utf-8"
    message.message_id = f"{name}-1"
    message.custom_properties = properties
    made[name].send_message(message)


def route():
    """The default route takes all telemetry to an event hub: it is to stay in the hub."""
    import requests

    admin = subject["admin"]
    answer = requests.put(
        f"{admin['url']}/admin/resources/hub/{hub['name']}/routes/deviceevents",
        headers={"Authorization": f"Bearer {admin['key']}"},
        json={"source": "DeviceMessages", "endpoint": "events", "condition": "true"},
        timeout=30,
    )
    equal(answer.status_code, 200, answer.text)


@monitor.case("two devices send, one of them JSON", needed=True)
def _():
    route()
    for name in ("a", "b"):
        made[name] = device(f"{PREFIX}-{name}")
    send("a", '{"temperature": 20.5}', "application/json", level="high")
    send("b", "plain text")


def both():
    found = events(run("-d", f"{PREFIX}-*", "--enqueued-time", "0", "--message-count", "2", "--timeout", "20"))
    return {one["origin"]: one for one in found}


@monitor.case("what came before is shown from its time on; a line each, JSON where the content type says so")
def _():
    found = both()
    equal(found[f"{PREFIX}-a"], {"origin": f"{PREFIX}-a", "module": "", "interface": "", "component": "", "payload": {"temperature": 20.5}})
    equal(found[f"{PREFIX}-b"]["payload"], "plain text")


@monitor.case("properties are shown as they are asked for")
def _():
    asked = ("-d", f"{PREFIX}-a", "--et", "0", "--mc", "1", "-t", "20", "--properties")
    event = events(run(*asked, "all", "--output", "json"))[0]
    equal(event["properties"]["application"], {"level": "high"})
    system = event["properties"]["system"]
    equal((system["content_type"], system["content_encoding"], system["message_id"]), ("application/json", "utf-8", "a-1"))
    annotations = event["annotations"]
    equal((annotations["iothub-connection-device-id"], annotations["iothub-message-source"]), (f"{PREFIX}-a", "Telemetry"))
    assert {"x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time", "iothub-enqueuedtime"} <= annotations.keys(), annotations
    event = events(run(*asked, "sys", "app"))[0]
    equal((sorted(event["properties"]), "annotations" in event), (["application", "system"], False))
    event = events(run(*asked, "anno", "--content-type", "text/plain"))[0]
    equal((event["payload"], "properties" in event), ('{"temperature": 20.5}', False))


@monitor.case("it shows what comes while it runs, says so on stderr, and ends with Ctrl-C")
def _():
    running = Running("-d", f"{PREFIX}-a", "--content-type", "application/json", "--timeout", "0")
    eventually(lambda: "consumer group $Default" in "".join(running.said), what="it says what it does")
    numbers = iter(range(1000))

    def sent_and_shown():
        # Receivers begin with what comes after them: until one is there, what is sent is not shown.
        send("a", json.dumps(next(numbers)))
        return running.lines

    eventually(sent_and_shown, what="an event is shown")
    assert isinstance(json.loads(running.lines[0])["event"]["payload"], int), running.lines
    running.process.send_signal(2)
    equal(running.process.wait(10), 0, "exit code")


@monitor.case("it ends when nothing comes for a while")
def _():
    result = run("-d", "nobody", "--timeout", "1")
    equal((result.returncode, result.stdout), (0, ""))
    assert "0 events; nothing came for 1 s" in result.stderr, result.stderr


@monitor.case("what is wrong is said")
def _():
    for arguments, code, words in (
        (("--consumer-group", "nobody", "-t", "20"), 1, "pollux hub consumer-group create"),
        (("-n", "nowhere"), 3, f"there are: {hub['name']}"),
        (("--enqueued-time", "yesterday"), 2, "milliseconds since 1970"),
        (("--properties", "everything"), 2, "possible values: sys, app, anno, all"),
    ):
        arguments = [one for one in command() if one not in ("-n", hub["name"])] + list(arguments) if "-n" in arguments else command(*arguments)
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
        equal(result.returncode, code, result.stderr)
        assert words in result.stderr, result.stderr


monitor.run()
