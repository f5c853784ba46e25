"""What a checkpoint's pickle says, without doing any of it.

A pickle is a program for a small machine with a stack. Python's own machine makes and changes real objects at the
program's word, also where it is told to load weights only: a few hundred bytes make it hash nested tuples for ever,
fill the memory, or change a class for the whole process. This one has the same instructions, but its values are plain
numbers, texts, lists, tuples and dictionaries, tensors that were judged (``Piece``) and inert stand-ins, and it stops
when a file asks for more steps than any checkpoint needs.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from pruning_core.errors import UserError
from pruning_core.zoo.pieces import DTYPES, Piece, Storage, whole
from pruning_core.zoo.stand_ins import Name, StandIn, is_key, made, named, refusal, told

MAX_STEPS = 1_000_000  # of which a tensor takes about 30: seconds, and not minutes
MAX_PIECES = 50_000
DAMAGED = "This checkpoint is damaged or cut short. Save and upload it again."


class _Machine:
    """The stack, where its marks are, what was put aside, and the storages that tensors refer to."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.names: set[str] = set()
        self.steps = 0
        self.pieces = 0

    def run(self, file: BinaryIO) -> Any:
        """What one pickle of ``file`` holds; the file then stands behind it."""
        for instruction, argument, _ in pickletools.genops(file):
            self.spend(1)
            ACTIONS[instruction.name](self, argument)
        return self.stack.pop()

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise UserError(
                f"This checkpoint needs more than {MAX_STEPS:,} steps to be read, many times what weights need. Save "
                "the weights alone with torch.save(model.state_dict(), 'weights.pt')."
            )

    def since_mark(self) -> list[Any]:
        """What was pushed after the last mark, which goes too."""
        at = self.marks.pop()
        if at > len(self.stack):
            raise ValueError("what was marked is no longer there")
        found = self.stack[at:]
        del self.stack[at:]
        return found

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise ValueError("fewer values than are taken")
        found = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return found

    def make(self, what: Any, given: Any) -> None:
        if isinstance(given, tuple):  # unpacking them, or pairs in a list among them, is work
            self.spend(len(given) + sum(len(each) for each in given if isinstance(each, list)))
        value = made(what, given)
        if isinstance(value, Piece):
            self.pieces += 1
            if self.pieces > MAX_PIECES:
                raise UserError(f"This checkpoint has more than {MAX_PIECES:,} tensors, so it was not loaded.")
        self.stack.append(value)

    def refer(self, pid: Any) -> None:
        """Push the storage that ``pid`` describes, or the class whose source it brings. Raises UserError otherwise."""
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module" and isinstance(pid[1], Name):
            self.stack.append(pid[1])
            return
        storage = _storage(*pid) if isinstance(pid, tuple) and len(pid) in (5, 6) else None
        if storage is None:
            raise UserError("This checkpoint refers to its numbers in an unknown way. Save the state dict again.")
        if self.storages.setdefault(storage.key, storage) != storage:
            raise UserError("This checkpoint gives one block of numbers two sizes, so it was not loaded.")
        self.stack.append(storage)

    def mention(self, module: Any, attribute: Any) -> Name:
        """What a file names. Raises UserError for what has no place in a checkpoint."""
        name = named(module, attribute)
        self.names.add(name.full)
        return name

    def put(self, place: int) -> None:
        if not 0 <= place < 1 << 32:
            raise ValueError("no place to put a value")
        self.memo[place] = self.stack[-1]

    def add(self, target: Any, values: list[Any]) -> None:
        if isinstance(target, list):
            target.extend(values)
        else:
            told(target, tuple(values))

    def set(self, target: Any, flat: list[Any]) -> None:
        """Entries for a dictionary; those under keys that are neither text nor numbers are left out."""
        if len(flat) % 2:
            raise ValueError("a key without a value")
        entries = {key: value for key, value in zip(flat[::2], flat[1::2], strict=True) if is_key(key)}
        if isinstance(target, dict):
            target.update(entries)
        else:
            told(target, entries)


def _storage(what: Any, kind: Any, key: Any, location: Any, items: Any, view: Any = None) -> Storage | None:
    """What torch writes for a storage; None for anything else."""
    torchs = isinstance(kind, Name) and kind.module in ("torch", "torch.cuda", "torch.storage")
    dtype = DTYPES.get(kind.full.rpartition(".")[2]) if torchs else None
    if what != "storage" or dtype is None or not isinstance(key, str) or not whole(items) or view is not None:
        return None
    return Storage(key, dtype, items)


def _pushed(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _reduce(machine: _Machine, _: Any) -> None:
    machine.make(*machine.pop(2))


def _with_keywords(machine: _Machine, _: Any) -> None:
    what, given, keywords = machine.pop(3)
    machine.make(what, given)
    told(machine.stack[-1], keywords)


def _instance(machine: _Machine, argument: str) -> None:
    given = tuple(machine.since_mark())
    machine.make(machine.mention(*_parts(argument)), given)


def _object(machine: _Machine, _: Any) -> None:
    what, *given = machine.since_mark()
    machine.make(what, tuple(given))


def _built(machine: _Machine, _: Any) -> None:
    (state,) = machine.pop(1)
    told(machine.stack[-1], state)


def _parts(argument: str) -> tuple[str, str]:
    module, _, name = argument.partition(" ")
    return module, name


def _extension(machine: _Machine, code: int) -> None:
    raise UserError(refusal(Name("extension", f"extension {code}")))


def _set(machine: _Machine, values: list[Any]) -> None:
    machine.stack.append(StandIn(Name("builtins", "builtins.set"), tuple(values)))


def _paired(machine: _Machine, flat: list[Any]) -> None:
    machine.stack.append({})
    machine.set(machine.stack[-1], flat)


def _drop(machine: _Machine, _: Any) -> None:
    machine.since_mark()


def _unmark(machine: _Machine, _: Any) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop(1)


Action = Callable[[_Machine, Any], None]

ACTIONS: dict[str, Action] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"), _pushed),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _pushed),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _pushed),
    "BYTEARRAY8": lambda machine, argument: machine.stack.append(bytes(argument)),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: _set(machine, []),
    "FROZENSET": lambda machine, _: _set(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.stack[machine.marks[-1] - 1], machine.since_mark()),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.pop(3))),
    "DICT": lambda machine, _: _paired(machine, machine.since_mark()),
    "APPEND": lambda machine, _: machine.add(machine.stack[-2], machine.pop(1)),
    "APPENDS": lambda machine, _: machine.add(machine.stack[machine.marks[-1] - 1], machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set(machine.stack[-3], machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set(machine.stack[machine.marks[-1] - 1], machine.since_mark()),
    "POP": _unmark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP_MARK": _drop,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.stack.append(machine.memo[place])),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, place: machine.put(place)),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GLOBAL": lambda machine, argument: machine.stack.append(machine.mention(*_parts(argument))),
    "STACK_GLOBAL": lambda machine, _: machine.stack.append(machine.mention(*machine.pop(2))),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _extension),
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": _built,
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda machine, _: None),
    "PERSID": lambda machine, pid: machine.refer(pid),
    "BINPERSID": lambda machine, _: machine.refer(*machine.pop(1)),
}
"""What each instruction does; those that are not here (buffers outside the pickle) make a file a damaged one."""


@dataclass(frozen=True, eq=False)
class Said:
    """What one pickle holds, its storages by key, and every class and function that it names."""

    value: Any
    storages: dict[str, Storage]
    names: frozenset[str]


def said(file: BinaryIO) -> Said:
    """What the next pickle of ``file`` says; the file then stands behind it.

    Raises UserError for functions that run code, for sizes that lie, for more steps than weights need, and for damaged
    bytes.
    """
    machine = _Machine()
    try:
        return Said(machine.run(file), machine.storages, frozenset(machine.names))
    except UserError:
        raise
    except Exception as error:  # hostile bytes can fail anywhere; all of it means the same
        raise UserError(DAMAGED) from error


def read(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """(what the next pickle of ``file`` holds, its storages by key). Raises UserError as ``said`` does."""
    told = said(file)
    return told.value, told.storages
