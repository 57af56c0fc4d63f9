"""From callgrind's dumps to what each room costs.

The format: `ob=`, `fl=`, `fi=`, `fe=` and `fn=` say whose lines follow, `address line cost` is a cost, `cob=`, `cfn=` and
`calls=` a call, whose next line is its inclusive cost. Names are written once, then by number; numbers may be relative to
those before.
"""

import collections
import re
import subprocess

# The longest that begins a file's path below src/ has it: the way of a request, as src/lib.rs tells it.
STAGES = [
    ("accept", ["listener/"]),
    ("http: parse", ["h1/parse.rs", "h1/limits.rs", "message/head.rs", "message/framing.rs", "message/grammar.rs"]),
    ("http: connection", ["server/", "worker/clock.rs"]),
    ("http: bodies", ["h1/body.rs", "server/delivery.rs", "server/request_body.rs", "worker/pump.rs",
                      "message/body.rs"]),
    ("http/2", ["server/h2/", "h2/", "worker/h2/", "worker/io.rs"]),
    ("http: write", ["h1/write.rs", "worker/output.rs"]),
    ("open, admit, route", ["route/", "proxy/admit.rs", "proxy/exchange.rs", "proxy/path.rs", "message/authority.rs",
                            "message/host.rs"]),
    ("affinity, pick", ["strategy/", "snapshot/", "backend/", "proxy/affinity.rs", "proxy/retry.rs"]),
    ("shape", ["message/", "proxy/request.rs", "proxy/rewrite.rs", "proxy/headers.rs"]),
    ("upstream", ["upstream/"]),
    ("response", ["proxy/response.rs", "proxy/stream.rs", "proxy/upgrade.rs", "proxy/grpc.rs"]),
    ("record", ["proxy/record.rs", "telemetry/"]),
    ("proxy, otherwise", ["proxy/"]),
    ("streams", ["worker/stream.rs", "worker/buffer.rs"]),
    ("deadlines", ["worker/"]),
]
CRATES = {"tokio": "runtime", "mio": "runtime", "socket2": "runtime", "tokio-util": "runtime",
          "h2": "http/2 library", "http": "http/2 library", "rustls": "tls library", "tokio-rustls": "tls library",
          "aws-lc-sys": "tls library", "aws-lc-rs": "tls library", "jiff": "record", "metrics": "record",
          "httparse": "http: parse"}
# They work for whoever calls them, as the standard library and libc do.
HELPERS = {"serde_json", "serde", "serde_core", "bytes", "smallvec", "hashbrown", "ahash", "slab", "indexmap", "memchr",
           "itoa", "arc-swap", "dashmap", "fnv", "equivalent", "xxhash-rust", "fastrand", "base64"}
ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}


class Dump:
    """One thread's costs: by place, and of the calls that places make."""

    def __init__(self, text):
        self.names = {}
        self.own = collections.Counter()
        self.calls = collections.Counter()
        self.caused = collections.Counter()
        self.entered = collections.Counter()
        self.callers = set()
        self.read(text)

    def name(self, kind, value):
        number, name = re.match(r"\((\d+)\)(?: (.*))?", value).groups()
        if name is not None:
            self.names[kind, number] = name
        return self.names[kind, number]

    def read(self, text):
        ob = fl = fn = cob = cfn = None
        address = 0
        called = None
        for line in text.split("\n"):
            first = line[:1]
            if first and first in "0123456789+-*":
                position, _, cost = line.split()[:3] if line.count(" ") > 1 else (*line.split(), "0")
                address = relative(address, position)
                place, cost = (ob, fn, fl, address), int(cost)
                if called is None:
                    self.own[place] += cost
                    continue
                count, whom = called
                called = None
                self.calls[place, whom] += count
                self.caused[place, whom] += cost
                self.entered[whom] += count
                self.callers.add((ob, fn))
                continue
            key, _, value = line.partition("=")
            match key:
                case "ob": ob = self.name("ob", value)
                case "fl" | "fi" | "fe": fl = self.name("fl", value)
                case "fn": fn = self.name("fn", value)
                case "cob": cob = self.name("ob", value)
                case "cfi" | "cfl": self.name("fl", value)
                case "cfn": cfn = self.name("fn", value)
                case "calls":
                    called = (int(value.split()[0]), (cob or ob, cfn))
                    cob = None


def relative(before, text):
    if text == "*":
        return before
    if text[0] in "+-":
        return before + int(text, 16 if "0x" in text else 10)
    return int(text, 0)


class Costs:
    """What all threads did, and whose doing it was.

    What helps whoever calls it (libc, the standard library, containers) is `caused` by its callers, in the shares of
    their calls: each call of a helper costs what its calls cost in the mean.
    """

    def __init__(self, texts, binary):
        self.binary = str(binary)
        self.dumps = [Dump(text) for text in texts]
        places = {place for dump in self.dumps for place in dump.own}
        places |= {place for dump in self.dumps for place, _ in dump.calls}
        addresses = sorted({place[3] for place in places if is_ours(place[0])})
        self.frames = symbolize(self.binary, addresses)
        self.owners = {place: self.find_owner(place) for place in places}
        # Some instructions of a function have no line; they are the function's all the same.
        outermost = {place[:2]: self.frames[place[3]][-1] for place, owner in self.owners.items() if owner}
        for place, owner in self.owners.items():
            if not owner and place[:2] in outermost and not is_helper(outermost[place[:2]][0]):
                self.owners[place] = outermost[place[:2]]

    def find_owner(self, place):
        """The frame that a place's cost belongs to: path, line and function; none within a helper."""
        frames = self.frames.get(place[3], []) if is_ours(place[0]) else []
        fitting = (frame for frame in frames if not is_helper(frame[0]))
        return next(fitting, None)

    def figures(self, requests):
        rooms = collections.defaultdict(lambda: [0, 0, 0])
        worker = max(self.dumps, key=lambda dump: sum(dump.own.values()))
        for dump in self.dumps:
            helpers = self.helpers(dump)
            for place, owner in self.owners.items():
                if owner and place in dump.own:
                    rooms[room_of(owner[0]) if dump is worker else "other threads"][0] += dump.own[place]
            for (place, whom), count in dump.calls.items():
                owner = self.owners[place]
                if not owner:
                    continue
                helped = rooms[room_of(owner[0]) if dump is worker else "other threads"]
                cost, allocations = self.helped(dump, helpers, place, whom)
                helped[1] += cost
                helped[2] += allocations
        whole = sum(sum(dump.own.values()) for dump in self.dumps)
        known = sum(sum(three[:2]) for three in rooms.values())
        rooms["not attributed"][0] = max(whole - known, 0)
        figures = {room: [round(one / requests, 3) for one in three] for room, three in rooms.items()}
        return {"whole": round(whole / requests, 1), "rooms": figures,
                "allocations": round(sum(three[2] for three in figures.values()), 3)}

    def helpers(self, dump):
        """Of each helping function what a call costs and allocates, by itself and by the helpers that it calls."""
        own, calls = collections.Counter(), collections.defaultdict(collections.Counter)
        for place, cost in dump.own.items():
            if not self.owners[place]:
                own[place[0], place[1]] += cost
        extra = collections.Counter()
        for (place, whom), count in dump.calls.items():
            if not self.owners[place]:
                calls[place[0], place[1]][whom] += count
                if whom not in dump.callers:
                    # Exactly what it cost here, in place of the mean.
                    extra[place[0], place[1]] += dump.caused[place, whom]
        helping = [function for function in own if dump.entered[function]]
        per_call = {}
        # Helpers call each other some levels deep, and few are recursive.
        for _ in range(40):
            for function in helping:
                entered = dump.entered[function]
                cost, allocations = own[function] + extra[function], entered * (function[1] in ALLOCATING)
                for whom, count in calls[function].items():
                    if whom != function and whom in per_call:
                        cost += count * per_call[whom][0] * (whom in dump.callers)
                        allocations += count * per_call[whom][1] * (function[1] not in ALLOCATING)
                per_call[function] = (cost / entered, allocations / entered)
        return per_call

    @staticmethod
    def helped(dump, helpers, place, whom):
        """What the calls of a helper from one place cost and allocated: exactly if it calls nobody, else in the mean."""
        count = dump.calls[place, whom]
        cost, allocations = helpers.get(whom, (0, 0))
        is_leaf = whom in helpers and whom not in dump.callers
        return (dump.caused[place, whom] if is_leaf else count * cost), count * allocations

    def sites(self, requests, most):
        """The lines of ours that call helpers, by allocations and by cost, and the functions that cost most."""
        allocating, calling, functions = collections.Counter(), collections.Counter(), collections.Counter()
        costs = collections.Counter()
        for dump in self.dumps:
            helpers = self.helpers(dump)
            for place, cost in dump.own.items():
                owner = self.owners[place] or (place[2] or "", 0, place[1])
                functions[short(owner[0]), plain(owner[2])] += cost
            for (place, whom), count in dump.calls.items():
                owner = self.owners[place]
                if not owner or whom not in helpers:
                    continue
                who = (plain(whom[1]), f"{short(owner[0])}:{owner[1]}", plain(owner[2]))
                cost, allocations = self.helped(dump, helpers, place, whom)
                calling[who] += count
                costs[who] += cost
                allocating[who] += allocations
        text = ["\nallocations per request:"]
        text += [f"{count / requests:9.2f}  {'  '.join(who)}" for who, count in allocating.most_common(most) if count]
        text.append("\ncalls of helpers per request, and what they cost:")
        text += [f"{calling[who] / requests:9.2f}{cost / requests:9.0f}  {'  '.join(who)}"
                 for who, cost in costs.most_common(2 * most)]
        text.append("\nfunctions by own instructions:")
        text += [f"{cost / requests:9.0f}  {'  '.join(who)}" for who, cost in functions.most_common(3 * most)]
        return "\n".join(text)


def symbolize(binary, addresses):
    """The inlined frames of each address, innermost first: path, line, function."""
    asked = "".join(f"{address:#x}\n" for address in addresses)
    command = ["llvm-symbolizer", f"--obj={binary}", "--inlines", "--functions=linkage", "--demangle"]
    told = subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout
    frames = {}
    for address, block in zip(addresses, told.split("\n\n")):
        lines = block.strip("\n").split("\n")
        frames[address] = [(*place(where), function) for function, where in zip(lines[::2], lines[1::2])]
    return frames


def place(where):
    path, line, _ = where.rsplit(":", 2)
    return path, int(line)


def is_ours(ob):
    return ob.endswith("/forecourt")


def is_helper(path):
    return is_std(path) or crate(path) in HELPERS


def is_std(path):
    return path.startswith(("/rustc/", "/rust/deps/")) or "/rustlib/src/" in path or path in ("??", "")


def crate(path):
    found = re.search(r"/registry/src/[^/]+/([^/]+?)-\d[^/]*/", path)
    return found and found[1]


def short(path):
    path = re.sub(r"^.*/registry/src/[^/]+/", "", path)
    return re.sub(r"^.*/(?:rustc/[0-9a-f]+/library|forecourt/src|src)/", "", path) if crate(path) is None else path


def plain(function):
    """A function's name without its hash and most of its noise."""
    function = re.sub(r"::h[0-9a-f]{16}$", "", function)
    for mangled, meant in (("_$LT$", "<"), ("$LT$", "<"), ("$GT$", ">"), ("$u20$", " "), ("$RF$", "&"), ("..", "::"),
                           ("$u7b$", "{"), ("$u7d$", "}"), ("forecourt::", "")):
        function = function.replace(mangled, meant)
    return function[-110:]


def room_of(path):
    """The stage of a file of ours, or what a library is for."""
    name = crate(path)
    if name:
        return CRATES.get(name, "other libraries")
    found = re.search(r"(?:^|/)src/(.*)", path)
    if not found:
        return "tls library" if "aws-lc" in path else "other libraries"
    fitting = [(len(prefix), stage) for stage, prefixes in STAGES for prefix in prefixes if found[1].startswith(prefix)]
    return max(fitting)[1] if fitting else "the rest of ours"
