"""Makes the golden cases again from a folder of recorded exports (run by hand: python golden/make.py FOLDER).

FOLDER holds official/NAME and hf/NAME, each with model.onnx, case.json, cases.npz and, for hf, parity.json and
parity.npz (see test/conformance/cases.ts). Writes golden/CASE in ONNX's backend-test layout and copies the models to
models/. Needs the Python packages onnx, onnxruntime and numpy; the tests that use the cases need none of them.
"""
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent / 'models'

PUMER = 'the published PuMer code (csarron/PuMer), random weights, exported without reduction'
HF = 'Hugging Face transformers 5.17, random weights'

# Model folder: where it comes from, and in what words.
SOURCES = {
    'vilt-pumer': ('official/vilt-vqa', f'ViLT of {PUMER} with PyTorch 2.13, TorchScript exporter, opset 17'),
    'meter-pumer': ('official/meter-vqa', f'METER of {PUMER} with PyTorch 2.13, TorchScript exporter, opset 17'),
    'vilt-vqa-dynamo': (
        'hf/vilt-vqa.dynamo-18.eager.dynbatch',
        f'ViltForQuestionAnswering of {HF}, exported with PyTorch 2.13, torch.export-based exporter, opset 18',
    ),
    'visualbert-vqa': (
        'hf/visualbert-vqa.ts-17.eager.dyntext',
        f'VisualBertForQuestionAnswering of {HF}, exported with PyTorch 2.13, TorchScript exporter, opset 17',
    ),
}

# Golden case: model folder, configuration (None: identity), batch, rows of it.
CASES = {
    'vilt-pumer-identity': ('vilt-pumer', None, 0, slice(None)),
    'vilt-pumer-three-sites': ('vilt-pumer', 'L1-3-5_p0.2_m0.2_t0.2', 1, slice(1, 3)),
    'vilt-pumer-prune-only': ('vilt-pumer', 'L2-5_p0.3_m0_t0', 0, slice(None)),
    'meter-pumer-identity': ('meter-pumer', None, 0, slice(None)),
    'meter-pumer-three-sites': ('meter-pumer', 'L0-2-4_p0.2_m0.2_t0.2', 0, slice(None)),
    'meter-pumer-image-only': ('meter-pumer', 'L2_p0.1_m0.3_t0', 1, slice(1, 3)),
    'vilt-vqa-dynamo-two-sites': ('vilt-vqa-dynamo', 'L2-4_p0.1_m0.3_t0.2', 0, slice(None)),
    'visualbert-vqa-identity': ('visualbert-vqa', None, 1, slice(None)),
    'visualbert-vqa-two-sites': ('visualbert-vqa', 'L2-4_p0.2_m0.3_t0.0', 1, slice(None)),
}


def without_machine_paths(model: onnx.ModelProto) -> onnx.ModelProto:
    """The newer exporter notes source lines of the machine it ran on at every node."""
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if 'stack_trace' not in entry.key]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        node.ClearField('doc_string')
    return model


def copy_model(folder: str, source: pathlib.Path) -> None:
    (MODELS / folder).mkdir(parents=True, exist_ok=True)
    target = MODELS / folder / 'model.onnx'
    raw = source.read_bytes()
    if b'stack_trace' in raw:
        target.write_bytes(without_machine_paths(onnx.load_from_string(raw)).SerializeToString(deterministic=True))
    else:
        target.write_bytes(raw)


def write_tensor(path: pathlib.Path, array: np.ndarray, name: str) -> None:
    path.write_bytes(numpy_helper.from_array(np.ascontiguousarray(array), name).SerializeToString())


def write_info(name: str, info: dict) -> None:
    """Lists of numbers on one line, as Prettier wants them."""
    text = re.sub(r'\[\s+([-\d.,\s]+?)\s+\]', lambda m: '[' + ' '.join(m[1].split()) + ']', json.dumps(info, indent=2))
    (HERE / name / 'case.json').write_text(text + '\n')


def write_case(name: str, info: dict, inputs: dict, outputs: dict) -> None:
    shutil.rmtree(HERE / name, ignore_errors=True)
    data = HERE / name / 'test_data_set_0'
    data.mkdir(parents=True)
    for k, (key, array) in enumerate(inputs.items()):
        write_tensor(data / f'input_{k}.pb', array, key)
    for k, (key, array) in enumerate(outputs.items()):
        write_tensor(data / f'output_{k}.pb', array, key)
    write_info(name, info)


def recorded_case(corpus: pathlib.Path, name: str, folder: str, key: str | None, batch: int, rows: slice) -> None:
    source, origin = SOURCES[folder]
    here = corpus / source
    case = json.loads((here / 'case.json').read_text())
    official = 'configs' in case
    arrays = np.load(here / 'cases.npz', allow_pickle=False)
    output = 'logits' if official else case['outputs'][0]
    order = [v.name for v in onnx.load(str(here / 'model.onnx')).graph.input]
    inputs = {n: arrays[f'in{batch}.{n}'][rows] for n in order if n in case['inputs']}
    plain = arrays[f'in{batch}.plain' if official else f'in{batch}.out.{output}'][rows]
    info = {'kind': 'identity', 'model': f'../../models/{folder}/model.onnx', 'origin': origin}
    if key is None:
        info |= {'options': {'keep': 1, 'mergeText': 0}, 'tolerance': {'share_of_scale': 1e-4}}
        write_case(name, info, inputs, {output: plain})
        return
    if official:
        config = next(c for c in case['configs'] if c['key'] == key)
        ratios = {'prune': config['prune_r'], 'merge': config['merge_r'], 'mergeText': config['merge_text']}
        expected, by = arrays[f'in{batch}.{key}'][rows], 'the published PuMer code with reduction on'
    else:
        config = next(c for c in json.loads((here / 'parity.json').read_text())['configs'] if c['key'] == key)
        ratios = {'prune': config['p'], 'merge': config['m'], 'mergeText': config['t']}
        expected = np.load(here / 'parity.npz', allow_pickle=False)[f'in{batch}.{key}'][rows]
        by = "the published PuMer code's reducers called inside the layers of the PyTorch model"
    info |= {
        'kind': 'parity',
        'expected_from': by,
        'options': {'semantics': 'pumer', 'layers': config['layers'], **ratios},
        # How far the reduction itself moves the output: the yardstick of the tolerance.
        'effect': {'max': float(np.abs(expected - plain).max())},
        'tolerance': {'share_of_effect': 0.02},
    }
    write_case(name, info, inputs, {output: expected})


def tiny_case() -> None:
    """Identity of the demo model: what ONNX Runtime makes of it, on seeded inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(MODELS / 'vilt-vqa-tiny' / 'model.onnx'), providers=['CPUExecutionProvider'])
    random = np.random.default_rng(5)
    words = np.array([11, 7])
    inputs = {
        'input_ids': random.integers(3, 256, (2, 11)),
        'attention_mask': (np.arange(11) < words[:, None]).astype(np.int64),
        'token_type_ids': np.zeros((2, 11), np.int64),
        'pixel_values': random.standard_normal((2, 3, 160, 160)).astype(np.float32),
    }
    info = {
        'kind': 'identity',
        'model': '../../models/vilt-vqa-tiny/model.onnx',
        'origin': 'models/vilt-vqa-tiny/recipe.py; outputs of ONNX Runtime 1.30',
        'seed': 5,
        'options': {'keep': 1, 'mergeText': 0},
        'tolerance': {'share_of_scale': 1e-4},
    }
    write_case('vilt-vqa-tiny-identity', info, inputs, {'logits': session.run(None, inputs)[0]})


def refused_case() -> None:
    name = 'clip-tiny-refused'
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir()
    info = {
        'kind': 'refused',
        'model': '../../models/clip-tiny/model.onnx',
        'origin': 'models/clip-tiny/recipe.py',
        'options': {'keep': 0.7},
        'code': 'no-cross-modal-layer',
    }
    write_info(name, info)


def main(corpus: pathlib.Path) -> None:
    for folder, (source, _) in SOURCES.items():
        copy_model(folder, corpus / source / 'model.onnx')
    for name, (folder, key, batch, rows) in CASES.items():
        recorded_case(corpus, name, folder, key, batch, rows)
    tiny_case()
    refused_case()


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]))
