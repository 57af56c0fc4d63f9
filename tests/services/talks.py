"""A client of WebSocket for tests/services.sh: says for each check `ok WHAT` or `FAILED WHAT: WHY`."""

import asyncio
import ssl
import sys

import websockets

clear, secure, certificate = sys.argv[1:4]
trust = ssl.create_default_context(cafile=certificate)


def check(what, expected, got):
    if expected == got:
        print("ok", what)
    else:
        print(f"FAILED {what}: expected {expected!r}, got {got!r}")


async def talk(way, url, **options):
    async with websockets.connect(url, subprotocols=["chat.v1"], max_size=None, **options) as socket:
        check(f"{way}: subprotocol", "chat.v1", socket.subprotocol)
        compressed = [name for name in map(type, socket.protocol.extensions) if name.__name__ == "PerMessageDeflate"]
        check(f"{way}: permessage-deflate", 1, len(compressed))
        for size in [0, 1, 125, 126, 127, 65535, 65536, 3_000_000]:
            await socket.send("x" * size)
            check(f"{way}: a message of {size}", size, len(await socket.recv()))
        await socket.send(bytes(range(256)))
        check(f"{way}: a binary one", bytes(range(256)), await socket.recv())
        await socket.send(["in ", "three ", "frames"])
        check(f"{way}: a fragmented one", "in three frames", await socket.recv())
        pong = await socket.ping()
        await asyncio.wait_for(pong, 10)
        check(f"{way}: ping and pong", True, pong.done())
        await socket.send("leave")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            check(f"{way}: the service's close", (4001, "as you wish"), (closed.rcvd.code, closed.rcvd.reason))


async def many(url):
    async def one(n):
        async with websockets.connect(url, subprotocols=["chat.v2"]) as socket:
            await socket.send(str(n))
            return await socket.recv()

    answers = await asyncio.gather(*(one(n) for n in range(200)))
    check("200 at once", [str(n) for n in range(200)], answers)


async def main():
    await talk("ws", f"ws://{clear}/talk")
    await talk("wss", f"wss://{secure.replace('127.0.0.1', 'localhost')}/talk", ssl=trust)
    await many(f"ws://{clear}/talk")


asyncio.run(asyncio.wait_for(main(), 60))
