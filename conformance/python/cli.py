# about: the commands of the README as a new user types them: exit codes, JSON, and what a wrong one says
# server: none
# timeout: 120
"""`pollux serve` in an empty folder, then the story by command line."""

import json
import os
import stat
import subprocess

from lib import SPACE, THERMOSTAT, WORK, Scenario, connections, equal, eventually, models_folder, out
from lib.mqtt import hub_connection, provision, telemetry_topic
from lib.sas import derived_key
from lib.server import BINARY, Server
from lib.twins import client

HOME = WORK / "home"
DATA = HOME / "pollux-data"
made = {}
cli = Scenario()


def pollux(*arguments, cwd=HOME, given=None, timeout=60):
    return subprocess.run([BINARY, *arguments], cwd=cwd, capture_output=True, text=True, input=given, timeout=timeout)


def well(*arguments):
    """Runs a command that must succeed; returns its JSON."""
    result = pollux(*arguments)
    equal(result.returncode, 0, f"exit code of {' '.join(arguments)}: {result.stdout[-200:]} {result.stderr[-400:]}")
    return json.loads(result.stdout) if result.stdout.strip().startswith(("{", "[")) else result.stdout


def badly(*arguments):
    """Runs a command that must fail; returns what it says, which must be no panic and no bare number."""
    result = pollux(*arguments)
    assert result.returncode not in (0, 101), f"exit code {result.returncode}: {result.stdout} {result.stderr}"
    assert "panicked" not in result.stderr, result.stderr
    assert len(result.stderr.strip()) > 10, "it says nothing on stderr"
    return result.stderr


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@cli.case("serve in an empty folder: everything is made, keys are for the owner only", needed=True)
def _():
    HOME.mkdir()
    made["server"] = Server(None, cwd=HOME)
    out({"note": f"ready {made['server'].ready_after:.3f} s after the first start"})
    equal(mode(DATA), 0o700, "mode of the data folder")
    secret = [path for path in DATA.rglob("*") if path.is_file() and ("key" in path.name or path.name == "connections.json")]
    assert secret, "no key files found"
    for path in secret:
        equal(mode(path), 0o600, f"mode of {path.name}")
    equal(json.loads((DATA / "connections.json").read_text()), made["server"].connections)
    scope = connections()["dps"][0]["idScope"]
    assert scope.startswith("0ne") and len(scope) == 11, scope


@cli.case("a second start finds everything as it was")
def _():
    before = made["server"].connections
    made["server"].stop()
    made["server"] = Server(None, cwd=HOME)
    out({"note": f"ready {made['server'].ready_after:.3f} s after the second start"})
    equal(made["server"].connections, before)


@cli.case("twin model create --from a file and a folder", needed=True)
def _():
    folder = models_folder()
    first = sorted(folder.glob("*.json"))[0]
    well("twin", "model", "create", "--from", str(first))
    badly("twin", "model", "create", "--from", str(first))
    others = [argument for path in sorted(folder.glob("*.json"))[1:] for argument in ("--from", str(path))]
    well("twin", "model", "create", *others)
    equal({model.id for model in client().list_models()}, {SPACE, THERMOSTAT})


@cli.case("dps enrollment-group create with a webhook", needed=True)
def _():
    url = connections()["functions"][0]["allocateUrl"]
    created = well("dps", "enrollment-group", "create", "--enrollment-id", "line-1", "--webhook-url", url)
    made["key"] = find(created, "primaryKey")
    assert made["key"], created


def find(value, name):
    """The first value under this name, at any depth."""
    if isinstance(value, dict):
        return value.get(name) or next((found for child in value.values() if (found := find(child, name))), None)
    if isinstance(value, list):
        return next((found for child in value if (found := find(child, name))), None)
    return None


@cli.case("a device provisions and talks; twin show and twin query tell its temperature", needed=True)
def _():
    status, answer = provision("cli-1", made["key"], {"modelId": THERMOSTAT})
    equal((status, answer["status"]), (200, "assigned"), str(answer))
    with hub_connection("cli-1", derived_key(made["key"], "cli-1")) as connection:
        connection.publish(telemetry_topic("cli-1"), {"Temperature": 22.5})
    eventually(lambda: well("twin", "show", "--twin-id", "cli-1")["Temperature"] == 22.5, what="the temperature")
    rows = well("twin", "query", "--query-command", "SELECT * FROM DIGITALTWINS T WHERE T.Temperature > 20")
    assert "cli-1" in json.dumps(rows), rows


@cli.case("hub device delete: the device and its twin are gone")
def _():
    well("hub", "device", "delete", "--device-id", "cli-1")
    eventually(lambda: pollux("twin", "show", "--twin-id", "cli-1").returncode != 0, what="the end of the twin")
    assert "cli-1" in badly("twin", "show", "--twin-id", "cli-1")
    badly("hub", "device", "delete", "--device-id", "cli-1")


@cli.case("functions: settings and the dead-letter list")
def _():
    well("functions", "dead-letter", "list")
    badly("functions", "dead-letter", "show", "424242")


@cli.case("events: send, stats and tail tell of the same events")
def _():
    event = ["--body", '{"Temperature": 21.5}', "--property", "kind=cli", "--content-type", "application/json"]
    well("events", "send", "--name", "deviceevents", "--partition", "2", "--count", "3", *event)
    stats = {row["partition"]: row for row in well("events", "stats", "--name", "deviceevents", "--json")}
    first = stats["2"]["last"] - 2
    lines = pollux(
        "events", "tail", "--name", "deviceevents", "--partition", "2", "--from", str(first), "--count", "3",
        "--filter", "kind=cli", "--json",
    ).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    equal([event["sequenceNumber"] for event in events], [first, first + 1, first + 2])
    equal(events[0]["body"], {"Temperature": 21.5})
    assert "nobody" in badly("events", "tail", "--consumer-group", "nobody", "--count", "1")
    assert "nothere" in badly("events", "stats", "--name", "nothere")
    assert "yesterday" in badly("events", "tail", "--from", "yesterday")


@cli.case("events: event hubs, consumer groups and policies by command line")
def _():
    hub = ["--eventhub-name", "alarms"]
    well("events", "eventhub", "create", "--name", "alarms", "--partition-count", "2", "--consumer-group", "first")
    well("events", "consumer-group", "create", *hub, "--name", "second")
    equal([row["name"] for row in well("events", "group", "list", *hub)], ["$Default", "first", "second"])
    well("events", "consumer-group", "delete", *hub, "--name", "first")
    assert "$Default" in badly("events", "consumer-group", "delete", *hub, "--name", "$Default")
    well("events", "eventhub", "update", "--name", "alarms", "--partition-count", "3", "--retention-hours", "48")
    shown = well("events", "hub", "show", "--name", "alarms")
    equal((shown["partitions"], shown["retentionHours"], shown["consumerGroups"]), (3, 48, ["$Default", "second"]))
    assert "grow" in badly("events", "eventhub", "create", "--name", "alarms", "--partition-count", "1")

    for where, rights in (hub, ("Send", "Listen")), ([], ("manage",)):
        made = well("events", "policy", "create", *where, "--name", "own", "--rights", *rights)
        equal(set(made["keys"]), {"primary", "secondary"})
        assert "keys" not in well("events", "policy", "show", *where, "--name", "own"), "keys are shown unasked"
        listed = well("events", "policy", "list", *where)
        assert "own" in [row["name"] for row in listed] and "keys" not in json.dumps(listed), listed
        text = well("events", "policy", "connection-string", *where, "--name", "own").strip()
        host = connections()["events"][0]["hostName"]
        key = made["keys"]["primary"]
        entity = ";EntityPath=alarms" if where else ""
        equal(text, f"Endpoint=sb://{host}/;SharedAccessKeyName=own;SharedAccessKey={key}{entity}")
        anew = well("events", "policy", "keys", "regenerate", *where, "--name", "own", "--key", "primary")
        assert anew[0]["value"] != key and anew[1]["value"] == made["keys"]["secondary"], anew
        equal(well("events", "policy", "keys", "list", *where, "--name", "own"), anew)
        well("events", "policy", "delete", *where, "--name", "own")
        assert "own" in badly("events", "policy", "show", *where, "--name", "own")
    assert "stays" in badly("events", "policy", "delete", "--name", "RootManageSharedAccessKey")
    badly("events", "policy", "create", "--name", "own", "--rights", "RegistryRead")
    badly("events", "policy", "create", "--name", "own")
    well("events", "eventhub", "delete", "--name", "alarms")


@cli.case("hub and dps: policies of one's own by command line")
def _():
    for kind, right in (("hub", "ServiceConnect"), ("dps", "EnrollmentRead")):
        made = well(kind, "policy", "create", "--name", "backend", "--rights", right)
        equal(made["rights"], [right])
        text = well(kind, "policy", "connection-string", "--name", "backend", "--key", "secondary").strip()
        assert text.endswith(f";SharedAccessKeyName=backend;SharedAccessKey={made['keys']['secondary']}"), text
        well(kind, "policy", "keys", "regenerate", "--name", "backend", "--key", "secondary")
        well(kind, "policy", "delete", "--name", "backend")
        badly(kind, "policy", "delete", "--name", "backend")


@cli.case("a resource group: made, linked, and deleted with everything in it")
def _():
    for kind in ("events", "twins", "hub", "dps", "functions"):
        well(kind, "create", "--name", f"{kind}-two", "--group", "two")
    well("dps", "link-hub", "--name", "dps-two", "--hub", "hub-two")
    badly("hub", "create", "--name", "Not A Name!", "--group", "two")
    refused = pollux("group", "delete", "two", given="")
    assert refused.returncode != 0, "it deleted a group without being told yes"
    well("group", "delete", "two", "--yes")
    badly("group", "delete", "two", "--yes")
    equal([row["name"] for row in json.loads((DATA / "connections.json").read_text())["hub"]], ["hub1"])


@cli.case("wrong commands say what is wrong, with an exit code")
def _():
    badly("twin", "show")
    badly("nonsense")
    badly("twin", "model", "create", "--from", "no-such-file.json")
    badly("twin", "query", "--query-command", "SELECT FROM")
    badly("twin", "show", "--twin-id", "x", "--data-dir", str(WORK / "nowhere"))


@cli.case("a bad config is refused with file, line, key and what would be accepted")
def _():
    for text, words in (
        ("[listen]\nmqtt = \"yes\"\n", ("mqtt", "2")),
        ("[server]\ndomian = \"localhost\"\n", ("domian", "domain", "2")),
        ("[server\n", ("1",)),
        ("[[resources.hub]]\nname = \"Bad Name\"\n", ("name",)),
    ):
        config = WORK / "bad.toml"
        config.write_text(text)
        said = badly("serve", "--config", str(config), "--data-dir", str(WORK / "unused"))
        for word in ("bad.toml", *words):
            assert word in said, f"{word!r} is not in {said!r}"


@cli.case("a second server on the same data folder is refused")
def _():
    badly("serve", "--data-dir", str(DATA))


@cli.case("with the server down, commands say so")
def _():
    made["server"].stop()
    badly("twin", "show", "--twin-id", "cli-1")


@cli.case("demo with 5 devices in a temporary folder: every check holds")
def _():
    result = pollux("demo", "--devices", "5", "--json", timeout=60)
    equal(result.returncode, 0, f"exit code: {result.stdout[-400:]} {result.stderr[-400:]}")


cli.run()
