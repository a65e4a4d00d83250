"""The default engine: ONNX Runtime, on the graph that we build."""

import os

# Before ONNX Runtime, which would call home as soon as it is loaded.
import kh_zoo.telemetry  # noqa: F401

# isort: split
import numpy as np
import onnxruntime

from kh_zoo.engines import DEFAULT_DEVICE, gpu_number
from kh_zoo.errors import EngineError
from kh_zoo.forked import keep_in_forks
from kh_zoo.networks.model_folder import ModelFolder
from kh_zoo.networks.onnx_graph import onnx_graph

_GPU = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider")
_CPU = "CPUExecutionProvider"


class OnnxEngine:
    """Runs a variant with ONNX Runtime.

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.
        device: As for `create_engine`.

    Raises:
        EngineError: ONNX Runtime can't use the device.
    """

    def __init__(self, folder: ModelFolder, head: str, device: str = DEFAULT_DEVICE):
        there = onnxruntime.get_available_providers()
        gpu = next((name for name in _GPU if name in there and device != "cpu"), None)
        if gpu is None and device not in ("cpu", DEFAULT_DEVICE):
            raise _no_gpu(device)
        providers = [(gpu, {"device_id": gpu_number(device)})] if gpu else []
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what fails is raised, and said, elsewhere
        # As other libraries do; ONNX Runtime itself doesn't look. The numbers are the same.
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
        # int8 kernels are expanded once, when the session starts, not on every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.tensors_path.parent)
        )
        graph = onnx_graph(folder, head).to_bytes()
        self.session = onnxruntime.InferenceSession(graph, options, providers=[*providers, _CPU])
        # Where a provider can't start, ONNX Runtime takes the next one.
        if self.session.get_providers()[0] != gpu:
            if device not in ("cpu", DEFAULT_DEVICE):
                raise _no_gpu(device)
            gpu = None
        keep_in_forks(self)
        self.device = f"gpu:{gpu_number(device)}" if gpu else "cpu"

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        feed = {"lightness": np.asarray(lightness, np.float32)[None, None]}
        (ab,) = self.session.run(["ab"], feed)
        return np.asarray(ab[0]).transpose(1, 2, 0)


def _no_gpu(device: str) -> EngineError:
    return EngineError(
        "`device` should be 'cpu' here: ONNX Runtime finds no GPU that it can use (for NVIDIA's, "
        f"install onnxruntime-gpu in place of onnxruntime). Received: {device!r}"
    )
