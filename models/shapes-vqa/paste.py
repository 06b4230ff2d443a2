"""Puts what a script measured into a page, between the comments that mark its place there."""
from __future__ import annotations

import pathlib


def into(page: pathlib.Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; an error where they are missing."""
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    old = page.read_text()
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise SystemExit(f'{page} has no place marked {name}')
    head, rest = old.split(begin)
    page.write_text(f'{head}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}')
