"""Fetching a file with progress, or a sentence why it could not be had."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from pruning_core.datasets.raw import Progress
from pruning_core.errors import UserError
from pruning_core.storage.artifacts import replacing

CHUNK = 1 << 18  # bytes
TIMEOUT_S = 15


def fetch(urls: list[str], target: Path, what: str, progress: Progress) -> None:
    """Write the first of ``urls`` that answers to ``target``, completely or not at all; nothing if it is there.

    Raises UserError with the reason when none can be had.
    """
    if target.is_file():
        return
    reason = "no address is known"
    for url in urls:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0"})
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer, replacing(target) as file:
                total, done = int(answer.headers.get("Content-Length") or 0), 0
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    progress(f"downloading {what}", done, max(total, done))
                if total and done < total:
                    raise OSError("the connection broke off")
            return
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code}"
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except OSError as error:
            reason = str(error)
    raise UserError(
        f"{what} could not be downloaded ({reason}). Connect this machine to the network and try again, or choose "
        "something that is already here."
    )
