"""Trains the model of this folder from scratch: python train.py --out OUT, continued with --resume when interrupted.

Needs what requirements.txt names; one CPU thread unless told otherwise. Every step draws new scenes, a function of the
seed and the step's number, so that a continued run sees what an uninterrupted one would have seen. The loss is the
cross-entropy of the answer, plus twice that of each patch's colour and shape, read behind the second layer, plus those
of where the two objects of a relation lie and in which order, read from their words. What reads them is not exported.

Two recipes. `quick`: matrices inside the layers are updated by Muon, all else by AdamW; patches are compared with the
words for colours and shapes; queries and keys start alike. `plain`: AdamW for all, patches read by a layer of their
own, an ordinary start. Rates rise and then fall along a cosine to zero. OUT gets state.pt, replaced as a whole every
few minutes and when stopped by SIGTERM or SIGINT, curve.csv, and train.pid while the script runs. Validation examples
are neither trained on nor among the held-out ones.
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
from model import LAYERS, OrderHeads, PatchHeads, PlaceHeads, PlainPatchHeads, build, quick_pass

VALIDATION_SEED = 10_000_019
COLUMNS = ('examples', 'train_loss', 'patch_loss', 'place_loss', 'loss', 'accuracy', *data.KINDS, 'seconds')
RECIPES = {'quick': {'batch': 32, 'rate': 2e-3}, 'plain': {'batch': 64, 'rate': 1e-3}}
EXAMPLES = 320_000


def orthogonal(g: Tensor) -> Tensor:
    """The nearest matrix with singular values about one, for a stack of matrices no taller than wide."""
    g = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = g @ g.mT
        g = 3.4445 * g + (2.0315 * square @ square - 4.7750 * square) @ g
    return g


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, matrix by matrix (Jordan et al. 2024); matrices of one shape go in one stack."""

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


def optimisers(model: ViltForQuestionAnswering, heads: nn.Module, settings: dict) -> list[torch.optim.Optimizer]:
    named = [*model.named_parameters(), *heads.named_parameters(prefix='heads')]
    plain = settings['recipe'] == 'plain'
    inside = [weight for name, weight in named if not plain and 'encoder.layer' in name and weight.ndim == 2]
    taken = {id(weight) for weight in inside}
    rest = [weight for _, weight in named if id(weight) not in taken]
    groups = [
        {'params': [weight for weight in rest if weight.ndim > 1], 'weight_decay': 0.01},
        {'params': [weight for weight in rest if weight.ndim <= 1], 'weight_decay': 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=settings['rate'], betas=(0.9, 0.98))
    return [adam] if plain else [Muon(inside, settings['matrix_rate']), adam]


def share_of_rate(step: int, steps: int, rising: int) -> float:
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def losses(model: ViltForQuestionAnswering, heads: nn.ModuleDict, examples: data.Examples) -> tuple[Tensor, ...]:
    """Of the answer, of the patches and of the places and their order, each a mean."""
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
        writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
        writer.writeheader()
        for row in curve:
            writer.writerow({key: f'{value:.4f}' if isinstance(value, float) else value for key, value in row.items()})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--resume', action='store_true', help='continue from OUT/state.pt, with its settings')
    parser.add_argument('--recipe', choices=RECIPES, default='quick')
    parser.add_argument('--examples', type=int, help='in all (320000); with --resume, where the rates now reach zero')
    parser.add_argument('--batch', type=int, help='32; plain 64')
    parser.add_argument('--layers', type=int, default=LAYERS)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rate', type=float, help='of AdamW, at its highest (0.002; plain 0.001)')
    parser.add_argument('--matrix-rate', type=float, default=1e-2, help='of Muon, at its highest')
    parser.add_argument('--relations', type=float, help='share of spatial relations among the questions (a quarter)')
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


def settings_of(given: argparse.Namespace, state: dict | None) -> dict:
    if state:
        settings = {'recipe': 'quick', **state['settings']}
        settings['relations'] = given.relations or settings.get('relations')
        settings['examples'] = given.examples or settings['examples']
        return settings
    names = ('recipe', 'examples', 'batch', 'layers', 'seed', 'rate', 'matrix_rate', 'relations')
    asked = {name: getattr(given, name) for name in names}
    usual = {**RECIPES[given.recipe], 'examples': EXAMPLES}
    return {name: usual.get(name) if value is None else value for name, value in asked.items()}


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    state_path, curve_path, pid_path = (given.out / name for name in ('state.pt', 'curve.csv', 'train.pid'))
    state = torch.load(state_path, weights_only=True) if given.resume else None
    settings = settings_of(given, state)
    plain = settings['recipe'] == 'plain'
    torch.manual_seed(settings['seed'])
    model = build(settings['layers'], settings['seed'], alike=not plain)
    patch_heads = PlainPatchHeads() if plain else PatchHeads()
    heads = nn.ModuleDict({'patches': patch_heads, 'places': PlaceHeads(), 'orders': OrderHeads()})
    all_optimisers = optimisers(model, heads, settings)
    highest = [[group['lr'] for group in one.param_groups] for one in all_optimisers]
    step, seconds, curve, recent = 0, 0.0, [], []
    if state:
        model.load_state_dict(state['model'])
        heads.load_state_dict(state['heads'])
        for one, kept in zip(all_optimisers, state['optimisers'], strict=True):
            one.load_state_dict(kept)
        step, seconds, curve, recent = (state[name] for name in ('step', 'seconds', 'curve', 'recent'))
    parameters = [weight for module in (model, heads) for weight in module.parameters()]
    batch = settings['batch']
    steps = settings['examples'] // batch
    between = max(1, 10_000 // batch)
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
            'optimisers': [one.state_dict() for one in all_optimisers],
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
        for one, rates in zip(all_optimisers, highest):
            for group, rate in zip(one.param_groups, rates):
                group['lr'] = rate * share
        examples = data.make(batch, [settings['seed'], step], settings['relations'])
        answer_loss, patch_loss, place_loss = losses(model, heads, examples)
        for one in all_optimisers:
            one.zero_grad()
        (answer_loss + 2 * patch_loss + place_loss).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for one in all_optimisers:
            one.step()
        step += 1
        seconds += time.monotonic() - started
        recent.append((answer_loss.item(), patch_loss.item(), place_loss.item()))
        if step % 30 == 0:
            answer, patch, place = np.mean(recent[-30:], 0)
            now = time.monotonic()
            told = f'answer {answer:.3f} patch {patch:.4f} places {place:.3f} {30 * batch / (now - shown):.1f}/s'
            print(f'{time.strftime("%H:%M:%S")} {step * batch:7d} {told}', flush=True)
            shown = now
        if step % between == 0 or step == steps:
            means = dict(zip(('train_loss', 'patch_loss', 'place_loss'), map(float, np.mean(recent, 0))))
            recent = []
            curve.append({'examples': step * batch, **means, **validate(model, checking), 'seconds': round(seconds)})
            replace(curve_path, lambda path: write_curve(path, curve))
            print({key: round(value, 4) for key, value in curve[-1].items()}, flush=True)
        if time.monotonic() - saved > 180:
            save()
            saved = time.monotonic()
    save()
    pid_path.unlink(missing_ok=True)
    print('complete' if step == steps else f'stopped after {step * batch} examples; --resume continues')


if __name__ == '__main__':
    main()
