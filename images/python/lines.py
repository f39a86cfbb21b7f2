"""A small TCP service with asyncio: every line comes back with its number on this connection.

What it knows of a connection is in its memory only: after a move the numbers go on.
"""

import asyncio
import sys

LINE_BYTES_MAX = 64 << 10


async def serve(reader, writer):
    number = 0
    try:
        while line := await reader.readline():
            number += 1
            writer.write(b"%d %s" % (number, line))
            await writer.drain()
    except (ConnectionError, ValueError):
        pass  # the client has gone, or its line has no end
    finally:
        writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "0.0.0.0", port, limit=LINE_BYTES_MAX)
    print("listening on port %d" % port, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7000))
