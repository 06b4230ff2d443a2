"""Writes metrics.json: outputs, labels and what PyTorch and NumPy make of them, for metrics.test.ts.

Run by hand: python test/metrics/metrics.py && npx prettier --write test/metrics/metrics.json. Needs the packages torch and
numpy; the tests need neither.
"""
import json
import pathlib

import numpy as np
import torch

rng = np.random.default_rng(7)
rows, classes = 12, 7
reference = (rng.normal(size=(rows, classes)) * 3).astype(np.float32)
candidate = (reference + rng.normal(size=(rows, classes)) * 1.5).astype(np.float32)
labels = rng.integers(0, classes, rows)
scores = np.round(rng.uniform(size=(rows, classes)), 2)

a, b = torch.tensor(reference, dtype=torch.float64), torch.tensor(candidate, dtype=torch.float64)
divergence = torch.nn.functional.kl_div(
    torch.log_softmax(b, -1), torch.log_softmax(a, -1), reduction='none', log_target=True
).sum(-1)
difference = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
size = np.abs(reference.astype(np.float64))
answers = candidate.argmax(-1)

pathlib.Path(__file__).with_name('metrics.json').write_text(json.dumps({
    'rows': rows,
    'classes': classes,
    'reference': reference.ravel().tolist(),
    'candidate': candidate.ravel().tolist(),
    'labels': labels.tolist(),
    'scores': scores.ravel().tolist(),
    'top1': (answers == reference.argmax(-1)).astype(int).tolist(),
    'kl': divergence.tolist(),
    'cosine': torch.nn.functional.cosine_similarity(a, b, dim=-1).tolist(),
    'accuracy': (answers == labels).astype(int).tolist(),
    'soft': scores[np.arange(rows), answers].tolist(),
    'errors': {
        'maxAbsolute': difference.max(),
        'meanAbsolute': difference.mean(),
        'maxRelative': (difference / size).max(),
        'normRelative': float(np.linalg.norm(difference) / np.linalg.norm(size)),
        'outside': int((~np.isclose(candidate.astype(np.float64), reference.astype(np.float64), rtol=0.5, atol=0.25)).sum()),
        'worst': np.argsort(-difference.max(-1), kind='stable')[:3].tolist(),
    },
}, indent=1) + '\n')
