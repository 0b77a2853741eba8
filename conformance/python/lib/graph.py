"""A building graph as a file in the form of Azure's import jobs: sites, buildings, levels, rooms and sensors of RealEstateCore."""

import json
import sys
from pathlib import Path

REC = "dtmi:org:w3id:rec:{};1"
SENSOR = "dtmi:org:brickschema:schema:Brick:Temperature_Sensor;1"
COMPONENTS = [("area", "capacity"), ("lastKnownValue",)]  # of spaces, of sensors
HEADER = [{"Section": "Header"}, {"fileVersion": "1.0.0", "author": "pollux", "organization": "conformance"}]


def interfaces(folder):
    """The interfaces of an ontology, in order of their files."""
    for path in sorted(Path(folder).rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        yield from content if isinstance(content, list) else [content]


def places(twins):
    """(id, model, parent, contents) of so many twins, parents first: 10 rooms a level, 10 levels a building, 8 sensors a room."""
    made = 0

    def place(identifier, model, parent, **contents):
        nonlocal made
        made += 1
        return identifier, REC.format(model) if ":" not in model else model, parent, contents

    yield place("site", "Site", None, name="The site")
    building = 0
    while made < twins:
        building += 1
        at = f"building{building}"
        yield place(at, "Building", "site", name=f"Building {building}")
        for level in range(10):
            if made >= twins:
                return
            on = f"{at}-level{level}"
            yield place(on, "Level", at, name=f"Level {level}", levelNumber=level)
            for room in range(10):
                if made >= twins:
                    return
                inside = f"{on}-room{room}"
                yield place(inside, "Room", on, name=f"Room {level}.{room:02}", identifiers={"door": f"{level}{room:02}"})
                for sensor in range(8):
                    if made >= twins:
                        return
                    yield place(f"{inside}-sensor{sensor}", SENSOR, inside, identifiers={"serial": f"{made:08}"})


def relationships(twins):
    """Three for each twin but the site."""
    for identifier, model, parent, _ in places(twins):
        if parent is None:
            continue
        ways = ("isLocationOf", "isPointOf") if model == SENSOR else ("hasPart", "isPartOf")
        yield parent, f"{identifier}-in", ways[0], identifier
        yield identifier, f"{identifier}-up", ways[1], parent
        yield "site", f"{identifier}-all", "isLocationOf", identifier


def write(path, twins, models=None):
    """Writes a graph file; gives how many twins and relationships are in it."""
    count = [0, 0]
    with open(path, "w", encoding="utf-8") as file:

        def line(document):
            file.write(json.dumps(document, separators=(",", ":")) + "\n")

        for document in HEADER:
            line(document)
        if models:
            line({"Section": "Models"})
            for model in models:
                line(model)
        line({"Section": "Twins"})
        for identifier, model, _, contents in places(twins):
            components = {name: {"$metadata": {}} for name in COMPONENTS[model == SENSOR]}
            line({"$dtId": identifier, "$metadata": {"$model": model}, **contents, **components})
            count[0] += 1
        line({"Section": "Relationships"})
        for source, identifier, name, target in relationships(twins):
            line({"$dtId": source, "$relationshipId": identifier, "$relationshipName": name, "$targetId": target})
            count[1] += 1
    return tuple(count)


if __name__ == "__main__":  # graph.py FILE TWINS MODELS
    print(write(sys.argv[1], int(sys.argv[2]), interfaces(sys.argv[3])))
