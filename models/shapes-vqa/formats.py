"""Number formats and compiling, in either order: python formats.py --out OUT.

Makes the model of this folder smaller with dynamic int8, static int8 (QDQ) and float16, each before and after compiling
(with reductions as function calls and written in place), and tells of each file whether it could be made and runs, its
accuracy on the held-out examples beside the float32 model's, how far its logits are from those of the float32 file of
the same kind (compiled or not), its size, and its latency on this machine. All files are timed in turns, so that each
round's ratio to the float32 original is one of neighbours; median and quartiles are told.

Conversion is ONNX Runtime's: quantize_dynamic, quantize_static (MatMul, Gemm and Conv, calibrated on 200 scenes that
are not held out) and transformers.float16. Inputs and outputs keep their types.
"""
from __future__ import annotations

import argparse
import logging
import pathlib
import re
import shlex
import subprocess
import time
import warnings

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16

import data
from paired import difference
from paste import into

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PRODUCTS = ('MatMul', 'Gemm', 'Conv')


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, examples: data.Examples):
        parts = [examples.part(slice(first, first + 20)) for first in range(0, len(examples), 20)]
        self.feeds = iter([data.feeds(part) for part in parts])

    def get_next(self):
        return next(self.feeds, None)


def dynamic(source: pathlib.Path, made: pathlib.Path, spared: list[str]) -> None:
    quantization.quantize_dynamic(source, made, nodes_to_exclude=spared)


def static(source: pathlib.Path, made: pathlib.Path, spared: list[str]) -> None:
    quantization.quantize_static(
        source,
        made,
        Calibration(data.make(200, 7)),
        op_types_to_quantize=list(PRODUCTS),
        activation_type=quantization.QuantType.QUInt8,
        per_channel=True,
        nodes_to_exclude=spared,
    )


def float16(source: pathlib.Path, made: pathlib.Path, spared: list[str]) -> None:
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True, node_block_list=spared), made)


FORMATS = {'dynamic int8': dynamic, 'static int8': static, 'float16': float16}


def reductions_of(path: pathlib.Path) -> list[str]:
    """Names of the nodes that the compiler added."""
    return [node.name for node in onnx.load(path).graph.node if node.name.startswith('pumer/')]


def said(error: BaseException) -> str:
    text = re.sub(r'Load model from \S+ failed:', '', ' '.join(str(error).split()))
    return f'{type(error).__name__}: {text[:300]}'


class Maker:
    """Makes files into a folder and keeps what went wrong."""

    def __init__(self, folder: pathlib.Path, compiler: str, flags: str):
        self.folder, self.compiler, self.flags = folder, shlex.split(compiler), shlex.split(flags)
        self.files: dict[str, pathlib.Path] = {}
        self.faults: dict[str, str] = {}

    def add(self, name: str, source: pathlib.Path | None, make) -> pathlib.Path | None:
        made = self.folder / f'{name.replace(", ", "-").replace(" ", "-")}.onnx'
        if source is None:
            return None
        made.unlink(missing_ok=True)
        try:
            make(source, made)
            self.files[name] = made
        except subprocess.CalledProcessError as error:
            self.faults[name] = (error.stderr or error.stdout or '').strip().splitlines()[-1][:200]
        except Exception as error:  # Whatever a converter throws is a result here.
            self.faults[name] = said(error)
        return self.files.get(name)

    def compile(self, *extra: str):
        def make(source: pathlib.Path, made: pathlib.Path) -> None:
            command = [*self.compiler, str(source), '-o', str(made), *self.flags, *extra, '--quiet']
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)

        return make

    def all(self, original: pathlib.Path) -> None:
        plain = lambda convert: lambda source, made: convert(source, made, [])
        sparing = lambda convert: lambda source, made: convert(source, made, reductions_of(source))
        self.files['float32'] = original
        call = self.add('float32, compiled', original, self.compile())
        inline = self.add('float32, compiled inline', original, self.compile('--ops', 'inline'))
        for name, convert in FORMATS.items():
            before = self.add(name, original, plain(convert))
            self.add(f'{name}, then compiled', before, self.compile())
            self.add(f'compiled, then {name}', call, plain(convert))
            self.add(f'compiled inline, then {name}', inline, plain(convert))
            self.add(f'compiled inline, then {name} but for reductions', inline, sparing(convert))


def session_of(path: pathlib.Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider'])


def logits_of(session: onnxruntime.InferenceSession, examples: data.Examples) -> np.ndarray:
    """[examples, answers], in batches of 50: dynamic int8 takes its steps from a whole batch."""
    parts = (examples.part(slice(first, first + 50)) for first in range(0, len(examples), 50))
    return np.concatenate([session.run(['logits'], data.feeds(part))[0] for part in parts])


def timed(sessions: dict[str, onnxruntime.InferenceSession], batch: int, rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds [rounds] of each, taken in turns; the first three rounds are not kept."""
    feeds = data.feeds(data.held_out().part(slice(0, batch)))
    taken = {name: [] for name in sessions}
    order = list(sessions)
    for number in range(rounds + 3):
        for name in order if number % 2 == 0 else reversed(order):
            started = time.perf_counter()
            sessions[name].run(['logits'], feeds)
            taken[name].append(1000 * (time.perf_counter() - started))
    return {name: np.array(values[3:]) for name, values in taken.items()}


def quartiles(values: np.ndarray, places: int) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f'{middle:.{places}f} ({low:.{places}f} to {high:.{places}f})'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('formats'))
    parser.add_argument('--model', type=pathlib.Path, default=HERE / 'model.onnx')
    parser.add_argument('--compiler', default='npx pumer-compile', help='the command, run in the repository')
    parser.add_argument('--flags', default='--keep 0.6', help='given to the compiler')
    parser.add_argument('--into', type=pathlib.Path, metavar='PAGE', help='put the table there, at its mark `formats`')
    parser.add_argument('--examples', type=int, default=4000)
    parser.add_argument('--rounds', type=int, default=60)
    parser.add_argument('--threads', type=int, default=1)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    given.out.mkdir(parents=True, exist_ok=True)
    maker = Maker(given.out.resolve(), given.compiler, given.flags)
    maker.all(given.model.resolve())
    examples = data.held_out().part(slice(0, given.examples))
    sessions, logits = {}, {}
    for name, path in maker.files.items():
        try:
            sessions[name] = session_of(path, given.threads)
            logits[name] = logits_of(sessions[name], examples)
        except Exception as error:  # That a file does not run is a result here.
            sessions.pop(name, None)
            maker.faults[name] = said(error)
    times = {batch: timed(sessions, batch, given.rounds) for batch in (1, 8)}
    head = ['file', 'size, MB', 'accuracy, %', 'to float32, points (95 %)', 'logits apart, median and 99 %']
    head += [column for batch in times for column in (f'ms, batch {batch}', 'of float32')]
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for name in sessions:
        size = maker.files[name].stat().st_size / 1e6
        kind = 'float32, compiled' if 'compiled' in name else 'float32'
        right, full = (logits[one].argmax(1) == examples.label for one in (name, 'float32'))
        apart = np.percentile(np.abs(logits[name] - logits[kind]).max(1), (50, 99))
        cells = [name, f'{size:.2f}', f'{100 * right.mean():.2f}', str(difference(right, full))]
        cells.append(f'{apart[0]:.1e}, {apart[1]:.1e}')
        for taken in times.values():
            cells += [quartiles(taken[name], 2), quartiles(taken[name] / taken['float32'], 2)]
        lines.append('| ' + ' | '.join(cells) + ' |')
    lines += [f'\n{name}: {fault}' for name, fault in maker.faults.items()]
    runtime = f'ONNX Runtime {onnxruntime.__version__} with {given.threads} thread{"s" * (given.threads > 1)}'
    text = '\n'.join([f'`{given.flags}`, {runtime}, {given.examples} examples:', '', *lines]) + '\n'
    (given.out / 'formats.md').write_text(text)
    print(text)
    if given.into:
        into(given.into, 'formats', text)


if __name__ == '__main__':
    main()
