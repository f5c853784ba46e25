"""A trial of a stranger's graph on shapes alone: every argument judged, everything large counted, nothing computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from pruning_core.errors import UserError, clip, quoted
from pruning_core.zoo.programs.operators import refuses
from pruning_core.zoo.programs.watch import SMALL, Limits, NotJudged, TooMuch, check_image, watched

Size = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What one node of the graph gave: its shape, and its numbers where they do not come from the images."""

    shape: tuple[int, ...]
    numbers: Any = None  # nested lists of a small tensor, or a plain number
    dtype: torch.dtype | None = None


class Trial(fx.Interpreter):
    """Runs the graph node by node, which is where the names of operators still stand."""

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program)
        self.extra_traceback = False  # it would be written into our own sentences
        self.seen: dict[str, Seen] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            small = value.device.type != "meta" and value.numel() <= SMALL
            self.seen[n.name] = Seen(tuple(value.shape), value.tolist() if small else None, value.dtype)
        elif isinstance(value, int | float):
            self.seen[n.name] = Seen((), value)
        return value

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(target, torch._ops.OpOverload) and refuses(target, args, kwargs):
            raise UserError(
                f"an operator of it ({clip(target._schema.name.split('::')[-1])}) is given numbers or types that no "
                "network gives it"
            )
        return super().call_function(target, args, kwargs)


def trial(program: fx.GraphModule, size: Size, batch: int, name: str) -> dict[str, Seen]:
    """What every node of ``program`` gives for ``batch`` images (C, H, W), without computing it.

    Raises UserError, with ``name`` for the file, when it holds or does too much, passes operators what they must not be
    given, or cannot run on such images.
    """
    check_image(size, quoted(name))
    run = Trial(program)
    images = torch.empty(batch, *size, device="meta")
    try:
        watched(program, lambda: run.run(images), Limits.of(program))
    except UserError as error:
        said = f"{quoted(name)} was not loaded: {error}. Export the network again from layers of torch itself."
        raise UserError(said) from error
    except TooMuch as error:
        raise UserError(f"{quoted(name)} was not loaded: it {error}.") from error
    except NotJudged as error:
        raise UserError(
            f"{quoted(name)} was not loaded: an operator of it ({clip(str(error))}) decides by the images' numbers "
            "what to do, so what it needs cannot be known before it runs. Export a classifier without it."
        ) from error
    except RecursionError as error:
        raise UserError(f"{quoted(name)} was not loaded: its graph is nested too deeply.") from error
    except Exception as error:  # a stranger's graph may fail in any way, and all of it means the same
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shown = " x ".join(map(str, size))
        raise UserError(
            f"{quoted(name)} does not run on {batch} images of {shown} (channels, height, width): {clip(line, 160)}"
        ) from error
    return run.seen
