"""WAV recordings in class folders: one rate, one channel and one length for all."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from math import ceil, gcd

import numpy as np
import torch
from scipy.io import wavfile
from scipy.signal import resample_poly

from pruning_core.datasets import folder
from pruning_core.datasets.findings import numbers
from pruning_core.datasets.images import SUFFIXES
from pruning_core.datasets.leftovers import is_left_behind, suffix
from pruning_core.datasets.opened import Members, Opened
from pruning_core.datasets.raw import Progress, Raw
from pruning_core.datasets.ref import LEAST_RATE, MOST_RATE
from pruning_core.errors import UserError, quoted
from pruning_core.storage.memory import must_fit

WAV = frozenset({".wav"})
FLOAT = 4  # bytes
EVERY = 200  # recordings between two words on the progress
MOST_CHANNELS = 64
SPARE = 64  # samples beyond the end that resampling looks at


def are_in(names: Sequence[str]) -> bool:
    """Whether there are recordings, and no pictures."""
    kinds = {suffix(each) for each in names if not is_left_behind(each)}
    return bool(kinds & WAV) and not kinds & SUFFIXES


def read(archives: Sequence[Opened], rate: int, samples: int, progress: Progress) -> Raw:
    """float32 (N, 1, samples) in [-1, 1] at ``rate`` samples a second: channels are averaged, what is longer loses its
    end, what is shorter ends in silence. 0 takes the rate of the first one, and one second.

    Raises UserError naming the recording that does not decode.
    """
    sorted_out = folder.sorted_out(archives, WAV, "recordings")
    rate = rate or _heard(sorted_out.members, 0)[0]
    samples = samples or rate
    count, name = len(sorted_out.members), archives[0].name
    must_fit(2 * FLOAT * count * samples, f"{count:,} recordings of {name!r}", "Choose a smaller length or rate.")
    out = np.zeros((count, 1, samples), dtype=np.float32)
    resampled = cut = padded = 0
    for at in range(count):
        found, own_rate, length = _decoded(sorted_out.members, at, rate, samples)
        out[at, 0, : len(found)] = found
        wanted = length * rate / own_rate
        resampled += own_rate != rate
        cut, padded = cut + (ceil(wanted) > samples), padded + (ceil(wanted) < samples)
        if at % EVERY == 0:
            progress("reading recordings", at, count)
    progress("reading recordings", count, count)
    return sorted_out.raw(torch.from_numpy(out), (numbers.Sounds(count, rate, samples, resampled, cut, padded),))


def _decoded(members: Members, at: int, rate: int, samples: int) -> tuple[np.ndarray, int, int]:
    """(float32 of at most ``samples``, the rate that it had, how many samples it had)."""
    own_rate, values = _heard(members, at)
    length = len(values)
    heard = _mono(values[: ceil(samples * own_rate / rate) + SPARE])
    if not np.isfinite(heard).all():
        raise UserError(f"The recording {quoted(members.name(at))} holds samples that are not finite. Save it again.")
    if own_rate != rate:
        shared = gcd(rate, own_rate)
        heard = resample_poly(heard, rate // shared, own_rate // shared)
    return heard[:samples].astype(np.float32), own_rate, length


def _heard(members: Members, at: int) -> tuple[int, np.ndarray]:
    """(samples a second, (n,) or (n, channels) as stored). Raises UserError naming the recording."""
    name, data = members.name(at), members.data(at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks of other programs
            own_rate, values = wavfile.read(io.BytesIO(data))
    except Exception as error:  # readers of strangers' bytes raise whatever they raise
        raise UserError(
            f"The recording {quoted(name)} does not decode: it is damaged, packed or no WAV. Save it as WAV (PCM)."
        ) from error
    if not LEAST_RATE <= own_rate <= MOST_RATE:
        raise UserError(
            f"The recording {quoted(name)} says that it has {own_rate:,} samples a second. Between {LEAST_RATE:,} and "
            f"{MOST_RATE:,} are read; save it again."
        )
    if values.size == 0 or (values.ndim == 2 and values.shape[1] > MOST_CHANNELS):
        raise UserError(f"The recording {quoted(name)} holds no samples, or too many channels. Save it again as WAV.")
    return own_rate, values


def _mono(values: np.ndarray) -> np.ndarray:
    """float64 (n,), whole numbers scaled to [-1, 1]."""
    if values.dtype == np.uint8:
        found = (values.astype(np.float64) - 128) / 128
    elif values.dtype.kind == "i":
        found = values.astype(np.float64) / -float(np.iinfo(values.dtype).min)
    else:
        found = values.astype(np.float64)
    return found if found.ndim == 1 else found.mean(1)
