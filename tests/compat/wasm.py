"""Modules made byte by byte: some that no job can run, and some that do one thing that no guest does."""

_HEADER = b"\0asm\x01\0\0\0"
_ONE_TYPE = b"\x01\x04\x01\x60\0\0"  # one function type: nothing in, nothing out
_ONE_FUNCTION = b"\x03\x02\x01\0"

NO_WASM = b"#!/bin/sh\necho this is a shell script\n"

# Valid, and empty.
NO_START = _HEADER

# `_start` is there and imports "nothing" from "env", which nobody provides.
UNKNOWN_IMPORT = (
    _HEADER
    + _ONE_TYPE
    + b"\x02\x0f\x01\x03env\x07nothing\0\0"
    + _ONE_FUNCTION
    + b"\x07\x0a\x01\x06_start\0\x01"
    + b"\x0a\x06\x01\x04\0\x10\0\x0b"
)

# Begins well and then breaks off in the middle of a section.
CUT_OFF = UNKNOWN_IMPORT[:20]

# A valid component that exports nothing.
EMPTY_COMPONENT = b"\0asm\x0d\0\x01\0"

# `_start` is one `unreachable`.
TRAPS = _HEADER + _ONE_TYPE + _ONE_FUNCTION + b"\x07\x0a\x01\x06_start\0\0" + b"\x0a\x05\x01\x03\0\0\x0b"


def number(value):
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def signed(value):
    """LEB128 of a value that is not negative, as i32.const wants it."""
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        last = value == 0 and not low & 0x40
        out.append(low | (0 if last else 0x80))
        if last:
            return bytes(out)


def _section(kind, *entries):
    content = number(len(entries)) + b"".join(entries)
    return bytes([kind]) + number(len(content)) + content


def writes(output, for_ever=False):
    """A module that writes these bytes to standard output with one call, and ends; or does so for ever."""
    where = 16
    pages = (where + len(output)) // 65536 + 1
    vector = where.to_bytes(4, "little") + len(output).to_bytes(4, "little")
    call = b""
    for argument in (1, 0, 1, 8):  # descriptor, vectors, their number, where the count goes
        call += b"\x41" + signed(argument)
    call += b"\x10\0\x1a"  # call fd_write, drop its answer
    if for_ever:
        call = b"\x03\x40" + call + b"\x0c\0\x0b"  # loop, branch to its beginning, end of it
    body = b"\0" + call + b"\x0b"  # no locals, end
    return (
        _HEADER
        + _section(1, b"\x60\0\0", b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f")
        + _section(2, b"\x16wasi_snapshot_preview1\x08fd_write\0\x01")
        + _section(3, b"\0")
        + _section(5, b"\0" + number(pages))
        + _section(7, b"\x06_start\0\x01", b"\x06memory\x02\0")
        + _section(10, number(len(body)) + body)
        + _section(
            11,
            b"\0\x41\0\x0b" + number(8) + vector,
            b"\0\x41" + signed(where) + b"\x0b" + number(len(output)) + output,
        )
    )


# `_start` does nothing: the cheapest job that there is.
NOTHING = _HEADER + _ONE_TYPE + _ONE_FUNCTION + b"\x07\x0a\x01\x06_start\0\0" + b"\x0a\x04\x01\x02\0\x0b"


def fails_at_index(index, code):
    """A module that ends with a code in the array child of one index (0 to 9), and with 0 in all others.

    It looks for AWS_BATCH_JOB_ARRAY_INDEX among its environment: the pointers lie at 16, the texts at 4096,
    and the eight letters `RAY_INDE` stand 16 behind the beginning of no other variable.
    """
    local, letters = b"\x20\0", int.from_bytes(b"RAY_INDE", "little")
    wanted = b"\x42" + signed(letters)
    body = (
        b"\x01\x02\x7f"  # two locals: where the pointer is, the pointer
        + b"\x41\0\x41\x04\x10\0\x1a"  # environ_sizes_get(0, 4): the number of variables is at 0
        + (b"\x41\x10" + b"\x41" + signed(4096) + b"\x10\x01\x1a")  # environ_get(16, 4096)
        + b"\x03\x40"  # loop
        + (local + b"\x28\x02\x10" + b"\x22\x01" + b"\x29\0\x10" + wanted + b"\x51")  # is it the one?
        + b"\x04\x40"  # if
        + (b"\x20\x01\x2d\0\x1a" + b"\x41" + signed(48 + index) + b"\x46")  # has it this digit?
        + (b"\x04\x40" + b"\x41" + signed(code) + b"\x10\x02" + b"\x0b")
        + b"\x0b"
        + (local + b"\x41\x04\x6a\x22\0" + b"\x41\0\x28\x02\0" + b"\x41\x02\x74\x49" + b"\x0d\0")
        + b"\x0b\x0b"  # the next one, as long as there is one
    )
    wasi = b"\x16wasi_snapshot_preview1"
    return (
        _HEADER
        + _section(1, b"\x60\0\0", b"\x60\x02\x7f\x7f\x01\x7f", b"\x60\x01\x7f\0")
        + _section(
            2,
            wasi + b"\x11environ_sizes_get\0\x01",
            wasi + b"\x0benviron_get\0\x01",
            wasi + b"\x09proc_exit\0\x02",
        )
        + _section(3, b"\0")
        + _section(5, b"\0\x02")
        + _section(7, b"\x06_start\0\x03", b"\x06memory\x02\0")
        + _section(10, number(len(body)) + body)
    )
