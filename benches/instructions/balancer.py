"""The program under callgrind, between clients and backends of ours."""

import contextlib
import socket
import subprocess
import sys
import threading
import time

BODY = b"x" * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nserver: origin\r\ndate: Mon, 02 Mar 2026 10:00:00 GMT\r\n" \
         b"content-type: text/plain\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHANGED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n" \
          b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

SETTINGS = """
[server]
workers = 1
[log.access]
{log}
[admin]
address = "unix:{folder}/admin.sock"
[listeners.web]
address = "127.0.0.1:{port}"
[listeners.web.limits]
{limits}
{tls}
[[routes]]
name = "shop"
hosts = ["shop.example"]
path_prefix = "/shop"
pool = "shop"
[[routes]]
path_prefix = "/"
pool = "shop"
[pools.shop]
strategy = "least-connections"
backends = [{backends}]
{pool}
{sticky}
"""


def measure(binary, scenario, folder):
    """Runs a scenario; the dumps of callgrind, one for each thread, as text."""
    with contextlib.ExitStack() as stack:
        backends = [stack.enter_context(Backend()) for _ in range(2)]
        port = free_port()
        (folder / "sticky.key").write_text("0123456789abcdef0123456789abcdef\n")
        settings = SETTINGS.format(
            folder=folder, port=port, log=scenario.log.format(folder=folder), limits=scenario.limits, pool=scenario.pool,
            backends=", ".join(f'{{ address = "127.0.0.1:{one.port}" }}' for one in backends),
            tls='[listeners.web.tls]\nself_signed = ["shop.example"]' if scenario.tls else "",
            sticky='[pools.shop.sticky]\nsecret = { file = "sticky.key" }' if scenario.sticky else "")
        (folder / "forecourt.toml").write_text(settings)
        command = ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--dump-instr=yes",
                   f"--callgrind-out-file={folder}/out", binary, "run", "--config", folder / "forecourt.toml"]
        errors = stack.enter_context(open(folder / "errors", "w+"))
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            wait_for(port, process)
            load = scenario.load(port)
            load.run(scenario.warm_up)
            control(process, "--zero")
            load.run(scenario.requests)
            control(process, "--dump")
            load.close()
        except BaseException:
            errors.seek(0)
            sys.stderr.write(errors.read())
            raise
        finally:
            process.kill()
            process.wait()
        # out.1 is the whole up to the dump, out.1-NN a thread of it.
        return [file.read_text() for file in sorted(folder.glob("out.1-*"))]


def control(process, what):
    subprocess.run(["callgrind_control", what, str(process.pid)], capture_output=True, check=True)
    # The last answer is with the client before its record is in the log: both ends of the count are taken in peace.
    time.sleep(0.3)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the balancer does not listen")


class Backend:
    """Answers every request with the same 1 KiB, in one write; echoes the messages of a WebSocket."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=serve, args=(stream,), daemon=True).start()


def serve(stream):
    with contextlib.suppress(OSError):
        got = b""
        while True:
            while b"\r\n\r\n" not in got:
                more = stream.recv(1 << 17)
                if not more:
                    return
                got += more
            head, _, rest = got.partition(b"\r\n\r\n")
            if b"\r\nupgrade: websocket" in head.lower():
                return echo(stream)
            left = body_length(head) - len(rest)
            while left > 0:
                left -= len(stream.recv(1 << 17)) or left
            got = b""
            stream.sendall(ANSWER)


def echo(stream):
    stream.sendall(CHANGED)
    while message := stream.recv(1 << 17):
        # Short, masked by zeros, and whole: the balancer passes on what came at once.
        stream.sendall(bytes([message[0], message[1] & 0x7f]) + message[6:])


def body_length(head):
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0
