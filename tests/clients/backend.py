"""A backend for tests/clients.sh that does what ordinary servers do seldom. Prints its port, serves until killed."""

import hashlib
import socket
import threading

BIG = 64 * 1024 * 1024


def read_head(stream):
    first = stream.readline()
    if not first:
        return None
    fields = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, value = line.split(b":", 1)
        fields[name.strip().lower()] = value.strip()
    method, target, _ = first.split(b" ")
    return method, target, fields


def read_body(stream, fields):
    """The pieces of a body, by whichever framing it has."""
    if fields.get(b"transfer-encoding") == b"chunked":
        while size := int(stream.readline(), 16):
            yield stream.read(size)
            stream.readline()
        while stream.readline() not in (b"\r\n", b""):
            pass
        return
    left = int(fields.get(b"content-length", b"0"))
    while left:
        piece = stream.read(min(left, 65536))
        if not piece:
            return
        left -= len(piece)
        yield piece


def answer(connection, body, status=b"200 OK", fields=b""):
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n" % (status, len(body), fields)
    connection.sendall(head + body)


def serve(connection):
    stream = connection.makefile("rb")
    while request := read_head(stream):
        method, target, fields = request
        path = target.split(b"?")[0]
        if path == b"/early":
            # The answer comes before the body has been looked at, and nothing of it is read.
            answer(connection, b"no\n", b"413 Too Large", b"connection: close\r\n")
            connection.shutdown(socket.SHUT_WR)
            return
        if fields.get(b"expect", b"").lower() == b"100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, size = hashlib.sha256(), 0
        for piece in read_body(stream, fields):
            digest.update(piece)
            size += len(piece)
        if path == b"/echo":
            answer(connection, b"%d %b\n" % (size, digest.hexdigest().encode()))
        elif path == b"/trailers":
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
                b"5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n"
            )
        elif path == b"/hints":
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
            answer(connection, b"hello\n")
        elif path == b"/old":
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nuntil the end\n")
            connection.close()
            return
        elif path == b"/big":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG)
            piece = b"x" * 65536
            for _ in range(BIG // len(piece)):
                connection.sendall(piece)
        elif method == b"HEAD":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        else:
            answer(connection, b"hello\n")


def quietly(connection):
    try:
        serve(connection)
    except OSError:
        pass
    finally:
        connection.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=quietly, args=(connection,), daemon=True).start()


main()
