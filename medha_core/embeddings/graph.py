"""A small writer of ONNX graphs whose weights lie in a separate, mappable file."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from medha_core.errors import ConfigurationError

try:
    import onnx
    from onnx import TensorProto, helper
except ImportError as error:
    raise ConfigurationError(
        "converting a model needs the package onnx: pip install 'medha-core[onnx]'"
    ) from error

MICROSOFT = "com.microsoft"  # onnxruntime's own operators
_OPSET, _IR_VERSION = 20, 9
_INLINE_BYTES = 1024  # smaller tensors stay in the graph: shapes must be readable without the data file
_ALIGNMENT = 4096  # a page, so that each tensor can be mapped where it lies


class Graph:
    """Collects nodes and weights; every method that adds a node returns its output's name.

    Weights are appended to `data` at once, so that building a graph never
    holds more than one large tensor in memory.
    """

    def __init__(self, data: BinaryIO, data_name: str):
        self._data = data
        self._data_name = data_name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._count = 0

    def node(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """Add one operator; returns its output's name, or a list of names for several outputs."""
        names = [self._name(operator) for _ in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, array: np.ndarray) -> str:
        """Add a constant tensor; returns its name."""
        array = np.ascontiguousarray(array)
        tensor = TensorProto(name=self._name("weight"), dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        if array.nbytes < _INLINE_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            self._append(tensor, array)
        self._weights.append(tensor)
        return tensor.name

    def save(self, path: Path, inputs: dict[str, list], outputs: dict[str, list]) -> None:
        """Write the graph: `inputs` are int32, `outputs` float32, given as name to shape."""
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [helper.make_tensor_value_info(name, TensorProto.INT32, shape) for name, shape in inputs.items()],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self._weights,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        path.write_bytes(model.SerializeToString())

    def rename(self, old: str, new: str) -> None:
        """Give an output its public name."""
        self._nodes.append(helper.make_node("Identity", [old], [new]))

    def _append(self, tensor: onnx.TensorProto, array: np.ndarray) -> None:
        offset = -(-self._data.tell() // _ALIGNMENT) * _ALIGNMENT
        self._data.seek(offset, os.SEEK_SET)
        self._data.write(array.data)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._data_name), ("offset", offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))

    def _name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count}"
