"""A proxy on this machine that lets every request wait, and counts them: an object store as far away as a real one.

    python delaying_proxy.py TARGET_PORT SECONDS COUNT_FILE

Prints its port, and serves until it is ended. A request is what begins with a method of HTTP; it waits, answers do not.
"""

import asyncio
import sys
from pathlib import Path

METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")


class Proxy:
    """Passes connections on.

    Args:
        target: The port of the server.
        delay: Seconds that each request waits.
        counted: Where the number of requests is kept, as one byte each.
    """

    def __init__(self, target: int, delay: float, counted: Path) -> None:
        self.target = target
        self.delay = delay
        self.counted = counted

    async def serve(self) -> None:
        """Serve for ever."""
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, both ways."""
        to_server = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(
            self.passed(reader, to_server[1], waits=True),
            self.passed(to_server[0], writer, waits=False),
            return_exceptions=True,
        )

    async def passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, waits: bool) -> None:
        """Pass on what comes, to the end."""
        try:
            while data := await reader.read(1 << 16):
                if waits and data.startswith(METHODS):
                    with self.counted.open("ab") as file:
                        file.write(b"x")
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


if __name__ == "__main__":
    asyncio.run(Proxy(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])).serve())
