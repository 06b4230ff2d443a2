"""A compiled model in Python, on the fused kernels and on the function's body: python docs/kernels-in-python.py MODEL LIBRARY

Needs onnxruntime and numpy. MODEL is a compiled file, LIBRARY is kernels/build/libpumer_ops.so. Inputs are made up (open
sizes: 2 rows, 16 tokens). Says how far the outputs are apart and exits 1 if that is more than rounding, or if no reducer
ran on its kernel.
"""

import json
import sys

import numpy as np
import onnxruntime as ort


def open_model(path, library=None, **settings):
    options = ort.SessionOptions()
    for name, value in settings.items():
        setattr(options, name, value)
    if library is not None:
        options.register_custom_ops_library(library)
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def made_up(value, random):
    sizes = {0: 2}
    shape = [size if isinstance(size, int) else sizes.get(axis, 16) for axis, size in enumerate(value.shape)]
    if "float" in value.type or "double" in value.type:
        dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(value.type, np.float32)
        return random.random(shape).astype(dtype)
    return np.ones(shape, {"tensor(bool)": bool, "tensor(int32)": np.int32}.get(value.type, np.int64))


def main(model, library):
    body = open_model(model)
    kernels = open_model(model, library, enable_profiling=True, profile_file_prefix="/tmp/pumer-kernels")
    random = np.random.default_rng(0)
    feeds = {value.name: made_up(value, random) for value in body.get_inputs()}
    expected, found = body.run(None, feeds), kernels.run(None, feeds)
    with open(kernels.end_profiling()) as file:
        events = [event.get("args", {}).get("op_name", "") for event in json.load(file)]
    reducers = sum(name.startswith("TokenReduce") for name in events)
    apart = max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in zip(expected, found))
    print(f"{reducers} reducers ran on kernels; outputs lie within {apart:.1e} of the largest")
    return 0 if reducers > 0 and apart < 1e-4 else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
