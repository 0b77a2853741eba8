"""The subject, started by the scenario itself: for scenarios that stop it, kill it, or start it as a new user would.

The runner has started what it keeps its state and events in; `SUBJECT_NODES` has the settings of each node (one without any,
when the variable is absent). Several nodes are started, killed and stopped together, and reached through a balancer.
"""

import http.client
import json
import os
import selectors
import signal
import ssl
import subprocess
import time
from pathlib import Path

from . import eventually

BINARY = os.environ["SUBJECT_BIN"]
WORK = Path(os.environ["WORK_DIR"])
NODES = json.loads(os.environ.get("SUBJECT_NODES", "[{}]"))


class Server:
    """`pollux serve` on a data folder, ready when the constructor returns."""

    def __init__(self, data, *arguments, cwd=None, seconds=20):
        started = time.monotonic()
        self.nodes = []
        try:
            for number, settings in enumerate(NODES, 1):
                folder = data if number == 1 else f"{data or WORK / 'data'}-{number}"
                self.nodes.append(Node(folder, number, settings, arguments, cwd))
            lines = [node.first_line(seconds) for node in self.nodes]
            self.connections = json.loads(lines[0])
            trust(self.connections)
            if len(self.nodes) > 1:
                eventually(lambda: balanced(self.connections), what="a node that the balancer sends clients to")
        except BaseException:
            self.kill()
            raise
        self.ready_after = time.monotonic() - started

    def kill(self):
        """kill -9 of every node: nothing is flushed, nobody is told."""
        for node in self.nodes:
            node.process.send_signal(signal.SIGKILL)
        for node in self.nodes:
            node.wait()

    def kill_node(self, index):
        """kill -9 of one node, from 0; the others go on."""
        self.nodes[index].process.send_signal(signal.SIGKILL)
        self.nodes[index].wait()

    def start_node(self, index, seconds=20):
        """Starts a node that was killed; it is ready when this returns."""
        self.nodes[index] = Node(*self.nodes[index].how)
        self.nodes[index].first_line(seconds)

    def stop(self):
        """SIGTERM to every node; each ends in order, with exit code 0."""
        for node in self.nodes:
            node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            code = node.wait(15)
            assert code == 0, f"the server stopped with {code}"


    def stops_in_order(self):
        """The same, and nothing panicked while it ran."""
        self.stop()
        for path in WORK.glob("server*.log"):
            log = path.read_text(errors="replace")
            assert "panicked at" not in log, log[log.index("panicked at") :][:400]


class Node:
    """One process of the subject; its log is server.log, server-2.log, …."""

    def __init__(self, data, number, settings, arguments, cwd):
        self.how = (data, number, settings, arguments, cwd)
        log = WORK / ("server.log" if number == 1 else f"server-{number}.log")
        command = [BINARY, "serve", "--json", *(["--data-dir", str(data)] if data else []), *arguments]
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=os.environ | settings, stdout=subprocess.PIPE, stderr=out
            )
        self.log = log

    def first_line(self, seconds):
        waiting = selectors.DefaultSelector()
        waiting.register(self.process.stdout, selectors.EVENT_READ)
        if not waiting.select(seconds):
            raise AssertionError(f"the server was not ready within {seconds} s: see {self.log.name}")
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise AssertionError(f"the server ended with {code} before it was ready: see {self.log.name}")
        return line

    def wait(self, seconds=None):
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code


def balanced(connections):
    """True once the balancer has found a node that is ready."""
    trusted = ssl.create_default_context(cafile=connections["ca"])
    asked = http.client.HTTPSConnection("localhost", connections["ports"]["https"][0], timeout=5, context=trusted)
    try:
        asked.request("GET", "/ready")
        return asked.getresponse().status == 200
    finally:
        asked.close()


def trust(connections):
    """Makes every helper of this process speak to that server."""
    path = WORK / "connections.json"
    written = path.with_suffix(".new")
    written.write_text(json.dumps(connections))
    written.replace(path)  # threads of the script read it at any time
    os.environ["CONNECTIONS"] = str(path)
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        os.environ[variable] = connections["ca"]
