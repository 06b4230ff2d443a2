"""Token reduction inside a small ViLT with every rule a switch, in PyTorch.

Written from docs/semantics.md, apart from the compiler, so that each can show the other's mistakes. `SAFE` and `PUMER`
are the compiler's two semantics; what lies between them has no name there. Similarities are computed in float64.
"""
from __future__ import annotations

import dataclasses
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vilt import LOWEST, Vilt


@dataclasses.dataclass(frozen=True)
class Rules:
    order: str = 'original'  # of the tokens kept: 'original', or 'saliency' (descending; remaining sources come first)
    sizes: bool = True  # means are weighted by sizes and PAD stays apart; else plain means, the text mask is averaged
    log_size: bool = True  # later attention weighs keys by their sizes
    saliency: str = 'real'  # text rows that are summed: 'real', 'all'; or instead of text 'random', 'strided'
    protect_cls: bool = False  # the image CLS is set aside
    whole_sites: bool = False  # a site that prunes nothing does nothing


SAFE = Rules()
PUMER = Rules(order='saliency', sizes=False, log_size=False, saliency='all', whole_sites=True)


@dataclasses.dataclass(frozen=True)
class Site:
    layer: int
    prune: Fraction = Fraction(0)
    merge: Fraction = Fraction(0)
    text: Fraction = Fraction(0)


@dataclasses.dataclass(frozen=True)
class Pool:
    """Instead of reduction: at a layer the grid of patches is averaged down to another one."""

    layer: int
    grid: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Counts:
    keep: int
    merge: int
    text: int  # merged
    nothing: bool


def counts(site: Site, rules: Rules, image: int, text: int) -> Counts:
    prune, merge, words = round(site.prune * image), round(site.merge * image), round(site.text * text)
    aside = int(rules.protect_cls)
    keep = min(max(image - prune, aside + 1), image)
    # The text's first token is set aside in original order; else it merely stays. Both leave as many to be merged.
    staying = max(aside, int(rules.order == 'saliency'))
    nothing = rules.whole_sites and prune == 0
    return Counts(keep, min(merge, (keep - staying) // 2), min(words, (text - 1) // 2), nothing)


def gathered(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x [n, tokens, ...] at index [n, some]."""
    return x.gather(1, index if x.ndim == 2 else index[..., None].expand(-1, -1, x.shape[2]))


def smallest(values: Tensor) -> Tensor:
    return values.amin(1) if values.shape[1] else torch.full((len(values),), torch.inf, dtype=values.dtype)


@dataclasses.dataclass
class Lane:
    tokens: Tensor  # [n, length, width]
    weight: Tensor  # [n, length] sizes, or the text mask
    margin: Tensor  # [n] the smallest distance by which a decision was made so far


def shortened(lane: Lane, keys: Tensor, score: Tensor | None, keep: int, merge: int, rules: Rules, aside: int) -> Lane:
    """Prunes to `keep` by score [n, length], then merges `merge`. keys [n, heads, length, d]; `aside` stay in front."""
    x, weight, margin = lane.tokens, lane.weight, lane.margin
    n, length, _ = x.shape
    ranked = rules.order == 'saliency'
    if score is None:
        chosen = torch.arange(aside, length).expand(n, -1)
    else:
        best, chosen = score[:, aside:].sort(dim=1, descending=True, stable=True)
        gaps = (best[:, :-1] - best[:, 1:]).double() / best[:, :1].clamp(min=1e-30)
        first = 0 if ranked else keep - aside - 1
        margin = torch.minimum(margin, smallest(gaps[:, max(first, 0) : keep - aside]))
        chosen = chosen[:, : keep - aside] + aside
        chosen = chosen if ranked else chosen.sort(dim=1).values
    even, odd = chosen[:, 0::2], chosen[:, 1::2]
    stays = torch.ones_like(even, dtype=torch.bool)
    share = weight if rules.sizes else torch.ones_like(weight)
    if merge:
        unit = functional.normalize(keys.double().mean(1), dim=2)
        alike = gathered(unit, even) @ gathered(unit, odd).mT
        real = weight > 0
        if rules.sizes:
            open_ = gathered(real, odd)
            alike = alike.masked_fill((~open_ & open_.any(1, keepdim=True))[:, None, :], -torch.inf)
        best, into = alike.max(2)
        if alike.shape[2] > 1:
            two = alike.topk(2, dim=2).values
            margin = torch.minimum(margin, smallest(two[..., 0] - two[..., 1]))
        if rules.sizes:
            best = torch.where(gathered(real, even), best, torch.inf)
        if ranked:
            best = best.clone()
            best[:, 0] = -torch.inf
        by_rank, leaving = best.sort(dim=1, descending=True, stable=True)
        if merge < leaving.shape[1]:
            edge = by_rank[:, merge - 1] - by_rank[:, merge]
            margin = torch.minimum(margin, torch.where(edge.isnan(), torch.inf, edge))
        leaving = leaving[:, :merge]
        stays = stays.scatter(1, leaving, False)
        source, target = gathered(even, leaving), gathered(odd, gathered(into, leaving))
        spread = target[..., None].expand(-1, -1, x.shape[2])
        given = gathered(share, source)
        total = torch.zeros_like(x).scatter_add(1, spread, gathered(x, source) * given[..., None])
        added = torch.zeros_like(share).scatter_add(1, target, given)
        means = (x * share[..., None] + total) / (share + added).clamp(min=1e-30)[..., None]
        x = torch.where(added[..., None] > 0, means, x)
        incoming = torch.zeros_like(weight).scatter_add(1, target, gathered(weight, source))
        weight = weight + incoming if rules.sizes else (weight + incoming) / (1 + added)
    left = length - (length - keep) - merge
    gone = length + 1
    place = torch.full((n, length), gone)
    place[:, :aside] = torch.arange(aside)
    if ranked:
        numbers = aside + torch.arange(even.shape[1]).expand(n, -1)
        place = place.scatter(1, even, torch.where(stays, numbers, gone))
        place = place.scatter(1, odd, (aside + even.shape[1] + torch.arange(odd.shape[1])).expand(n, -1))
    else:
        place = place.scatter(1, even, torch.where(stays, even, gone)).scatter(1, odd, odd)
    index = place.argsort(dim=1, stable=True)[:, :left]
    return Lane(gathered(x, index), gathered(weight, index), margin)


def saliency(looks: Tensor, text: Tensor, rules: Rules, random: torch.Generator) -> Tensor:
    """[n, length]: how much text looks at each token. looks [n, heads, words, length], text [n, words] weights."""
    n, _, _, length = looks.shape
    if rules.saliency == 'random':
        return torch.rand(n, length, generator=random)
    if rules.saliency == 'strided':
        # Golden-section order: the first k of it are spread evenly for every k.
        return (-((torch.arange(length) * 0.6180339887498949) % 1).argsort().argsort().float()).expand(n, -1)
    by_row = looks.mean(1)
    rows = text if rules.saliency == 'real' else torch.ones_like(text)
    return (by_row * rows[..., None]).sum(1)


def pooled(tokens: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Patches behind an image CLS, averaged from one grid to another."""
    square = tokens[:, 1:].mT.reshape(len(tokens), -1, *old)
    return torch.cat([tokens[:, :1], functional.adaptive_avg_pool2d(square, new).flatten(2).mT], 1)


def bias_of(text: Lane, image: Lane, rules: Rules) -> Tensor:
    """[n, tokens]: what is added to scores for each key."""
    word_weight = text.weight if not rules.sizes or rules.log_size else (text.weight > 0).float()
    words = torch.where(word_weight > 0, word_weight.clamp(min=1e-30).log(), LOWEST)
    patches = image.weight.log() if rules.log_size else torch.zeros_like(image.weight)
    return torch.cat([words, patches], 1)


Step = Site | Pool


def lengths(steps: tuple[Step, ...], rules: Rules, layers: int, image: int, text: int) -> list[tuple[int, int]]:
    """Tokens entering each layer and those its feed-forward block sees."""
    by_layer, found = {step.layer: step for step in steps}, []
    for layer in range(layers):
        before, step = image + text, by_layer.get(layer)
        if isinstance(step, Pool):
            image = step.grid[0] * step.grid[1] + 1
        elif step is not None:
            how = counts(step, rules, image, text)
            if not how.nothing:
                image, text = how.keep - how.merge, text - how.text
        found.append((before, image + text))
    return found


def run(
    model: Vilt, entering: list[Tensor], mask: Tensor, steps: tuple[Step, ...], rules: Rules, seed: int
) -> tuple[Tensor, Tensor]:
    """Logits and margins. `entering`: the unreduced stream as it enters each layer, computed once for all runs."""
    by_layer = {step.layer: step for step in steps}
    first = min(by_layer, default=model.layers - 1)
    x, nt = entering[first], mask.shape[1]
    endless = torch.full((len(x),), torch.inf, dtype=torch.float64)
    text = Lane(x[:, :nt], mask, endless)
    image = Lane(x[:, nt:], torch.ones(len(x), x.shape[1] - nt), endless)
    grid = (round((image.tokens.shape[1] - 1) ** 0.5),) * 2
    random = torch.Generator().manual_seed(seed)
    for layer in range(first, model.layers):
        # Whatever the last layer removes, its first row is read and stays as it is.
        last = layer == model.layers - 1
        step = None if last else by_layer.get(layer)
        nt = text.tokens.shape[1]
        x = torch.cat([text.tokens, image.tokens], 1)
        bias = bias_of(text, image, rules)
        scored = isinstance(step, Site) and (step.prune > 0 or rules.order == 'saliency')
        looks = nt if scored else 0
        x, keys, seen = model.attention(x, bias, layer, rows=1 if last else None, looks=looks)
        if last:
            x = model.feed_forward(x, layer)
            break
        text.tokens, image.tokens = x[:, :nt], x[:, nt:]
        if isinstance(step, Pool):
            old = image.tokens.shape[1] - 1
            image.tokens = pooled(image.tokens, grid, step.grid)
            weight = torch.full(image.tokens.shape[:2], old / (image.tokens.shape[1] - 1))
            weight[:, 0] = 1
            image.weight, grid = weight, step.grid
        elif step is not None:
            how = counts(step, rules, image.tokens.shape[1], nt)
            if not how.nothing:
                score = saliency(seen[..., nt:], text.weight, rules, random) if scored else None
                image = shortened(image, keys[:, :, nt:], score, how.keep, how.merge, rules, int(rules.protect_cls))
                if how.text:
                    aside = int(rules.order == 'original')
                    text = shortened(text, keys[:, :, :nt], None, nt, how.text, rules, aside)
        x = model.feed_forward(torch.cat([text.tokens, image.tokens], 1), layer)
        text.tokens, image.tokens = x[:, : text.tokens.shape[1]], x[:, text.tokens.shape[1] :]
    return model.logits(x), torch.minimum(text.margin, image.margin)


def stream(model: Vilt, input_ids: Tensor, mask: Tensor, pixel_values: Tensor) -> list[Tensor]:
    """The unreduced stream as it enters each layer."""
    x = torch.cat([model.words(input_ids), model.image(pixel_values)], 1)
    shown = torch.ones(x.shape[:2])
    shown[:, : mask.shape[1]] = mask
    bias = torch.where(shown > 0, 0.0, LOWEST)
    found = [x]
    for layer in range(model.layers - 1):
        x = model.feed_forward(model.attention(x, bias, layer)[0], layer)
        found.append(x)
    return found
