"""No telemetry of what we run on, turned off where this module is imported.

ONNX Runtime writes an identifier of the machine below `~/.cache` and asks for a host of Microsoft's
as soon as its library is loaded; Ray counts its uses, and the Hub's client names the libraries that
are installed. Each is asked not to before it is imported.
"""

import os
import sys

VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def no_telemetry() -> None:
    """Turn it off, here and in processes that are started from here."""
    os.environ.update(VARIABLES)
    # What somebody else has imported has read them already.
    if "huggingface_hub.constants" in sys.modules:
        sys.modules["huggingface_hub.constants"].HF_HUB_DISABLE_TELEMETRY = True  # type: ignore[attr-defined]
    if "onnxruntime" in sys.modules:
        sys.modules["onnxruntime"].disable_telemetry_events()


no_telemetry()
