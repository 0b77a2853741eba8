"""A custom allocation webhook of the test's own."""

import http.server
import json
import threading


class Webhook:
    """Answers every POST with `answer(body) -> (status, JSON or text)`; keeps the bodies it got, and the idempotency keys."""

    def __init__(self, answer):
        self.seen, self.keys = [], []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")
                webhook.seen.append(body)
                webhook.keys.append(self.headers.get("idempotency-key"))
                status, result = answer(body)
                data = (result if isinstance(result, str) else json.dumps(result)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass  # the caller gave up waiting, which is what a slow webhook is for

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://localhost:{self.server.server_port}/api/allocate?code=secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
