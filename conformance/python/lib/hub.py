"""What scenarios of a hub share: what azure-iot-hub is refused, and the command line against the running subject."""

import json
import subprocess

from msrest.exceptions import HttpOperationError

from . import WORK, connections, equal
from .server import BINARY


def refused(call, *arguments):
    """The status that a call of azure-iot-hub is refused with."""
    try:
        call(*arguments)
    except HttpOperationError as error:
        return error.response.status_code
    raise AssertionError("it was not refused")


def pollux(*arguments, status=0):
    """`pollux hub …`: what it prints, as JSON where it is; what it complains of where it fails as it should."""
    (WORK / "data").mkdir(exist_ok=True)
    (WORK / "data" / "connections.json").write_text(json.dumps(connections()))
    command = [BINARY, "--data-dir", WORK / "data", "--json", "hub", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    equal(run.returncode, status, run.stderr)
    return json.loads(run.stdout) if run.stdout.startswith(("{", "[")) else run.stdout + run.stderr
