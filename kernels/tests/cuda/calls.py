"""Calls of the plain C entry points by ctypes, on buffers of bytes: made here, run on a CPU, a GPU or the kernels'
emulation, and compared bit for bit."""

import ctypes
import dataclasses
from dataclasses import dataclass, field

import numpy as np

FLOAT32, FLOAT16, BFLOAT16, FLOAT64 = range(4)
SAFE, PUMER = range(2)
FROM_ATTENTION, FROM_QUERIES = range(2)
SIZE = {FLOAT32: 4, FLOAT16: 2, BFLOAT16: 2, FLOAT64: 8}


class View(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 4)]


class Call(ctypes.Structure):
    """pumer_token_reduce of kernels/include/pumer/token_reduce.h."""

    _fields_ = (
        [(name, ctypes.c_int32) for name in ("semantics", "type", "looks", "looks_type")]
        + [(name, ctypes.c_int64) for name in ("batch", "tokens_in", "width", "metric_width")]
        + [(name, ctypes.c_int64) for name in ("heads", "rows", "keep", "merge")]
        + [("tokens", ctypes.c_void_p)]
        + [(name, View) for name in ("attention", "queries", "keys", "bias")]
        + [(name, ctypes.c_int64) for name in ("query_width", "key_count", "first")]
        + [("scale", ctypes.c_float), ("row_weight", ctypes.c_void_p), ("row_weight_stride", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("metric", "weight", "protected_positions")]
        + [("protected_count", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("reduced", "weight_out", "target", "position")]
    )


def load(path):
    library = ctypes.CDLL(path)
    pointer = ctypes.POINTER(Call)
    library.pumer_token_reduce_check.argtypes = [pointer, ctypes.c_char_p, ctypes.c_size_t]
    library.pumer_token_reduce_check.restype = ctypes.c_char_p
    library.pumer_token_reduce_cpu_scratch.argtypes = [pointer]
    library.pumer_token_reduce_cpu_scratch.restype = ctypes.c_size_t
    address, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    library.pumer_token_reduce_cpu.argtypes = [pointer, address, ctypes.c_int, address, address]
    library.pumer_token_reduce_cpu.restype = None
    library.pumer_token_reduce_cuda_scratch.argtypes = [pointer]
    library.pumer_token_reduce_cuda_scratch.restype = ctypes.c_size_t
    library.pumer_token_reduce_cuda.argtypes = [pointer, address, address, text, size]
    return library


@dataclass
class Shape:
    semantics: int = SAFE
    type: int = FLOAT32
    looks: int = FROM_ATTENTION
    looks_type: int = FLOAT32
    batch: int = 1
    tokens: int = 8
    width: int = 8
    metric_width: int = 64
    heads: int = 2
    rows: int = 5
    keep: int = 8
    merge: int = 0
    protected: list = field(default_factory=list)
    exact: bool = True  # every sum exact in any order, ties everywhere
    pads: float = 0.1

    @property
    def left(self):
        return self.keep - self.merge


def encode(values, kind):
    """Numbers as bytes of a type; bfloat16 by cutting off, which keeps small integers."""
    if kind == BFLOAT16:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return (bits >> 16).astype(np.uint16).reshape(-1).view(np.uint8)
    as_type = {FLOAT32: np.float32, FLOAT16: np.float16, FLOAT64: np.float64}[kind]
    return np.ascontiguousarray(values, as_type).reshape(-1).view(np.uint8)


def decode(data, kind):
    if kind == BFLOAT16:
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return data.view({FLOAT32: np.float32, FLOAT16: np.float16, FLOAT64: np.float64}[kind]).astype(np.float64)


def random_inputs(shape, seed):
    """Numbers as float64 by name; what a call is given is these, encoded."""
    g = np.random.default_rng(seed)
    s = shape
    query_width, key_count = (4, s.tokens + 3) if s.exact else (32, s.tokens + 40)

    def draw(low, high, size):  # both ends included where exact
        return g.integers(low, high + 1, size).astype(float) if s.exact else g.uniform(low, high, size)

    metric = g.integers(0, 2, (s.batch, s.tokens, s.metric_width)) * 2.0 - 1
    if not s.exact:
        metric = g.normal(0, 0.3, metric.shape) + g.normal(0, 1, (1, 1, s.metric_width))
    weight = draw(1, 3, (s.batch, s.tokens)) * (g.random((s.batch, s.tokens)) >= s.pads)
    return {
        "tokens": draw(-8, 8, (s.batch, s.tokens, s.width)),
        "attention": draw(0, 31, (s.batch, s.heads, s.rows, s.tokens)) if s.exact
        else g.dirichlet(np.ones(s.tokens), (s.batch, s.heads, s.rows)) if s.tokens > 0 and s.batch > 0
        else np.zeros((s.batch, s.heads, s.rows, s.tokens)),
        "queries": draw(-1, 1, (s.batch, s.heads, s.rows, query_width)),
        "keys": draw(-1, 1, (s.batch, s.heads, query_width, key_count)),
        "bias": (g.random((s.batch, key_count)) < 0.1) * -10000.0,
        "row_weight": (g.random((s.batch, s.rows)) < 0.8) * 1.0,
        "metric": metric,
        "weight": weight,
    }


INPUT_TYPES = {"tokens": "type"} | dict.fromkeys(("attention", "queries", "keys", "bias"), "looks_type")


def encoded(shape, inputs):
    return {
        name: encode(values, getattr(shape, INPUT_TYPES[name]) if name in INPUT_TYPES else FLOAT32)
        for name, values in inputs.items()
    }


def output_sizes(shape):
    b, left = shape.batch, shape.left
    return {
        "reduced": b * left * shape.width * SIZE[shape.type],
        "weight_out": b * left * 4,
        "target": b * shape.tokens * 8,
        "position": b * left * 8,
    }


def call_of(shape, inputs, address):
    """A call whose memory lies where `address` [name] says. `inputs` are the numbers, for their sizes."""
    s = shape
    protected = (ctypes.c_int64 * max(len(s.protected), 1))(*s.protected)
    query_width, key_count = inputs["keys"].shape[2:]
    call = Call(
        semantics=s.semantics, type=s.type, looks=s.looks, looks_type=s.looks_type, batch=s.batch, tokens_in=s.tokens,
        width=s.width, metric_width=s.metric_width, heads=s.heads, rows=s.rows, keep=s.keep, merge=s.merge,
        query_width=query_width, key_count=key_count, first=2, scale=0.5, row_weight_stride=s.rows,
        protected_positions=ctypes.addressof(protected), protected_count=len(s.protected),
        **{name: address[name] for name in ("tokens", "row_weight", "metric", "weight", *output_sizes(s))},
    )
    call.held = protected
    for name in ("attention", "queries", "keys"):
        _, _, rows, columns = inputs[name].shape
        setattr(call, name, View(address[name], (s.heads * rows * columns, rows * columns, columns, 1)))
    call.bias = View(address["bias"], (key_count, 0, 0, 1))
    return call


def aligned(size):
    """Poisoned bytes at an address that is a multiple of 64."""
    data = np.full(size + 64, 0xFF, np.uint8)
    start = -data.ctypes.data % 64
    return data[start : start + size]


def run_cpu(library, shape, inputs):
    """What the CPU reducer returns, as bytes by name."""
    data = {name: aligned(len(x)) for name, x in encoded(shape, inputs).items()}
    for name, x in encoded(shape, inputs).items():
        data[name][:] = x
    outputs = {name: aligned(size) for name, size in output_sizes(shape).items()}
    call = call_of(shape, inputs, {name: x.ctypes.data for name, x in {**data, **outputs}.items()})
    message = ctypes.create_string_buffer(256)
    wrong = library.pumer_token_reduce_check(call, message, 256)
    if wrong:
        raise ValueError(f"{shape}: {wrong.decode()}")
    scratch = aligned(library.pumer_token_reduce_cpu_scratch(call))
    library.pumer_token_reduce_cpu(call, scratch.ctypes.data, -1, None, None)
    return outputs


class Device:
    """Memory that the CUDA entry takes: a GPU's by PyTorch or, for the kernels' emulation, a processor's."""

    def __init__(self, library, emulated, poison=True):
        self.library, self.emulated, self.poison = library, emulated, poison
        if not emulated:
            import torch

            self.torch = torch

    def put(self, data):
        if self.emulated:
            copy = aligned(len(data))
            copy[:] = data
            return copy
        return self.torch.from_numpy(np.array(data)).cuda()

    def empty(self, size):
        if self.emulated:
            return aligned(size)
        if self.poison:
            return self.torch.full((size,), 0xFF, dtype=self.torch.uint8, device="cuda")
        return self.torch.empty(size, dtype=self.torch.uint8, device="cuda")

    def address(self, data):
        return data.ctypes.data if self.emulated else data.data_ptr()

    def get(self, data):
        return data if self.emulated else data.cpu().numpy()

    def stream(self):
        return None if self.emulated else self.torch.cuda.current_stream().cuda_stream

    def prepare(self, shape, inputs):
        """A call with everything it needs, which stays alive with it."""
        data = {name: self.put(x) for name, x in encoded(shape, inputs).items()}
        outputs = {name: self.empty(size) for name, size in output_sizes(shape).items()}
        call = call_of(shape, inputs, {name: self.address(x) for name, x in {**data, **outputs}.items()})
        scratch = self.empty(self.library.pumer_token_reduce_cuda_scratch(call))
        call.memory = (data, outputs, scratch)
        return call

    def enqueue(self, call):
        message = ctypes.create_string_buffer(256)
        scratch = self.address(call.memory[2])
        error = self.library.pumer_token_reduce_cuda(call, scratch, self.stream(), message, 256)
        if error != 0:
            raise RuntimeError(f"error {error}: {message.value.decode()}")

    def run(self, shape, inputs):
        call = self.prepare(shape, inputs)
        self.enqueue(call)
        return {name: self.get(x).copy() for name, x in call.memory[1].items()}


def only_if_same(shape, what, a, b):
    """Raises where two results differ in any bit."""
    for name in a:
        if not np.array_equal(a[name], b[name]):
            raise AssertionError(f"{what}: {name} differs at byte {np.flatnonzero(a[name] != b[name])[0]}, {shape}")


def varied(shape, **changes):
    return dataclasses.replace(shape, **changes)
