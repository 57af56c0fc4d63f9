#!/usr/bin/env python3
"""Writes the seeds of all fuzzers: corpus/TARGET/NAME, a few dozen small, realistic inputs each.

The files are committed, so that nobody needs to run this to fuzz. What a fuzzer finds on its way belongs
elsewhere: name another folder before this one, as .ci/run does.
"""

import base64
import hashlib
import hmac
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
END = b"\r\n\r\n"


def head(*lines):
    return "\r\n".join(lines).encode("latin-1") + END


def request_heads():
    browser = [
        "Host: shop.example",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language: de,en-US;q=0.7",
        "Accept-Encoding: gzip, deflate, br",
        "Cookie: fc=v1.AAAA.AAAA; session=abc; theme=\"dark\"",
        "Connection: keep-alive",
    ]
    yield "get", head("GET / HTTP/1.1", "Host: a")
    yield "browser", head("GET /shoes/42?size=43&q=%C3%BC HTTP/1.1", *browser)
    yield "http10", head("GET / HTTP/1.0")
    yield "http10-keep", head("GET / HTTP/1.0", "Host: a", "Connection: keep-alive")
    yield "http2", head("GET / HTTP/2.0", "Host: a")
    yield "preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "close", head("GET / HTTP/1.1", "Host: a", "Connection: close")
    yield "absolute", head("GET http://Shop.Example:80/a?b HTTP/1.1", "Host: other")
    yield "absolute-bare", head("GET http://shop.example HTTP/1.1", "Host: shop.example")
    yield "absolute-query", head("GET http://shop.example?a=b HTTP/1.1", "Host: shop.example")
    yield "asterisk", head("OPTIONS * HTTP/1.1", "Host: a")
    yield "asterisk-absolute", head("OPTIONS http://a.example HTTP/1.1", "Host: a.example")
    yield "connect", head("CONNECT shop.example:443 HTTP/1.1", "Host: shop.example:443")
    yield "userinfo", head("GET http://user@shop.example/ HTTP/1.1", "Host: shop.example")
    yield "ipv6", head("GET / HTTP/1.1", "Host: [2001:DB8::1]:8080")
    yield "host-dot", head("GET / HTTP/1.1", "Host: shop.example.")
    yield "host-empty", head("GET / HTTP/1.1", "Host:")
    yield "host-twice", head("GET / HTTP/1.1", "Host: a", "Host: a")
    yield "host-none", head("GET / HTTP/1.1", "Accept: */*")
    yield "path-odd", head("GET //a/../b/%2e%2E/%2F;x=<>^`{|}\\\" HTTP/1.1", "Host: a")
    yield "fragment", head("GET /a#b HTTP/1.1", "Host: a")
    yield "length", head("POST /cart HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello"
    yield "length-more", head("POST /cart HTTP/1.1", "Host: a", "Content-Length: 5") + b"helloGET / HTTP/1.1"
    yield "length-cut", head("POST /cart HTTP/1.1", "Host: a", "Content-Length: 50") + b"hello"
    yield "length-zero", head("POST / HTTP/1.1", "Host: a", "Content-Length: 000")
    yield "length-plus", head("POST / HTTP/1.1", "Host: a", "Content-Length: +5") + b"hello"
    yield "length-list", head("POST / HTTP/1.1", "Host: a", "Content-Length: 5, 5") + b"hello"
    yield "length-twice", head("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 5") + b"hello"
    yield "length-huge", head("POST / HTTP/1.1", "Host: a", "Content-Length: 9223372036854775808")
    yield "length-under", head("POST / HTTP/1.1", "Host: a", "Content_Length: 5") + b"hello"
    chunked = ["POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"]
    yield "chunked", head(*chunked) + b"5\r\nhello\r\n0\r\n\r\n"
    yield "chunked-trailers", head(*chunked, "TE: trailers", "Trailer: x-sum") + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    yield "chunked-cut", head(*chunked) + b"5\r\nhel"
    yield "chunked-length", head(*chunked, "Content-Length: 5") + b"0\r\n\r\n"
    yield "chunked-gzip", head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"
    yield "chunked-twice", head(*chunked, "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield "chunked-http10", head("POST / HTTP/1.0", "Host: a", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield "expect", head("PUT /a HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 2") + b"ab"
    yield "upgrade", head("GET /chat HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket")
    yield "connection-names", head("GET / HTTP/1.1", "Host: a", "Connection: X-Secret, close", "X-Secret: 1")
    yield "folded", head("GET / HTTP/1.1", "Host: a", "X: b", " c")
    yield "space-colon", head("GET / HTTP/1.1", "Host : a")
    yield "bare-lf", b"GET / HTTP/1.1\nHost: a\n\n"
    yield "bare-cr", head("GET / HTTP/1.1", "Host: a\rX: b")
    yield "nul", head("GET / HTTP/1.1", "Host: a", "X: a\0b")
    yield "latin1", head("GET / HTTP/1.1", "Host: a", "X: caf\xe9", "Y:\t\t \t")
    yield "odd-method", head("M-SEARCH * HTTP/1.1", "Host: a")
    yield "many", head("GET / HTTP/1.1", "Host: a", *["a: b"] * 100)


def response_heads():
    def answer(status, *fields, body=b"", version="1.1"):
        return head(f"HTTP/{version} {status}", *fields) + body

    yield "ok", answer("200 OK", "Content-Length: 5", body=b"hello")
    yield "page", answer(
        "200 OK", "Server: nginx/1.26.0", "Date: Mon, 16 Jun 2025 10:00:00 GMT", "Content-Type: text/html",
        "Content-Length: 13", "Connection: keep-alive", "ETag: \"a-b\"", "Cache-Control: no-store", "Vary: Accept-Encoding",
        "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; HttpOnly", body=b"<p>hello</p>\n")
    yield "no-reason", answer("200 ", "Content-Length: 0")
    yield "no-space", answer("200", "Content-Length: 0")
    yield "odd-reason", answer("200 Gr\xfc\xdfe\tdich", "Content-Length: 0")
    yield "until-close", answer("200 OK", body=b"all that comes")
    yield "http10", answer("200 OK", "Content-Length: 2", body=b"ab", version="1.0")
    yield "http10-keep", answer("200 OK", "Connection: keep-alive", "Content-Length: 2", body=b"ab", version="1.0")
    yield "http10-chunked", answer("200 OK", "Transfer-Encoding: chunked", body=b"0\r\n\r\n", version="1.0")
    yield "chunked", answer("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n")
    yield "chunked-trailers", answer("200 OK", "Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\ngrpc-status: 0\r\n\r\n")
    yield "chunked-cut", answer("200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhel")
    yield "chunked-length", answer("200 OK", "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n")
    yield "chunked-gzip", answer("200 OK", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")
    yield "cut", answer("200 OK", "Content-Length: 10", body=b"ab")
    yield "more", answer("200 OK", "Content-Length: 1", body=b"abHTTP/1.1 500 No\r\n\r\n")
    yield "length-twice", answer("200 OK", "Content-Length: 1", "Content-Length: 1", body=b"a")
    yield "length-two", answer("200 OK", "Content-Length: 1", "Content-Length: 2", body=b"ab")
    yield "length-list", answer("200 OK", "Content-Length: 1,1", body=b"a")
    yield "no-content", answer("204 No Content")
    yield "no-content-zero", answer("204 No Content", "Content-Length: 0")
    yield "no-content-more", answer("204 No Content", "Content-Length: 5", body=b"hello")
    yield "not-modified", answer("304 Not Modified", "ETag: \"a\"", "Content-Length: 500")
    yield "moved", answer("301 Moved Permanently", "Location: https://shop.example/", "Content-Length: 0")
    yield "continue", answer("100 Continue", body=answer("200 OK", "Content-Length: 0"))
    yield "early-hints", answer("103 Early Hints", "Link: </a.css>; rel=preload", body=answer("200 OK", "Content-Length: 0"))
    yield "switching", answer("101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket", body=b"\x81\x00")
    yield "not-found", answer("404 Not Found", "Content-Length: 0", "Connection: close")
    yield "failure", answer("503 Service Unavailable", "Retry-After: 5", "Content-Length: 2", body=b"no")
    yield "status-999", answer("999 Odd", "Content-Length: 0")
    yield "status-099", answer("099 Odd", "Content-Length: 0")
    yield "status-20", answer("20 OK", "Content-Length: 0")
    yield "http2", answer("200 OK", version="2.0")
    yield "host-twice", answer("200 OK", "Host: a", "Host: b", "Content-Length: 0")
    yield "folded", answer("200 OK", "X: a", " b", "Content-Length: 0")
    yield "bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"
    yield "bare-cr", answer("200 OK\r", "Content-Length: 0")
    yield "space-colon", answer("200 OK", "Content-Length : 0")
    yield "keep-alive", answer("200 OK", "Keep-Alive: timeout=5, max=100", "Content-Length: 0")
    yield "many", answer("200 OK", *["a: b"] * 100)


def chunked_bodies():
    yield "empty", b"0\r\n\r\n"
    yield "hello", b"5\r\nhello\r\n0\r\n\r\n"
    yield "two", b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"
    yield "zeros", b"0005\r\nhello\r\n000\r\n\r\n"
    yield "digits-16", b"0000000000000001\r\na\r\n0\r\n\r\n"
    yield "digits-17", b"00000000000000001\r\na\r\n0\r\n\r\n"
    yield "huge", b"ffffffffffffffff\r\na\r\n"
    yield "largest", b"7fffffffffffffff\r\na\r\n"
    yield "upper", b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"
    yield "extension", b"5;a\r\nhello\r\n0;b=c\r\n\r\n"
    yield "extension-quoted", b"5;a=\"b;\\\"c\\\\\";d = e\r\nhello\r\n0\r\n\r\n"
    yield "extension-spaces", b"5 ; a = b\t;\tc\r\nhello\r\n0\r\n\r\n"
    yield "extension-end-space", b"5;a \r\nhello\r\n0\r\n\r\n"
    yield "extension-empty", b"5;\r\nhello\r\n0\r\n\r\n"
    yield "extension-open", b"5;a=\"\r\nhello\r\n0\r\n\r\n"
    yield "extension-lf", b"5;a\nb\r\nhello\r\n0\r\n\r\n"
    yield "extension-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"
    yield "extension-long", b"1;" + b"a" * 1020 + b"\r\nx\r\n0\r\n\r\n"
    yield "signed", b"400;chunk-signature=" + b"f" * 64 + b"\r\n" + b"x" * 1024 + b"\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    yield "trailer", b"0\r\nX-Sum: 1\r\n\r\n"
    yield "trailers", b"1\r\na\r\n0\r\ngrpc-status:0\r\ngrpc-message: \t\r\n\r\n"
    yield "trailer-forbidden", b"0\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield "trailer-disguised", b"0\r\nContent_Length: 5\r\n\r\n"
    yield "trailer-folded", b"0\r\nA: b\r\n c\r\n\r\n"
    yield "trailer-space", b"0\r\nA : b\r\n\r\n"
    yield "trailer-lf", b"0\r\nA: b\n\r\n"
    yield "trailer-cr", b"0\r\nA: b\rc\r\n\r\n"
    yield "trailer-32", b"0\r\n" + b"a: b\r\n" * 32 + b"\r\n"
    yield "trailer-33", b"0\r\n" + b"a: b\r\n" * 33 + b"\r\n"
    yield "plus", b"+5\r\nhello\r\n0\r\n\r\n"
    yield "minus", b"-1\r\n"
    yield "hex-prefix", b"0x5\r\nhello\r\n0\r\n\r\n"
    yield "space-before", b" 5\r\nhello\r\n0\r\n\r\n"
    yield "space-behind", b"5 \r\nhello\r\n0\r\n\r\n"
    yield "bare-lf", b"5\nhello\n0\n\n"
    yield "too-short", b"4\r\nhello\r\n0\r\n\r\n"
    yield "too-long", b"6\r\nhello\r\n0\r\n\r\n"
    yield "cut", b"5\r\nhel"
    yield "no-end", b"5\r\nhello\r\n"
    yield "pipelined", b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"


def splittings():
    get = head("GET /a HTTP/1.1", "Host: a")
    post = head("POST /b HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello"
    chunked = head("PUT /c HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n"
    streams = {
        "get": get,
        "two": get + get,
        "mixed": post + get + chunked + get,
        "chunked": chunked + chunked,
        "empty-lines": b"\r\n\r\n" + get + b"\r\n" + get,
        "empty-lines-three": b"\r\n\r\n\r\n" + get,
        "empty-lines-only": b"\r\n\r\n",
        "cr": b"\r" + get,
        "refused": get + b"GET / HTTP/1.1\nHost: a\n\n",
        "framing": head("POST / HTTP/1.1", "Host: a", "Content-Length: 1, 1") + b"a",
        "cut-head": get + b"GET /b HT",
        "cut-body": post[:-2],
        "broken-chunk": chunked.replace(b"hello", b"hell"),
        "large": head("GET / HTTP/1.1", "Host: a", "X: " + "x" * 1000) + get,
        "long-line": b"GET /" + b"a" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    }
    for name, stream in streams.items():
        for pattern in ("1", "25", "\x7f"):
            yield f"{name}-{pattern if pattern.isdigit() else 'long'}", pattern.encode() + b"\n" + stream


def configurations():
    shop = b"""[listeners.web]
address = "127.0.0.1:8080"
[[routes]]
pool = "shop"
[pools.shop]
backends = [{ address = "127.0.0.1:9001" }]
"""
    yield "least", shop
    yield "crlf", shop.replace(b"\n", b"\r\n")
    yield "bom", b"\xef\xbb\xbf" + shop
    yield "latin1", shop + b"# caf\xe9\n"
    yield "empty", b""
    yield "comment", b"# nothing yet\n"
    yield "syntax", b"[listeners.web\naddress = 1\n"
    yield "unfinished", b"a = "
    yield "twice", shop + b"[pools.shop]\n"
    yield "dotted", b"""listeners.web.address = "[::1]:80"\nroutes = [{ pool = "a" }]\npools.a.backends = [{ address = "name:80" }]\n"""
    yield "names", shop.replace(b'"127.0.0.1:9001"', b'"a.example:80"') + b'[pools.b]\nbackends = [{ address = "abc:1", weight = 0 }]\n'
    yield "unix", shop.replace(b"127.0.0.1:9001", b"unix:/run/shop.sock").replace(b"127.0.0.1:8080", b"unix:/run/web.sock")
    yield "include", b'include = ["conf.d/*.toml"]\n' + shop.replace(b'"shop"', b'"api"')
    yield "include-broken", b'include = ["conf.d/broken.txt", "none-*.toml", "none.toml", "[", "forecourt.toml"]\n' + shop
    yield "sticky", shop + b'[pools.shop.sticky]\ncookie = "fc"\nsecret = { file = "secret" }\nprevious = [{ file = "short" }, { env = "NO_SUCH" }]\nmax_idle = "1d"\n'
    yield "tls", shop + b'[[listeners.web.tls.certificates]]\ncertificate = "none.pem"\nkey = "secret"\n'
    yield "routes", shop + b"""[[routes]]
hosts = ["*.shop.example", "Shop.Example.", "[::1]", "b\xc3\xbccher.example"]
path_regex = "^/p/[0-9]+$"
listeners = ["web", "none"]
pool = "shop"
[[routes]]
path = "/a/../b"
path_prefix = "/a"
pool = "shpo"
"""
    yield "regex", shop + b'[[routes]]\npath_regex = "((a{100}){100}){100}"\npool = "shop"\n[[routes]]\npath_regex = "("\npool = "shop"\n'
    yield "types", b'listeners = 1\nroutes = {}\n[pools]\nshop = "x"\n[server]\nworkers = "many"\n'
    yield "values", shop + b'[log]\nlevel = "loud"\n[server.shutdown]\ndelay = "1y"\ndeadline = -1\n[listeners.web.limits]\nheader_bytes = "99EiB"\nheaders = 0\n'
    yield "large-numbers", shop + b"[server]\nworkers = 99999999999999999999\n"
    yield "date", shop + b"[server]\nshutdown = 2025-06-16T10:00:00Z\n"
    yield "slips", shop.replace(b"backends", b"backend").replace(b"address", b"adress")
    yield "nested", b"a = " + b"[" * 60 + b"]" * 60 + b"\n"
    yield "strategies", shop + b'strategy = "ip-hsah"\n[pools.shop.hash]\nipv4_prefix = 33\nipv6_prefix = 56\n'
    yield "admin", shop + b'[admin]\naddress = "0.0.0.0:9900"\n[log.access]\npath = "access.log"\nformat = "text"\n'
    yield "trusted", shop.replace(b'8080"\n', b'8080"\ntrusted_proxies = ["10.0.0.0/8", "::1", "10.0.0.1/33", "all"]\n')


KEYS = (b"the key that seals in the fuzzers", b"the key that sealed before that")


def ticket(key, tag, issued, seen=None, cookie="fc", pool="shop"):
    """A sealed cookie, as src/strategy/ticket.rs writes it."""
    def sign(*parts):
        return hmac.new(KEYS[key], b"".join(parts), hashlib.sha256).digest()

    def text(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    times = issued.to_bytes(5, "big") + (b"" if seen is None else seen.to_bytes(5, "big"))
    parts = [b"forecourt sticky ticket v1", cookie.encode(), pool.encode(), tag.to_bytes(8, "big"), times]
    mac = sign(*(struct.pack(">Q", len(part)) + part for part in parts))[:16]
    key_id = sign(b"forecourt sticky key")[:4]
    return b".".join([b"v1", text(key_id), text(tag.to_bytes(8, "big")), text(times), text(mac)])


def sticky_cookies():
    now = 1_750_000_000
    values = {
        "fresh": ticket(0, 1, now - 10),
        "renewed": ticket(0, 2**63, now - 1000, now - 5),
        "former-key": ticket(1, 7, now - 10),
        "former-key-renewed": ticket(1, 7, now - 100, now - 10),
        "future": ticket(0, 7, now + 1000),
        "idle": ticket(0, 7, now - 200_000),
        "old": ticket(0, 7, now - 600_000, now - 5),
        "last": ticket(0, 2**64 - 1, 2**40 - 1),
        "other-pool": ticket(0, 1, now - 10, pool="api"),
        "other-cookie": ticket(0, 1, now - 10, cookie="sid"),
        "empty": b"",
        "other": b"s%3Aj9vT2.QmFzZTY0",
        "padded": ticket(0, 1, now - 10) + b"=",
        "quoted": b'"' + ticket(0, 1, now - 10) + b'"',
        "cut": ticket(0, 1, now - 10)[:-1],
        "more": ticket(0, 1, now - 10) + b".AAAA",
        "version": ticket(0, 1, now - 10).replace(b"v1.", b"v2."),
        "dots": b"v1....",
    }
    fields = [
        b"fc=" + values["fresh"],
        b"a=1; fc=x; b=\"2;",
        b"a=1;  b=2\nfc=1; FC=2; afc=3; fca=4\nc=3",
        b"fc\nfc=\n=fc; fc =y;fc= z ;; ; fc==",
        b"session=caf\xe9; x=fc=0;fc=1=1; fc=2",
    ]
    for index, (name, value) in enumerate(values.items()):
        changes = [b"", b"\x00w", b"\x05A\x06B", b"\x3aA", b"=x<x"][index % 5]
        yield name, value + b"\n" + changes + b"\n" + fields[index % 5]
    for index, field in enumerate(fields):
        yield f"fields-{index}", b"\n\n" + field


def forwardeds():
    def case(peer, networks, *fields):
        return "\n".join([peer, networks, *fields]).encode("latin-1")

    ten = "10.0.0.0/8"
    xff = "X-Forwarded-For: "
    yield "stranger", case("192.0.2.9", ten, xff + "1.1.1.1")
    yield "stranger-all", case("192.0.2.9", ten, xff + "1.1.1.1", "x_forwarded_for: 6.6.6.6", "X-Real_Ip: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Forwarded-Prefix: /")
    yield "nothing", case("10.0.0.1", ten)
    yield "nobody-trusted", case("10.0.0.1", "", xff + "1.1.1.1")
    yield "everybody-trusted", case("10.0.0.1", "0.0.0.0/0,::/0", xff + "1.1.1.1, 2.2.2.2", xff + "3.3.3.3")
    yield "list", case("10.0.0.1", ten, xff + "6.6.6.6, 192.0.2.1, 10.0.0.2")
    yield "lists", case("10.0.0.1", ten, xff + "6.6.6.6", xff + "192.0.2.1", xff + "10.0.0.2")
    yield "all-inside", case("10.0.0.1", ten, xff + "10.0.0.3, 10.0.0.2")
    yield "mapped", case("::ffff:10.0.0.1", ten, xff + "::ffff:192.0.2.1")
    yield "mapped-bracket", case("10.0.0.1", ten, xff + "[::ffff:10.0.0.5]:80")
    yield "ports", case("10.0.0.1", ten, xff + "192.0.2.1:4711, 10.0.0.2:80")
    yield "ipv6", case("2001:db8::1", "2001:db8::/32", xff + "[2001:4860::8]:80")
    yield "ipv6-bare", case("2001:db8::1", "2001:db8::/32", xff + "2001:4860::8")
    yield "zone", case("fe80::1", "fe80::/10", xff + "fe80::1%eth0")
    yield "commas", case("10.0.0.1", ten, xff + " ,192.0.2.1,, \t,")
    yield "unknown", case("10.0.0.1", ten, xff + "6.6.6.6, unknown, 10.0.0.2")
    yield "odd", case("10.0.0.1", ten, xff + "\"", xff + "[::1", xff + "1.2.3.4:+1", xff + "1.2.3.4:")
    yield "octal", case("10.0.0.1", ten, xff + "010.0.0.1, 1.2.3, 1.2.3.4.5, 256.1.1.1")
    yield "latin1", case("10.0.0.1", ten, xff + "6.6.6.6, caf\xe9, 10.0.0.2")
    yield "empty-field", case("10.0.0.1", ten, "X-Forwarded-For:", xff + "192.0.2.1", "X-Forwarded-For: ")
    yield "proto", case("10.0.0.1", ten, "X-Forwarded-Proto:  , HTTPS, http", xff + "192.0.2.1")
    yield "proto-stranger", case("192.0.2.9", ten, "X-Forwarded-Proto: https", "X-Forwarded-Host: evil")
    yield "host", case("10.0.0.1", ten, "X-Forwarded-Host: shop.example", "X-Forwarded-Port: 443")
    yield "forwarded", case("10.0.0.1", ten, "Forwarded: for=192.0.2.1;proto=https;host=a", xff + "192.0.2.1")
    yield "empty-beside-forwarded", case("10.0.0.1", ten, xff, "Forwarded: for=3.6.6.6")
    yield "us", case("10.0.0.1", ten, xff + "1.1.1.1, 203.0.113.99")
    yield "case", case("10.0.0.1", ten, "x-FORWARDED-for: 192.0.2.1", "X-forward: stays")
    yield "names", case("10.0.0.1", ten, "X-Forwarded_For: 1.1.1.1", "X_Real_IP: 1", "X-Real-IPs: stays", "Accept: */*", "Cookie: a=b")


def proxy_protocols():
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    request = head("GET / HTTP/1.1", "Host: a")

    def line(text):
        return text.encode("latin-1") + b"\r\n" + request

    def binary(command, family, rest, length=None):
        length = len(rest) if length is None else length
        return signature + bytes([command, family]) + struct.pack(">H", length) + rest + request

    ipv4 = bytes([192, 0, 2, 1, 198, 51, 100, 1]) + struct.pack(">HH", 40000, 80)
    ipv6 = bytes(range(32)) + struct.pack(">HH", 40000, 80)
    tlvs = b"\x20\0\x05\x01\0\0\0\0" + b"\x05\0\x04uniq" + b"\x04\0\0"
    cases = {
        "none": request,
        "like-one": head("PROPFIND / HTTP/1.1", "Host: a"),
        "tls": b"\x16\x03\x01\x02\0\x01",
        "tcp4": line("PROXY TCP4 192.0.2.1 198.51.100.1 40000 80"),
        "tcp6": line("PROXY TCP6 2001:db8::1 2001:db8::2 40000 80"),
        "tcp6-mapped": line("PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 80"),
        "unknown": line("PROXY UNKNOWN"),
        "unknown-more": line("PROXY UNKNOWN a b c d e f g h"),
        "unknown-longest": line("PROXY UNKNOWN " + "f" * 91),
        "unknown-too-long": line("PROXY UNKNOWN " + "f" * 92),
        "port-signed": line("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2"),
        "port-zeroes": line("PROXY TCP4 1.1.1.1 2.2.2.2 01 2"),
        "port-large": line("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2"),
        "spaces": line("PROXY TCP4  1.1.1.1 2.2.2.2 1 2"),
        "no-cr": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n" + request,
        "open": b"PROXY TCP4 1.1.1.1",
        "v2-ipv4": binary(0x21, 0x11, ipv4),
        "v2-ipv4-tlvs": binary(0x21, 0x11, ipv4 + tlvs),
        "v2-ipv6": binary(0x21, 0x21, ipv6),
        "v2-udp": binary(0x21, 0x12, ipv4),
        "v2-unix": binary(0x21, 0x31, bytes(216)),
        "v2-local": binary(0x20, 0x00, b""),
        "v2-local-ipv4": binary(0x20, 0x11, ipv4),
        "v2-unspecified": binary(0x21, 0x00, b"whatever"),
        "v2-version": binary(0x11, 0x11, ipv4),
        "v2-command": binary(0x22, 0x11, ipv4),
        "v2-family": binary(0x21, 0x41, ipv4),
        "v2-short": binary(0x21, 0x11, ipv4[:8]),
        "v2-large": binary(0x21, 0x11, ipv4, 65535),
        "v2-open": signature + b"\x21\x11\0\x0c" + ipv4[:5],
    }
    for name, stream in cases.items():
        yield name, b"37\n" + stream


def route_matchings():
    hosts = b"R - prefix /\nR *.example prefix /\nR *.shop.example prefix /\nR eu.shop.example prefix /\n"
    paths = b"R - any\nR - prefix /\nR - prefix /p\nR - prefix /p/long/er/\nR - regex ^/p/[0-9]+$\nR - regex ^/p/1\nR - exact /p/17\n"
    asked_hosts = [b"eu.shop.example", b"eu.shop.example.", b"a.b.shop.example", b"shop.example", b"example", b".example", b"", b"EU.Shop.Example", b"..example", b"[::1]"]
    asked_paths = [b"/", b"", b"*", b"/p/17", b"/p/18", b"/p/1x", b"/p/long/er", b"/p/long/er/x", b"/p/long/erx", b"/px", b"//p//17", b"/x/../p/17",
                   b"/%70/17", b"/p%2F17", b"/p/%2e%2e/p/17", b"/%", b"/%2", b"/p/17/", b"/..", b"/../../p/17", b"/\xff"]
    for index, host in enumerate(asked_hosts):
        yield f"host-{index}", hosts + b"0 " + host + b" /"
    for index, path in enumerate(asked_paths):
        yield f"path-{index}", paths + b"0 a " + path
    yield "levels", b"R www.shop.example exact /cart\nR *.shop.example prefix /cart\nR - any\n0 www.shop.example /cart\n0 www.shop.example /cart/1\n0 www.shop.example /other\n0 www.shop.example *"
    yield "listeners", b"R - prefix /a  1\nR - prefix /a 1\nR - prefix /a 12\nR - prefix /a\nR - any - 3\n1 a /a\n2 a /a\n3 a /a\n3 a /b\n0 a /b"
    yield "several-hosts", b"R a.example,*.example,b exact /x\nR *.example prefix / 1\n1 a.example /x\n1 c.example /x\n0 b /x\n0 c /x"
    yield "same", b"R a prefix /x\nR a prefix /x/\nR a exact /x\nR a exact /x/\n0 a /x\n0 a /x/\n0 a /x/y"
    yield "regexes", b"R a regex b$\nR a regex ^/a\nR a regex (?i)SALE\nR - regex .\n0 a /ab\n0 a /x/sale\n0 c /\n0 c *"
    asking = b"R - prefix / \nR - prefix /  h=x-canary:1\nR - prefix /  mGET mHEAD k=beta:yes\nR - prefix /  q~n:^1 c10.0.0.0/8\nR - any -  h-x q+flag\n"
    yield "conditions", asking + b"M GET\n0 a /\nH X-Canary: 0\nH x-canary: 1\n0 a /?flag\nH Cookie: a=1; beta = yes\n0 a /?n=2&%6e=1+\nC 10.1.2.3\n0 a /?n=2&%6e=1+\n0 a *"
    yield "strangers", b"R - any -  h+x-forwarded-for\nR - any -  h+x_real_ip\nR - any -  h+forwarded\nH X-Forwarded-For: 1\nH X_Real_IP: 1\nH Forwarded: for=a\n0 a /"
    for dots in b"012":
        for slashes in b"012":
            for encoded in b"012":
                rules = bytes([dots, slashes, encoded])
                yield "rules-" + rules.decode(), b"R - prefix /p\nR - exact /a//b\nP " + rules + b"\n" + b"\n".join(
                    b"0 a " + path for path in (b"/p/../a", b"//p//", b"/p%2f%2e%2E/x", b"/a/%5c", b"/a%00", b"/%", b"/%25%32%46", b"/a/..//b/.", b"/p%2F/x", b"/..", b""))
    yield "ipv6", b"R [2001:DB8::1] any\nR 192.0.2.1 any\n0 [2001:db8::1] /\n0 192.0.2.1 /\n0 192.0.2.1. /"
    yield "escapes", b"R - exact /caf\xc3\xa9\nR - prefix /a%2Fb\nR - prefix /100%25\n0 a /caf%C3%A9\n0 a /a%2fb/c\n0 a /a/b\n0 a /100%\n0 a /100%25/x\n0 a /100%2525"


def request_paths():
    patterns = ["\x7f", "25", "1", "Z9"]
    get = head("GET /next HTTP/1.1", "Host: a")
    for index, (name, message) in enumerate(request_heads()):
        if len(message) < 700:
            yield name, patterns[index % 4].encode() + b"\n" + message + get
    for index, (name, body) in enumerate(chunked_bodies()):
        if len(body) < 700:
            start = head("POST /chunks HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
            yield f"body-{name}", patterns[index % 4].encode() + b"\n" + start + body + get
    post = head("POST /b HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello"
    pipelines = {
        "pipeline": get + post + get,
        "pipeline-mixed": post + head("PUT /c HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n" + get,
        "pipeline-head": head("HEAD /h HTTP/1.1", "Host: a") + get,
        "pipeline-close": head("GET / HTTP/1.1", "Host: a", "Connection: close") + get,
        "pipeline-old": head("GET / HTTP/1.0", "Connection: keep-alive") + get,
        "pipeline-expect": head("PUT /a HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 2") + b"ab" + get,
        "pipeline-refused": head("CONNECT a:1 HTTP/1.1", "Host: a:1") + get,
        "pipeline-smuggled": head("POST / HTTP/1.1", "Host: a", "Content-Length: 44", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + get,
        "pipeline-two-lengths": head("POST / HTTP/1.1", "Host: a", "Content-Length: 0", "Content-Length: 44") + get,
        "pipeline-absolute": head("GET http://b?x HTTP/1.1", "Host: a") + head("OPTIONS http://b HTTP/1.1", "Host: a") + get,
        "named-away": head("POST / HTTP/1.1", "Host: a", "Connection: content-length, host, x-a", "X-A: 1", "Content-Length: 2") + b"ab" + get,
        "get-body": head("GET / HTTP/1.1", "Host: a", "Content-Length: 2") + b"ab" + get,
    }
    for index, (name, stream) in enumerate(pipelines.items()):
        yield name, patterns[index % 4].encode() + b"\n" + stream


def response_paths():
    patterns = ["\x7f", "25", "1", "Z9"]
    modes = ["cg1", "sg1", "rg1", "cg0", "ch1", "ce1", "sh0", "cp1", "sl1", "sg0", "rg0", "ck1", "sk1"]
    number = 0
    for name, message in response_heads():
        for turn in range(3):
            mode = modes[(number + turn * 4) % len(modes)]
            yield f"{name}-{mode}", f"{patterns[(number + turn) % 4]}\n{mode}\n".encode() + message
        number += 1
    for name, body in chunked_bodies():
        if len(body) < 700:
            mode = modes[number % len(modes)]
            start = head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: x-sum")
            yield f"body-{name}", f"{patterns[number % 4]}\n{mode}\n".encode() + start + body
            number += 1
    whole = head("HTTP/1.1 200 OK", "Content-Length: 2") + b"ab"
    for mode in modes:
        yield f"left-over-{mode}", f"{chr(48 + len(whole))}\n{mode}\n".encode() + whole + head("HTTP/1.1 299 Evil", "Content-Length: 4") + b"evil"
        yield f"silence-{mode}", f"9\n{mode}\n".encode()


def templates():
    def case(path, template, target, other=""):
        return "\n".join([path, template, target, other]).encode("latin-1")

    yield "https", case("", "https://{host}{uri}", "//evil.example/?a=b")
    yield "host-and-port", case("", "https://www.{host}:{port}{path}{query}", "/a?b")
    yield "rest", case("prefix /api", "/v2{rest}", "/%61pi//x/../a%3Bb;c?d")
    yield "rest-alone", case("prefix /api/", "{rest}", "/api")
    yield "rest-in-query", case("prefix /q", "/find?where={rest}{query}", "/q/a&b=c?d=e")
    yield "login", case("", "/login?next={uri}", "/a?b=c&d=%20")
    yield "capture", case("regex ^/f(.*)$", "/files/{1}", "/f../secret")
    yield "named", case("regex ^/(?<name>[^/]+)/(.*)$", "/x/{2}/{name}", "/a;b%3Bc/d%2Fe/f")
    yield "capture-crlf", case("regex (?s)^/(.*)$", "/a{1}", "/%0d%0aset-cookie:%20a=b")
    yield "open", case("regex (.*)", "/{1}", "//evil.example")
    yield "open-host", case("regex (.*)", "https://shop.example{1}", "/@evil.example")
    yield "backslash", case("", "https://shop.example{path}", "/\\evil.example\\")
    yield "fields", case("", "{method} {request_id} {route} {client}", "/", "<b>\"'&\r\n\t\x00\xe9")
    yield "page", case("", "<p title=\"{path}\">{route} {{code}}</p><style>p{color:red}</style>", "/<script>'\"", "</p>")
    yield "braces", case("", "{{{host}}} { } {a b} {nothing} }", "/")
    yield "asterisk", case("", "/a{path}", "*")


def h2_requests():
    def case(line, *fields):
        return "\n".join([line, *fields]).encode("latin-1")

    yield "get", case("GET http shop.example /", "accept:*/*")
    yield "post", case("POST https shop.example:8443 /cart?a=b", "content-length:5", "te:trailers")
    yield "host", case("GET http  /a", "host:shop.example")
    yield "hosts", case("GET http shop.example /a", "host:SHOP.example", "cookie:a=1", "cookie:b=2")
    yield "hosts-differ", case("GET http shop.example /a", "host:evil.example")
    yield "star", case("OPTIONS http shop.example *")
    yield "split", case("GET http shop.example /", "x-a:1\\r\\nx-b: 2")
    yield "path-split", case("GET http shop.example / HTTP/1.1\\r\\nx:1")
    yield "connection", case("GET http shop.example /", "connection:close", "upgrade:h2c")
    yield "framing", case("GET http shop.example /", "transfer-encoding:chunked", "content_length:5")
    yield "space", case("GET http shop.example /", "x-a: 1", "x-b:1 ")
    yield "quotation", case("GET http shop.example /", 'a":1')
    yield "user", case("GET http user:pass@shop.example /#x")
    yield "ipv6", case("GET http [::1]:80 /")
    yield "h1", head("GET /a?b HTTP/1.1", "Host: shop.example", "Connection: x", "X: 1", "Cookie: a=b")


def h2_responses():
    def case(line, *fields):
        return "\n".join([line, *fields]).encode("latin-1")

    yield "ok", case("200", "content-type:text/plain", "content-length:5")
    yield "none", case("204", "etag:\"a\"")
    yield "early", case("103", "link:</a>")
    yield "odd", case("799", "x-a:")
    yield "split", case("200", "x-a:1\\r\\nx-b: 2")
    yield "connection", case("200", "connection:close", "keep-alive:5")
    yield "framing", case("200", "transfer-encoding:chunked", "content-length:5", "content-length:6")
    yield "cookies", case("302", "set-cookie:a=b", "set-cookie:c=d", "location:/x")
    yield "h1", head("HTTP/1.1 200 OK", "Content-Length: 5", "X: 1", "Connection: x")


def websocket_frames():
    def frame(opcode, content, mask=b"", final=True, longer=0):
        """`longer` writes the length in more bytes than it needs."""
        first = (0x80 if final else 0) | opcode
        bit = 0x80 if mask else 0
        if longer < 1 and len(content) < 126:
            length = bytes([bit | len(content)])
        elif longer < 2 and len(content) < 65536:
            length = bytes([bit | 126]) + struct.pack(">H", len(content))
        else:
            length = bytes([bit | 127]) + struct.pack(">Q", len(content))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(content)) if mask else content
        return bytes([first]) + length + mask + masked

    mask = b"\x37\xfa\x21\x3d"
    going = frame(8, struct.pack(">H", 1001))
    cases = {
        "nothing": b"",
        "text": frame(1, b"Hello"),
        "text-masked": frame(1, b"Hello", mask),
        "fragments": frame(1, b"Hel", final=False) + frame(9, b"Hello") + frame(0, b"lo"),
        "ping-pong": frame(9, b"", mask) + frame(10, b"") + frame(9, b"x" * 125) + frame(10, b"x" * 125, mask),
        "empty": frame(2, b"") * 9,
        "middle": frame(2, b"\x88" * 126) + frame(2, b"\x88" * 256, mask) + frame(1, b"end"),
        "longer": frame(2, b"a", longer=1) + frame(2, b"b", mask, longer=2) + frame(2, b"", longer=2),
        "close": going,
        "close-masked": frame(1, b"a", mask) + frame(8, struct.pack(">H", 1000) + b"bye", mask),
        "close-empty": frame(8, b"", mask),
        "close-and-more": going + frame(1, b"late"),
        "close-inside": frame(2, going * 3) + frame(1, b"a"),
        "reserved": bytes([0xf3, 0x01, 0x00, 0x7f, 0x80]) + mask,
        "cut-head": frame(1, b"a") + b"\x82\xff\0\0\0\0",
        "cut-mask": b"\x82\x81\x01\x02\x03",
        "cut-payload": frame(2, b"x" * 200)[:100],
        "most": b"\x82\x7f" + b"\xff" * 8 + b"\x88\x00",
        "top-bit": b"\x82\xff" + b"\x80" + b"\0" * 7 + mask + b"\x88\x00",
    }
    patterns = ["\x7f", "25", "1", "Z9"]
    for index, (name, stream) in enumerate(cases.items()):
        yield name, patterns[index % 4].encode() + b"\n" + stream


SEEDS = {
    "websocket_frames": websocket_frames,
    "h2_request": h2_requests,
    "h2_response": h2_responses,
    "chunked_body": chunked_bodies,
    "configuration": configurations,
    "forwarded": forwardeds,
    "request_head": request_heads,
    "request_path": request_paths,
    "response_head": response_heads,
    "response_path": response_paths,
    "route_matching": route_matchings,
    "splitting": splittings,
    "proxy_protocol": proxy_protocols,
    "sticky_cookie": sticky_cookies,
    "templates": templates,
}


def main():
    wanted = {}
    for target, seeds in SEEDS.items():
        for name, content in seeds():
            path = HERE / "corpus" / target / name
            assert path not in wanted, path
            wanted[path] = content
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print(f"{len(wanted)} seeds")


main()
