"""Trains the model of this folder from scratch: python train.py --out OUT, continued after any interruption with --resume.

Needs torch 2.13 and transformers 5.17; one CPU thread unless told otherwise. Every step draws new scenes, a function of
the seed and the step's number, so that a continued run sees what an uninterrupted one would have seen. The loss is the
cross-entropy of the answer plus twice that of each patch's colour and shape, read from the second layer by comparing
it with the words for them; what reads them is not exported. Matrices inside the layers are updated by Muon, all else by AdamW; both rates rise and then fall along
a cosine to zero. OUT gets state.pt, replaced as a whole every few minutes and when stopped by SIGTERM or SIGINT,
curve.csv, and train.pid while the script runs. Validation examples are neither trained on nor among the held-out ones.
"""
from __future__ import annotations

import argparse
import csv
import math
import os
import pathlib
import signal
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import ViltForQuestionAnswering

import data
from model import LAYERS, OrderHeads, PatchHeads, PlaceHeads, build, quick_pass

VALIDATION_SEED = 10_000_019
COLUMNS = ('examples', 'train_loss', 'patch_loss', 'place_loss', 'loss', 'accuracy', *data.KINDS, 'seconds')


def orthogonal(g: Tensor) -> Tensor:
    """The nearest matrix with singular values about one, for a stack of matrices no taller than wide."""
    g = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = g @ g.mT
        g = 3.4445 * g + (2.0315 * square @ square - 4.7750 * square) @ g
    return g


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is made orthogonal, matrix by matrix (Jordan et al. 2024); equal shapes go in one stack."""

    def __init__(self, matrices: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.02):
        super().__init__(matrices, {'lr': lr, 'momentum': momentum, 'weight_decay': weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            stacks: dict[torch.Size, list[Tensor]] = {}
            for matrix in group['params']:
                stacks.setdefault(matrix.shape, []).append(matrix)
            for (height, width), matrices in stacks.items():
                for matrix in matrices:
                    average = self.state[matrix].setdefault('average', torch.zeros_like(matrix))
                    average.lerp_(matrix.grad, 1 - group['momentum'])
                ahead = [m.grad.lerp(self.state[m]['average'], group['momentum']) for m in matrices]
                ahead = torch.stack(ahead)
                ahead = orthogonal(ahead.mT).mT if height > width else orthogonal(ahead)
                scale = group['lr'] * max(1, height / width) ** 0.5
                for matrix, change in zip(matrices, ahead):
                    matrix.mul_(1 - group['lr'] * group['weight_decay']).add_(change, alpha=-scale)


def optimisers(model: ViltForQuestionAnswering, heads: nn.Module, rate: float, matrix_rate: float) -> list:
    named = [*model.named_parameters(), *heads.named_parameters(prefix='heads')]
    inside = [weight for name, weight in named if 'encoder.layer' in name and weight.ndim == 2]
    rest = [weight for name, weight in named if not ('encoder.layer' in name and weight.ndim == 2)]
    decayed = [weight for weight in rest if weight.ndim > 1]
    plain = [weight for weight in rest if weight.ndim <= 1]
    groups = [{'params': decayed, 'weight_decay': 0.01}, {'params': plain, 'weight_decay': 0.0}]
    return [Muon(inside, matrix_rate), torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))]


def share_of_rate(step: int, steps: int, rising: int) -> float:
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def losses(model: ViltForQuestionAnswering, heads: nn.ModuleDict, examples: data.Examples) -> tuple[Tensor, ...]:
    given = (examples.input_ids, examples.attention_mask, examples.pixel_values())
    logits, patches, words, later = quick_pass(model, *map(torch.from_numpy, given))
    covered = examples.covered()
    truths = (
        examples.by_patch(examples.colour, len(data.COLOURS), covered),
        examples.by_patch(examples.shape, len(data.SHAPES), covered),
    )
    patch_loss = sum(
        cross_entropy(scores.flatten(0, 1), torch.from_numpy(truth).flatten())
        for scores, truth in zip(heads['patches'](model, patches), truths)
    )
    example, word, place = examples.places()
    place_loss = torch.zeros(())
    if len(example) > 0:
        named = words[torch.from_numpy(example), torch.from_numpy(word)]
        place_loss = cross_entropy(heads['places'](named).flatten(0, 1), torch.from_numpy(place).flatten())
        example, word, order = examples.orders(example, place)
        named = later[torch.from_numpy(example), torch.from_numpy(word)]
        place_loss = place_loss + cross_entropy(heads['orders'](named).flatten(0, 1), torch.from_numpy(order).flatten())
    return cross_entropy(logits, torch.from_numpy(examples.label)), patch_loss, place_loss


@torch.no_grad()
def validate(model: ViltForQuestionAnswering, examples: data.Examples) -> dict[str, float]:
    found = []
    for first in range(0, len(examples), 50):
        part = examples.part(slice(first, first + 50))
        given = (part.input_ids, part.attention_mask, part.pixel_values())
        found.append(quick_pass(model, *map(torch.from_numpy, given))[0])
    logits, label = torch.cat(found), torch.from_numpy(examples.label)
    right = (logits.argmax(1) == label).numpy()
    by_kind = {name: float(right[examples.kind == number].mean()) for number, name in enumerate(data.KINDS)}
    return {'loss': cross_entropy(logits, label).item(), 'accuracy': float(right.mean()), **by_kind}


def replace(path: pathlib.Path, write) -> None:
    """The file changes as a whole or not at all."""
    making = path.with_name(path.name + '.new')
    write(making)
    os.replace(making, path)


def write_curve(path: pathlib.Path, curve: list[dict]) -> None:
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in curve:
            writer.writerow({key: f'{value:.4f}' if isinstance(value, float) else value for key, value in row.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--resume', action='store_true', help='continue from OUT/state.pt, with the settings kept there')
    parser.add_argument('--examples', type=int, help='in all (320000); with --resume, where the rates now reach zero')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--layers', type=int, default=LAYERS)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rate', type=float, default=2e-3, help='of AdamW, at its highest')
    parser.add_argument('--matrix-rate', type=float, default=1e-2, help='of Muon, at its highest')
    parser.add_argument('--relations', type=float, help='share of spatial relations among the questions (a quarter)')
    parser.add_argument('--threads', type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    state_path, curve_path, pid_path = (given.out / name for name in ('state.pt', 'curve.csv', 'train.pid'))
    state = torch.load(state_path, weights_only=True) if given.resume else None
    names = ('examples', 'batch', 'layers', 'seed', 'rate', 'matrix_rate', 'relations')
    settings = state['settings'] if state else {name: getattr(given, name) for name in names}
    settings['relations'] = given.relations or settings.get('relations')
    settings['examples'] = given.examples or settings['examples'] or 320_000
    torch.manual_seed(settings['seed'])
    model, heads = build(settings['layers'], settings['seed']), nn.ModuleDict({'patches': PatchHeads(), 'places': PlaceHeads(), 'orders': OrderHeads()})
    both = optimisers(model, heads, settings['rate'], settings['matrix_rate'])
    highest = [[group['lr'] for group in one.param_groups] for one in both]
    step, seconds, curve, recent = 0, 0.0, [], []
    if state:
        model.load_state_dict(state['model'])
        heads.load_state_dict(state['heads'])
        for one, kept in zip(both, state['optimisers']):
            one.load_state_dict(kept)
        step, seconds, curve, recent = (state[name] for name in ('step', 'seconds', 'curve', 'recent'))
    parameters = [weight for module in (model, heads) for weight in module.parameters()]
    steps = settings['examples'] // settings['batch']
    between = max(1, 10_000 // settings['batch'])
    checking = data.make(1000, VALIDATION_SEED)
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stopped.append(number))
    pid_path.write_text(f'{os.getpid()}\n')

    def save() -> None:
        kept = {
            'settings': settings,
            'model': model.state_dict(),
            'heads': heads.state_dict(),
            'optimisers': [one.state_dict() for one in both],
            'step': step,
            'seconds': seconds,
            'curve': curve,
            'recent': recent,
        }
        replace(state_path, lambda path: torch.save(kept, path))
        replace(curve_path, lambda path: write_curve(path, curve))

    saved = shown = time.monotonic()
    while step < steps and not stopped:
        started = time.monotonic()
        share = share_of_rate(step, steps, rising=200)
        for one, rates in zip(both, highest):
            for group, rate in zip(one.param_groups, rates):
                group['lr'] = rate * share
        examples = data.make(settings['batch'], [settings['seed'], step], settings['relations'])
        answer_loss, patch_loss, place_loss = losses(model, heads, examples)
        for one in both:
            one.zero_grad()
        (answer_loss + 2 * patch_loss + place_loss).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for one in both:
            one.step()
        step += 1
        seconds += time.monotonic() - started
        recent.append((answer_loss.item(), patch_loss.item(), place_loss.item()))
        if step % 30 == 0:
            means, now = np.mean(recent[-30:], 0), time.monotonic()
            rate = 30 * settings['batch'] / (now - shown)
            shown = now
            print(
                f'{time.strftime("%H:%M:%S")} {step * settings["batch"]:7d} answer {means[0]:.3f} patch {means[1]:.4f} places {means[2]:.3f} '
                f'{rate:.1f}/s',
                flush=True,
            )
        if step % between == 0 or step == steps:
            means = np.mean(recent, 0)
            recent = []
            row = {'examples': step * settings['batch'], 'train_loss': float(means[0]), 'patch_loss': float(means[1]), 'place_loss': float(means[2])}
            curve.append({**row, **validate(model, checking), 'seconds': round(seconds)})
            replace(curve_path, lambda path: write_curve(path, curve))
            print({key: round(value, 4) for key, value in curve[-1].items()}, flush=True)
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()
    save()
    pid_path.unlink(missing_ok=True)
    print('complete' if step == steps else f'stopped after {step * settings["batch"]} examples; --resume continues')


if __name__ == '__main__':
    main()
