"""Which image tokens a compiled model keeps: python survivors.py COMPILED.onnx.

    npx pumer-compile model.onnx -o pruned.onnx --prune 0.3 --merge 0
    python survivors.py pruned.onnx --show 4 7

What is shown are the compiled model's own decisions: the place that each token goes to is made an output of every
reduction, and the file is run in ONNX Runtime. A patch is kept where it, or the token it was merged into, has not been
pruned. Pruning that does not look keeps as large a share of the patches asked about as of all patches: that share,
example by example, is what `random` means here. Needs a file compiled with `--ops function`, which is the default.
`--into PAGE LABEL` puts everything into a page, at its mark `survivors LABEL`.
"""
from __future__ import annotations

import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime

import data
from paired import mean_interval
from paste import into

WHOSE = {
    2: 'of the objects asked about',
    1: 'of objects that share a named property',
    0: 'of other objects',
    -1: 'background',
}


def places_of(path: pathlib.Path, count: int, threads: int) -> tuple[list[str], list[np.ndarray]]:
    """Sites by name, and behind each [examples, tokens]: where each original image token is, -1 once it was pruned."""
    model = onnx.load(str(path))
    found = {}
    for node in model.graph.node:
        if node.domain == 'ai.pumer' and '/image/' in node.name:
            found[node.name.split('/')[1].replace('_', ' ')] = node.output[2]
    if not found:
        raise SystemExit(f'{path} has no reductions of the image that are function calls')
    for value in found.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.INT64, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ['CPUExecutionProvider'])
    examples, behind = data.held_out(), [[] for _ in found]
    for first in range(0, count, 100):
        feeds = data.feeds(examples.part(slice(first, min(first + 100, count))))
        where = None
        for targets, kept in zip(session.run(list(found.values()), feeds), behind):
            if where is None:
                where = targets
            else:
                where = np.where(where < 0, -1, np.take_along_axis(targets, np.maximum(where, 0), 1))
            kept.append(where)
    return list(found), [np.concatenate(kept) for kept in behind]


def whose(examples: data.Examples) -> np.ndarray:
    """[examples, patches]: keys of WHOSE."""
    return np.where(examples.patch_shapes() < len(data.SHAPES), examples.patch_asked(), -1)


def shares(chosen: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Share of `of` that is chosen, example by example; NaN where there is none."""
    with np.errstate(invalid='ignore'):
        return (chosen & of).sum(1) / of.sum(1)


def told(values: np.ndarray, most: float = 100) -> str:
    """Mean and 95 % interval, in hundredths; no share lies above `most`."""
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return 'none'
    mean, low, high = mean_interval(100 * values)
    return f'{mean:.1f} ({low:.1f} to {min(high, most):.1f})'


def patches_a_token(where: np.ndarray, of: np.ndarray) -> float:
    """How many patches the token of a kept patch stands for, on average over the kept patches of `of`."""
    total = number = 0
    for row, wanted in zip(where, of):
        sizes = np.bincount(row[row >= 0])
        mine = row[1:][wanted & (row[1:] >= 0)]
        total, number = total + sizes[mine].sum(), number + len(mine)
    return total / number if number else float('nan')


def drawn(kept: np.ndarray, group: np.ndarray) -> str:
    """12 x 12: A, a asked about; S, s another shape; + and . background. Capitals and + are kept."""
    letters = np.select([group == 2, group >= 0], ['a', 's'], '.')
    letters = np.where(kept, np.select([group == 2, group >= 0], ['A', 'S'], '+'), letters)
    return '\n'.join(' '.join(row) for row in letters.reshape(data.GRID, data.GRID))


def table_of(examples: data.Examples, sites: list[str], behind: list[np.ndarray]) -> str:
    """Behind each site, by whose patches they are."""
    group = whose(examples)
    head = ('behind', 'patches', 'kept, % (95 %)', 'random, %', 'difference, points (95 %)', 'patches a token')
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for site, where in zip(sites, behind):
        where = where[: len(examples)]
        kept = where[:, 1:] >= 0
        every = kept.mean(1)
        for key, name in WHOSE.items():
            of = group == key
            share = shares(kept, of)
            random = 100 * every[~np.isnan(share)].mean()
            size = patches_a_token(where, of)
            lines.append(f'| {site} | {name} | {told(share)} | {random:.1f} | {told(share - every)} | {size:.2f} |')
    return '\n'.join(lines)


def by_kind(examples: data.Examples, where: np.ndarray) -> str:
    """Behind the last site, by kind of question."""
    kept = where[: len(examples), 1:] >= 0
    every, asked = kept.mean(1), shares(kept, whose(examples) == 2)
    head = ('kind', 'of the objects asked about, % (95 %)', 'random, %', 'difference, points (95 %)')
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for number, kind in enumerate(data.KINDS):
        mine = (examples.kind == number) & ~np.isnan(asked)
        if mine.any():
            random = 100 * every[mine].mean()
            lines.append(f'| {kind} | {told(asked[mine])} | {random:.1f} | {told((asked - every)[mine])} |')
    return '\n'.join(lines)


def drawings(numbers: list[int], where: np.ndarray) -> list[str]:
    """Held-out examples by number, each as an indented block."""
    found = []
    for number in numbers:
        part = data.held_out().part(slice(number, number + 1))
        question = f'{number}: {data.in_words(part, 0).splitlines()[-1]}'
        lines = [question, *drawn(where[number, 1:] >= 0, whose(part)[0]).splitlines()]
        found.append('\n'.join(f'    {line}' for line in lines))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('compiled', type=pathlib.Path)
    parser.add_argument('--examples', type=int, default=4000, help='the first N of the held-out ones')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--show', type=int, nargs='+', default=[], metavar='NUMBER', help='draw these examples')
    parser.add_argument('--into', nargs=2, metavar=('PAGE', 'LABEL'))
    given = parser.parse_args()
    examples = data.held_out().part(slice(0, given.examples))
    sites, behind = places_of(given.compiled, max(given.examples, 1 + max(given.show, default=0)), given.threads)
    parts = [table_of(examples, sites, behind), by_kind(examples, behind[-1]), *drawings(given.show, behind[-1])]
    text = '\n\n'.join(parts)
    print(text)
    if given.into:
        into(pathlib.Path(given.into[0]), f'survivors {given.into[1]}', text)


if __name__ == '__main__':
    main()
