"""Runs haproxy.cfg before stubs of three nodes on free ports: who gets connections when nodes are ready, drain, or die.

The configuration is the one that is deployed but for addresses, ports and the pace of its checks.
"""

import http.server
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PATIENCE = 10  # seconds until a change must have been seen
DEVICES = (8883, 5671)  # MQTT and AMQP


def skip(why):
    print(f"skip: {why}")
    sys.exit(77)


class Node:
    """Answers /health and /ready over TLS, and its name on the MQTT port."""

    def __init__(self, name, certificate):
        self.name, self.ready = name, True
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status = 503 if self.path == "/ready" and not node.ready else 200
                body = node.name.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.set_alpn_protocols(["http/1.1"])
        self.https = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # The handshake is made on the connection's own thread: one that never comes does not stop the others.
        self.https.socket = context.wrap_socket(self.https.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.https.serve_forever, daemon=True).start()
        self.mqtt = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.greet, daemon=True).start()

    def greet(self):
        while True:
            try:
                connection, _ = self.mqtt.accept()
            except OSError:
                return
            with connection:
                connection.sendall(self.name.encode())

    def die(self):
        self.https.shutdown()
        self.https.server_close()
        self.mqtt.shutdown(socket.SHUT_RDWR)
        self.mqtt.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def configuration(text, nodes, ports):
    for node in nodes:
        text = text.replace(f" {node.name}:8443", f" 127.0.0.1:{node.https.server_address[1]}")
        # Devices' protocols are one to the balancer: a port that leads somewhere.
        for port in DEVICES:
            text = text.replace(f" {node.name}:{port}", f" 127.0.0.1:{node.mqtt.getsockname()[1]}")
    for port, free in ports.items():
        text = text.replace(f"bind *:{port}\n", f"bind 127.0.0.1:{free}\n")
    text = re.sub(r"inter 2s fastinter 500ms", "inter 100ms fastinter 100ms", text)
    text = re.sub(r"slowstart \S+", "slowstart 1s", text)
    text = re.sub(r"maxconn \d+", "maxconn 500", text)  # each needs two open files
    left = re.search(r"\*:\d+|node-\d:\d+", text)
    if left:
        sys.exit(f"the check does not know what to put for {left.group()}")
    return text


def over_tls(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=3) as plain, context.wrap_socket(plain) as stream:
        stream.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: stream.recv(4096), b"")).decode()
    return answer.split()[1], answer.rsplit("\r\n", 1)[1]


def over_tcp(port):
    with socket.create_connection(("127.0.0.1", port), timeout=3) as stream:
        return stream.recv(100).decode()


def served(port, ask):
    """Who answers twelve connections; None for one that is cut off."""
    answers = set()
    for _ in range(12):
        try:
            answers.add(ask(port) or None)
        except OSError:
            answers.add(None)
    return answers


def expect(what, ports, status, names):
    wanted_https = {(status, name) for name in names} or {None}
    wanted_devices = set(names) or {None}
    end, seen = time.monotonic() + PATIENCE, None
    while time.monotonic() < end:
        seen = [served(ports[port], over_tls) for port in (443, 8443)]
        seen += [served(ports[port], over_tcp) for port in DEVICES]
        if seen == [wanted_https] * 2 + [wanted_devices] * len(DEVICES):
            print(f"{what}: as it should be")
            return
        time.sleep(0.1)
    sys.exit(f"{what}: expected {sorted(names)} with {status}, saw {seen}")


def main(path):
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "node.pem")
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        make += ["-days", "1", "-subj", "/CN=localhost", "-keyout", str(certificate), "-out", str(certificate) + ".crt"]
        try:
            subprocess.run(make, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            skip(f"openssl makes no certificate: {error}")
        certificate.write_text(certificate.read_text() + Path(str(certificate) + ".crt").read_text())
        nodes = [Node(f"node-{number}", certificate) for number in (1, 2, 3)]
        ports = {port: free_port() for port in (443, 8443, *DEVICES)}
        config = Path(folder, "haproxy.cfg")
        config.write_text(configuration(Path(path).read_text(), nodes, ports))
        balancer = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stderr=subprocess.STDOUT)
        try:
            expect("all ready", ports, "200", {"node-1", "node-2", "node-3"})
            nodes[0].ready = False
            expect("node-1 is not ready", ports, "200", {"node-2", "node-3"})
            nodes[1].die()
            expect("node-2 is dead as well", ports, "200", {"node-3"})
            nodes[2].ready = False
            expect("none is ready, two are alive", ports, "503", {"node-1", "node-3"})
            nodes[0].ready = True
            expect("node-1 is ready again", ports, "200", {"node-1"})
        finally:
            balancer.kill()
            balancer.wait()


main(sys.argv[1])
