"""Runs nats-server with nats.conf on free ports and tries what the user may and may not do: `nats.py FILE`.

The file is the one that is deployed but for addresses and the folder (and sync_interval, before nats-server 2.10).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PATIENCE = 10  # seconds until the server must answer


class Client:
    """As much of NATS' text protocol as is needed here."""

    def __init__(self, port, **login):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.lines = self.socket.makefile("rb")
        self.info = json.loads(self.lines.readline().split(b" ", 1)[1])
        connect = {"verbose": False, "pedantic": False, "lang": "check", "version": "0", "headers": True, **login}
        self.refused = self.say(f"CONNECT {json.dumps(connect)}\r\n".encode())

    def say(self, words):
        """Sends words and a PING, reads to its PONG; the errors that came before it, or that the server hung up."""
        errors = []
        try:
            self.socket.sendall(words + b"PING\r\n")
            for line in self.lines:
                if line == b"PONG\r\n":
                    return errors
                if line == b"PING\r\n":
                    self.socket.sendall(b"PONG\r\n")
                elif line.startswith(b"-ERR"):
                    errors.append(line.decode().strip())
        except ConnectionError:
            pass  # it hangs up on whom it does not let in, and may do so while we write
        return [*errors, "closed"]

    def publish(self, subject, payload=b"{}"):
        return self.say(b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))

    def subscribe(self, subject):
        return self.say(f"SUB {subject} 1\r\n".encode())


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def try_rights(port):
    for login in ({}, {"user": "pollux", "pass": "wrong"}):
        if not Client(port, **login).refused:
            sys.exit(f"lets in {login}")
    client = Client(port, user="pollux", **{"pass": os.environ["NATS_PASSWORD"]})
    if client.refused:
        sys.exit(f"does not let in the user: {client.refused}")
    if client.info["max_payload"] < 4 << 20 or not client.info.get("jetstream"):
        sys.exit(f"too small a payload, or no JetStream: {client.info}")
    ours = ("pollux.device.hub.d1", "pollux.log.ns.hub.0.0", "$KV.pollux-catalog.ns.hub", "$JS.API.INFO", "_INBOX.a")
    for subject in ours:
        if refused := client.publish(subject):
            sys.exit(f"may not publish {subject}: {refused}")
    for subject in ("pollux.>", "$KV.pollux-catalog.>", "_INBOX.a.*"):
        if refused := client.subscribe(subject):
            sys.exit(f"may not subscribe to {subject}: {refused}")
    for subject in ("other.a", "$KV.other.a", "$SYS.REQ.SERVER.PING"):
        if not client.publish(subject):
            sys.exit(f"may publish {subject}")
    for subject in (">", "other.>", "$SYS.>"):
        if not client.subscribe(subject):
            sys.exit(f"may subscribe to {subject}")


def main(path):
    with tempfile.TemporaryDirectory() as folder:
        port, monitor = free_port(), free_port()
        text = Path(path).read_text()
        places = {
            "0.0.0.0:4222": f"127.0.0.1:{port}",
            "127.0.0.1:8222": f"127.0.0.1:{monitor}",
            "store_dir: /data": f"store_dir: {folder}/data",
        }
        for was, put in places.items():
            if was not in text:
                sys.exit(f"the check does not find {was}")
            text = text.replace(was, put)
        config = Path(folder, "nats.conf")
        config.write_text(text)
        server = subprocess.Popen(["nats-server", "--config", str(config)])
        try:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > end or server.poll() is not None:
                        sys.exit("nats-server does not start")
                    time.sleep(0.05)
            try_rights(port)
        finally:
            server.kill()
            server.wait()


main(sys.argv[1])
