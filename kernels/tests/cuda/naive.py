"""The token reducer by docs/semantics.md in plain float64, one row at a time, to compare with. Knows nothing of how the
kernels work; PAD and protection are rules here, not penalties."""

import numpy as np

from calls import FROM_QUERIES, SAFE


def saliency(shape, inputs, b):
    """Up to a factor, which changes no order."""
    weight = inputs["row_weight"][b] if shape.semantics == SAFE else np.ones(shape.rows)
    attention = inputs["attention"][b]
    if shape.looks == FROM_QUERIES:
        x = inputs["queries"][b] @ inputs["keys"][b] * 0.5 + inputs["bias"][b]
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        attention = (e / e.sum(axis=-1, keepdims=True))[:, :, 2 : 2 + shape.tokens]
    return np.einsum("hrv,r->v", attention, weight)


def best_first(items, score):
    return sorted(items, key=lambda i: (-score(i), i))


def reduce_row(shape, inputs, b):
    """Tokens [left, D], weights [left], target [n] and survivors [left] of row b. Protected positions are distinct."""
    safe, n = shape.semantics == SAFE, shape.tokens
    x, weight, metric = (inputs[name][b] for name in ("tokens", "weight", "metric"))
    s = saliency(shape, inputs, b)
    aside = sorted({p % n for p in shape.protected}) if safe else []
    free = [v for v in range(n) if v not in set(aside)]
    chosen = best_first(free, lambda v: s[v])[: shape.keep - len(aside)]
    if safe:
        chosen.sort()
    even, odd = chosen[0::2], chosen[1::2]

    unit = metric / np.maximum(np.linalg.norm(metric, axis=1, keepdims=True), 1e-12)
    real = [j for j, v in enumerate(odd) if weight[v] > 0]
    places = real if safe and real else list(range(len(odd)))
    into, score = {}, {}
    for place, v in enumerate(even):
        cosine = {j: float(unit[v] @ unit[odd[j]]) for j in places}
        best = best_first(places, lambda j: cosine[j])[:1]
        into[place] = odd[best[0]] if best else None
        score[place] = cosine[best[0]] if best else -np.inf
        if safe and not weight[v] > 0:
            score[place] = np.inf
    may_leave = range(0 if safe else 1, len(even))
    leaving = best_first(may_leave, lambda p: score[p])[: shape.merge]
    sources = {even[p]: into[p] for p in leaving}

    stay = [v for v in even if v not in sources] + odd + aside
    if safe or len(stay) == n:
        stay.sort()
    out, out_weight = [], []
    for v in stay:
        group = sorted(source for source, destination in sources.items() if destination == v)
        share = weight if safe else np.ones(n)
        added = sum(weight[g] for g in group)
        total = share[v] + sum(share[g] for g in group)
        touched = added > 0 if safe else len(group) > 0
        out.append((share[v] * x[v] + sum(share[g] * x[g] for g in group)) / total if touched else x[v])
        out_weight.append(weight[v] + added if safe else (weight[v] + added) / total)
    place = {v: j for j, v in enumerate(stay)}
    target = [place.get(sources.get(v, v), -1) for v in range(n)]
    tokens = np.array(out).reshape(len(stay), shape.width)
    return tokens, np.array(out_weight), np.array(target, int), np.array(stay, int)


def reduce_all(shape, inputs):
    rows = [reduce_row(shape, inputs, b) for b in range(shape.batch)]
    return [np.concatenate([row[i].reshape(-1) for row in rows]) if rows else np.zeros(0) for i in range(4)]
