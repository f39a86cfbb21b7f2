#!/usr/bin/env python3
"""A small HTTP service whose state is worth moving: it counts.

GET /         {"count": n, "client": "address"}; n is one more for every request, over all clients
GET /peek     the same without counting
GET /stream   one line with a number every 100 ms until the client goes: an open connection to watch
GET /healthz  "ok"

The count lives in memory only. After a move it goes on where it was; a restart would begin at 0.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STREAM_INTERVAL_S = 0.1
IDLE_S = 3600

lock = threading.Lock()
count = 0


def next_count(step):
    global count
    with lock:
        count += step
        return count


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S

    def do_GET(self):
        if self.path == "/":
            self.answer_count(next_count(1))
        elif self.path == "/peek":
            self.answer_count(next_count(0))
        elif self.path == "/stream":
            self.stream()
        elif self.path == "/healthz":
            self.answer(200, "text/plain", b"ok\n")
        else:
            self.answer(404, "text/plain", b"try /, /peek, /stream or /healthz\n")

    do_HEAD = do_GET

    def answer_count(self, value):
        reply = {"count": value, "client": self.client_address[0]}
        self.answer(200, "application/json", json.dumps(reply).encode() + b"\n")

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        pause = threading.Event()
        try:
            while self.command != "HEAD":
                number += 1
                self.wfile.write(b"%d\n" % number)
                self.wfile.flush()
                pause.wait(STREAM_INTERVAL_S)
        except OSError:
            pass  # the client has gone
        self.close_connection = True

    def log_message(self, format, *arguments):
        sys.stderr.write("%s %s\n" % (self.client_address[0], format % arguments))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    Server(("0.0.0.0", port), Handler).serve_forever()
