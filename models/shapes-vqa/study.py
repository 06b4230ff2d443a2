"""What token reduction costs this model in accuracy, rule by rule: python study.py curve rules --out OUT.

Runs the settings of one or more tables (`all` for all of them) on the held-out examples and writes OUT/TABLE.csv and
OUT/TABLE.md: accuracy, the paired difference to the unreduced model and that to the first row of the same cost, each
with its 95 % interval, and the multiply-adds left, counted for all in the same way. Reductions are those of
reduction.py, not the compiler's. OUT/answers.npz keeps which answers were right, so that nothing is run twice for the
same model file. `--into PAGE` puts the tables into a page, where it has marks for them (`study TABLE`, with --label
`study LABEL TABLE`).

`python study.py --check model.onnx COMPILED.onnx` runs a compiled model in ONNX Runtime and compares its logits with
those of the same plan here. Where a decision was nearer than float32 can tell, two correct programs may decide
differently: such examples are counted apart.
"""
from __future__ import annotations

import argparse
import csv
import hashlib
import json
import pathlib
import time
from fractions import Fraction

import numpy as np
import onnx
import torch
from torch.nn import functional

import data
from paired import difference
from paste import into
from reduction import PUMER, SAFE, Site, run, stream
from tables import TABLES, Bench, Setting
from vilt import FORMULA, Vilt

HERE = pathlib.Path(__file__).resolve().parent
NEAR = 1e-5


def batches(count: int, size: int):
    """(first, input ids, mask, pictures, labels) of the held-out examples."""
    examples = data.held_out()
    for first in range(0, count, size):
        part = examples.part(slice(first, min(first + size, count)))
        given = (part.input_ids, part.attention_mask.astype(np.float32), part.pixel_values())
        yield first, *map(torch.from_numpy, given), part.label


def answers(bench: Bench, settings: list[Setting], count: int, size: int) -> np.ndarray:
    """[settings, examples]: whether each answer is right."""
    right = np.zeros((len(settings), count), bool)
    started = time.monotonic()
    for first, ids, mask, pictures, labels in batches(count, size):
        entering = stream(bench.model, ids, mask, pictures)
        for number, setting in enumerate(settings):
            given = entering
            if setting.side and setting.side != bench.grid:
                sides = (setting.side * bench.model.patch,) * 2
                smaller = functional.interpolate(pictures, size=sides, mode='bilinear', antialias=True)
                given = stream(bench.model, ids, mask, smaller)
            logits, _ = run(bench.model, given, mask, setting.steps, setting.rules, seed=first)
            right[number, first : first + len(labels)] = logits.argmax(1).numpy() == labels
        print(f'{first + len(labels)} examples, {time.monotonic() - started:.0f} s', flush=True)
    return right


def ratios(setting: Setting) -> str:
    sites = [step for step in setting.steps if isinstance(step, Site)]
    if setting.side:
        return f'{setting.side} x {setting.side} patches'
    if not sites:
        return ''.join(f'{step.grid[0]} x {step.grid[1]} behind layer {step.layer}' for step in setting.steps)
    return f'p {float(sites[0].prune):g}, m {float(sites[0].merge):g}, t {float(sites[0].text):g}'


def rows_of(bench: Bench, settings: list[Setting], right: np.ndarray, kinds: np.ndarray) -> list[dict[str, str]]:
    """A row for each setting; the first is the unreduced model."""
    rows, first = [], {}
    for setting, answered in zip(settings, right):
        lost = difference(answered, right[0])
        beside = first.setdefault(setting.target, answered)
        relative = '' if beside is answered or setting.target is None else str(difference(answered, beside))
        by_kind = {name: answered[kinds == number].mean() for number, name in enumerate(data.KINDS)}
        rows.append(
            {
                'family': setting.family,
                'ratios': ratios(setting),
                'keep': '' if setting.keep is None else f'{float(setting.keep):g}',
                'target': '' if setting.target is None else f'{float(setting.target):.3f}',
                'cost': f'{bench.share(setting):.3f}',
                'less': f'{1 / bench.share(setting):.2f}',
                'accuracy': f'{answered.mean():.4f}',
                'difference': str(lost),
                'to_first': relative,
                **{name: f'{value:.4f}' for name, value in by_kind.items()},
            }
        )
    return rows


def markdown(rows: list[dict]) -> str:
    compared = ('to unreduced, points (95 %)', 'to the first of this cost')
    names = ('', 'ratios at a site', 'cost', 'less by', 'accuracy', *compared, *data.KINDS)
    lines = ['| ' + ' | '.join(names) + ' |', '|' + '---|' * len(names)]
    for row in rows:
        kinds = ' | '.join(f'{100 * float(row[name]):.1f}' for name in data.KINDS)
        found = f'{100 * float(row["accuracy"]):.2f} | {row["difference"]} | {row["to_first"]}'
        lines.append(f'| {row["family"]} | {row["ratios"]} | {row["cost"]} | {row["less"]}x | {found} | {kinds} |')
    return '\n'.join(lines) + '\n'


def study(given: argparse.Namespace) -> None:
    bench = Bench(Vilt(given.model), data.LENGTH, data.GRID)
    names = list(TABLES) if given.tables == ['all'] else given.tables
    planned = {name: [setting for setting in TABLES[name](bench) if setting is not None] for name in names}
    unreduced = Setting('unreduced')
    asked = [unreduced, *(setting for settings in planned.values() for setting in settings)]
    # What several tables ask for is run once; names and targets do not matter to a run.
    model = hashlib.sha256(given.model.read_bytes()).hexdigest()[:12]
    key = lambda setting: f'{model} {given.examples} {setting.rules} {setting.steps} {setting.side}'
    given.out.mkdir(parents=True, exist_ok=True)
    kept_in = given.out / 'answers.npz'
    kept = dict(np.load(kept_in)) if kept_in.exists() else {}
    missing = list({key(setting): setting for setting in asked if key(setting) not in kept}.values())
    print(f'{bench.full} multiply-adds unreduced: {FORMULA}')
    print(f'{len(missing)} settings to run, {given.examples} examples')
    if missing:
        right = answers(bench, missing, given.examples, given.batch)
        kept.update({key(setting): answered for setting, answered in zip(missing, right)})
        np.savez_compressed(kept_in, **kept)
    kinds = data.held_out().kind[: given.examples]
    for name, settings in planned.items():
        settings = [unreduced, *settings]
        rows = rows_of(bench, settings, np.array([kept[key(setting)] for setting in settings]), kinds)
        with open(given.out / f'{name}.csv', 'w', newline='') as file:
            writer = csv.DictWriter(file, rows[0], lineterminator='\n')
            writer.writeheader()
            writer.writerows(rows)
        (given.out / f'{name}.md').write_text(markdown(rows))
        print(f'\n{name}: {TABLES[name].__doc__}\n\n{markdown(rows)}')
        if given.into:
            into(given.into, ' '.join(['study', *([given.label] if given.label else []), name]), markdown(rows))


def plan_of(path: pathlib.Path) -> tuple[tuple[Site, ...], str]:
    stored = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    if 'pumer.plan' not in stored:
        raise SystemExit(f'{path} holds no plan: it is not a compiled model')
    plan = json.loads(stored['pumer.plan'], parse_float=Fraction, parse_int=Fraction)
    sites = (Site(int(s['layer']), s.get('prune', 0), s.get('merge', 0), s.get('mergeText', 0)) for s in plan['sites'])
    return tuple(sites), plan['semantics']


def check(given: argparse.Namespace) -> None:
    import onnxruntime

    original, compiled = given.check
    model = Vilt(original)
    steps, semantics = plan_of(compiled)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    sessions = [onnxruntime.InferenceSession(str(path), options, ['CPUExecutionProvider']) for path in given.check]
    rules = {'safe': SAFE, 'pumer': PUMER}[semantics]
    apart, unreduced, margins, same = [], [], [], []
    for first, ids, mask, pictures, labels in batches(given.examples, given.batch):
        feeds = data.feeds(data.held_out().part(slice(first, first + len(labels))))
        expected, reduced = (session.run(['logits'], feeds)[0] for session in sessions)
        entering = stream(model, ids, mask, pictures)
        plain = run(model, entering, mask, (), rules, first)[0].numpy()
        logits, margin = run(model, entering, mask, steps, rules, first)
        unreduced.append(np.abs(plain - expected).max(1))
        apart.append(np.abs(logits.numpy() - reduced).max(1))
        same.append(logits.numpy().argmax(1) == reduced.argmax(1))
        margins.append(margin.numpy())
    apart, unreduced, margins, same = map(np.concatenate, (apart, unreduced, margins, same))
    off = apart > given.tolerance
    unexplained = off & (margins > NEAR)
    print(f'{len(apart)} examples, {semantics}: ' + ', '.join(f'layer {s.layer}' for s in steps))
    print(f'unreduced logits differ by at most {unreduced.max():.1e}, reduced ones by {apart[~off].max(initial=0):.1e}')
    print(
        f'{off.sum()} examples differ by more than {given.tolerance:g}; in {(off & ~unexplained).sum()} of them a '
        f'decision was nearer than {NEAR:g}. Nearest decision: median {np.median(margins):.1e}. '
        f'Same answer: {same.mean():.4f}'
    )
    if unreduced.max() > given.tolerance or unexplained.any():
        raise SystemExit('the compiled model does not compute what this implementation does')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('tables', nargs='*', metavar='TABLE', help=', '.join([*TABLES, 'all']))
    parser.add_argument('--model', type=pathlib.Path, default=HERE / 'model.onnx')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('study'))
    parser.add_argument('--into', type=pathlib.Path, metavar='PAGE')
    parser.add_argument('--label', help='of the model, where a page has tables of several')
    parser.add_argument('--examples', type=int, default=4000, help='the first N of the held-out ones')
    parser.add_argument('--batch', type=int, default=200)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--check', type=pathlib.Path, nargs=2, metavar=('MODEL', 'COMPILED'))
    parser.add_argument('--tolerance', type=float, default=1e-3, help='of --check')
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with torch.inference_mode():
        if given.check:
            check(given)
        elif given.tables and (given.tables == ['all'] or set(given.tables) <= set(TABLES)):
            study(given)
        else:
            parser.error(f'name tables ({", ".join([*TABLES, "all"])}), or --check two models')


if __name__ == '__main__':
    main()
