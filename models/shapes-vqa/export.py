"""Exports a trained model: python export.py OUT/state.pt model.onnx.

TorchScript exporter, opset 17, eager attention, batch and text length dynamic; the inputs are input_ids,
attention_mask, token_type_ids and pixel_values, the output is logits, one for each answer in data.ANSWERS. The heads
that only training reads are left out. The file is run by ONNX Runtime and compared with PyTorch.
"""
from __future__ import annotations

import argparse
import logging
import pathlib
import warnings

import numpy as np
import onnxruntime
import torch
import transformers

import data
from model import Vqa, build

NAMES = ('input_ids', 'attention_mask', 'token_type_ids', 'pixel_values')


def load(path: pathlib.Path) -> tuple[Vqa, int]:
    """The model, and after how many examples its training was."""
    state = torch.load(path, weights_only=True)
    model = build(state['settings']['layers'])
    model.load_state_dict(state['model'])
    return Vqa(model).eval(), state['step'] * state['settings']['batch']


def export(model: Vqa, path: pathlib.Path) -> None:
    example = {name: torch.from_numpy(value) for name, value in data.feeds(data.make(2, 0)).items()}
    text = {0: 'batch', 1: 'sequence'}
    axes = {**{name: text for name in NAMES[:3]}, 'pixel_values': {0: 'batch'}, 'logits': {0: 'batch'}}
    torch.onnx.export(
        model,
        tuple(example[name] for name in NAMES),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=list(NAMES),
        output_names=['logits'],
        dynamic_axes=axes,
    )


def difference(model: Vqa, path: pathlib.Path) -> float:
    """The largest between PyTorch and ONNX Runtime, with questions padded to full length and without padding."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    examples, largest = data.make(40, 1), 0.0
    words = examples.attention_mask.sum(1)
    for length in (data.LENGTH, *sorted(set(words))):
        part = examples if length == data.LENGTH else examples.part(words <= length)
        feeds = data.feeds(part)
        feeds = {name: value[:, :length] if value.ndim == 2 else value for name, value in feeds.items()}
        with torch.no_grad():
            expected = model(*(torch.from_numpy(feeds[name]) for name in NAMES)).numpy()
        largest = max(largest, float(np.abs(session.run(['logits'], feeds)[0] - expected).max()))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('state', type=pathlib.Path)
    parser.add_argument('out', type=pathlib.Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    model, examples = load(given.state)
    export(model, given.out)
    apart = difference(model, given.out)
    print(f'{given.out}: {given.out.stat().st_size} bytes, after {examples} examples; {apart:.1e} from PyTorch')
    if apart > 1e-4:
        raise SystemExit('the exported model does not compute what PyTorch does')


if __name__ == '__main__':
    main()
