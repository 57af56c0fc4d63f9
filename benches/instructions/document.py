"""The tables, in Markdown: where they stand in a file, and what they say."""

import datetime
import pathlib
import platform
import re
import subprocess

HEAD = "# What a request costs, in instructions and in time\n"

SPLIT = """\
Instructions of the whole process under callgrind, per request: one worker, one request under way at a time, access log
to a file, limits on. What the kernel does for it is not in them. *First* is the program of the commit that brought this
command, 49eb0b6, counted by it (`benches/instructions/first.json`). An instruction belongs to the room whose file it comes from, with what
libc, the allocator and the standard library do for that room.
"""
PRICES = """\
## The price of each

The same load without a part and with it, by configuration; the rest as above. Differences below 50 instructions are
noise, and below 150 with bodies or new connections. Metrics cannot be switched off: their price is what the room `record` costs when there is no access log. Checks
work beside requests; their price here is what a request pays for a pool that is checked.
"""


def put(file, name, text):
    """Replaces what stands between the marks of this name, or adds it with its marks; the rest of the file stays."""
    file = pathlib.Path(file)
    whole = file.read_text() if file.exists() else HEAD
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    part = f"{begin}{text.strip()}\n{end}"
    if begin in whole:
        before, _, rest = whole.partition(begin)
        whole = before + part + rest.partition(end)[2]
    else:
        whole = f"{whole.rstrip()}\n\n{part}"
    file.write_text(whole)


def stand(program, command):
    """When and on what, for all tables."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"Date: {date}  \nMachine: {cpu[1] if cpu else platform.machine()}, Linux {platform.release()}  \n" \
           f"Program: {version}  \nCommand: `{command}`\n"


def split(figures, before):
    """The whole of each scenario, and its rooms, `before` and now."""
    lines = ["| scenario | instructions, first | now | change | allocations, first | now |", "|---|---:|---:|---:|---:|---:|"]
    for name, one in figures.items():
        was = before.get(name)
        lines.append(f"| {name} | {thousands(was and was['whole'])} | {thousands(one['whole'])} "
                     f"| {change(one['whole'], was and was['whole'])} "
                     f"| {'' if was is None else format(was['allocations'], '.1f')} | {one['allocations']:.1f} |")
    rooms = {room for one in [*figures.values(), *before.values()] for room in one["rooms"]}
    rooms = sorted(rooms, key=lambda room: -sum(cost(one, room) for one in figures.values()))
    lines += ["\nBy room, first → now:\n", f"| room | {' | '.join(figures)} |", f"|---|{'---:|' * len(figures)}"]
    for room in rooms:
        pairs = [(before.get(name) and cost(before[name], room), cost(one, room)) for name, one in figures.items()]
        if any(max(was or 0, now) >= 20 for was, now in pairs):
            lines.append(f"| {room} | {' | '.join(arrow(was, now) for was, now in pairs)} |")
    pairs = [(before.get(name) and caused(before[name]), caused(one)) for name, one in figures.items()]
    lines.append(f"| *of all: libc, allocator, std* | {' | '.join(arrow(was, now) for was, now in pairs)} |")
    return "\n".join(lines)


def cost(figures, room):
    return sum(figures["rooms"].get(room, [0, 0])[:2])


def caused(figures):
    return sum(three[1] for three in figures["rooms"].values())


def arrow(was, now):
    return thousands(now) if was is None else f"{thousands(was)} → {thousands(now)}"


def thousands(value):
    return "" if value is None else f"{value:,.0f}"


def change(now, was):
    return f"{(now / was - 1) * 100:+.0f} %" if was else ""
