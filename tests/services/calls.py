"""A client of gRPC for tests/services.sh: says for each check `ok WHAT` or `FAILED WHAT: WHY`."""

import sys
import threading
import time

import grpc

clear, secure, certificate = sys.argv[1:4]
LARGE = 6 * 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def check(what, expected, got):
    if expected == got:
        print("ok", what)
    else:
        print(f"FAILED {what}: expected {expected!r}, got {got!r}")


class Methods:
    def __init__(self, channel):
        for name, kind in [
            ("Unary", channel.unary_unary),
            ("Fails", channel.unary_unary),
            ("Many", channel.unary_stream),
            ("Total", channel.stream_unary),
            ("Both", channel.stream_stream),
            ("Slow", channel.unary_unary),
            ("Count", channel.unary_unary),
        ]:
            setattr(self, name, kind(f"/test.Service/{name}"))
        self.Other = channel.unary_unary("/other.Service/Unary")
        self.Down = channel.unary_unary("/down.Service/Unary")


def failure(call, *arguments, **options):
    try:
        call(*arguments, timeout=options.pop("timeout", 20), **options)
    except grpc.RpcError as error:
        return error
    return None


def all_kinds(way, methods):
    answer, call = methods.Unary.with_call(b"hello", timeout=20)
    check(f"{way}: unary", b"hello", answer)
    check(f"{way}: trailers", "behind", dict(call.trailing_metadata()).get("x-trailer"))
    large = bytes(range(256)) * (LARGE // 256)
    check(f"{way}: a message of 6 MiB", True, methods.Unary(large, timeout=20) == large)
    numbers = [b"%d" % n for n in range(20_000)]
    check(f"{way}: server streaming, 20,000 messages", True, list(methods.Many(b"20000", timeout=20)) == numbers)
    check(f"{way}: client streaming", b"50000", methods.Total((b"12345" for _ in range(10_000)), timeout=20))
    said = []

    def talk():
        for n in range(200):
            yield b"%d" % n
            # The next only once this one is back.
            while len(said) <= n:
                time.sleep(0.0005)

    for back in methods.Both(talk(), timeout=20):
        said.append(back)
    check(f"{way}: bidirectional, message by message", numbers[:200], said)
    error = failure(methods.Fails, b"x")
    check(f"{way}: an error of the service", (grpc.StatusCode.NOT_FOUND, "no such thing: 100 %"), (error.code(), error.details()))


def deadlines(methods):
    error = failure(methods.Slow, b"x", timeout=0.3)
    check("a deadline", grpc.StatusCode.DEADLINE_EXCEEDED, error.code())
    call = methods.Slow.future(b"x")
    time.sleep(0.2)
    call.cancel()
    until = time.monotonic() + 10
    while methods.Count(b"", timeout=5) != b"2" and time.monotonic() < until:
        time.sleep(0.05)
    check("a deadline and a cancellation reach the service", b"2", methods.Count(b"", timeout=5))


def errors(methods):
    error = failure(methods.Other, b"x")
    check("no route", grpc.StatusCode.UNIMPLEMENTED, error.code())
    check("its message", True, error.details().startswith("no-route: "))
    error = failure(methods.Down, b"x")
    check("a backend that is down", grpc.StatusCode.UNAVAILABLE, error.code())
    fields = dict(error.trailing_metadata())
    check("its cause", "connect-refused", fields.get("forecourt-error"))


def a_thousand(address):
    """A thousand streams at once, over ten connections of their own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options) for _ in range(10)]
    # A service that takes 64 at a time has the others wait, open.
    calls = [channels[n % 10].unary_unary("/test.Service/Unary").future(b"%d" % n, timeout=20) for n in range(1000)]
    check("a thousand calls at once", [b"%d" % n for n in range(1000)], [call.result() for call in calls])
    for channel in channels:
        channel.close()


def a_silent_stream(methods):
    """Silent for longer than bodies may be (2 s here), either way."""
    speak = threading.Event()

    def talk():
        yield b"first"
        speak.wait(20)
        yield b"last"

    answers = methods.Both(talk(), timeout=20)
    first = next(answers)
    time.sleep(3)
    speak.set()
    check("a stream silent for longer than a body may be", [b"first", b"last"], [first, *answers])


with grpc.insecure_channel(clear, UNLIMITED) as channel:
    methods = Methods(channel)
    all_kinds("h2c", methods)
    deadlines(methods)
    errors(methods)
    a_silent_stream(methods)
with open(certificate, "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
with grpc.secure_channel(secure.replace("127.0.0.1", "localhost"), credentials, UNLIMITED) as channel:
    all_kinds("TLS", Methods(channel))
a_thousand(clear)
