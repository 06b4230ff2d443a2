"""Draws a training curve: python curve.py curve.csv curve.svg. `--table` prints it as Markdown, every fourth row."""
from __future__ import annotations

import argparse
import csv
import pathlib

SERIES = {
    'accuracy': ('#111111', 'all'),
    'attribute': ('#1b7f4d', 'attribute'),
    'count': ('#c2571a', 'count'),
    'existence': ('#2457b0', 'existence'),
    'relation': ('#8a2f9c', 'relation'),
}
WIDTH, HEIGHT, LEFT, TOP = 640, 300, 44, 12


def svg(rows: list[dict[str, str]]) -> str:
    most = max(float(row['examples']) for row in rows)
    right, bottom = WIDTH - 100, HEIGHT - 30
    x = lambda examples: LEFT + (right - LEFT) * examples / most
    y = lambda share: bottom - (bottom - TOP) * share
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tenth * 10} %</text>')
    for examples in range(0, int(most) + 1, 100_000):
        label = f'{examples // 1000} k'
        parts.append(f'<text x="{x(examples):.1f}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for number, (name, (colour, label)) in enumerate(SERIES.items()):
        points = ' '.join(f'{x(float(row["examples"])):.1f},{y(float(row[name])):.1f}' for row in rows)
        width = 2 if name == 'accuracy' else 1
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts.append(f'<text x="{right + 8}" y="{TOP + 14 + 16 * number}" fill="{colour}">{label}</text>')
    parts.append(f'<text x="{right + 8}" y="{bottom + 16}">examples</text></svg>')
    return '\n'.join(parts) + '\n'


def table(rows: list[dict[str, str]]) -> str:
    names = ['examples', 'train_loss', 'loss', *SERIES]
    shown = [row for number, row in enumerate(rows, 1) if number % 4 == 0 or number == len(rows)]
    lines = ['| ' + ' | '.join(names) + ' |', '|' + '---|' * len(names)]
    for row in shown:
        cells = [f'{int(row["examples"]):,}', *(f'{float(row[name]):.3f}' for name in names[1:])]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('curve', type=pathlib.Path)
    parser.add_argument('drawing', type=pathlib.Path, nargs='?')
    parser.add_argument('--table', action='store_true')
    given = parser.parse_args()
    with open(given.curve, newline='') as file:
        rows = list(csv.DictReader(file))
    if given.drawing:
        given.drawing.write_text(svg(rows))
    if given.table:
        print(table(rows))


if __name__ == '__main__':
    main()
