"""The subject, started by the scenario itself: for scenarios that stop it, kill it, or start it as a new user would."""

import json
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path

BINARY = os.environ["SUBJECT_BIN"]


class Server:
    """`pollux serve` on a data folder, ready when the constructor returns."""

    def __init__(self, data, *arguments, cwd=None, seconds=20):
        self.log = open(Path(os.environ["WORK_DIR"]) / "server.log", "ab")
        command = [BINARY, "serve", "--json", *(["--data-dir", str(data)] if data else []), *arguments]
        started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=self.log)
        line = self._first_line(seconds)
        self.ready_after = time.monotonic() - started
        self.connections = json.loads(line)
        trust(self.connections)

    def _first_line(self, seconds):
        waiting = selectors.DefaultSelector()
        waiting.register(self.process.stdout, selectors.EVENT_READ)
        if not waiting.select(seconds):
            self.kill()
            raise AssertionError(f"the server was not ready within {seconds} s")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the server ended with {self.process.wait()} before it was ready: see server.log")
        return line

    def kill(self):
        """kill -9: nothing is flushed, nobody is told."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """SIGTERM; the server ends in order, with exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(15)
        self.process.stdout.close()
        assert code == 0, f"the server stopped with {code}"


def trust(connections):
    """Makes every helper of this process speak to that server."""
    path = Path(os.environ["WORK_DIR"]) / "connections.json"
    path.write_text(json.dumps(connections))
    os.environ["CONNECTIONS"] = str(path)
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        os.environ[variable] = connections["ca"]
