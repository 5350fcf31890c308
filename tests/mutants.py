"""Valid bytes and values, changed as chance or malice would change them; a seed fixes how."""

import json
import struct

HOSTILE = (
    *(None, True, False, -1, 0, 1, 2**31, 2**63, 10**9, 10**30, -(10**12), 0.5, -0.5, 1e308),
    *(float("nan"), float("inf"), "", "x" * 5000, "../../outside", "/etc/passwd", "\0", "\ud800"),
    *("two\nlines", "<script>alert(1)</script>", "%s%n{0}", "cpu", "NaN", "1e999", b"\xff".hex()),
    *([], {}, [[]], [None], [1] * 1000, {"": 0}, {"__class__": "os.system"}, [10**9, 10**9]),
)


def some_places(dice, body, most=8):
    return [dice.randrange(len(body)) for _ in range(dice.randint(1, most))]


def flipped(dice, body):
    body = bytearray(body)
    for place in some_places(dice, body):
        body[place] ^= 1 << dice.randrange(8)
    return bytes(body)


def truncated(dice, body):
    return body[: dice.randrange(len(body))]


def lengthened(dice, body):
    place = dice.randrange(len(body))
    return body[:place] + dice.randbytes(dice.choice([1, 7, 100, 10_000])) + body[place:]


def shortened(dice, body):
    place = dice.randrange(len(body))
    return body[:place] + body[place + dice.choice([1, 4, 50]) :]


def renumbered(dice, body):
    """A number of two, four or eight bytes is now large, or 0, or -1."""
    body = bytearray(body)
    for place in some_places(dice, body, 3):
        form = dice.choice("<H >H <I >I <Q >Q".split())
        whole = 2 ** (8 * struct.calcsize(form)) - 1
        number = struct.pack(form, dice.choice([0, 1, whole, whole // 2 + 1, 0x7FFF]))
        body[place : place + len(number)] = number
    return bytes(body)


def doubled(dice, body):
    a, b = sorted(some_places(dice, body, 1) + some_places(dice, body, 1))
    return body[:b] + body[a:b] + body[b:]


def other(dice, body):
    return dice.choice([b"", b"\0" * len(body), dice.randbytes(len(body)), b"[" * 100_000])


WAYS = (flipped, flipped, truncated, lengthened, shortened, renumbered, doubled, other)


def changed(dice, body, first=None):
    """Bytes near to those of `body`; `first`: only so many of its first bytes are changed."""
    head = body[:first]
    rest = body[len(head) :]
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        head = dice.choice(WAYS)(dice, head or b"\0")
    return head + rest


def places_of(value, path=()):
    """The path of every value in a nested one."""
    yield path
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_of(one, (*path, key))


def replaced(dice, value, path):
    """`value` with something else at a place, without it, or with it under another name."""
    if not path:
        return dice.choice(HOSTILE)
    copy = value.copy()
    key = path[0]
    if len(path) > 1:
        copy[key] = replaced(dice, value[key], path[1:])
        return copy
    what = dice.choice(["other"] * 6 + ["gone", "renamed", "nested"])
    old = copy.pop(key)
    if what == "gone":
        return copy
    new = dice.choice(HOSTILE) if what == "other" else [[old]] if what == "nested" else old
    if isinstance(copy, list):
        copy.insert(key, new)
    else:
        copy["other" if what == "renamed" else key] = new
    return copy


def changed_json(dice, body):
    """JSON near to that in `body`: other values in it, or other bytes."""
    if dice.random() < 0.25:
        return changed(dice, body)
    value = json.loads(body)
    for _ in range(dice.choice([1, 1, 2, 4])):
        value = replaced(dice, value, dice.choice(list(places_of(value))))
        if not isinstance(value, (dict, list)):
            break
    return json.dumps(value).encode()
