"""Notes beside data: each a frozen dataclass with a sentence, stored with the import."""

from pruning_core.datasets.findings import archive, copies, labels, numbers, parts, pixels, places
from pruning_core.datasets.findings.finding import Finding
from pruning_core.storage.codec import Codec, dump

FINDINGS: tuple[type[Finding], ...] = (
    archive.Clutter,
    archive.LeftOut,
    archive.TextsBeside,
    archive.EmptyFolders,
    archive.Subfolders,
    archive.Listed,
    archive.NotListed,
    archive.TestFolders,
    archive.OnlyOnePart,
    archive.CodePage,
    archive.NumbersAsText,
    archive.Alike,
    archive.OwnTestLeftOut,
    archive.ArraysLeftOut,
    pixels.BitDepth,
    pixels.UpperBits,
    pixels.ZeroOne,
    pixels.Floats,
    pixels.TooDark,
    pixels.Turned,
    pixels.AlphaLeftOut,
    pixels.Palette,
    pixels.OtherColours,
    pixels.GreyAmongColour,
    pixels.GreyAsColour,
    pixels.Resized,
    pixels.FirstFrame,
    pixels.ChannelsLast,
    pixels.EitherAxis,
    pixels.FourthChannel,
    labels.Renumbered,
    labels.Negative,
    labels.OneHot,
    labels.WholeFloats,
    labels.Alphabetical,
    labels.Missing,
    labels.Unequal,
    labels.Unlabelled,
    labels.Targets,
    copies.Contradictory,
    copies.Leaked,
    copies.Repeated,
    copies.Blank,
    copies.AllEqual,
    parts.MeasureOnly,
    numbers.Table,
    numbers.Categories,
    numbers.Codes,
    numbers.OnlyTested,
    numbers.PartColumn,
    numbers.ColumnsLeftOut,
    numbers.Arrays,
    numbers.Sounds,
    numbers.Constant,
    numbers.RepeatedRows,
    places.Masks,
    places.BlackAndWhite,
    places.TargetPictures,
    places.Annotations,
    places.BoxesMended,
)


def written(findings: tuple[Finding, ...]) -> str:
    """As JSON text, which ``read`` reads."""
    return dump(findings)


def read(text: str) -> tuple[Finding, ...]:
    """Raises ValueError or TypeError for anything else than ``written`` wrote."""
    found = Codec(FINDINGS).load(text)
    if not isinstance(found, tuple) or not all(isinstance(item, Finding) for item in found):
        raise ValueError("these are no stored findings")
    return found


__all__ = [
    "FINDINGS",
    "Finding",
    "archive",
    "copies",
    "labels",
    "numbers",
    "parts",
    "pixels",
    "places",
    "read",
    "written",
]
