"""What clients send."""

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Callable

CONNECTIONS = 8
PLAIN = b"GET /shop/shoes HTTP/1.1\r\nhost: shop.example\r\nuser-agent: bench/1\r\naccept: */*\r\n\r\n"
POST = b"POST /shop/cart HTTP/1.1\r\nhost: shop.example\r\nuser-agent: bench/1\r\naccept: */*\r\n" \
       b"content-type: application/octet-stream\r\ncontent-length: 65536\r\n\r\n" + b"y" * 65536
PUT = POST.replace(b"POST", b"PUT", 1)
# With the key of RFC 6455 section 1.3, whose acceptance is known.
CHANGE = b"GET /shop/news HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n" \
         b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
# Eighteen fields, and the host and the cookies (of 2 KiB).
BROWSER = b"""GET /shop/shoes?colour=red&size=42&page=2 HTTP/1.1
Host: shop.example
Connection: keep-alive
Cache-Control: max-age=0
sec-ch-ua: "Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Referer: http://shop.example/shop/shoes?colour=red&size=42&page=1
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7
DNT: 1
Priority: u=0, i
If-None-Match: "5f3c-1a2b3c4d5e6f"
Cookie: """.replace(b"\n", b"\r\n") + b"; ".join(b"%s=%s" % (name, name * 24) for name in (
    b"_ga_12", b"consent", b"basket_id", b"theme-dark", b"last_seen", b"abtest_1", b"_fbp", b"session-hint", b"lang"))


class Http1:
    """Connections that are kept, in turn."""

    def __init__(self, port, request, tls=False, sticky=False):
        self.port, self.tls, self.request, self.turn = port, tls, request, 0
        self.streams = [self.connect() for _ in range(CONNECTIONS)]
        if sticky:
            answer = exchange(self.streams[0], request + b"\r\n\r\n")
            fields = [line.split(b": ", 1) for line in answer.split(b"\r\n")]
            cookie = next(field[1] for field in fields if field[0].lower() == b"set-cookie").split(b";")[0]
            self.request += b"; " + cookie + b"\r\n\r\n"

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.port))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            stream = context.wrap_socket(stream, server_hostname="shop.example")
        return stream

    def run(self, requests):
        for _ in range(requests):
            self.turn = (self.turn + 1) % len(self.streams)
            exchange(self.streams[self.turn], self.request)

    def close(self):
        for stream in self.streams:
            stream.close()


class Http1Anew(Http1):
    """A connection for each request."""

    def run(self, requests):
        for _ in range(requests):
            with self.connect() as stream:
                exchange(stream, self.request)


class WebSocket(Http1):
    """Connections that have changed their protocol, in turn."""

    MESSAGE = b"\x82\xc0" + bytes(4) + b"x" * 64
    ECHO = b"\x82\x40" + b"x" * 64

    def connect(self):
        stream = super().connect()
        stream.sendall(self.request)
        got = b""
        while not got.endswith(b"\r\n\r\n"):
            got += some(stream)
        if not got.startswith(b"HTTP/1.1 101 "):
            raise SystemExit(f"no WebSocket: {got}")
        return stream

    def run(self, requests):
        for _ in range(requests):
            self.turn = (self.turn + 1) % len(self.streams)
            stream, got = self.streams[self.turn], b""
            stream.sendall(self.MESSAGE)
            while len(got) < len(self.ECHO):
                got += some(stream)
            if got != self.ECHO:
                raise SystemExit(f"not the echo: {got}")


def exchange(stream, request):
    """Sends it; the head of the answer, whose body has been read."""
    stream.sendall(request)
    got = b""
    while b"\r\n\r\n" not in got:
        got += some(stream)
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"not the answer that is measured: {head}")
    length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")))
    while len(body) < length:
        body += some(stream)
    return head


def some(stream):
    more = stream.recv(1 << 17)
    if not more:
        raise SystemExit("the connection ended")
    return more


class Http2:
    """One connection without TLS, sixteen streams at a time."""

    STREAMS = 16
    # RFC 7541: indexed fields of the static table; the others are literals that enter the dynamic table, once.
    FIRST = b"\x82\x86\x04\x0b/shop/shoes\x41\x0cshop.example\x7a\x07bench/1\x53\x03*/*"
    LATER = b"\x82\x86\x04\x0b/shop/shoes\xc0\xbf\xbe"

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port))
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        self.next, self.block, self.got = 1, self.FIRST, b""

    def run(self, requests):
        for _ in range(requests // self.STREAMS):
            # What the batch before took of the connection's window is given back.
            batch = frame(8, 0, 0, struct.pack(">I", self.STREAMS * 1024))
            for _ in range(self.STREAMS):
                batch += frame(1, 0x5, self.next, self.block)
                self.next, self.block = self.next + 2, self.LATER
            self.stream.sendall(batch)
            ended = 0
            while ended < self.STREAMS:
                kind, flags, payload = self.read()
                if kind in (3, 7):
                    raise SystemExit(f"the balancer gave up: {kind} {payload}")
                if kind == 4 and not flags & 1:
                    self.stream.sendall(frame(4, 1, 0, b""))
                ended += kind in (0, 1) and flags & 1

    def read(self):
        while len(self.got) < 9 or len(self.got) < 9 + int.from_bytes(self.got[:3], "big"):
            self.got += some(self.stream)
        length = int.from_bytes(self.got[:3], "big")
        one, self.got = self.got[:9 + length], self.got[9 + length:]
        return one[3], one[4], one[9:]

    def close(self):
        self.stream.close()


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


@dataclass
class Scenario:
    name: str
    story: str
    load: Callable
    requests: int = 800
    warm_up: int = 160
    tls: bool = False
    sticky: bool = False
    # What the configuration says in the tables of these names, and of the pool beyond its backends.
    log: str = 'path = "{folder}/access.log"'
    limits: str = 'connections = 1000\nconnections_per_client = 1000\nbody_bytes = "10MiB"'
    pool: str = ""


ALL = [
    Scenario("keep-alive", "HTTP/1.1, GET of 1 KiB", lambda port: Http1(port, PLAIN)),
    Scenario("browser", "HTTP/1.1, 20 fields with 2 KiB of cookies, sticky",
             lambda port: Http1(port, BROWSER, sticky=True), sticky=True),
    Scenario("post", "HTTP/1.1, POST of 64 KiB", lambda port: Http1(port, POST), requests=400),
    Scenario("new", "HTTP/1.1, a connection for each GET", lambda port: Http1Anew(port, PLAIN)),
    Scenario("tls", "HTTP/1.1 in TLS, GET of 1 KiB", lambda port: Http1(port, PLAIN, tls=True), tls=True),
    Scenario("ws", "WebSocket, a message of 64 bytes and its echo", lambda port: WebSocket(port, CHANGE)),
    Scenario("h2", "HTTP/2 without TLS, 16 streams at a time", Http2),
]
