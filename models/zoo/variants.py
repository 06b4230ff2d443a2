"""Number types and other tools' rewrites of a recorded float32 case, each a case of its own.

The recorded outputs of a variant are what ONNX Runtime computes with the variant on the CPU: how far it lies from the
float32 model is the tool's doing, and noted as `distance_from_fp32`. The float32 case must be in the same folder.
"""
from __future__ import annotations

import json
import pathlib
import shutil
from typing import Callable

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers import float16, optimizer

from recording import begin, complete, distance, run, write_case

Feeds = list[dict[str, np.ndarray]]
Maker = Callable[[pathlib.Path, pathlib.Path, Feeds], None]


def int8(weights: QuantType, per_channel: bool = False) -> Maker:
    def make(source, target, feeds):
        quantize_dynamic(source, target, weight_type=weights, per_channel=per_channel)

    return make


class Recorded(CalibrationDataReader):
    """Calibrates on what was recorded."""

    def __init__(self, feeds: Feeds):
        self.left = list(feeds)

    def get_next(self):
        return self.left.pop(0) if self.left else None


def nodes_of_wide_range(source: pathlib.Path, feeds: Feeds, limit: float = 1e3) -> list[str]:
    """Nodes that read or make numbers beyond `limit`: masks. In eight bits nothing of the scores would be left."""
    model = onnx.load(source)
    typed = {v.name: v for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    floats = [name for name, value in typed.items() if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(typed[name] for name in floats if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    wide = set()
    for feed in feeds:
        for name, value in zip(floats, session.run(floats, feed)):
            if value.size and np.abs(value).max() > limit:
                wide.add(name)
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.size and np.abs(value).max() > limit:
            wide.add(tensor.name)
    return [node.name for node in model.graph.node if wide & {*node.input, *node.output}]


def named(source: pathlib.Path) -> None:
    """The quantiser skips nodes by name only."""
    model = onnx.load(source)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f'{node.op_type}_{number}'
    onnx.save(model, source)


def qdq(activations: QuantType, weights: QuantType, masks: bool = False) -> Maker:
    """Every operator that the quantiser knows; `masks`: the sums with masks, too, whatever that does to them."""

    def make(source, target, feeds):
        copy = target.with_name('named.onnx')
        shutil.copy(source, copy)
        named(copy)
        skipped = [] if masks else nodes_of_wide_range(copy, feeds)
        quantize_static(
            copy,
            target,
            Recorded(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=activations,
            weight_type=weights,
            nodes_to_exclude=skipped,
        )
        copy.unlink()

    return make


def four_bits(symmetric: bool, accuracy_level: int | None = None) -> Maker:
    def make(source, target, feeds):
        model = onnx.load(source)
        quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=symmetric, accuracy_level=accuracy_level)
        quantizer.process()
        quantizer.model.save_model_to_file(str(target), False)

    return make


def half(keep_io: bool = False, islands: tuple[str, ...] = ()) -> Maker:
    def make(source, target, feeds):
        blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *islands] if islands else None
        model = float16.convert_float_to_float16(onnx.load(source), keep_io_types=keep_io, op_block_list=blocked)
        onnx.save(model, target)

    return make


def saved_by_runtime(level: ort.GraphOptimizationLevel) -> Maker:
    def make(source, target, feeds):
        options = ort.SessionOptions()
        options.graph_optimization_level, options.log_severity_level = level, 4
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(str(source), options, providers=['CPUExecutionProvider'])

    return make


def fused(kind: str, then_half: bool = False, raw_mask: bool = False) -> Maker:
    """The transformer optimiser: Attention, SkipLayerNormalization, BiasGelu and so on, where it finds them."""

    def make(source, target, feeds):
        from onnxruntime.transformers.fusion_options import FusionOptions

        options = FusionOptions(kind)
        options.use_raw_attention_mask(raw_mask)
        model = optimizer.optimize_model(
            str(source), kind, num_heads=4, hidden_size=64, optimization_options=options, opt_level=0
        )
        if then_half:
            model.convert_float_to_float16(keep_io_types=True)
        model.save_model_to_file(str(target))
        ops = {node.op_type for node in model.model.graph.node}
        if not ops & {'Attention', 'SkipLayerNormalization', 'BiasGelu', 'EmbedLayerNormalization', 'LayerNormalization'}:
            raise RuntimeError('nothing was fused')

    return make


def external(one_file: bool) -> Maker:
    def make(source, target, feeds):
        onnx.save_model(
            onnx.load(source),
            target,
            save_as_external_data=True,
            all_tensors_to_one_file=one_file,
            location='model.onnx.data' if one_file else None,
            size_threshold=1024,
        )

    return make


S8, U8 = QuantType.QInt8, QuantType.QUInt8
LEVELS = ort.GraphOptimizationLevel

# By the name that the variant's folder ends in.
VARIANTS: dict[str, Maker] = {
    'int8': int8(S8),
    'uint8': int8(U8),
    'int8-channels': int8(S8, per_channel=True),
    'qdq-s8s8': qdq(S8, S8),
    'qdq-u8s8': qdq(U8, S8),
    'qdq-masks': qdq(U8, S8, masks=True),
    'q4': four_bits(symmetric=True),
    'q4-zeros': four_bits(symmetric=False, accuracy_level=4),
    'fp16': half(),
    'fp16-io': half(keep_io=True),
    'fp16-islands': half(keep_io=True, islands=('Softmax', 'LayerNormalization', 'ReduceMean', 'Sqrt', 'Pow')),
    'ortbasic': saved_by_runtime(LEVELS.ORT_ENABLE_BASIC),
    'ortopt': saved_by_runtime(LEVELS.ORT_ENABLE_EXTENDED),
    'ortfuse': fused('bert'),
    'ortfuse-raw': fused('bert', raw_mask=True),
    'ortfuse-vit': fused('vit'),
    'ortfuse-fp16': fused('bert', then_half=True),
    'external': external(one_file=True),
    'external-files': external(one_file=False),
}


def derive(base: pathlib.Path, variant: str, out: pathlib.Path) -> str:
    """Makes the variant's folder from the case in `base`; returns what was made, in words."""
    name = f'{base.name}.{variant}'
    making = begin(out / name)
    try:
        off = rewrite_and_run(base, variant, making)
        complete(making, out / name)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return f'{name}: {off:.1e} from float32'


def rewrite_and_run(base: pathlib.Path, variant: str, making: pathlib.Path) -> float:
    """Fills the folder; returns the largest difference from the float32 outputs."""
    info = json.loads((base / 'case.json').read_text())
    recorded = np.load(base / 'cases.npz')
    outputs = tuple(info['outputs'])
    feeds = [{name: recorded[f'in{k}.{name}'] for name in info['inputs']} for k in range(2)]
    plain = [[recorded[f'in{k}.out.{name}'] for name in outputs] for k in range(2)]
    target = making / 'model.onnx'
    VARIANTS[variant](base / 'model.onnx', target, feeds)
    taken = {value.name: value.type.tensor_type.elem_type for value in onnx.load(target, load_external_data=False).graph.input}
    halved = {name for name, kind in taken.items() if kind == onnx.TensorProto.FLOAT16}
    feeds = [{n: v.astype(np.float16) if n in halved else v for n, v in feed.items() if n in taken} for feed in feeds]
    results = run(str(target), feeds, outputs)
    if not all(np.isfinite(v.astype(np.float64)).all() for one in results for v in one):
        raise RuntimeError('the variant computes numbers that are not finite')
    off = distance(plain, results)
    info = {**info, 'inputs': sorted(taken), 'variant': variant, 'distance_from_fp32': off}
    write_case(making, info, feeds, results, outputs)
    return off
