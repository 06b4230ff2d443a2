"""Synthetic scenes and questions about them: what the model of this folder is trained on and judged by.

A scene is 96 x 96 pixels in 4 x 4 cells of 24: three to six coloured shapes, each somewhere inside its own cell, on a
grey of one tone. Nothing is noisy or smoothed, so that pictures compress well. Questions are of four kinds, equally
often: attribute ("what colour is the circle ?"), count, existence and spatial relation. Scenes are built around their
question so that its answers are balanced and none can be guessed from the words: in a scene without a red circle there
is something else that is red, and another circle. Everything follows from a seed.

Run by hand, `python data.py OUT` writes the held-out examples as .npz files of 500, with arrays named after the model's
inputs, and `python data.py --show 0 7` prints some of them in words.
"""
from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np

IMAGE, PATCH, CELLS = 96, 8, 4
CELL = IMAGE // CELLS
GRID = IMAGE // PATCH
COLOURS = ('red', 'green', 'blue', 'yellow', 'purple', 'cyan')
SHAPES = ('circle', 'square', 'triangle', 'cross')
RGB = np.array(
    [[214, 40, 40], [40, 160, 60], [40, 80, 210], [230, 200, 40], [150, 50, 170], [50, 190, 200]], dtype=np.uint8
)
GREYS = np.arange(96, 161, 8, dtype=np.uint8)
NONE = -1
FEWEST, MOST = 3, 6

KINDS = ('attribute', 'count', 'existence', 'relation')
RELATIONS = ('left', 'right', 'above', 'below')
COUNTS = tuple(str(n) for n in range(5))
ANSWERS = ('yes', 'no', *COUNTS, *COLOURS, *SHAPES, *RELATIONS)
PAD = '[PAD]'
WORDS = (PAD, '[CLS]', '[SEP]', '?', *COLOURS, *SHAPES, *RELATIONS)
WORDS += ('what', 'colour', 'shape', 'is', 'the', 'object', 'how', 'many', '##s', '##es', 'are', 'there', 'a', 'of')
WORDS += ('or',)
WORD = {word: number for number, word in enumerate(WORDS)}
ANSWER = {answer: number for number, answer in enumerate(ANSWERS)}
LENGTH = 14
HELD_OUT_SEED = 20_000_003


def drawn_shapes(side: int = 17) -> np.ndarray:
    """[shape, place, 24, 24]: each shape at each of the places it can take in its cell."""
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    arm = 1 / 3
    outlines = {
        'circle': x * x + y * y <= 1,
        'square': np.ones((side, side), bool),
        'triangle': np.abs(x) <= (y + 1) / 2,
        'cross': (np.abs(x) <= arm) | (np.abs(y) <= arm),
    }
    room = CELL - side + 1
    drawn = np.zeros((len(SHAPES), room * room, CELL, CELL), bool)
    for shape, name in enumerate(SHAPES):
        for place in range(room * room):
            top, left = divmod(place, room)
            drawn[shape, place, top : top + side, left : left + side] = outlines[name]
    return drawn


DRAWN = drawn_shapes()


@dataclasses.dataclass
class Examples:
    """Scenes as tables of 16 cells (NONE where empty), questions and answers. Pictures are drawn on demand."""

    kind: np.ndarray  # [n] index into KINDS
    colour: np.ndarray  # [n, 16]
    shape: np.ndarray  # [n, 16]
    place: np.ndarray  # [n, 16] where in its cell a shape lies
    grey: np.ndarray  # [n]
    asked: np.ndarray  # [n, 16] 2: an object the question is about, 1: shares a named colour or shape, 0: neither
    input_ids: np.ndarray  # [n, LENGTH]
    label: np.ndarray  # [n] index into ANSWERS

    def __len__(self) -> int:
        return len(self.label)

    def part(self, which) -> Examples:
        return Examples(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))

    @property
    def attention_mask(self) -> np.ndarray:
        return (self.input_ids != WORD[PAD]).astype(np.int64)

    def covered(self) -> np.ndarray:
        """[n, cell, 24, 24]: the pixels that shapes cover, cell by cell."""
        return DRAWN[self.shape, self.place] & (self.shape != NONE)[..., None, None]

    def pictures(self) -> np.ndarray:
        """[n, 3, 96, 96] bytes."""
        n = len(self)
        palette = np.concatenate([RGB, np.repeat(GREYS[:, None], 3, 1)])
        index = np.where(self.covered(), self.colour[..., None, None], self.grey[:, None, None, None] + len(RGB))
        index = index.reshape(n, CELLS, CELLS, CELL, CELL).swapaxes(2, 3).reshape(n, IMAGE, IMAGE)
        return np.stack([palette[:, channel][index] for channel in range(3)], 1)

    def pixel_values(self) -> np.ndarray:
        """Pictures as the model takes them: float32 from -1 to 1, as ViLT's processor makes them."""
        return (np.arange(256, dtype=np.float32) / 127.5 - 1)[self.pictures()]

    def by_patch(self, per_cell: np.ndarray, empty: int, covered: np.ndarray | None = None) -> np.ndarray:
        """[n, 144], raster order: what belongs to the cell where its shape covers 4 pixels of a patch, else `empty`."""
        n, side = len(self), CELL // PATCH
        covered = self.covered() if covered is None else covered
        pixels = covered.reshape(n, CELLS, CELLS, side, PATCH, side, PATCH).sum((4, 6))
        values = np.where(pixels >= 4, per_cell.reshape(n, CELLS, CELLS, 1, 1), empty)
        return values.swapaxes(2, 3).reshape(n, GRID * GRID)

    def patch_colours(self) -> np.ndarray:
        return self.by_patch(self.colour, len(COLOURS))

    def patch_shapes(self) -> np.ndarray:
        return self.by_patch(self.shape, len(SHAPES))

    def patch_asked(self) -> np.ndarray:
        return self.by_patch(self.asked, 0)

    def places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the two objects of every relation: its example, its shape's word, and its cell's column and row."""
        example, word, cell = [], [], []
        for i in np.flatnonzero(self.kind == 3):
            for at in np.flatnonzero((self.input_ids[i] >= WORD['circle']) & (self.input_ids[i] <= WORD['cross'])):
                colour, shape = self.input_ids[i, at - 1] - WORD['red'], self.input_ids[i, at] - WORD['circle']
                example.append(i)
                word.append(at)
                cell.append(int(np.flatnonzero((self.colour[i] == colour) & (self.shape[i] == shape))[0]))
        cells = np.array(cell, np.int64)
        return np.array(example, np.int64), np.array(word, np.int64), np.stack([cells % CELLS, cells // CELLS], 1)

    def orders(self, examples: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From `places`: each relation's example, its relation's word, and 0, 1, 2 along columns and rows."""
        example = examples[::2]
        named = (self.input_ids[example] >= WORD['left']) & (self.input_ids[example] <= WORD['below'])
        return example, named.argmax(1), np.sign(places[::2] - places[1::2]) + 1

    def questions(self) -> list[str]:
        return [' '.join(WORDS[word] for word in row if word).replace(' ##', '') for row in self.input_ids]


def other(random: np.random.Generator, than: np.ndarray, among: int, size: tuple[int, ...]) -> np.ndarray:
    """Uniform among all values but one."""
    return (than + 1 + random.integers(0, among - 1, size)) % among


def encode(sentences: list[str]) -> np.ndarray:
    ids = np.zeros((len(sentences), LENGTH), np.int64)
    for row, sentence in enumerate(sentences):
        words = ['[CLS]', *sentence.split(), '?', '[SEP]']
        ids[row, : len(words)] = [WORD[word] for word in words]
    return ids


def make(n: int, seed, relations: float | None = None) -> Examples:
    """n examples; the same seed gives the same ones. `relations`: the share of spatial relations (a quarter)."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, len(KINDS), n)
    if relations is not None:
        kind = np.where(random.random(n) < relations, 3, random.integers(0, 3, n))
    yes = random.integers(0, 2, n).astype(bool)
    by_colour = random.integers(0, 2, n).astype(bool)
    target = random.integers(0, len(COUNTS), n)
    relation = random.integers(0, len(RELATIONS), n)
    objects = random.integers(FEWEST, MOST + 1, n)
    objects = np.where(kind == 1, np.maximum(objects, target), objects)
    # Objects in columns; those behind `objects` are dropped in the end. c, s: what is asked about; d, t: the second.
    c, d = random.integers(0, len(COLOURS), (2, n, 1))
    s, t = random.integers(0, len(SHAPES), (2, n, 1))
    colour = random.integers(0, len(COLOURS), (n, MOST))
    shape = random.integers(0, len(SHAPES), (n, MOST))
    column = np.arange(MOST)[None]
    not_c, not_s = other(random, c, len(COLOURS), colour.shape), other(random, s, len(SHAPES), shape.shape)

    # Attribute and count: the first one, or the first `target` ones, have the named colour or shape, the rest another.
    named = column < np.where(kind == 0, 1, target)[:, None]
    about_one = ((kind == 0) | (kind == 1))[:, None]
    # "what colour is the circle" names a shape: by_colour tells what is named.
    colour = np.where(about_one & by_colour[:, None], np.where(named, c, not_c), colour)
    shape = np.where(about_one & ~by_colour[:, None], np.where(named, s, not_s), shape)

    # Existence: one of the colour and another one of the shape are always there; yes: and one with both.
    existence = (kind == 2)[:, None]
    colour = np.where(existence, np.select([column == 0, column == 1], [c, not_c], colour), colour)
    shape = np.where(existence, np.select([column == 0, column == 1], [not_s, s], shape), shape)
    both = (colour == c) & (shape == s)
    shape = np.where(existence & both, not_s, shape)
    with_both = existence & yes[:, None] & (column == 2)
    colour, shape = np.where(with_both, c, colour), np.where(with_both, s, shape)

    # Relation: objects 0 and 1 are the only ones of their colour and shape.
    spatial = (kind == 3)[:, None]
    t = np.where((c == d) & (s == t), (t + 1) % len(SHAPES), t)
    like_first, like_second = (colour == c) & (shape == s), (colour == d) & (shape == t)
    for _ in range(2):
        shape = np.where(spatial & (column > 1) & (like_first | like_second), (shape + 1) % len(SHAPES), shape)
        like_first, like_second = (colour == c) & (shape == s), (colour == d) & (shape == t)
    colour = np.where(spatial, np.select([column == 0, column == 1], [c, d], colour), colour)
    shape = np.where(spatial, np.select([column == 0, column == 1], [s, t], shape), shape)

    # Cells: a random order of all; for relations the first two are set apart along the axis that is asked about.
    order = random.permuted(np.broadcast_to(np.arange(CELLS * CELLS), (n, CELLS * CELLS)), axis=1)
    along = random.permuted(np.broadcast_to(np.arange(CELLS), (n, CELLS)), axis=1)[:, :2]
    first_is_less = (relation % 2 == 0) == yes
    along = np.where(first_is_less[:, None], np.sort(along, 1), -np.sort(-along, 1))
    across = random.integers(0, CELLS, (n, 2))
    pair = np.where((relation < 2)[:, None], across * CELLS + along, along * CELLS + across)
    priority = np.argsort(order, 1).astype(np.int64)
    rows = np.arange(n)
    for which in (1, 0):
        priority[rows, pair[:, which]] = np.where(kind == 3, which - 2, priority[rows, pair[:, which]])
    cells = np.argsort(priority, 1)[:, :MOST]

    there = column < objects[:, None]
    matches = [(colour == c) & (shape == s), (colour == d) & (shape == t)]
    asked = np.select(
        [about_one & by_colour[:, None], about_one, existence],
        [colour == c, shape == s, matches[0]],
        matches[0] | matches[1],
    )
    shares = np.select(
        [about_one, existence],
        [np.zeros_like(asked), (colour == c) | (shape == s)],
        (colour == c) | (shape == s) | (colour == d) | (shape == t),
    )
    asked = np.where(asked, 2, np.where(shares, 1, 0))

    def on_grid(values: np.ndarray, empty: int) -> np.ndarray:
        grid = np.full((n, CELLS * CELLS), empty)
        np.put_along_axis(grid, cells, np.where(there, values, empty), 1)
        return grid

    c, s, d, t = (named[:, 0] for named in (c, s, d, t))
    said = answer = None
    sentences, label = [], np.empty(n, np.int64)
    for i in range(n):
        if kind[i] == 0 and by_colour[i]:
            said, answer = f'what shape is the {COLOURS[c[i]]} object', SHAPES[shape[i, 0]]
        elif kind[i] == 0:
            said, answer = f'what colour is the {SHAPES[s[i]]}', COLOURS[colour[i, 0]]
        elif kind[i] == 1:
            plural = '##es' if not by_colour[i] and SHAPES[s[i]] == 'cross' else '##s'
            what = f'{COLOURS[c[i]]} object' if by_colour[i] else SHAPES[s[i]]
            said, answer = f'how many {what} {plural} are there', COUNTS[target[i]]
        elif kind[i] == 2:
            said, answer = f'is there a {COLOURS[c[i]]} {SHAPES[s[i]]}', ANSWERS[0 if yes[i] else 1]
        else:
            where = 'left or right of' if relation[i] < 2 else 'above or below'
            said = f'is the {COLOURS[c[i]]} {SHAPES[s[i]]} {where} the {COLOURS[d[i]]} {SHAPES[t[i]]}'
            answer = RELATIONS[relation[i] // 2 * 2 + (0 if first_is_less[i] else 1)]
        sentences.append(said)
        label[i] = ANSWER[answer]
    return Examples(
        kind=kind,
        colour=on_grid(colour, NONE),
        shape=on_grid(shape, NONE),
        place=random.integers(0, DRAWN.shape[1], (n, CELLS * CELLS)),
        grey=random.integers(0, len(GREYS), n),
        asked=on_grid(asked, 0),
        input_ids=encode(sentences),
        label=label,
    )


def held_out(n: int = 4000, seed: int = HELD_OUT_SEED) -> Examples:
    """The examples that every accuracy is measured on. Training never draws this seed; others give other examples."""
    return make(n, seed)


def feeds(examples: Examples) -> dict[str, np.ndarray]:
    """The model's inputs by name."""
    return {
        'input_ids': examples.input_ids,
        'attention_mask': examples.attention_mask,
        'token_type_ids': np.zeros_like(examples.input_ids),
        'pixel_values': examples.pixel_values(),
    }


def in_words(examples: Examples, i: int) -> str:
    """One scene by its cells, with its question and answer."""
    cells = [
        '.' if shape == NONE else f'{COLOURS[colour]} {SHAPES[shape]}'
        for colour, shape in zip(examples.colour[i], examples.shape[i])
    ]
    rows = [cells[first : first + CELLS] for first in range(0, CELLS * CELLS, CELLS)]
    lines = [''.join(f'{cell:17}' for cell in row).rstrip() for row in rows]
    question = examples.questions()[i].replace('[CLS] ', '').replace('[SEP]', '')
    return '\n'.join([*lines, f'{question} {ANSWERS[examples.label[i]]}'])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path, nargs='?')
    parser.add_argument('--examples', type=int, default=4000)
    parser.add_argument('--per-file', type=int, default=500)
    parser.add_argument('--seed', type=int, default=HELD_OUT_SEED, help='another one makes other examples')
    parser.add_argument('--show', type=int, nargs='+', metavar='NUMBER', help='print these held-out examples in words')
    given = parser.parse_args()
    if given.show:
        print('\n\n'.join(in_words(held_out(), number) for number in given.show))
        return
    if given.out is None:
        parser.error('name a folder, or --show examples')
    given.out.mkdir(parents=True, exist_ok=True)
    examples, size = held_out(given.examples, given.seed), 0
    for start in range(0, len(examples), given.per_file):
        part = examples.part(slice(start, start + given.per_file))
        path = given.out / f'held-out-{start:04d}.npz'
        np.savez_compressed(path, **feeds(part), labels=part.label)
        size += path.stat().st_size
    print(f'{len(examples)} examples in {given.out}: {size} bytes')


if __name__ == '__main__':
    main()
