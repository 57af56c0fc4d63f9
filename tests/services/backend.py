"""Backends for tests/services.sh: gRPC, WebSocket, and HTTP that flows. Prints their ports, serves until killed."""

import asyncio
import socket
import threading
import time
from concurrent import futures

import grpc
import websockets


def unary(request, context):
    context.set_trailing_metadata((("x-trailer", "behind"),))
    return request


def fails(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100 %")


def many(request, context):
    for n in range(int(request)):
        yield b"%d" % n


def total(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def both(requests, context):
    yield from requests


def slow(request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(30)
    cancelled.append(1)
    return b"late"


def count(request, context):
    return b"%d" % len(cancelled)


cancelled = []


def grpc_server():
    server = grpc.server(
        futures.ThreadPoolExecutor(64),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
        "Many": grpc.unary_stream_rpc_method_handler(many),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Count": grpc.unary_unary_rpc_method_handler(count),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def flowing(connection):
    """A page, events that come one by one, and a poll that is answered a second later."""
    stream = connection.makefile("rb")
    while line := stream.readline():
        path = line.split(b" ")[1]
        while stream.readline() not in (b"\r\n", b""):
            pass
        if path == b"/events":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for n in range(5):
                piece = b"data: %d\n\n" % n
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                time.sleep(0.5)
            connection.sendall(b"0\r\n\r\n")
            continue
        if path == b"/poll":
            time.sleep(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello\n")


def quietly(connection):
    try:
        flowing(connection)
    except OSError:
        pass
    finally:
        connection.close()


def http_server():
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def accept():
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


async def echo(connection):
    async for message in connection:
        if message == "leave":
            await connection.close(4001, "as you wish")
        else:
            await connection.send(message)


async def main():
    server, calls = grpc_server()
    pages = http_server()
    # 200 come at once. What finds no room in the queue is not heard for a second, which is what a connect may take.
    async with websockets.serve(
        echo, "127.0.0.1", 0, subprotocols=["chat.v2", "chat.v1"], max_size=None, backlog=1000
    ) as sockets:
        talks = sockets.sockets[0].getsockname()[1]
        print(calls, pages, talks, flush=True)
        await asyncio.Future()
    server.stop(0)


asyncio.run(main())
