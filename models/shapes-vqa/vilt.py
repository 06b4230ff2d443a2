"""The exported model of this folder again, in plain PyTorch, with its weights read from the ONNX file.

Written for `study.py`: every layer can be entered with any number of tokens and any weights of the keys. Nothing here
is shared with the compiler, whose results `study.py --check` compares with these.
"""
from __future__ import annotations

import pathlib

import onnx
import torch
from torch import Tensor
from torch.nn import functional

HEADS = 4
EPSILON = 1e-12
LOWEST = torch.finfo(torch.float32).min


def weights_of(path: pathlib.Path) -> dict[str, Tensor]:
    """By the names PyTorch had for them. Matrices that the exporter renamed are found by the node that uses them."""
    graph = onnx.load(str(path)).graph
    held = {value.name: torch.from_numpy(onnx.numpy_helper.to_array(value).copy()) for value in graph.initializer}
    found = {name.removeprefix('model.'): value for name, value in held.items() if name.startswith('model.')}
    for node in graph.node:
        if node.op_type == 'MatMul' and node.input[1] in held:
            module = node.name.removeprefix('/model/').removesuffix('/MatMul').replace('/', '.')
            found[f'{module}.weight'] = held[node.input[1]].T.contiguous()
    return found


class Vilt:
    """What the exported file computes, in pieces. Tokens are words first, then the image CLS and the patches."""

    def __init__(self, path: pathlib.Path):
        self.weights = weights_of(path)
        # Exporters nest modules of one name in different ways; only the last parts matter.
        self.by_end = {self.short(name): value for name, value in self.weights.items()}
        self.layers = 1 + max(int(name.split('.')[1]) for name in self.by_end if name.startswith('layer.'))
        projection = self.by_end['projection.weight']
        self.width, self.patch = projection.shape[0], projection.shape[-1]
        self.answers = self.by_end['classifier.3.weight'].shape[0]

    @staticmethod
    def short(name: str) -> str:
        for prefix in ('vilt.encoder.', 'vilt.embeddings.text_embeddings.', 'vilt.embeddings.patch_embeddings.'):
            if name.startswith(prefix):
                part = name.removeprefix(prefix)
                return f'text.{part}' if 'text_embeddings' in prefix else part
        return name.removeprefix('vilt.')

    def linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.by_end[f'{name}.weight'], self.by_end[f'{name}.bias'])

    def norm(self, x: Tensor, name: str, epsilon: float = EPSILON) -> Tensor:
        weight, bias = self.by_end[f'{name}.weight'], self.by_end[f'{name}.bias']
        return functional.layer_norm(x, weight.shape, weight, bias, epsilon)

    def words(self, input_ids: Tensor) -> Tensor:
        """[n, words] -> [n, words, width]"""
        get = self.by_end.__getitem__
        x = get('text.word_embeddings.weight')[input_ids] + get('text.token_type_embeddings.weight')[0]
        x = self.norm(x + get('text.position_embeddings.weight')[: input_ids.shape[1]], 'text.LayerNorm')
        return x + get('embeddings.token_type_embeddings.weight')[0]

    def image(self, pixel_values: Tensor) -> Tensor:
        """[n, 3, side, side] -> [n, 1 + patches, width]; positions are resized for other sides than the model's."""
        get, n, grid = self.by_end.__getitem__, len(pixel_values), pixel_values.shape[-1] // self.patch
        places = get('embeddings.position_embeddings')
        own = round((places.shape[1] - 1) ** 0.5)
        if grid != own:
            square = places[:, 1:].reshape(1, own, own, -1).permute(0, 3, 1, 2)
            square = functional.interpolate(square, size=(grid, grid), mode='bicubic', align_corners=False)
            places = torch.cat([places[:, :1], square.flatten(2).mT], 1)
        patches = pixel_values.view(n, 3, grid, self.patch, grid, self.patch).permute(0, 2, 4, 1, 3, 5)
        weight = get('projection.weight').flatten(1)
        patches = functional.linear(patches.reshape(n, grid * grid, -1), weight, get('projection.bias'))
        x = torch.cat([get('embeddings.cls_token').expand(n, -1, -1), patches], 1) + places
        return x + get('embeddings.token_type_embeddings.weight')[1]

    def attention(
        self, x: Tensor, bias: Tensor, layer: int, rows: int | None = None, looks: int = 0
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The stream behind the attention of a layer, its keys, and the probabilities of the first `looks` rows.

        x [n, tokens, width], bias [n, tokens] for keys. With `rows` only so many of the first rows are asked.
        Keys [n, heads, tokens, width / heads]; probabilities [n, heads, looks, tokens].
        """
        name, n = f'layer.{layer}.attention', len(x)
        normed = self.norm(x, f'layer.{layer}.layernorm_before')
        asking, x = (normed, x) if rows is None else (normed[:, :rows], x[:, :rows])
        split = lambda y: y.view(n, -1, HEADS, self.width // HEADS).transpose(1, 2)
        queries = split(self.linear(asking, f'{name}.attention.query'))
        keys = split(self.linear(normed, f'{name}.attention.key'))
        values = split(self.linear(normed, f'{name}.attention.value'))
        bias = bias[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        mixed = mixed.transpose(1, 2).reshape(n, -1, self.width)
        probabilities = None
        if looks:
            scores = queries[:, :, :looks] @ keys.mT * (self.width // HEADS) ** -0.5
            probabilities = (scores + bias).softmax(-1)
        return x + self.linear(mixed, f'{name}.output.dense'), keys, probabilities

    def feed_forward(self, x: Tensor, layer: int) -> Tensor:
        inner = self.linear(self.norm(x, f'layer.{layer}.layernorm_after'), f'layer.{layer}.intermediate.dense')
        return x + self.linear(functional.gelu(inner), f'layer.{layer}.output.dense')

    def logits(self, x: Tensor) -> Tensor:
        """From the first row of the stream behind the last layer."""
        pooled = torch.tanh(self.linear(self.norm(x[:, 0], 'layernorm'), 'pooler.dense'))
        hidden = functional.gelu(self.norm(self.linear(pooled, 'classifier.0'), 'classifier.1', 1e-5))
        return self.linear(hidden, 'classifier.3')

    def multiply_adds(self, lengths: list[tuple[int, int]], patches: int) -> int:
        """Of one example, by FORMULA. `lengths`: tokens entering each layer and those behind its reduction."""
        d = self.width
        total = patches * 3 * self.patch**2 * d
        for before, behind in lengths:
            total += 4 * before * d * d + 2 * before * before * d + 8 * behind * d * d
        return total + d * d + 2 * d * d + 2 * d * self.answers


FORMULA = (
    'patches x 3 x patch^2 x D + sum over layers of (4 T D^2 + 2 T^2 D + 8 S D^2) + 3 D^2 + 2 D x answers: D wide, '
    'T tokens entering a layer and S behind its reduction: products only, and not those of the reductions themselves'
)
