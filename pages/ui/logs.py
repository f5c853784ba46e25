"""What the server writes while it runs, for people or, one JSON object a line, for programs."""

from __future__ import annotations

import json
import logging
import sys
import time


class AsJson(logging.Formatter):
    """Time in UTC, level, who says it, what, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def speak(form: str) -> None:
    """Have everything that this process logs go to its error output in this form."""
    if form != "json":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AsJson())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("streamlit", "uvicorn", "uvicorn.error"):  # these bring a handler of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
