"""Small files that would take gigabytes, or mean something else than they say, by name, each with its sentence."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(3)


def png(
    side: tuple[int, int] = (6, 5), *, width: int = 0, height: int = 0, extra: bytes = b"", data: bytes | None = None
):
    """A grey PNG of (H, W) zeros, or one whose header says otherwise."""
    rows = zlib.compress(b"".join(b"\0" + bytes(side[1]) for _ in range(side[0])), 9) if data is None else data
    head = struct.pack(">IIBBBBB", width or side[1], height or side[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(kind: str = "PNG", side: tuple[int, int] = (6, 5), **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (*side, 3), dtype=np.uint8)).save(out, kind, **options)
    return out.getvalue()


def honest() -> dict[str, bytes]:
    return {f"{label}/{at}.png": picture() for label in "ab" for at in range(3)}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=9) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def with_one(data: bytes, name: str = "a/bad.png") -> bytes:
    """An honest archive with one more member."""
    return zipped(honest() | {name: data})


# -- archives ----------------------------------------------------------------------------------------------------------


def huge_among_small() -> bytes:
    """25 megapixels that would set the size of all, if the first or the largest did."""
    sides = {f"{'ab'[at % 2]}/{at}.png": picture(side=(5 + at, 6 + at)) for at in range(12)}
    return zipped(sides | {"a/!.png": png((5000, 5000))})


def declared_as_ten_bytes(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A member that unpacks to 20 MB and is declared as 10 bytes, with the checksum of its first ten."""
    member = bytes(20 << 20)
    packed = zlib.compressobj(9, wbits=-15)
    body = packed.compress(member) + packed.flush()
    return forged(body, size=10, crc=zlib.crc32(member[:10]), method=method)


def forged(body: bytes, size: int, crc: int, method: int = 8, name: bytes = b"a/bad.png", flags: int = 0) -> bytes:
    """A zip of honest members and one whose headers are written by hand."""
    members = honest()
    whole = zipped(members)
    at = struct.unpack("<I", whole[-6:-2])[0]  # where the directory begins
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, 33, crc, len(body), size, len(name), 0) + name
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        0x02014B50,
        20,
        20,
        flags,
        method,
        0,
        33,
        crc,
        len(body),
        size,
        len(name),
        0,
        0,
        0,
        0,
        0,
        at,
    )
    directory = whole[at:-22] + entry + name
    end = struct.pack(
        "<IHHHHIIH",
        0x06054B50,
        0,
        0,
        len(members) + 1,
        len(members) + 1,
        len(directory),
        at + len(local) + len(body),
        0,
    )
    return whole[:at] + local + body + directory + end


def overlapping() -> bytes:
    """Two hundred members that are one and the same picture of 4 megapixels."""
    body = png((2000, 2000))
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 33, zlib.crc32(body), len(body), len(body), 5, 0)
    first = local + b"a/001" + body
    directory = b""
    for at in range(200):
        name = f"{'ab'[at % 2]}/{at:03}.png".encode()
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 33, zlib.crc32(body), len(body), len(body), len(name),
            0, 0, 0, 0, 0, 0,
        ) + name  # fmt: skip
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 200, 200, len(directory), len(first), 0)
    return first + directory + end


def link() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "/etc/passwd")
        for name, data in honest().items():
            made.writestr(name, data)
    return out.getvalue()


def twice() -> bytes:
    out = io.BytesIO()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "w") as made:
        for name in ("a/1.png", "a/1.png", "b/1.png"):
            made.writestr(name, picture())
    return out.getvalue()


def many_members() -> bytes:
    return zipped({f"{'ab'[at % 2]}/{at}": b"" for at in range(300)} | honest())


def endless_directory() -> bytes:
    """The last record says that the directory takes four gigabytes."""
    whole = bytearray(zipped(honest()))
    whole[-10:-6] = struct.pack("<I", 0xFFFFFFF0)
    return bytes(whole)


# -- pictures ----------------------------------------------------------------------------------------------------------


def text_chunk(kind: bytes) -> bytes:
    """Text or a colour profile of 60 MB, packed into 60 kB of a picture of 30 pixels."""
    return png(extra=chunk(kind, b"key\0\0" + zlib.compress(bytes(60 << 20), 9)))


def tiff(entries: list[tuple[int, int, int, int]], data: bytes = b"") -> bytes:
    """A TIFF of these (tag, type, count, value)."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0) + data


def tiff_of(width: int, height: int, compression: int, rows: int, data: bytes, count: int | None = None) -> bytes:
    at = 8 + 2 + 12 * 9 + 4
    return tiff(
        [
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1),
            (273, 4, 1, at), (277, 3, 1, 1), (278, 4, 1, rows), (279, 4, 1, len(data) if count is None else count),
        ],
        data,
    )  # fmt: skip


def gif_of(width: int, height: int) -> bytes:
    """A canvas of this size with one pixel drawn."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
        + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00;"
    )  # fmt: skip


def gif_of_many_frames() -> bytes:
    frame = b"!\xf9\x04\x04\0\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 2000, 2000, 0x80, 0, 0) + bytes(6) + frame * 3000 + b";"


def looping_tiff() -> bytes:
    """Its second page is its first."""
    made = bytearray(tiff_of(5, 6, 1, 6, bytes(30)))
    made[8 + 2 + 12 * 9 : 8 + 2 + 12 * 9 + 4] = struct.pack("<I", 8)
    return bytes(made)


def jpeg_of(width: int, height: int) -> bytes:
    """A small picture whose header says that it is this large."""
    made = bytearray(picture("JPEG"))
    at = made.index(b"\xff\xc0")
    made[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(made)


def bmp_of(width: int, height: int) -> bytes:
    made = bytearray(picture("BMP"))
    made[18:26] = struct.pack("<ii", width, height)
    return bytes(made)


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "one huge picture among small ones": (huge_among_small, ""),
    "a member declared as ten bytes": (declared_as_ten_bytes, "does not decode"),
    "declared as ten bytes, in bzip2": (lambda: declared_as_ten_bytes(12), "packed by a method that is not read"),
    "declared as ten bytes, in LZMA": (lambda: declared_as_ten_bytes(14), "packed by a method that is not read"),
    "declared as ten bytes, Deflate64": (lambda: declared_as_ten_bytes(9), "packed by a method that is not read"),
    "declared larger than it is": (lambda: forged(b"\3\0", 50 << 20, 0), "cannot be unpacked"),
    "declared as four gigabytes": (lambda: forged(b"\3\0", 0xFFFFFFF0, 0), "bomb"),
    "members that share their bytes": (overlapping, "share their bytes"),
    "a zip in a zip": (lambda: zipped({"inner.zip": zipped(honest())}), "another archive"),
    "a zip in a class folder": (lambda: with_one(zipped(honest()), "a/inner.zip"), ""),
    "a name that climbs": (lambda: with_one(picture(), "../../a/evil.png"), "points outside"),
    "a name that climbs in the middle": (lambda: with_one(picture(), "a/../../evil.png"), "points outside"),
    "a name that climbs backwards": (lambda: with_one(picture(), "a\\..\\..\\evil.png"), "points outside"),
    "an absolute name": (lambda: with_one(picture(), "/etc/evil.png"), "points outside"),
    "a drive": (lambda: with_one(picture(), "C:/evil.png"), "points outside"),
    "a link": (link, "holds the link"),
    "an encrypted member": (lambda: forged(bytes(40), 30, 1, flags=1), "encrypted"),
    "a name twice": (twice, "twice"),
    "many empty members": (many_members, ""),
    "a directory of four gigabytes": (endless_directory, "not a readable zip"),
    "a name of 9,000 letters": (lambda: with_one(b"no picture", "a/" + "x" * 9_000 + ".png"), "does not decode"),
    "fifty folders deep": (
        lambda: zipped({f"{'d/' * 50}{label}/{i}.png": picture() for label in "ab" for i in range(3)}),
        "",
    ),
    "bytes after the end": (lambda: zipped(honest()) + bytes(20_000), ""),
    "a zip before the zip": (lambda: b"MZ" + bytes(5000) + zipped(honest()), "not a readable zip"),
}
PICTURES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a PNG of 2**62 pixels": (lambda: png(width=2**31 - 1, height=2**31 - 1), "pixels, so it was not"),
    "a PNG of 3.6 gigapixels": (lambda: png(width=60_000, height=60_000), "pixels, so it was not"),
    "a PNG shorter than it says": (lambda: png(width=5000, height=5000), "does not decode"),
    "a PNG of no pixels": (lambda: png(width=1, height=1, data=b""), "does not decode"),
    "a PNG with too many rows": (lambda: png(data=zlib.compress(bytes(60 << 20), 9)), ""),
    "a PNG with packed text": (lambda: text_chunk(b"zTXt"), "does not decode"),
    "a PNG with a packed profile": (lambda: text_chunk(b"iCCP"), "does not decode"),
    "a JPEG that says 65,500 x 65,500": (lambda: jpeg_of(65_500, 65_500), "pixels, so it was not"),
    "a JPEG that says 7,000 x 7,000": (lambda: jpeg_of(7000, 7000), ""),  # what is missing comes out grey
    "a JPEG cut short": (lambda: picture("JPEG", (60, 60))[:-400], "does not decode"),
    "a GIF of 65,535 x 65,535": (lambda: gif_of(65_535, 65_535), "pixels, so it was not"),
    "a GIF of a large canvas": (lambda: gif_of(7000, 7000), ""),
    "a GIF of 3,000 frames": (gif_of_many_frames, ""),
    "a BMP of 2**31 x 1": (lambda: bmp_of(2**31 - 1, 1), "pixels, so it was not"),
    "a BMP of 7,000 x 7,000": (lambda: bmp_of(7000, 7000), "does not decode"),
    "a TIFF of 4 gigapixels": (lambda: tiff_of(65_000, 65_000, 1, 65_000, bytes(30)), "pixels, so it was not"),
    "a TIFF shorter than it says": (lambda: tiff_of(7000, 7000, 1, 7000, bytes(30)), "does not decode"),
    "a TIFF of one packed strip": (lambda: tiff_of(7000, 7000, 8, 7000, zlib.compress(bytes(49_000_000), 9)), ""),
    "a TIFF whose strip never ends": (lambda: tiff_of(5, 6, 8, 6, zlib.compress(bytes(60 << 20), 9)), ""),
    "a TIFF whose strip is 4 GB": (lambda: tiff_of(5, 6, 1, 6, bytes(30), count=0xFFFFFFF0), ""),
    "a TIFF of 4 billion rows a strip": (lambda: tiff_of(5, 6, 8, 0xFFFFFFFF, zlib.compress(bytes(30))), ""),
    "a TIFF of a tag that is 4 GB": (lambda: tiff([(256, 4, 0x3FFFFFFF, 8), (257, 4, 1, 6)]), "does not decode"),
    "a TIFF that is its own next page": (looping_tiff, ""),
    "a text called PNG": (lambda: b"<svg onload=alert(1)>", "does not decode"),
    "a program for a printer": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "does not decode",
    ),
    "an empty file": (lambda: b"", "does not decode"),
}


# -- NumPy archives ----------------------------------------------------------------------------------------------------


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def described(descr: str, shape: str, data: bytes = b"", fortran: bool = False) -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}}}", data)


def saved(**arrays: np.ndarray) -> dict[str, bytes]:
    out = io.BytesIO()
    np.savez(out, **arrays)
    with zipfile.ZipFile(out) as made:
        return {name: made.read(name) for name in made.namelist()}


def npz(images: bytes | None = None, labels: bytes | None = None, **more: bytes) -> bytes:
    """An honest archive in which some members are replaced."""
    members = saved(images=RNG.integers(0, 256, (12, 6, 6), dtype=np.uint8), labels=np.arange(12) % 2)
    members |= {"images.npy": images or members["images.npy"], "labels.npy": labels or members["labels.npy"]}
    return zipped(members | {f"{name}.npy": data for name, data in more.items()})


ARRAYS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an array of 6 TB": (lambda: npz(described("'|u1'", "(99999999999, 8, 8)", bytes(64))), "another number of bytes"),
    "a size below zero": (lambda: npz(described("'|u1'", "(-12, -6, 6)", bytes(432))), "another number of bytes"),
    "a size that overflows": (lambda: npz(described("'|u1'", f"({2**62}, 4, 1)", b"")), "another number of bytes"),
    "a size of ten thousand digits": (lambda: npz(described("'|u1'", f"({'9' * 3000}, 6, 6)")), "safely"),
    "a size that is no number": (lambda: npz(described("'|u1'", "('a', 6, 6)", bytes(432))), "safely"),
    "thirty axes": (lambda: npz(described("'|u1'", "(" + "1," * 30 + ")", b"\0")), "have the shape"),
    "a hundred axes": (lambda: npz(described("'|u1'", "(" + "1," * 100 + ")", b"\0")), "safely|have the shape"),
    "pickled objects": (lambda: npz(described("'|O'", "(12, 6, 6)", bytes(3456))), "pickled objects"),
    "pickled objects in a field": (lambda: npz(described("[('x', '|O')]", "(12,)", bytes(96))), "pickled objects"),
    "a type of a gigabyte": (lambda: npz(described("'|S1000000000'", "(12,)", b"")), "another number of bytes"),
    "a text of a gigabyte": (lambda: npz(labels=described("'<U1000000000'", "(12,)", b"")), "safely"),
    "an array in a type": (lambda: npz(described("('|u1', (100000, 100000))", "(12,)", bytes(12))), "safely"),
    "values of no bytes": (lambda: npz(described("'|S0'", f"({10**12},)", b"")), "safely|have the shape"),
    "raw bytes as values": (lambda: npz(described("'|V36'", "(12,)", bytes(432))), "holds values of the kind"),
    "times as images": (lambda: npz(described("'<M8[s]'", "(12, 6, 6)", bytes(3456))), "holds values of the kind"),
    "complex numbers": (lambda: npz(described("'<c8'", "(12, 6, 6)", bytes(3456))), "holds values of the kind"),
    "brackets without end": (lambda: npz(npy("(" * 3000)), "safely"),
    "a header of a megabyte": (lambda: npz(described("'|u1'", "(12, 6, 6)" + " " * 60_000, bytes(432))), "safely"),
    "a header that computes": (lambda: npz(npy("{'descr': '|u1', 'shape': (9**9**9,)}")), "safely"),
    "another version": (lambda: npz(npy("{}", version=b"\x09\x00")), "safely"),
    "no NumPy array at all": (lambda: npz(b"\x80\x04\x95"), "safely"),
    "packed images, no labels": (lambda: npz(described("'|u1'", "(999, 100, 150)", bytes(14_985_000))), "12 labels"),
    "packed labels, no images": (lambda: npz(labels=described("'|u1'", "(20000000,)", bytes(20_000_000))), "labels"),
    "images of one pixel": (
        lambda: npz(described("'|u1'", "(6000000, 1, 1)", bytes(6_000_000)),
                    described("'|u1'", "(6000000,)", bytes(6_000_000))),
        "at most 5,000,000 are read",
    ),
    "a million class names": (
        lambda: npz(class_names=described("'|S1'", "(1000000,)", b"x" * 1_000_000)), "at most 100,000 classes",
    ),
    "axes in Fortran's order": (lambda: npz(described("'|u1'", "(12, 6, 6)", bytes(range(216)) * 2, True)), ""),
}  # fmt: skip
