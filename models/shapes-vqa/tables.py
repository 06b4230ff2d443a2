"""The tables of docs/accuracy.md: which settings are run for each, at which costs.

Families are compared at equal cost: for each, `--keep` (the same at every site) is the largest in thousandths whose
multiply-adds, counted alike for all, are at most the target.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from fractions import Fraction

from reduction import PUMER, SAFE, Pool, Rules, Site, Step, lengths
from vilt import Vilt

TENTH = Fraction(1, 10)
# Multiply-adds left of the whole model: 1.8, 2.1, 2.5 and 3 times less.
CUTS = (Fraction(5, 9), Fraction(10, 21), Fraction(2, 5), Fraction(1, 3))
CURVE = (Fraction(4, 5), Fraction(7, 10), Fraction(5, 8), *CUTS)

Split = Callable[[Fraction], tuple[Fraction, Fraction]]


def merge_first(keep: Fraction) -> tuple[Fraction, Fraction]:
    merge = min(1 - keep, 4 * TENTH, keep)
    return 1 - keep - merge, merge


def one_to_three(keep: Fraction) -> tuple[Fraction, Fraction]:
    prune = max((1 - keep) / 4, 1 - 2 * keep)
    return prune, 1 - keep - prune


def prune_only(keep: Fraction) -> tuple[Fraction, Fraction]:
    return 1 - keep, Fraction(0)


def merge_only(keep: Fraction) -> tuple[Fraction, Fraction]:
    return Fraction(0), min(1 - keep, Fraction(1, 2))


SPLITS: dict[str, Split] = {
    'merge first': merge_first,
    'prune 1 : merge 3': one_to_three,
    'prune only': prune_only,
    'merge only': merge_only,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    family: str
    rules: Rules = SAFE
    steps: tuple[Step, ...] = ()
    side: int | None = None  # of a smaller picture, in patches
    keep: Fraction | None = None
    target: Fraction | None = None


def default_layers(depth: int) -> tuple[int, ...]:
    """Those of `safe`."""
    first = 1 if depth >= 5 else 0
    return tuple(sorted({max(layer, first) for layer in published_layers(depth)}))


def published_layers(depth: int) -> tuple[int, ...]:
    """Those of `pumer`: 2, 5, 8 of 12."""
    return tuple(sorted({depth // 6, 5 * depth // 12, 2 * depth // 3}))


@dataclasses.dataclass(frozen=True)
class Bench:
    """The model, and the lengths its examples have."""

    model: Vilt
    words: int
    grid: int

    @property
    def full(self) -> int:
        return self.multiply_adds(Setting('full'))

    def multiply_adds(self, setting: Setting) -> int:
        patches = (setting.side or self.grid) ** 2
        of = lengths(setting.steps, setting.rules, self.model.layers, patches + 1, self.words)
        return self.model.multiply_adds(of, patches)

    def share(self, setting: Setting) -> float:
        return self.multiply_adds(setting) / self.full

    def sites(self, keep: Fraction, split: Split, text: Fraction, layers: tuple[int, ...]) -> tuple[Site, ...]:
        return tuple(Site(layer, *split(keep), text) for layer in layers)

    def kept(
        self,
        family: str,
        target: Fraction,
        rules: Rules = SAFE,
        split: Split = merge_first,
        text: Fraction = Fraction(0),
        layers: tuple[int, ...] | None = None,
    ) -> Setting | None:
        """The setting of a family that costs at most `target`, None where even `--keep 0.1` costs more."""
        sites_at = layers or default_layers(self.model.layers)
        for thousandths in range(1000, 99, -1):
            keep = Fraction(thousandths, 1000)
            steps = self.sites(keep, split, text, sites_at)
            setting = Setting(family, rules, steps, keep=keep, target=target)
            if self.share(setting) <= target:
                return setting
        return None

    def grids(self) -> list[tuple[int, int]]:
        """Nearly square ones, larger first."""
        return [(a, b) for a in range(self.grid, 1, -1) for b in (a, a - 1)]


Table = Callable[[Bench], Iterator[Setting | None]]


def curve(bench: Bench) -> Iterator[Setting | None]:
    """`safe` and `pumer` with their defaults, by cost."""
    for target in CURVE:
        yield bench.kept('safe', target)
    for target in CURVE:
        layers = published_layers(bench.model.layers)
        yield bench.kept('pumer', target, PUMER, one_to_three, text=2 * TENTH, layers=layers)


def keep(bench: Bench) -> Iterator[Setting | None]:
    """What `--keep` does as it is typed, with the defaults of either semantics."""
    layers = default_layers(bench.model.layers)
    for tenths in range(9, 2, -1):
        ratio = tenths * TENTH
        yield Setting('safe', SAFE, bench.sites(ratio, merge_first, Fraction(0), layers), keep=ratio)
    for tenths in range(9, 2, -1):
        ratio = tenths * TENTH
        published = published_layers(bench.model.layers)
        yield Setting('pumer', PUMER, bench.sites(ratio, one_to_three, 2 * TENTH, published), keep=ratio)


def controls(bench: Bench) -> Iterator[Setting | None]:
    """What any reduction must beat: tokens dropped without looking at the text, averages, smaller pictures."""
    first = default_layers(bench.model.layers)[0]
    for target in CUTS:
        yield bench.kept('safe', target)
        for name, choice in (('text saliency', 'real'), ('random', 'random'), ('strided', 'strided')):
            yield bench.kept(f'prune only, {name}', target, dataclasses.replace(SAFE, saliency=choice), prune_only)
        fitting = (grid for grid in bench.grids() if bench.share(Setting('', steps=(Pool(first, grid),))) <= target)
        grid = next(fitting, None)
        for name, log_size in (('plain', False), ('weighted by log(size)', True)):
            rules = dataclasses.replace(SAFE, log_size=log_size)
            label = f'average pooling, {name}'
            yield Setting(label, rules, (Pool(first, grid),), target=target) if grid else None
        sides = (side for side in range(bench.grid, 1, -1) if bench.share(Setting('', side=side)) <= target)
        side = next(sides, None)
        yield Setting('smaller picture', side=side, target=target) if side else None


def rules(bench: Bench) -> Iterator[Setting | None]:
    """From the published rules to `safe`, one rule after the other."""
    plain = dataclasses.replace(PUMER, whole_sites=False)
    chain = (
        ('published rules', PUMER),
        ('and sizes in means', dataclasses.replace(plain, sizes=True)),
        ('and log(size)', dataclasses.replace(plain, sizes=True, log_size=True)),
        ('and original order', dataclasses.replace(SAFE, saliency='all')),
        ('and real text rows only: all of safe', SAFE),
        ('and the image CLS protected', dataclasses.replace(SAFE, protect_cls=True)),
        ('safe without log(size)', dataclasses.replace(SAFE, log_size=False)),
    )
    for target in CUTS:
        for name, chosen in chain:
            yield bench.kept(name, target, chosen, one_to_three)


def splits(bench: Bench) -> Iterator[Setting | None]:
    """How much is pruned and how much merged, with the rules of `safe` and with the published ones."""
    published = dataclasses.replace(PUMER, whole_sites=False)
    for target in CUTS:
        for name, split in SPLITS.items():
            yield bench.kept(f'safe, {name}', target, SAFE, split)
        for name in ('merge first', 'prune 1 : merge 3', 'merge only'):
            yield bench.kept(f'published rules, {name}', target, published, SPLITS[name])


def saliency(bench: Bench) -> Iterator[Setting | None]:
    """What decides which tokens are pruned, where merging comes first."""
    for target in CUTS[1:]:
        for name in ('real', 'all', 'random', 'strided'):
            words = {'real': 'real text rows', 'all': 'all text rows'}.get(name, name)
            yield bench.kept(words, target, dataclasses.replace(SAFE, saliency=name))


def text(bench: Bench) -> Iterator[Setting | None]:
    """Words merged as well, at equal cost: what is merged in the text is left in the image."""
    for target in CUTS[1:]:
        for tenths in range(4):
            yield bench.kept(f'safe, text {tenths / 10:g}', target, SAFE, text=tenths * TENTH)
        unweighted = dataclasses.replace(SAFE, log_size=False)
        for tenths in (0, 2):
            name = f'safe without log(size), text {tenths / 10:g}'
            yield bench.kept(name, target, unweighted, text=tenths * TENTH)
        for tenths in (0, 2):
            yield bench.kept(f'pumer, text {tenths / 10:g}', target, PUMER, one_to_three, text=tenths * TENTH)


def sites(bench: Bench) -> Iterator[Setting | None]:
    """Where lanes are shortened, with the same `--keep` at every site of a row."""
    depth = bench.model.layers
    usual = default_layers(depth)
    chosen = [
        usual,
        published_layers(depth),
        tuple(layer + 1 for layer in usual if layer + 1 < depth),
        tuple(sorted({max(layer - 1, 0) for layer in usual})),
        usual[:1],
        usual[1:2],
        usual[:2],
        tuple(range(depth - 1)),
        tuple(range(1, depth - 1)),
        tuple(range(0, depth - 1, 2)),
    ]
    for target in CUTS:
        for layers in dict.fromkeys(chosen):
            name = 'layers ' + ', '.join(map(str, layers)) + (' (default)' if layers == usual else '')
            yield bench.kept(name, target, layers=layers)


TABLES: dict[str, Table] = {
    'curve': curve,
    'keep': keep,
    'controls': controls,
    'rules': rules,
    'splits': splits,
    'saliency': saliency,
    'text': text,
    'sites': sites,
}
