"""A web server of the test's own that takes CloudEvents, after it was asked whether it wants them."""

import collections
import http.server
import json
import socket
import threading


class Sink:
    """Takes every POST that `judge(event, how often it came)` answers with a status below 300; keeps those, in order.

    `origins` are the values of WebHook-Request-Origin it was asked with; `allows` is what it answers, or None.
    """

    def __init__(self, judge=lambda event, times: 200, allows="*", port=0):
        self.judge, self.allows = judge, allows
        self.taken, self.origins, self.headers = [], [], []
        self.came, self.open = collections.Counter(), set()
        self.lock = threading.Condition()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                sink.open.add(self.connection)

            def finish(self):
                sink.open.discard(self.connection)
                super().finish()

            def do_OPTIONS(self):
                sink.origins.append(self.headers.get("WebHook-Request-Origin"))
                self.answer(200, {"WebHook-Allowed-Origin": sink.allows} if sink.allows else {})

            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                with sink.lock:
                    sink.came[event["id"]] += 1
                    times = sink.came[event["id"]]
                status = sink.judge(event, times)
                if status < 300:
                    with sink.lock:
                        sink.taken.append(event)
                        sink.headers.append({name.lower(): value for name, value in self.headers.items()})
                        sink.lock.notify_all()
                self.answer(status, {"Location": sink.url + "/elsewhere"} if 300 <= status < 400 else {})

            def answer(self, status, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://localhost:{self.server.server_port}/events?code=secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count, seconds=30):
        """The first `count` events that were taken."""
        with self.lock:
            full = self.lock.wait_for(lambda: len(self.taken) >= count, seconds)
            assert full, f"{len(self.taken)} of {count} events came; asked by {self.origins}, POSTs: {sum(self.came.values())}"
            return self.taken[:count]

    def close(self):
        """Takes no more, over connections that are open neither."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already
