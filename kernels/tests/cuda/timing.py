"""How long the CUDA reducer takes, beside the least that its memory traffic can take and beside the same reduction in
PyTorch, eager and compiled. Inputs rotate through more memory than any cache holds. Needs a GPU."""

import statistics

import torch

from calls import BFLOAT16, PUMER, SAFE, Shape, random_inputs, varied

CACHE = 256 << 20  # bytes; the largest L2 is 60 MB


def merge_in_torch(x, metric, weight, saliency, keep, merge):
    """A bipartite merge after the manner of ToMe, with sizes: top-k, normalise, compare, sort, gather, scatter."""
    if keep < x.shape[1]:
        chosen = saliency.topk(keep, dim=1).indices.sort(dim=1).values
        x, metric = (t.gather(1, chosen[..., None].expand(-1, -1, t.shape[2])) for t in (x, metric))
        weight = weight.gather(1, chosen)
    metric = metric / metric.norm(dim=-1, keepdim=True)
    best, into = (metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)).max(dim=-1)
    order = best.argsort(dim=-1, descending=True)
    leaving, staying = order[:, :merge], order[:, merge:]
    x = x * weight[..., None].to(x.dtype)
    even, odd, even_weight, odd_weight = x[:, ::2], x[:, 1::2], weight[:, ::2], weight[:, 1::2]
    width = x.shape[2]
    into = into.gather(1, leaving)
    gone = even.gather(1, leaving[..., None].expand(-1, -1, width))
    odd = odd.scatter_reduce(1, into[..., None].expand(-1, -1, width), gone, reduce="sum")
    odd_weight = odd_weight.scatter_reduce(1, into, even_weight.gather(1, leaving), reduce="sum")
    kept = even.gather(1, staying[..., None].expand(-1, -1, width))
    weight = torch.cat([even_weight.gather(1, staying), odd_weight], dim=1)
    return torch.cat([kept, odd], dim=1) / weight[..., None].to(x.dtype), weight


def microseconds(work, rounds=200):
    """Median of single calls, warm; work(i) enqueues call number i."""
    for i in range(10):
        work(i)
    torch.cuda.synchronize()
    times = []
    for i in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work(i)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


def replayed(work, sets):
    """work(i) from CUDA graphs, one for each set of inputs. Fails where a call allocates or waits."""
    graphs = []
    for i in range(sets):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work(i)
        graphs.append(graph)
    return lambda i: graphs[i % sets].replay()


def copied_bytes_per_microsecond():
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / microseconds(lambda _: target.copy_(source), 30)


def least_bytes(shape):
    """Tokens kept in, tokens out, keys in, and the attention where it decides something; each byte once."""
    s = shape
    moved = s.batch * (s.keep + s.left) * s.width * 2 + s.batch * s.tokens * s.metric_width * 4
    if s.keep < s.tokens or s.semantics == PUMER:
        moved += s.batch * s.heads * s.rows * s.tokens * 2
    return moved


def time_all(device):
    speed = copied_bytes_per_microsecond()
    print(f"\n{torch.cuda.get_device_name()}, bfloat16, copies at {speed / 1e6:.2f} TB/s; microseconds")
    print(f"{'tokens':>16} {'':6} {'floor':>8} {'fused':>8} {'in graph':>8} {'eager':>8} {'compiled':>8}")
    sizes = [(b, n, 768) for n in (197, 577) for b in (1, 32, 256)] + [(b, 2880, 4096) for b in (1, 16)]
    for batch, n, width in sizes:
        for semantics, prune, share in ((SAFE, 0.0, 0.3), (SAFE, 0.2, 0.2), (PUMER, 0.1, 0.3)):
            keep = n - round(prune * n)
            merge = min(round(share * n), (keep - 1) // 2)
            shape = Shape(semantics, BFLOAT16, looks_type=BFLOAT16, batch=batch, tokens=n, width=width, heads=12,
                          rows=40, keep=keep, merge=merge, exact=False, pads=0.0)
            time_one(device, shape, speed)


def time_one(device, shape, speed):
    sets = max(1, min(64, CACHE // (shape.batch * shape.tokens * shape.width * 2)))
    inputs = random_inputs(varied(shape, batch=1), 0)
    inputs = {name: x.repeat(shape.batch, axis=0) for name, x in inputs.items()}
    calls = [device.prepare(shape, inputs) for _ in range(sets)]

    def tensor(call, name, dtype, *size):
        return call.memory[0][name].view(dtype).view(shape.batch, *size)

    given = [
        (
            tensor(call, "tokens", torch.bfloat16, shape.tokens, shape.width),
            tensor(call, "metric", torch.float32, shape.tokens, shape.metric_width),
            tensor(call, "weight", torch.float32, shape.tokens),
            tensor(call, "attention", torch.bfloat16, shape.heads, shape.rows, shape.tokens),
        )
        for call in calls
    ]

    def in_torch(x, metric, weight, attention):
        saliency = attention.float().sum(dim=(1, 2)) if shape.keep < shape.tokens else None
        return merge_in_torch(x, metric, weight, saliency, shape.keep, shape.merge)

    def fused(i):
        device.enqueue(calls[i % sets])

    torch._dynamo.reset()  # it stops compiling one function after a few shapes
    compiled = torch.compile(in_torch, dynamic=False)
    times = [
        least_bytes(shape) / speed,
        microseconds(fused),
        microseconds(replayed(fused, sets)),
        microseconds(lambda i: in_torch(*given[i % sets])),
        microseconds(lambda i: compiled(*given[i % sets])),
    ]
    size = f"{shape.batch}x{shape.tokens}x{shape.width}"
    name = "pumer" if shape.semantics == PUMER else "safe"
    columns = "".join(f" {t:8.1f}" for t in times)
    print(f"{size:>16} {name:6}{columns}   keep {shape.keep} merge {shape.merge}", flush=True)
