"""Modules that mean harm by what they are, made byte by byte: too much of something, or badly formed."""

import random

from wasm import number, signed

HEADER = b"\0asm\x01\0\0\0"
COMPONENT_HEADER = b"\0asm\x0d\0\x01\0"

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA = range(1, 12)
CUSTOM = 0

I32, FUNCREF = b"\x7f", b"\x70"
PLAIN_TYPE = b"\x60\0\0"
START_EXPORT = b"\x06_start\0\0"
UNREACHABLE, NOP, END = b"\0", b"\x01", b"\x0b"


def constant(value):
    """`i32.const` of a value that is not negative."""
    return b"\x41" + signed(value)


def name(text):
    text = text if isinstance(text, bytes) else text.encode()
    return number(len(text)) + text


def raw_section(kind, content):
    return bytes([kind]) + number(len(content)) + content


def section(kind, *entries):
    return raw_section(kind, number(len(entries)) + b"".join(entries))


def custom(title, content):
    return raw_section(CUSTOM, name(title) + content)


def body(code, variables=b"\0"):
    """A function's code without its end, and its variables."""
    code = variables + code + END
    return number(len(code)) + code


def module(*code, before=b"", between=b"", after=b"", variables=b"\0"):
    """A module whose `_start` does this; other sections go where their order has them: `before` the
    exports, `between` those and the code, and `after` it."""
    return (
        HEADER
        + section(TYPE, PLAIN_TYPE)
        + section(FUNCTION, b"\0")
        + before
        + section(EXPORT, START_EXPORT)
        + between
        + section(CODE, body(b"".join(code), variables))
        + after
    )


# ---------------------------------------------------------------------------------------------------
# What runs and doesn't behave

_LOOP, _BLOCK, _BACK = b"\x03\x40", b"\x02\x40", b"\x0c\0"

# Calls itself until the host's stack for guests is used up: it keeps nothing in its memory.
RECURSES = module(b"\x10\0")
# Calls itself without ever returning and without a stack.
TAIL_CALLS = module(b"\x12\0")
LOOPS = module(_LOOP + _BACK + END)
# Never gets as far as `_start`.
STARTS_FOR_EVER = module(_LOOP + _BACK + END, between=raw_section(START, b"\0"))
# Grows a table until that is refused, and fails.
GROWS_TABLES = module(
    _BLOCK + _LOOP,
    b"\xd0\x70" + constant(4096) + b"\xfc\x0f\0",  # table.grow 0 with null
    b"\x41\x7f\x46\x0d\x01",  # i32.eq to -1, then out
    _BACK + END + END + UNREACHABLE,
    before=section(TABLE, FUNCREF + b"\0\0"),
)
# Has 4 GiB set to 1 in one instruction.
FILLS_EVERYTHING = module(b"\x41\0\x41\x01\x41\x7f\xfc\x0b\0", before=section(MEMORY, b"\0\x01"))
DIVIDES_BY_ZERO = module(b"\x41\x01\x41\0\x6d\x1a")
CALLS_NOTHING = module(b"\x41\0\x11\0\0", before=section(TABLE, FUNCREF + b"\0\x01"))
CALLS_BEYOND_TABLE = module(b"\x41\x7f\x11\0\0", before=section(TABLE, FUNCREF + b"\0\x01"))
READS_BEYOND_MEMORY = module(b"\x41\x7f\x28\x02\0\x1a", before=section(MEMORY, b"\0\x01"))
# Data for where no memory is.
DATA_BEYOND_MEMORY = module(
    before=section(MEMORY, b"\0\x01"), after=section(DATA, b"\0" + constant(65536) + END + name("x"))
)
ELEMENTS_BEYOND_TABLE = module(
    before=section(TABLE, FUNCREF + b"\0\x01"),
    between=section(ELEMENT, b"\0" + constant(7) + END + b"\x01\0"),
)
# Wants all that 32 bits can address from the beginning.
DECLARES_4_GIB = module(before=section(MEMORY, b"\0" + number(65536)))
DECLARES_LARGE_TABLE = module(before=section(TABLE, FUNCREF + b"\0" + number(9_000_000)))
DECLARES_MANY_TABLES = module(before=section(TABLE, *[FUNCREF + b"\0" + number(90_000)] * 90))


def many_instances(count, memories=b""):
    """A command component made of so many instances of one module, each with a table and these memories."""
    one = (
        HEADER
        + section(TYPE, b"\x60\0\x01\x7f")
        + section(FUNCTION, b"\0")
        + section(TABLE, FUNCREF + b"\0\x01")
        + memories
        + section(EXPORT, b"\x03run\0\0")
        + section(CODE, body(b"\x41\0"))
    )
    return (
        COMPONENT_HEADER
        + raw_section(1, one)
        + raw_section(2, number(count) + b"\0\0\0" * count)  # instances of module 0, without arguments
        + section(6, b"\0\0\x01\0" + name("run"))  # alias: the core function of instance 0
        + section(7, b"\x6a\0\0", b"\x40\0\0\0")  # types: result; function without parameters that gives it
        + section(8, b"\0\0\0\0\x01")  # lift core function 0 as one of type 1
        + section(5, b"\x01\x01\0" + name("run") + b"\x01\0")  # an instance that exports it
        + section(11, b"\0" + name("wasi:cli/run@0.2.0") + b"\x05\0\0")  # and is exported
    )


MANY_INSTANCES = many_instances(900)
MANY_MEMORIES = many_instances(900, section(MEMORY, b"\0\x01"))


# ---------------------------------------------------------------------------------------------------
# What is well formed and takes very much to compile


def many_functions(count=900_000):
    return (
        HEADER
        + section(TYPE, PLAIN_TYPE)
        + raw_section(FUNCTION, number(count) + b"\0" * count)
        + section(EXPORT, START_EXPORT)
        + raw_section(CODE, number(count) + body(b"") * count)
    )


def large_function(steps=1_500_000):
    """One function of some megabytes, in which every value is used at its end."""
    variables = b"\x01\x02\x7f"
    return module(b"\x20\0\x20\x01\x6a\x22\0" + b"\x1a" + b"\x20\0\x21\x01" * steps, variables=variables)


def many_branches(count=400_000):
    """One function with a branch for every three bytes."""
    return module(_BLOCK + b"\x41\0\x0d\0" * count + END)


def deep_nesting(depth=100_000):
    return module(_BLOCK * depth + END * depth)


def many_variables(functions=3000, variables=3000):
    """Each function lets all of its variables live through a loop."""
    code = _LOOP + b"".join(b"\x20" + number(n) + b"\x21" + number(n ^ 1) for n in range(64))
    code += b"\x20\0\x0d\0" + END
    one = body(code, b"\x01" + number(variables) + I32)
    return (
        HEADER
        + section(TYPE, PLAIN_TYPE)
        + raw_section(FUNCTION, number(functions) + b"\0" * functions)
        + section(EXPORT, START_EXPORT)
        + raw_section(CODE, number(functions) + one * functions)
    )


def large_branch_table(targets=1_000_000):
    return module(_BLOCK + b"\x41\0\x0e" + number(targets) + b"\0" * (targets + 1) + END)


def large_data(megabytes=48):
    return module(
        before=section(MEMORY, b"\0" + number(megabytes * 16 + 1)),
        after=section(DATA, b"\0\x41\0" + END + name(b"x" * (megabytes << 20))),
    )


def many_data(count=100_000):
    return module(
        before=section(MEMORY, b"\0\x01"),
        after=raw_section(DATA, number(count) + (b"\0\x41\0" + END + name("x")) * count),
    )


def many_imports(count=300_000):
    return (
        HEADER
        + section(TYPE, PLAIN_TYPE)
        + raw_section(
            IMPORT, number(count) + b"".join(name("env") + name(f"f{n}") + b"\0\0" for n in range(count))
        )
        + section(FUNCTION, b"\0")
        + section(EXPORT, b"\x06_start\0" + number(count))
        + section(CODE, body(b""))
    )


def many_types(count=900_000):
    """All different, as far as that goes with eight parameters."""
    kinds = (b"\x7f", b"\x7e", b"\x7d", b"\x7c")
    entries = [PLAIN_TYPE]
    for n in range(1, count):
        entries.append(b"\x60\x0a" + b"".join(kinds[n >> 2 * at & 3] for at in range(10)) + b"\0")
    return (
        HEADER
        + section(TYPE, *entries)
        + section(FUNCTION, b"\0")
        + section(EXPORT, START_EXPORT)
        + section(CODE, body(b""))
    )


def many_exports(count=300_000):
    exports = [START_EXPORT] + [name(f"e{n}") + b"\0\0" for n in range(count)]
    return (
        HEADER
        + section(TYPE, PLAIN_TYPE)
        + section(FUNCTION, b"\0")
        + section(EXPORT, *exports)
        + section(CODE, body(b""))
    )


def many_globals(count=900_000):
    return module(before=raw_section(GLOBAL, number(count) + (I32 + b"\x01\x41\0" + END) * count))


def many_elements(count=900_000):
    return module(
        before=section(TABLE, FUNCREF + b"\0" + number(count)),
        between=section(ELEMENT, b"\0\x41\0" + END + number(count) + b"\0" * count),
    )


def long_names(count=500_000):
    """A name section with a long name for each of many functions that aren't there."""
    entries = number(count) + b"".join(number(n) + name("n" * 60) for n in range(count))
    return module(after=custom("name", b"\x01" + number(len(entries)) + entries))


def long_constant(steps=1_000_000):
    """A global whose first value is a sum of very many."""
    return module(before=section(GLOBAL, I32 + b"\0\x41\0" + b"\x41\x01\x6a" * steps + END))


def nested_components(depth=10_000):
    """A component in a component in a component; wasmparser stops at a depth of its own."""
    content = COMPONENT_HEADER
    for _ in range(min(depth, 1000)):
        content = COMPONENT_HEADER + raw_section(4, content)
    return content


# ---------------------------------------------------------------------------------------------------
# What is badly formed

_GOOD = module(NOP)


def malformed():
    """Names and modules of which none can run."""
    types, functions = section(TYPE, PLAIN_TYPE), section(FUNCTION, b"\0")
    exports, code = section(EXPORT, START_EXPORT), section(CODE, body(NOP))
    endless = b"\x80" * 10
    memory = section(MEMORY, b"\0\x01")
    table = section(TABLE, FUNCREF + b"\0\x01")

    def with_body(content):
        return HEADER + types + functions + exports + section(CODE, number(len(content)) + content)

    found = {
        "header alone cut": HEADER[:6],
        "version 2": b"\0asm\x02\0\0\0",
        "version of all ones": b"\0asm\xff\xff\xff\xff",
        "magic of something else": b"\x7fELF" + HEADER,
        "magic twice": HEADER + HEADER,
        "module in a component's clothes": COMPONENT_HEADER + _GOOD[8:],
        "component in a module's clothes": HEADER + raw_section(4, COMPONENT_HEADER),
        "component with a module that isn't one": COMPONENT_HEADER + raw_section(1, b"\0asm"),
        "component with a cut module": COMPONENT_HEADER + raw_section(1, _GOOD[:-3]),
        "nested components": nested_components(),
        "section without a length": HEADER + b"\x01",
        "length without an end": HEADER + b"\x01" + endless,
        "length past the end": HEADER + b"\x01\xff\xff\xff\xff\x0f" + b"\0",
        "length of 33 bits": HEADER + b"\x01\xff\xff\xff\xff\x1f",
        "custom section past the end": _GOOD + b"\0\x7f\x04name",
        "custom section with a name past its end": _GOOD + b"\0\x02\x7fx",
        "custom section without a name": _GOOD + b"\0\0",
        "name that is no UTF-8": _GOOD + custom(b"\xff\xfe", b""),
        "unknown section": HEADER + b"\x7f\0",
        "wrong order": HEADER + types + functions + exports + memory + code,
        "types twice": HEADER + types + types + functions + exports + code,
        "code twice": _GOOD + code,
        "code without functions": HEADER + types + code,
        "functions without code": HEADER + types + functions + exports,
        "more code than functions": HEADER
        + types
        + functions
        + exports
        + section(CODE, body(NOP), body(NOP)),
        "count past the end of the section": HEADER + raw_section(TYPE, number(1000) + PLAIN_TYPE),
        "count of four thousand million": HEADER + raw_section(TYPE, b"\xff\xff\xff\xff\x0f"),
        "rest behind the last entry": HEADER + raw_section(TYPE, b"\x01" + PLAIN_TYPE + b"rest"),
        "type that isn't there": HEADER + types + section(FUNCTION, b"\x07") + exports + code,
        "export of what isn't there": HEADER
        + types
        + functions
        + section(EXPORT, b"\x06_start\0\x07")
        + code,
        "export that is no UTF-8": HEADER
        + types
        + functions
        + section(EXPORT, START_EXPORT, b"\x02\xc0\x80\0\0")
        + code,
        "two exports of one name": HEADER
        + types
        + functions
        + section(EXPORT, START_EXPORT, START_EXPORT)
        + code,
        "import that is no UTF-8": HEADER
        + types
        + section(IMPORT, b"\x01\xff\x01f\0\0")
        + functions
        + exports
        + code,
        "start that isn't there": module(NOP, between=raw_section(START, b"\x07")),
        "start that takes something": HEADER
        + section(TYPE, PLAIN_TYPE, b"\x60\x01\x7f\0")
        + section(FUNCTION, b"\0", b"\x01")
        + exports
        + raw_section(START, b"\x01")
        + section(CODE, body(NOP), body(NOP)),
        "start with a count": module(NOP, between=section(START, b"\0")),
        "elements for no table": module(NOP, between=section(ELEMENT, b"\0\x41\0\x0b\x01\0")),
        "elements that aren't there": module(
            NOP, before=table, between=section(ELEMENT, b"\0\x41\0\x0b\x01\x63")
        ),
        "data for no memory": module(NOP, after=section(DATA, b"\0\x41\0\x0b\x01x")),
        "data past its end": module(NOP, before=memory, after=section(DATA, b"\0\x41\0\x0b\xff\xff\x03x")),
        "data count that lies": module(
            NOP, before=memory, between=raw_section(12, b"\x63"), after=section(DATA, b"\0\x41\0\x0b\x01x")
        ),
        "two memories": module(NOP, before=section(MEMORY, b"\0\x01", b"\0\x01")),
        "memory of 64 bits": module(NOP, before=section(MEMORY, b"\x04\x01")),
        "shared memory": module(NOP, before=section(MEMORY, b"\x03\x01\x01")),
        "memory of more than 4 GiB": module(NOP, before=section(MEMORY, b"\0" + number(65537))),
        "memory whose most is less than its least": module(NOP, before=section(MEMORY, b"\x01\x02\x01")),
        "global of nothing": module(NOP, before=section(GLOBAL, I32 + b"\0" + END)),
        "global that calls": module(NOP, before=section(GLOBAL, I32 + b"\0\x10\0" + END)),
        "body without an end": with_body(b"\0\x01"),
        "body with too many ends": with_body(b"\0\x0b\x0b"),
        "body that takes from nothing": with_body(b"\0\x1a\x0b"),
        "body that leaves something": with_body(b"\0\x41\0\x0b"),
        "body with an unknown instruction": with_body(b"\0\xff\x0b"),
        "body with a branch to nowhere": with_body(b"\0\x0c\x63\x0b"),
        "body with a call of nobody": with_body(b"\0\x10\x63\x0b"),
        "body of another length": HEADER + types + functions + exports + raw_section(CODE, b"\x01\x63\0\x0b"),
        "four thousand million variables": with_body(b"\x01\xff\xff\xff\xff\x0f\x7f\x0b"),
        "variables of no type": with_body(b"\x01\x01\x13\x0b"),
        "exceptions of old": with_body(b"\0\x06\x40\x07\0\x0b\x0b"),
        "too large a function": module(NOP * 8_000_000),
        "start that takes something by its export": HEADER
        + section(TYPE, b"\x60\x01\x7f\0")
        + functions
        + exports
        + code,
        "start that is a memory": HEADER + memory + section(EXPORT, b"\x06_start\x02\0"),
    }
    for cut in (9, len(_GOOD) // 2, len(_GOOD) - 1):
        found[f"cut after {cut} bytes"] = _GOOD[:cut]
    return found


def mutants(good, count, seed):
    """Copies of a module with some bytes changed, the same ones for the same seed."""
    choice = random.Random(seed)
    for _ in range(count):
        content = bytearray(good)
        for _ in range(choice.choice((1, 1, 2, 8, 64))):
            content[choice.randrange(len(content))] = choice.randrange(256)
        yield bytes(content)
