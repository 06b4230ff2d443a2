"""Puts a finished training in place: python finish.py OUT, where OUT is what train.py was given.

Writes model.onnx, curve.csv, curve.svg and data/*.npz into this folder (or into --into), then measures the exported
file on the held-out examples as they were written, by kind of question. Ends with an error where the export does not
compute what PyTorch does, or where the files hold other examples than data.py makes.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np

import data
from evaluate import evaluate

HERE = pathlib.Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path)
    parser.add_argument('--into', type=pathlib.Path, default=HERE)
    parser.add_argument('--threads', type=int, default=1)
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    folder, model = given.into / 'data', given.into / 'model.onnx'

    def script(name: str, *arguments) -> None:
        subprocess.run([sys.executable, str(HERE / name), *map(str, arguments)], check=True)

    script('export.py', given.out / 'state.pt', model)
    shutil.copyfile(given.out / 'curve.csv', given.into / 'curve.csv')
    script('curve.py', given.into / 'curve.csv', given.into / 'curve.svg')
    shutil.rmtree(folder, ignore_errors=True)
    script('data.py', folder)
    written = [np.load(path) for path in sorted(folder.glob('*.npz'))]
    for name, expected in data.feeds(data.held_out()).items():
        if not np.array_equal(np.concatenate([file[name] for file in written]), expected):
            raise SystemExit(f'{folder}: {name} is not what data.py makes')
    found = evaluate(str(model), folder, 50, given.threads, ['CPUExecutionProvider'])
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}))


if __name__ == '__main__':
    main()
