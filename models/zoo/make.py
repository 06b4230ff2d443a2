"""Makes the zoo: python models/zoo/make.py OUT [--only TEXT] [--list].

Prints a line a case and appends what could not be made, with the reason, to OUT/FAILED.txt. Cases that are there already
are kept, so it can be stopped and started again, and run twice at once. The list below covers every family in three forms, every form and every variant in several families, and not
the product of all: add a line where a combination turns out to matter.
"""
import argparse
import os
import pathlib
import sys
import time
import warnings

os.environ.setdefault('OMP_NUM_THREADS', '1')
warnings.filterwarnings('ignore')

import logging  # noqa: E402

import torch  # noqa: E402
import transformers  # noqa: E402
from hugging_face import HUGGING_FACE  # noqa: E402
from own_encoders import OWN  # noqa: E402
from recording import Busy, Family, Form, record  # noqa: E402
from towers import TOWERS  # noqa: E402
from variants import derive  # noqa: E402

FAMILIES = {f'{family.name}.{family.attention}': family for family in [*HUGGING_FACE, *OWN, *TOWERS]}
Case = tuple[Family, Form, str | None]


def forms(text: str) -> list[Form]:
    found = []
    for part in text.split():
        exporter, rest = part.split('-')
        opset, shapes = rest.split('.')
        found.append(Form(exporter, int(opset), shapes))
    return found


def families(text: str) -> list[Family]:
    return [family for name in text.split() for key, family in FAMILIES.items() if name in (key, family.name)]


def cases() -> list[Case]:
    fusing = [*HUGGING_FACE, *OWN]
    plan: list[Case] = []

    def add(which: list[Family], how: str, variants: str = '') -> None:
        plan.extend((f, form, v or None) for f in which for form in forms(how) for v in variants.split() or [''])

    # The most telling first: every family by both exporters, three of them in other numbers.
    core = families('vilt-vqa visualbert-vqa lxmert-vqa')
    add(fusing, 'ts-17.dyntext')
    add(core, 'ts-17.dyntext', 'int8 qdq-u8s8 q4 ortopt ortfuse fp16')
    add(fusing, 'dynamo-18.dynbatch')
    # ONNX's own Attention, and what PyTorch's own attention module bakes, whatever axes are called dynamic.
    add(families('sdpa-bool florence-encoder.sdpa sdpa-float'), 'dynamo-23.dynbatch')
    add(families('torch-encoder torch-mha'), 'ts-17.static')
    add(core, 'ts-11.static ts-13.dyntext ts-14.dynbatch')
    other = families('blip-itm flava bridgetower-itm meter vilt-timm')
    add(other, 'ts-17.dyntext', 'int8 ortopt q4 ortfuse fp16 qdq-u8s8')
    add(core, 'ts-17.dyntext', 'ortfuse-raw external-files fp16-islands ortbasic qdq-s8s8')
    add(core, 'ts-17.static')
    add(core, 'ts-17.static', 'ortopt fp16 qdq-s8s8')
    add(families('layoutlmv3-class florence-encoder.eager uniter'), 'ts-17.dyntext', 'int8 ortfuse ortopt fp16')
    add(TOWERS, 'ts-17.dyntext')
    # Old and new opsets.
    add(core, 'dynamo-23.dynbatch dynamo-20.dynbatch')
    add(families('vilt-itm meter albef uniter vilt-timm blip-itm'), 'ts-11.dyntext ts-13.static ts-14.dyntext')
    add(families('meter flava bridgetower-itm layoutlmv3-class blip-itm vilt-timm'), 'dynamo-23.dynbatch')
    add(families('sdpa-square torch-encoder'), 'dynamo-23.dynbatch')
    add(families('torch-encoder torch-encoder-first torch-mha'), 'ts-17.static ts-14.static')
    # All sizes fixed, and open text by the newer exporter.
    add(families('vilt-itm vilt-mlm vilt-nlvr2 vilt-bare vilt-mask visualbert-nlvr visualbert-phrases'), 'ts-17.static')
    add(families('lxmert-bare flava bridgetower-itm bridgetower-bare blip-itm blip-text layoutlmv3-class'), 'ts-17.static')
    add(families('layoutlmv3-bare florence-encoder vilt-timm vilt-timm-parts meter uniter albef'), 'ts-17.static')
    add(families('meter-mean sdpa-bool sdpa-float sdpa-square'), 'ts-17.static')
    add(families('vilt-vqa visualbert-vqa lxmert-bare blip-itm meter sdpa-bool'), 'dynamo-18.dyntext dynamo-18.static')
    # The other variants.
    add(core, 'ts-17.static', 'ortbasic half bf16')
    add(core, 'ts-17.dyntext', 'uint8 int8-channels q4-zeros fp16-io ortfuse-vit ortfuse-fp16 external')
    add(families('blip-itm meter albef uniter oscar'), 'ts-17.dyntext', 'qdq-masks')
    add(families('vilt-mlm vilt-nlvr2 sdpa-bool albef'), 'ts-17.dyntext', 'int8 fp16')
    add(families('vilt-vqa visualbert-vqa meter blip-itm'), 'dynamo-18.dynbatch', 'int8 fp16 q4 ortopt ortfuse')
    add(families('visualbert-nlvr vilt-timm flava layoutlmv3-class meter'), 'ts-17.static', 'ortopt fp16')
    add(families('clip.sdpa siglip bert vit beit cached-decoder'), 'dynamo-18.dynbatch')
    add(families('clip.sdpa bert'), 'ts-17.dyntext', 'int8 ortopt')
    return list({plan_key(case): case for case in plan}.values())


def plan_key(case: Case) -> str:
    family, form, variant = case
    return f'{family.name}.{form.label}.{family.attention}.{form.shapes}' + (f'.{variant}' if variant else '')


def make(case: Case, out: pathlib.Path) -> str:
    family, form, variant = case
    if variant in (None, 'half', 'bf16'):
        return record(family, form, out, variant)
    base = out / plan_key((family, form, None))
    if not base.exists():
        record(family, form, out)
    return derive(base, variant, out)


def failed_before(out: pathlib.Path) -> set[str]:
    failed = out / 'FAILED.txt'
    return {line.split(': ')[0] for line in failed.read_text().splitlines()} if failed.exists() else set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path)
    parser.add_argument('--only', default='', help='cases whose name contains this')
    parser.add_argument('--list', action='store_true', help='print the names and make nothing')
    given = parser.parse_args()
    chosen = [case for case in cases() if given.only in plan_key(case)]
    if given.list:
        print('\n'.join(plan_key(case) for case in chosen))
        return
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    given.out.mkdir(parents=True, exist_ok=True)
    for case in chosen:
        name = plan_key(case)
        if (given.out / name).exists() or name in failed_before(given.out):
            continue
        started = time.time()
        try:
            print(make(case, given.out), f'({time.time() - started:.0f} s)', flush=True)
        except Busy:
            continue
        except Exception as error:  # exporters raise all kinds
            lines = [line for line in str(error).strip().splitlines() if line.strip()] or ['']
            reason = f'{name}: {type(error).__name__}: {lines[0][:300]}'
            print('FAILED', reason, flush=True)
            with open(given.out / 'FAILED.txt', 'a') as failed:
                failed.write(reason + '\n')


if __name__ == '__main__':
    sys.exit(main())
