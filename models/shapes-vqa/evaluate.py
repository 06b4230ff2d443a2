"""Accuracy of an exported model on the held-out examples: python evaluate.py model.onnx [DATA].

DATA is a folder of .npz files as data.py writes them; without it the same examples are made anew. Needs onnxruntime
and NumPy. Inputs that a model lacks are left out, so reduced models are judged the same way. `--guess` prints instead
what the best answer to each wording gets without the picture, learned from other questions.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import time

import numpy as np

import data


def held_out_files(folder: pathlib.Path | None, batch: int):
    """Feeds and labels, batch by batch."""
    if folder is None:
        examples = data.held_out()
        for first in range(0, len(examples), batch):
            part = examples.part(slice(first, first + batch))
            yield data.feeds(part), part.label
        return
    for path in sorted(folder.glob('*.npz')):
        with np.load(path) as file:
            arrays = dict(file)
        labels = arrays.pop('labels')
        for first in range(0, len(labels), batch):
            yield {name: value[first : first + batch] for name, value in arrays.items()}, labels[first : first + batch]


def kinds_of(input_ids: np.ndarray) -> np.ndarray:
    """The kind of each question, read from its words."""
    first, second = input_ids[:, 1], input_ids[:, 2]
    return np.select(
        [first == data.WORD['what'], first == data.WORD['how'], second == data.WORD['there']],
        [data.KINDS.index(kind) for kind in ('attribute', 'count', 'existence')],
        data.KINDS.index('relation'),
    )


def summary(right: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    by_kind = {name: float(right[kinds == number].mean()) for number, name in enumerate(data.KINDS)}
    return {'examples': len(right), 'accuracy': float(right.mean()), **by_kind}


def guess() -> dict[str, float]:
    known, asked = data.make(200_000, 5), data.held_out()
    votes: dict[bytes, np.ndarray] = {}
    for words, label in zip(known.input_ids, known.label):
        votes.setdefault(words.tobytes(), np.zeros(len(data.ANSWERS), int))[label] += 1
    nothing = np.zeros(len(data.ANSWERS), int)
    guessed = np.array([votes.get(words.tobytes(), nothing).argmax() for words in asked.input_ids])
    return summary(guessed == asked.label, asked.kind)


def evaluate(path: str, folder: pathlib.Path | None, batch: int, threads: int, providers: list[str]) -> dict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    taken = {value.name for value in session.get_inputs()}
    right, kinds, seconds = [], [], 0.0
    for feeds, labels in held_out_files(folder, batch):
        started = time.perf_counter()
        logits = session.run(['logits'], {name: value for name, value in feeds.items() if name in taken})[0]
        seconds += time.perf_counter() - started
        right.append(logits.argmax(1) == labels)
        kinds.append(kinds_of(feeds['input_ids']))
    return {**summary(np.concatenate(right), np.concatenate(kinds)), 'seconds': round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='?')
    parser.add_argument('data', nargs='?', type=pathlib.Path)
    parser.add_argument('--batch', type=int, default=50)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--guess', action='store_true')
    given = parser.parse_args()
    if not given.guess and not given.model:
        parser.error('name a model, or say --guess')
    if given.guess:
        result = guess()
    else:
        result = evaluate(given.model, given.data, given.batch, given.threads, ['CPUExecutionProvider'])
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}))


if __name__ == '__main__':
    main()
