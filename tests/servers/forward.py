"""python -m tests.servers.forward LISTEN_HOST TARGET_HOST PORT...: passes TCP connections on, each port to its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from functools import partial


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()


async def _pass_on(target: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        its_reader, its_writer = await asyncio.open_connection(target, port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, its_writer), _copy(its_reader, writer))


async def _serve(listen: str, target: str, ports: list[int]) -> None:
    for port in ports:
        await asyncio.start_server(partial(_pass_on, target, port), listen, port)
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
