"""A service with three random generators of its own: OpenSSL's, Python's and, in a child, Node's.

GET / draws from each: {"openssl": HEX, "python": HEX, "node": HEX}. Every other answer than the
generators' is the same in every copy of this memory.
"""
import http.server
import json
import random
import ssl
import subprocess
import sys

node = subprocess.Popen(["/usr/bin/node", "/srv/dice.js"], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE)


def draw():
    node.stdin.write(b"draw\n")
    node.stdin.flush()
    return {
        "openssl": ssl.RAND_bytes(16).hex(),
        "python": random.randbytes(16).hex(),
        "node": node.stdout.readline().decode().strip(),
    }


class Dice(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(draw()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


draw()  # seeded from here on
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Dice).serve_forever()
