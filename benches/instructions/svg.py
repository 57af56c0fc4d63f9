"""A flame graph as a picture: width is time, what stands on a frame was called by it."""

import html
import zlib

WIDTH, ROW, TOP = 1200, 17, 40
# Narrower frames, in pixels, are left out with all that stands on them.
LEAST = 0.8
KERNEL, OURS, OTHERS = (214, 120, 90), (80, 150, 200), (190, 180, 120)


def draw(stacks, title):
    whole = sum(stacks.values())
    root = [whole, {}, None]
    for stack, count in stacks.items():
        node = root
        in_kernel = False
        for name, room in stack:
            in_kernel = in_kernel or bool(room and room.startswith("kernel"))
            node = node[1].setdefault(name, [0, {}, "kernel" if in_kernel else room])
            node[0] += count
    boxes = []
    deepest = place(root, 0.0, 0, WIDTH / whole, boxes)
    height = TOP + (deepest + 1) * ROW + 8
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
             'font-family="monospace" font-size="11">',
             f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             f'<text x="8" y="24" font-size="15">{html.escape(title)}, {whole} samples; '
             'red: kernel, blue: forecourt, sand: libraries</text>']
    for x, depth, width, name, count, room in boxes:
        y = height - (depth + 1) * ROW
        share = f"{html.escape(name)}: {count / whole * 100:.1f} %" + (f", {html.escape(room)}" if room else "")
        lines.append(f'<g><title>{share}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" '
                     f'fill="{colour(name, room)}"/>')
        letters = int(width / 6.8) - 1
        if letters >= 4:
            words = name if len(name) <= letters else name[:letters - 1] + "…"
            lines.append(f'<text x="{x + 3:.1f}" y="{y + 12}">{html.escape(words)}</text>')
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def place(node, x, depth, scale, boxes):
    """Boxes of what stands on a node, side by side from `x` on; how deep they go."""
    deepest = depth
    for name in sorted(node[1]):
        child = node[1][name]
        width = child[0] * scale
        if width >= LEAST:
            boxes.append((x, depth, width, name, child[0], child[2]))
            deepest = max(deepest, place(child, x, depth + 1, scale, boxes))
        x += width
    return deepest


def colour(name, room):
    base = KERNEL if room == "kernel" else OURS if room else OTHERS
    # Neighbours are told apart by shade, and the same name has the same shade.
    shade = zlib.crc32(name.encode()) % 30
    return "#" + "".join(f"{min(part + shade, 255):02x}" for part in base)
