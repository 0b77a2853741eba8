# about: 158 recorded sessions with the real Azure Digital Twins service, replayed; what needs an instance that was in use, on one
# timeout: 240
"""Replays `cases/adt-recordings` of $SHARED_DIR with the tool that came with them.

All of them on an empty instance first, one after the other. Those that cannot hold there are listed in
`recordings/known.toml`, each with its reason and with what it found when it was made: that is laid out, and it is
replayed again, alone. One that is listed and holds on the empty instance fails the run.
"""

import contextlib
import io
import os
import re
import runpy
import sys
import tomllib
from pathlib import Path

import yaml
from azure.core.exceptions import ResourceExistsError

from lib import CONFORMANCE, Scenario, connections, equal, out
from lib.rest import bearer
from lib.twins import clear, client

CASES = Path(os.environ.get("SHARED_DIR", "/nonexistent")) / "cases/adt-recordings"
LIST = tomllib.loads((CONFORMANCE / "python/recordings/known.toml").read_text())
KNOWN = {entry["name"]: entry for entry in LIST["recording"]}
twins = client()
scenario = Scenario()
# The tool reads with Python's own parser, which takes most of the time; the C one reads the same.
yaml.safe_load = lambda stream: yaml.load(stream, Loader=yaml.CSafeLoader)


def replay(names=""):
    """The replayed recordings whose path contains `names`: how many held, and why each other one did not."""
    subject = connections()
    arguments = ["replay.py", subject["twins"][0]["url"], subject["ca"], str(CASES / "python"), names]
    os.environ["ADT_TOKEN"] = bearer().removeprefix("Bearer ")
    said, kept = io.StringIO(), sys.argv
    try:
        sys.argv = arguments
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(CASES / "tools/replay.py"))
    finally:
        sys.argv = kept
    text = said.getvalue()
    held = int(re.search(r"recordings ok=(\d+) bad=\d+", text).group(1))
    failed = dict(line.split(" ", 2)[1:] for line in text.splitlines() if line.startswith("FAIL "))
    return held, failed


def interface(identifier, parts):
    contents = LIST["contents"].get(identifier, [])
    contents = contents + [{"@type": "Component", "name": "Component1", "schema": part} for part in parts]
    return {"@id": identifier, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": contents}


def lay_out(found):
    """What a recording found; it brings its models itself where it deletes these first."""
    parts = found.get("components", {})
    twins.create_models([interface(one, parts.get(one, [])) for one in found.get("models", [])])
    for identifier, model in found.get("twins", {}).items():
        with contextlib.suppress(ResourceExistsError):
            twins.create_models([interface(model, parts.get(model, []))])
        empty = {"Component1": {"$metadata": {}}} if model in parts else {}
        twins.upsert_digital_twin(identifier, {"$metadata": {"$model": model}} | empty)
    for source, identifier, name, target, restricted in found.get("relationships", []):
        row = {"$relationshipId": identifier, "$sourceId": source, "$relationshipName": name, "$targetId": target}
        twins.upsert_relationship(source, identifier, row | {"isAccessRestricted": restricted})
    for model in found.get("gone", []):
        twins.delete_model(model)


@scenario.case("all recordings on an empty instance: each holds, or is listed with its reason")
def _():
    held, failed = replay()
    out({"note": f"{held} of {held + len(failed)} recordings hold on an empty instance; {len(KNOWN)} are listed"})
    unlisted = {name: why for name, why in failed.items() if name not in KNOWN}
    assert not unlisted, f"not listed: {unlisted}"
    stale = sorted(KNOWN.keys() - failed.keys())
    assert not stale, f"listed in recordings/known.toml, but they hold: drop the entries of {stale}"


@scenario.each([(name, entry) for name, entry in KNOWN.items()], "{} holds on what it found when it was made")
def _(name, entry):
    assert entry["reason"].strip(), "an entry needs its reason"
    clear(twins)
    lay_out(entry)
    equal(replay(name), (1, {}))


if CASES.is_dir():
    scenario.run()
out({"name": "recordings", "skip": f"no recordings at {CASES}: set SHARED_DIR"})
