"""Recordings and arrays of numbers as inputs: read, brought to one form, and refused by name."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from pruning_core.datasets import import_data, load_splits
from pruning_core.datasets.findings import numbers
from pruning_core.errors import UserError
from pruning_core.storage import memory
from tests.core.test_datasets_uploads import kept_files, npz, zipped

FORMS = {
    "8 bits": lambda x: (128 + 127 * x).round().astype(np.uint8),
    "16 bits": lambda x: (32767 * x).round().astype(np.int16),
    "32 bits": lambda x: (2147483000 * x).round().astype(np.int32),
    "floats": lambda x: x.astype(np.float32),
    "two channels": lambda x: np.stack([x, x], 1).astype(np.float32),
}


def tone(rate: int = 8000, hertz: float = 200.0, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def wav(values: np.ndarray, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    wavfile.write(out, rate, values)
    return out.getvalue()


def words(form="16 bits", rate=8000, seconds=0.5, count=3) -> dict[str, bytes]:
    return {
        f"words/{word}/{at}.wav": wav(FORMS[form](tone(rate, hertz + at, seconds)), rate)
        for word, hertz in (("no", 200), ("yes", 700))
        for at in range(count)
    }


def both(root, members, **chosen):
    return load_splits(import_data(zipped(members), "words.zip", root, **chosen), root)


@pytest.mark.parametrize("form", FORMS)
def test_recordings_are_numbers_between_minus_one_and_one(tmp_path, form):
    train, test = both(tmp_path, words(form), rate=8000, samples=4000)
    assert train.classes == ("no", "yes") and train.size == (1, 4000) and not train.pictures
    assert (len(train), len(test)) == (4, 2) and (train.mean, train.std) == ((0.0,), (1.0,))
    wanted = torch.from_numpy(tone(8000, 200)).float()
    nearest = min((each[0] - wanted).abs().max() for each in torch.cat([train.images, test.images]))
    assert nearest < (0.02 if form == "8 bits" else 1e-3)


def test_another_rate_is_resampled_and_the_length_is_brought_to_what_was_asked(tmp_path):
    members = words(rate=8000) | {"words/yes/long.wav": wav(FORMS["16 bits"](tone(16000, 300, 2)), 16000)}
    train, test = both(tmp_path, members, rate=16000, samples=12000)
    (said,) = [each for each in train.findings if isinstance(each, numbers.Sounds)]
    assert (said.total, said.resampled, said.cut, said.padded) == (7, 6, 1, 6)
    whole = {name: x for part in (train, test) for name, x in zip(range(9), part.images)}
    assert train.size == (1, 12000) and all(x.abs().max() < 0.6 for x in whole.values())
    wanted = torch.from_numpy(tone(16000, 700)).float()  # the same tone as it would be at that rate
    error = min((each[0, 200:7800] - wanted[200:7800]).abs().max() for each in torch.cat([train.images, test.images]))
    assert error < 0.01
    again = load_splits(dataclasses.replace(import_data(zipped(members), "w.zip", tmp_path), samples=100), tmp_path)
    assert again[0].size == (1, 100)


def test_without_a_wish_the_first_one_sets_the_rate_and_all_get_a_second(tmp_path):
    members = words(rate=8000, seconds=1.5) | {"words/yes/z.wav": wav(FORMS["floats"](tone(16000)), 16000)}
    train, _ = both(tmp_path, members)
    (said,) = [each for each in train.findings if isinstance(each, numbers.Sounds)]
    assert train.size == (1, 8000) and (said.rate, said.resampled, said.cut, said.padded) == (8000, 1, 6, 1)


def test_train_and_test_folders_and_recordings_without_classes(tmp_path):
    members = {f"{part}/{word}/{at}.wav": wav(FORMS["floats"](tone(hertz=99 + at)))
               for part in ("train", "test") for word in ("a", "b") for at in range(2)}  # fmt: skip
    train, test = both(tmp_path, members)
    assert (len(train), len(test), train.divided) == (4, 4, False)
    alone, _ = both(tmp_path, {f"{at}.wav": wav(FORMS["floats"](tone(hertz=99 + at))) for at in range(5)})
    assert not alone.labelled


def with_one(data: bytes, name: str = "words/yes/<b>bad.wav") -> dict[str, bytes]:
    return words() | {name: data}


def changed(at: int, field: bytes) -> bytes:
    made = bytearray(wav(FORMS["16 bits"](tone())))
    made[at : at + len(field)] = field
    return bytes(made)


REFUSED = {
    "no sound": (with_one(b"<svg onload=alert(1)>"), "recording 'words/yes/<b>bad.wav' does not decode"),
    "empty": (with_one(b""), "does not decode"),
    "cut short": (with_one(wav(FORMS["16 bits"](tone()))[:40]), "does not decode|holds no samples"),
    "a rate of 1": (with_one(wav(FORMS["16 bits"](tone()), 1)), "says that it has 1 samples a second"),
    "a rate of 4 billion": (with_one(changed(24, b"\xff" * 4)), "does not decode|samples a second"),
    "packed": (with_one(changed(20, b"\x55\x00")), "does not decode"),
    "NaN": (with_one(wav(np.full(4000, np.nan, np.float32))), "not finite"),
    "no samples": (with_one(wav(np.zeros(0, np.int16))), "does not decode|holds no samples"),
    "no channels": (with_one(changed(22, b"\x00\x00")), "does not decode|holds no samples"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_recording_is_refused_by_name(tmp_path, case):
    members, sentence = REFUSED[case]
    with pytest.raises(UserError, match=sentence) as caught:
        both(tmp_path, members)
    assert len(str(caught.value)) < 400 and kept_files(tmp_path) == []


def test_what_would_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: float(1 << 20))
    monkeypatch.setattr(wavfile, "read", None)
    with pytest.raises(UserError, match=r"6 recordings of 'words.zip' would take"):
        both(tmp_path, words(), rate=16000, samples=100_000)


# -- arrays of numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (7,), (2, 30), (1, 4, 6, 6)])
def test_inputs_of_any_shape_go_in_as_they_are(tmp_path, shape):
    given = np.random.default_rng(1).normal(size=(20, *shape))
    ref = import_data(npz(inputs=given, labels=np.arange(20) % 2), "a.npz", tmp_path)
    train, test = load_splits(ref, tmp_path)
    assert train.size == (shape or (1,)) and train.classes == ("0", "1")
    whole = torch.cat([train.normalised(train.images), test.images]).flatten(1)
    assert sorted(whole[:, 0].tolist()) == sorted(given.reshape(20, -1)[:, 0].astype(np.float32).tolist())


def test_several_inputs_are_put_behind_one_another(tmp_path):
    tokens, user = np.arange(60).reshape(20, 3), np.linspace(0, 1, 20)
    file = npz(**{"inputs/tokens": tokens, "inputs/user": user, "labels": user * 2})
    train, _ = load_splits(import_data(file, "a.npz", tmp_path), tmp_path)
    assert train.size == (4,) and torch.allclose(train.labels, 2 * train.images[:, 3])
    assert "'tokens' (3), 'user' (1)" in " ".join(train.notes)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"inputs": np.full((9, 3), np.nan)}, "inputs 'inputs' of 'a.npz' are not all finite"),
        ({"inputs": np.full((9, 3), 1e300)}, "too large for float32"),
        ({"inputs": np.full((9, 3), 2**40)}, "beyond 16,777,216"),
        ({"inputs": np.array(["<b>"] * 9)}, "hold no numbers"),
        ({"inputs/a": np.zeros((9, 3)), "inputs/b": np.zeros((8, 3))}, "hold 9 and 8 examples"),
        ({"inputs": np.zeros((9, 3)), "labels": np.arange(8)}, "9 images and 8 labels"),
        ({"inputs": np.zeros((9, 3)), "test_inputs": np.zeros((9, 4))}, "differ in shape"),
        ({"images": np.zeros((9, 3, 3, 3, 3), np.uint8)}, "call the array inputs"),
    ],
)
def test_inputs_that_are_none_are_refused(tmp_path, arrays, sentence):
    with pytest.raises(UserError, match=sentence):
        import_data(npz(**arrays), "a.npz", tmp_path)
