"""The default engine: ONNX Runtime on the CPU, on the graph that we build."""

import os

import numpy as np
import onnxruntime

from kh_zoo.model_folder import ModelFolder
from kh_zoo.onnx_graph import onnx_graph


class OnnxEngine:
    """Runs a variant with ONNX Runtime.

    Args:
        folder: Of `open_model_folder`.
        head: One of its variants.
    """

    def __init__(self, folder: ModelFolder, head: str):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # As other libraries do; ONNX Runtime itself doesn't look. The numbers are the same.
        threads = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
        # int8 kernels are expanded once, when the session starts, not on every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.tensors_path.parent)
        )
        graph = onnx_graph(folder, head).SerializeToString()
        self.session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def predict_ab(self, lightness: np.ndarray) -> np.ndarray:
        """Return AB `(height, width, 2)` in CIELAB units for L `(height, width)`, 0..100."""
        feed = {"lightness": np.asarray(lightness, np.float32)[None, None]}
        (ab,) = self.session.run(["ab"], feed)
        return np.asarray(ab[0]).transpose(1, 2, 0)
