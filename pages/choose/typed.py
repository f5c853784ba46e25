"""Numbers as a visitor types them, with commas between."""

from __future__ import annotations

from pages.ui.language import _
from pruning_core.errors import UserError


def listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def numbers_of(text: str, what: str) -> tuple[float, ...]:
    """Raises UserError, which calls them ``what``, for anything else."""
    try:
        return tuple(float(part) for part in text.replace(";", ",").split(",") if part.strip())
    except ValueError as error:
        raise UserError(
            _("The {what} needs numbers with commas between them, such as 0.49, 0.48, 0.45.").format(what=what)
        ) from error
