"""Judges saved outputs with onnx.checker, by hand: an output must pass wherever its input does.

    npm run conformance -- DIR... --save OUT
    python test/conformance/check.py OUT

Needs the Python packages onnx and protobuf. The compiler itself and its tests never need Python.
"""
import json
import pathlib
import sys

import onnx


def verdict(path: str) -> str:
    """Empty where the checker (with full shape inference) accepts the file, else its first line."""
    try:
        onnx.checker.check_model(path, full_check=True)
        return ''
    except Exception as error:  # the checker raises several types
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def main(folder: str) -> int:
    misses, known = 0, {}
    for entry in json.loads((pathlib.Path(folder) / 'manifest.json').read_text()):
        source = known.setdefault(entry['input'], verdict(entry['input']))
        result = verdict(entry['output'])
        missed = result != '' and source == ''
        misses += missed
        print('MISS   ' if missed else 'ok     ', pathlib.Path(entry['output']).name, result)
    print(f'{misses} misses')
    return 1 if misses else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
