"""
Checks the CUDA reducer on a machine with a GPU and PyTorch; ONNX Runtime is not needed. Every output must equal the CPU
reducer's bit for bit, and the CPU reducer's decisions a naive float64 reference's.

  cmake -S kernels -B kernels/build && cmake --build kernels/build
  python kernels/tests/cuda/check_cuda.py                    all checks, then timings
  python kernels/tests/cuda/check_cuda.py --cpu-only         no GPU: the CPU reducer against the reference
  python kernels/tests/cuda/check_cuda.py --emulated --library .../libpumer_cuda_on_host.so
                                                             no GPU: the kernels' logic on the processor

Under compute-sanitizer, with each buffer in an allocation of its own (races in global memory, which racecheck does not
see, are what the repeated runs are for):

  export PYTORCH_NO_CUDA_MEMORY_CACHING=1
  compute-sanitizer --tool memcheck  python kernels/tests/cuda/check_cuda.py --quick
  compute-sanitizer --tool racecheck python kernels/tests/cuda/check_cuda.py --quick
  compute-sanitizer --tool synccheck python kernels/tests/cuda/check_cuda.py --quick
  compute-sanitizer --tool initcheck python kernels/tests/cuda/check_cuda.py --quick --no-poison
"""

import argparse
import pathlib
import sys

import numpy as np

import naive
from calls import (BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FROM_ATTENTION, FROM_QUERIES, PUMER, SAFE, Device, Shape,
                   decode, load, only_if_same, random_inputs, run_cpu, varied)

TYPES = (FLOAT32, FLOAT16, BFLOAT16, FLOAT64)
ROUNDING = {FLOAT32: 1e-6, FLOAT16: 1e-3, BFLOAT16: 8e-3, FLOAT64: 1e-14}


def counts(semantics, n, prune, share, protected):
    """keep and merge within their caps."""
    c = len(protected) if semantics == SAFE else 1
    keep = n if semantics == SAFE and c >= n else min(max(n - round(prune * n), c + (semantics == SAFE)), n)
    return keep, max(0, min(round(share * n), (keep - c) // 2))


def shapes(quick):
    """Odd sizes, widths that are no multiple of a vector, every type, both semantics, both sources of saliency."""
    sizes = [(1, 1), (3, 2), (2, 3), (2, 33), (1, 145)]
    if not quick:
        sizes += [(0, 9), (256, 33), (300, 17), (2, 577), (1, 1025), (1, 4096)]
    for batch, n in sizes:
        for semantics in (SAFE, PUMER):
            for at, kind in enumerate(TYPES):
                protected = [[], [0], [0, -1], [0, 1, -1]][at] if n > 8 else []
                for prune, share in ((0.0, 0.3), (0.4, 0.3), (0.2, 0.5), (0.0, 0.0)):
                    keep, merge = counts(semantics, n, prune, share, protected)
                    width = 8 * (at + 1) + (n % 2) * at
                    yield Shape(semantics, kind, (at + n) % 2, TYPES[(at + 1) % 4], batch, n, width, 64, 2, 5, keep,
                                merge, protected)


def check_reference(library):
    """The CPU reducer's decisions and values against plain float64."""
    done = 0
    for seed, shape in enumerate(shapes(quick=True)):
        for shape in (varied(shape, looks=FROM_ATTENTION), varied(shape, looks=FROM_QUERIES, exact=False)):
            inputs = random_inputs(shape, seed)
            if not shape.exact:
                # Softmax rows are not exact: decisions count where saliencies and cosines are far enough apart, which
                # few destinations make likely. Values in a 16-bit type would differ from the reference's.
                if shape.tokens > 33 or shape.type in (FLOAT16, BFLOAT16) or shape.looks_type != FLOAT32:
                    continue
                inputs = {name: x.astype(np.float32).astype(np.float64) for name, x in inputs.items()}
                if nearly_tied(shape, inputs):
                    continue
            made = run_cpu(library, shape, inputs)
            tokens, weight, target, survivors = naive.reduce_all(shape, inputs)
            assert np.array_equal(made["target"].view(np.int64), target), f"target, {shape}"
            assert np.array_equal(made["position"].view(np.int64), survivors), f"position, {shape}"
            bound = ROUNDING[shape.type] * max(1.0, np.abs(tokens).max(initial=0))
            assert np.abs(decode(made["reduced"], shape.type) - tokens).max(initial=0) <= bound, f"reduced, {shape}"
            assert np.allclose(decode(made["weight_out"], FLOAT32), weight, rtol=1e-6, atol=0), f"weight, {shape}"
            done += 1
    print(f"CPU against the float64 reference: {done} calls agree")


def nearly_tied(shape, inputs):
    """Two saliencies, or two cosines, of a row lie so close that roundings may order them."""
    for b in range(shape.batch):
        s = np.sort(naive.saliency(shape, inputs, b))
        if shape.tokens > 1 and np.diff(s).min() < 1e-5 * np.abs(s).max():
            return True
        unit = inputs["metric"][b] / np.linalg.norm(inputs["metric"][b], axis=1, keepdims=True)
        cosines = np.sort((unit @ unit.T)[np.triu_indices(shape.tokens, 1)])
        if len(cosines) > 1 and np.diff(cosines).min() < 1e-6:
            return True
    return False


def check_equal(library, device, quick):
    """The same bits as the CPU reducer, on exact and on random numbers."""
    done = 0
    for seed, shape in enumerate(shapes(quick)):
        for shape in (shape, varied(shape, exact=False)):
            if device.emulated and shape.tokens * shape.batch > 700:
                continue  # for time
            inputs = random_inputs(shape, seed)
            only_if_same(shape, "CUDA and CPU", device.run(shape, inputs), run_cpu(library, shape, inputs))
            done += 1
    odd = [
        Shape(keep=8, merge=3, pads=1.0),  # PAD only
        Shape(tokens=30, keep=20, merge=7, protected=[0, 0, -30, 5, 99, -99]),  # named twice, and beyond the lane
        Shape(tokens=30, keep=3, merge=0, protected=[0, 1, 2, 3, 4]),  # fewer kept than protected
        Shape(tokens=0, keep=0),
        Shape(width=0, merge=2),
    ]
    for seed, shape in enumerate(odd):
        inputs = random_inputs(shape, seed)
        only_if_same(shape, "CUDA and CPU", device.run(shape, inputs), run_cpu(library, shape, inputs))
    broken = [("attention", np.nan), ("attention", -0.0), ("metric", np.nan), ("metric", np.inf), ("metric", 0.0)]
    for name, value in broken:
        shape = Shape(PUMER, tokens=65, keep=50, merge=20)
        inputs = random_inputs(shape, 1)
        inputs[name][..., ::3] = value
        only_if_same(shape, f"CUDA and CPU, {name} {value}", device.run(shape, inputs), run_cpu(library, shape, inputs))
    print(f"CUDA against the CPU: {done + len(odd) + len(broken)} calls, every bit the same")


def check_repeated(device, times):
    """One call again and again on fresh memory: nothing may depend on which block comes first."""
    for semantics in (SAFE, PUMER):
        n = 145 if device.emulated else 577
        shape = Shape(semantics, FLOAT16, FROM_QUERIES, FLOAT16, 4, n, 64, 64, 3, 20, n - 40, 50)
        inputs = random_inputs(shape, 7)
        first = device.run(shape, inputs)
        for _ in range(times - 1):
            only_if_same(shape, "two runs", device.run(shape, inputs), first)
    print(f"{times} runs of a call: every bit the same")


def main():
    here = pathlib.Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=str(here.parents[2] / "build" / "ops" / "libpumer_ops.so"))
    parser.add_argument("--cpu-only", action="store_true", help="no CUDA: only the CPU reducer against the reference")
    parser.add_argument("--emulated", action="store_true", help="the library runs the kernels on the processor")
    parser.add_argument("--quick", action="store_true", help="small calls, no timings: for compute-sanitizer")
    parser.add_argument("--no-poison", action="store_true", help="outputs and scratch as allocated: for initcheck")
    options = parser.parse_args()
    library = load(options.library)
    check_reference(library)
    if options.cpu_only:
        return
    if not library.pumer_has_cuda():
        sys.exit(f"{options.library} was built without CUDA")
    device = Device(library, options.emulated, not options.no_poison)
    check_equal(library, device, options.quick)
    check_repeated(device, 3 if options.quick or options.emulated else 100)
    if not options.quick and not options.emulated:
        import timing

        timing.time_all(device)


if __name__ == "__main__":
    main()
