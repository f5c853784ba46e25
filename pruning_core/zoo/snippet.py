"""The code that loads weights of an unknown architecture into the user's own class, filled with what the file says.

The user is going to run it, so nothing from the file gets into it but numbers and ``repr`` of short texts.
"""

from __future__ import annotations

from pruning_core.errors import quoted
from pruning_core.zoo.kinds import Kind
from pruning_core.zoo.weight_sets import Reading

MODULE, FACTORY = "my_network", "network"
SHOWN = 5  # weights from the beginning and from the end
SIDE = 224

CODE = """\
# {module}.py: write it beside your code, then start the dashboard with  make run MODEL={module}:{factory}
# What the file holds, to see which class it belongs to:
{listed}
import torch
{imports}from my_code import MyNetwork  # your class


def {factory}():
    model = MyNetwork()  # {facts}
    held = {load}{warning}
    weights = {{{key}: torch.as_tensor(value) for key, value in held.items() if {condition}}}
    model.load_state_dict(weights)
    model.input_size = ({channels}, {side}, {side})  # channels, height and width of your images
    return model
"""


def snippet(reading: Reading, name: str, kind: Kind, names: frozenset[str] = frozenset()) -> str:
    """Python that makes the network of ``reading``, a set of weights in the file that the user calls ``name``.

    names: the classes and functions that the file names.
    """
    shapes = [(key, piece.size) for key, piece in reading.pieces.items()]
    first = next(((key, shape[1]) for key, shape in shapes if len(shape) == 4), None)
    last = next(((key, shape[0]) for key, shape in reversed(shapes) if len(shape) == 2), None)
    facts = [f"{quoted(first[0])} reads {first[1]} channels"] if first else []
    facts += [f"{quoted(last[0])} gives {last[1]} numbers"] if last else []
    safe = kind is Kind.SAFETENSORS
    whole = ", weights_only=False" * any(not _torch_reads(each) for each in names)
    load = f"load_file({name!r})" if safe else f"torch.load({name!r}, map_location='cpu'{whole})"
    return CODE.format(
        module=MODULE,
        factory=FACTORY,
        listed=_listed(shapes, reading.called),
        imports="from safetensors.torch import load_file\n" if safe else "",
        facts=", ".join(facts) or "as it was trained",
        warning="  # runs what is pickled in it: only for a file of your own" * bool(whole and not safe),
        load=load + "".join(f"[{key!r}]" for key in reading.path),
        key=_key(reading),
        condition=" and ".join(_conditions(reading)),
        channels=first[1] if first else 3,
        side=SIDE,
    )


def _torch_reads(name: str) -> bool:
    """Whether torch's own safe reader knows it."""
    return name.startswith("torch.") or name in ("collections.OrderedDict", "collections.Counter", "_codecs.encode")


def _listed(shapes: list[tuple[str, tuple[int, ...]]], called: str) -> str:
    """Comments; ``repr`` keeps a name on its line, whatever is in it."""
    lines = [f"#   {quoted(key):40} {shape}" for key, shape in shapes]
    if len(lines) > 2 * SHOWN + 1:
        lines[SHOWN:-SHOWN] = [f"#   ... {len(lines) - 2 * SHOWN} more"]
    return "\n".join([f"#   it calls itself {quoted(called)}"] * bool(called) + lines)


def _key(reading: Reading) -> str:
    """How a key of the file becomes the network's own."""
    code = "key" if not reading.prefix else f"key.removeprefix({reading.prefix!r})"
    return code + "".join(f".replace({word!r}, '')" for word in reading.words)


def _conditions(reading: Reading) -> list[str]:
    found = ["hasattr(value, 'shape')"]
    if reading.prefix:
        found.append(f"key.startswith({reading.prefix!r})")
    if reading.counters:
        found.append("not key.endswith(('total_ops', 'total_params'))")
    return found
