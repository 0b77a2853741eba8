# about: pollux twin import and export: a building of RealEstateCore out and in again, equal; bad files, standard input, going on
# timeout: 240
"""Whole graphs by command line, read back with azure-digitaltwins-core."""

import json
import os
import subprocess
from pathlib import Path

from lib import WORK, Scenario, connections, equal, eventually, out
from lib import graph
from lib.twins import client

MODELS = Path(os.environ.get("SHARED_DIR", "/nonexistent")) / "models" / "realestatecore"
BINARY = os.environ["SUBJECT_BIN"]
DATA = Path(connections()["dataDir"])
TWINS = 5000
ROOM = json.dumps({"$dtId": "%s", "$metadata": {"$model": "dtmi:org:w3id:rec:Room;1"}, **{name: {"$metadata": {}} for name in graph.COMPONENTS[0]}}) + "\n"
scenario = Scenario()
made = {}


def pollux(*arguments, given=None):
    return subprocess.run([BINARY, *arguments, "--data-dir", str(DATA)], capture_output=True, text=True, input=given, timeout=120)


def well(*arguments, given=None):
    result = pollux(*arguments, given=given)
    equal(result.returncode, 0, f"exit code of {' '.join(arguments)}: {result.stdout[-300:]} {result.stderr[-500:]}")
    return result.stdout


def instance(name):
    """A fresh instance, once the command line knows where it is."""
    well("twins", "create", "-n", name)
    known = lambda: any(row["name"] == name for row in json.loads((DATA / "connections.json").read_text())["twins"])
    eventually(known, what=f"'{name}' in connections.json")


def figures(text):
    got = json.loads(text)
    return tuple(got[noun] for noun in ("models", "twins", "relationships", "unchanged", "failed"))


@scenario.case("a building is imported: models in one set, twins, relationships; counted, and read with PyPI's client", needed=True)
def _():
    path = WORK / "building.ndjson"
    made["models"] = list(graph.interfaces(MODELS))
    made["counts"] = graph.write(path, TWINS, made["models"])
    text = well("twin", "import", str(path), "--json")
    equal(figures(text), (1364, *made["counts"], 0, 0))
    out({"note": f"{TWINS} twins and {made['counts'][1]} relationships with 1364 models in {json.loads(text)['seconds']} s"})
    twins = client()
    row = twins.get_digital_twin("building1-level0-room3")
    equal((row["name"], row["identifiers"], row["$metadata"]["$model"]), ("Room 0.03", {"door": "003"}, "dtmi:org:w3id:rec:Room;1"))
    equal(next(iter(twins.query_twins("SELECT COUNT() FROM DIGITALTWINS")))["COUNT"], TWINS)
    equal(twins.get_relationship("building1", "building1-up")["$targetId"], "site")


@scenario.case("again: nothing is made, nothing fails, nothing changes")
def _():
    etag = client().get_digital_twin("site")["$etag"]
    models, relationships = 1364, made["counts"][1]
    equal(figures(well("twin", "import", str(WORK / "building.ndjson"))), (0, 0, 0, models + TWINS + relationships, 0))
    equal(client().get_digital_twin("site")["$etag"], etag)


@scenario.case("exported, the graph has the form of an import, in a settled order, each model behind those it needs")
def _():
    path = WORK / "exported.ndjson"
    equal(json.loads(well("twin", "export", str(path))), {"models": 1364, "twins": TWINS, "relationships": made["counts"][1]})
    assert "is there already" in pollux("twin", "export", str(path)).stderr
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    at = {line["Section"]: number for number, line in enumerate(lines) if set(line) == {"Section"}}
    equal(list(at), ["Header", "Models", "Twins", "Relationships"])
    twins = lines[at["Twins"] + 1 : at["Relationships"]]
    equal([twin["$dtId"] for twin in twins], sorted(twin["$dtId"] for twin in twins))
    assert all(list(twin["$metadata"]) == ["$model"] and "$etag" not in twin for twin in twins)
    seen = set()
    for model in lines[at["Models"] + 1 : at["Twins"]]:
        bases = model.get("extends", [])
        assert seen.issuperset([bases] if isinstance(bases, str) else bases), model["@id"]
        seen.add(model["@id"])
    equal(well("twin", "export"), path.read_text(), "standard output")


@scenario.case("what is exported here is imported there, through a pipe, and exported again it is the same")
def _():
    text = (WORK / "exported.ndjson").read_text()
    instance("copy")
    equal(figures(well("twin", "import", "-", "-n", "copy", given=text)), (1364, *made["counts"], 0, 0))
    again = well("twin", "export", "-n", "copy")
    equal(again.splitlines()[2:], text.splitlines()[2:])


@scenario.case("what does not hold is told with its line and left out; exit code 1")
def _():
    header = '{"Section":"Header"}\n{"fileVersion":"1.0.0"}\n'
    text = header + '{"Section":"Twins"}\n' + ROOM % "new1" + "{bad\n" + ROOM % "new2" + '{"Section":"Relationships"}\n'
    text += '{"$dtId":"new1","$relationshipId":"r","$relationshipName":"isPartOf","$targetId":"nowhere"}\n'
    log = WORK / "failed.ndjson"
    result = pollux("twin", "import", "-", "--log", str(log), given=text)
    equal((result.returncode, figures(result.stdout)), (1, (0, 2, 0, 0, 2)))
    assert "line 5" in result.stderr and "line 8" in result.stderr and "TargetDigitalTwinNotFound" in result.stderr, result.stderr
    equal([json.loads(line)["line"] for line in log.read_text().splitlines()], [5, 8])
    client().get_digital_twin("new2")


@scenario.case("files that are none are refused with what is wrong")
def _():
    for text, says in [
        ("", "empty"),
        ('{"$dtId":"a"}\n', "begins with"),
        ('{"Section":"Header"}\n{"fileVersion":"9"}\n', "fileVersion"),
        ('{"Section":"Header"}\n{"fileVersion":"1.0.0"}\n{"Section":"Models"}\n{"@id":"dtmi:a:b;1","@type":"Interface","@context":"dtmi:dtdl:context;2","extends":"dtmi:none:none;1"}\n', "dtmi:none:none;1"),
    ]:
        result = pollux("twin", "import", "-", given=text)
        assert result.returncode == 1 and says in result.stderr and "panicked" not in result.stderr, (text, result.stderr)
    assert pollux("twin", "import", "/nowhere.ndjson").returncode == 1


@scenario.case("it goes on from a line")
def _():
    header = '{"Section":"Header"}\n{"fileVersion":"1.0.0"}\n{"Section":"Twins"}\n'
    rooms = "".join(ROOM % f"on{number}" for number in range(6))
    equal(figures(well("twin", "import", "-", "--from-line", "7", given=header + rooms)), (0, 3, 0, 0, 0))


scenario.run()
