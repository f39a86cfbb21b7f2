// A small HTTP service whose state is worth moving: it counts.
//
// GET /         {"count": n}; n is one more for every request, over all clients
// GET /stream   one line with a number every 100 ms until the client goes
// GET /healthz  "ok"
//
// The count lives in memory only. After a move it goes on where it was; a restart would begin at 0.
"use strict";
const http = require("http");

const STREAM_INTERVAL_MS = 100;
let count = 0;

function stream(response) {
  let number = 0;
  response.writeHead(200, { "Content-Type": "text/plain" });
  const timer = setInterval(() => response.write(`${++number}\n`), STREAM_INTERVAL_MS);
  response.on("close", () => clearInterval(timer));
}

const server = http.createServer((request, response) => {
  if (request.url === "/") {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ count: ++count }) + "\n");
  } else if (request.url === "/stream") {
    stream(response);
  } else if (request.url === "/healthz") {
    response.end("ok\n");
  } else {
    response.writeHead(404);
    response.end("try /, /stream or /healthz\n");
  }
});
// Idle connections belong to users who may be moved with the service: do not cut them off.
server.keepAliveTimeout = 3600 * 1000;
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
const port = Number(process.argv[2] || 8081);
server.listen(port, "0.0.0.0", () => console.log(`listening on port ${port}`));
