"""Exports one model of the zoo and records what it computes, in the layout that test/conformance reads.

A `Family` says how to build a PyTorch module, which inputs it takes and how to draw them. `record` exports it, runs two
batches of different sizes and paddings through PyTorch and ONNX Runtime and writes model.onnx, case.json and cases.npz.
A folder appears under its final name only when it is complete. Which models there are is not decided here.
"""
from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Callable

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

SEED = 2026
WORDS = 200


@dataclasses.dataclass(frozen=True)
class Draw:
    """Draws inputs of one batch: `rows` of `length` text tokens, of which each row holds `real`; the rest is padding."""

    rows: int
    length: int
    real: tuple[int, ...]
    random: torch.Generator

    def ids(self) -> Tensor:
        """Word ids; padding is 0, as tokenisers write it."""
        ids = torch.randint(3, WORDS, (self.rows, self.length), generator=self.random)
        return ids * self.mask()

    def mask(self) -> Tensor:
        return (torch.arange(self.length)[None] < torch.tensor(self.real)[:, None]).long()

    def zeros(self) -> Tensor:
        return torch.zeros(self.rows, self.length, dtype=torch.long)

    def region_mask(self, regions: int) -> Tensor:
        """Every row has another number of regions; the first row all of them."""
        counts = torch.tensor([regions - (5 * row) % (regions // 2) for row in range(self.rows)])
        return (torch.arange(regions)[None] < counts[:, None]).long()

    def floats(self, *shape: int) -> Tensor:
        return torch.randn(self.rows, *shape, generator=self.random)

    def boxes(self, *shape: int) -> Tensor:
        """Corners (x0, y0, x1, y1) from 0 to 1, the second one right of and below the first."""
        corners = torch.rand(self.rows, *shape, 4, generator=self.random)
        return torch.cat([corners[..., :2] * 0.5, 0.5 + corners[..., 2:] * 0.5], -1)


@dataclasses.dataclass(frozen=True)
class Family:
    """One model. `text` gives, per input, the axis along which text tokens lie (and how many other tokens lie there)."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[Draw], dict[str, Tensor]]
    outputs: tuple[str, ...]
    text: dict[str, tuple[int, int]] = dataclasses.field(
        default_factory=lambda: {name: (1, 0) for name in ('input_ids', 'attention_mask', 'token_type_ids')}
    )
    attention: str = 'eager'
    expect: str | None = 'compile'
    # Compiler options that the checks must pass on, by their long flags without dashes.
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    max_multiply_adds: float | None = None


@dataclasses.dataclass(frozen=True)
class Form:
    """How a model is exported: `ts` or `dynamo`, the opset, and which sizes stay open."""

    exporter: str
    opset: int
    shapes: str

    @property
    def label(self) -> str:
        return f'{self.exporter}-{self.opset}'


class Call(nn.Module):
    """A model under positional inputs. `outputs` are attribute paths into what it returns ('' for the thing itself)."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...], **fixed):
        super().__init__()
        self.m, self.names, self.paths, self.fixed = model, inputs, outputs, fixed

    def forward(self, *values):
        result = self.m(**dict(zip(self.names, values)), **self.fixed)
        found = []
        for path in self.paths:
            value = result
            for part in path.split('.') if path else []:
                value = getattr(value, part)
            found.append(value)
        return found[0] if len(found) == 1 else tuple(found)


class Narrowed(nn.Module):
    """The whole module in bfloat16 between float32 inputs and outputs: NumPy has no bfloat16 to record."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module.bfloat16()

    def forward(self, *values):
        found = self.module(*[v.bfloat16() if v.is_floating_point() else v for v in values])
        return tuple(v.float() for v in found) if isinstance(found, tuple) else found.float()


def with_random_weights(model: nn.Module, seed: int = SEED) -> nn.Module:
    """Weights that keep signals at their scale and attention selective, as trained ones do."""
    random = torch.Generator().manual_seed(seed)
    norms = {f'{name}.weight' for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    tables = {f'{name}.weight' for name, module in model.named_modules() if isinstance(module, nn.Embedding)}
    query_key = ('query.weight', 'key.weight', 'q_proj.weight', 'k_proj.weight')
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 0:
                continue
            noise = torch.randn(weight.shape, generator=random)
            if name in norms:
                weight.copy_(1 + 0.1 * noise)
            elif weight.ndim == 1:
                weight.copy_(0.05 * noise)
            elif name in tables or 'token' in name or 'position' in name:
                weight.copy_(0.5 * noise)
            else:
                weight.copy_(noise / weight[0].numel() ** 0.5)
                if name.endswith(query_key):
                    weight.mul_(2.0)
                elif name.endswith(('qkv.weight', 'in_proj_weight')):
                    weight[: 2 * (len(weight) // 3)].mul_(2.0)
    return model.eval()


def batches(shapes: str, seed: int) -> list[Draw]:
    """The example to export with, then the two batches to record. Open sizes change from one to the other."""
    many = seed % 3 != 0
    plans = {
        'static': [(2, 24, (24, 17)), (2, 24, (12, 24))],
        'dynbatch': [(2, 24, (24, 17)), (3, 24, (15, 24, 17)) if many else (1, 24, (19,))],
        'dyntext': [(2, 24, (24, 17)), (3, 17, (9, 17, 5)) if many else (1, 31, (22,))],
    }[shapes]
    return [
        Draw(rows, length, real, torch.Generator().manual_seed(seed + number))
        for number, (rows, length, real) in enumerate([plans[0], *plans])
    ]


def export(module: nn.Module, inputs: dict[str, Tensor], family: Family, form: Form, path: str) -> None:
    names, outputs = list(inputs), list(family.outputs)
    common = {'input_names': names, 'output_names': outputs, 'opset_version': form.opset}
    text = family.text if form.shapes == 'dyntext' else {}
    if form.exporter == 'ts':
        axes: dict[str, dict[int, str]] = {}
        if form.shapes != 'static':
            axes = {name: {0: 'batch'} for name in [*names, *outputs]}
            for name, (axis, others) in text.items():
                if name in axes:
                    axes[name][axis] = f'sequence + {others}' if others else 'sequence'
        torch.onnx.export(module, tuple(inputs.values()), path, dynamo=False, dynamic_axes=axes or None, **common)
        return
    dims = None
    if form.shapes != 'static':
        batch, sequence = torch.export.Dim('batch', max=64), torch.export.Dim('sequence', max=512)
        per_input = []
        for name in names:
            dim = {0: batch}
            if name in text:
                axis, others = text[name]
                dim[axis] = sequence + others if others else sequence
            per_input.append(dim)
        dims = (tuple(per_input),) if isinstance(module, (Call, Narrowed)) else tuple(per_input)
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        path,
        dynamo=True,
        dynamic_shapes=dims,
        external_data=False,
        verbose=False,
        **common,
    )


def run(model: str, feeds: list[dict[str, np.ndarray]], outputs: tuple[str, ...]) -> list[list[np.ndarray]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    return [session.run(list(outputs), feed) for feed in feeds]


def input_names(model: str) -> list[str]:
    """The inputs that the exporter left in the graph: it drops those that nothing reads."""
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in weights]


def write_case(folder: pathlib.Path, info: dict, feeds: list[dict], results: list[list], outputs: tuple[str, ...]) -> None:
    arrays = {}
    for k, (feed, values) in enumerate(zip(feeds, results)):
        for name in info['inputs']:
            arrays[f'in{k}.{name}'] = feed[name]
        for name, value in zip(outputs, values):
            arrays[f'in{k}.out.{name}'] = value
    np.savez_compressed(folder / 'cases.npz', **arrays)
    (folder / 'case.json').write_text(json.dumps(info, indent=1) + '\n')


class Busy(Exception):
    """Somebody else is making this case."""


def begin(folder: pathlib.Path) -> pathlib.Path:
    """A folder to make the case in. Left over after a crash, it blocks the case until it is removed by hand."""
    making = folder.with_name(f'.making-{folder.name}')
    making.parent.mkdir(parents=True, exist_ok=True)
    try:
        making.mkdir()
    except FileExistsError as there:
        raise Busy(folder.name) from there
    return making


def complete(making: pathlib.Path, folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(making, folder)


def distance(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> float:
    pairs = [(x, y) for left, right in zip(a, b) for x, y in zip(left, right)]
    return max(float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max()) for x, y in pairs)


def record(family: Family, form: Form, out: pathlib.Path, variant: str | None = None) -> str:
    """Exports and records; returns what was made, in words. `variant`: `half` or `bf16`, the module itself in that type."""
    name = '.'.join(filter(None, (family.name, form.label, family.attention, form.shapes, variant)))
    making = begin(out / name)
    try:
        error = export_and_run(family, form, making, variant)
        complete(making, out / name)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return f'{name}: ' + ('not run' if error is None else f'error {error:.1e}')


def export_and_run(family: Family, form: Form, making: pathlib.Path, variant: str | None) -> float | None:
    """Fills the folder; returns the largest difference between PyTorch and ONNX Runtime, None where that cannot run it."""
    torch.manual_seed(SEED)
    module = with_random_weights(family.build())
    module = {None: lambda m: m, 'half': lambda m: m.half(), 'bf16': Narrowed}[variant](module)
    example, *draws = batches(form.shapes, sum(making.name.encode()))

    def inputs_of(draw: Draw) -> dict[str, Tensor]:
        halved = lambda t: t.half() if variant == 'half' and t.is_floating_point() else t
        return {key: halved(value) for key, value in family.inputs(draw).items()}

    path = str(making / 'model.onnx')
    with torch.no_grad():
        export(module, inputs_of(example), family, form, path)
        inputs = [inputs_of(draw) for draw in draws]
        results = [module(*one.values()) for one in inputs]
    feeds = [{key: value.numpy() for key, value in one.items()} for one in inputs]
    expected = [[v.numpy() for v in (one if isinstance(one, tuple) else (one,))] for one in results]
    kept = input_names(path)
    try:
        got = run(path, [{key: feed[key] for key in kept} for feed in feeds], family.outputs)
    except Exception:
        # No kernels for bfloat16 on the CPU. Anything else that does not run is no case.
        if variant != 'bf16':
            raise
        got = None
    error = None if got is None else distance(expected, got)
    scale = max(float(np.abs(v).max()) for one in expected for v in one)
    if variant is None and not error <= 5e-5 * max(scale, 1):
        raise RuntimeError(f'the export differs from PyTorch by {error:.1e} of {scale:.1e}')
    optional = {
        'variant': variant,
        'runs': False if got is None else None,
        'expect': family.expect,
        'options': family.options or None,
        'max_multiply_adds': family.max_multiply_adds,
    }
    info = {
        'family': family.name,
        'exporter': form.exporter,
        'opset': form.opset,
        'attention': family.attention,
        'shapes': form.shapes,
        'inputs': sorted(kept),
        'outputs': list(family.outputs),
        'export_error': error,
        **{key: value for key, value in optional.items() if value is not None},
    }
    # A module in fewer bits is judged by the runtime's own results: PyTorch rounds elsewhere.
    write_case(making, info, feeds, expected if variant is None or got is None else got, family.outputs)
    return error
