"""A small ViLT for questions about scenes: Hugging Face's classes, a quick start, and a quicker way through.

ViltForQuestionAnswering (transformers, Apache-2.0), 128 wide, 4 heads, 6 layers, 144 image tokens and a CLS. Patches
keep raster order: the original draws them in random order, which no exporter can write. `quick_pass` computes the same
answers for training: of the last layer only the row that the answer is read from, and what the auxiliary losses read on
the way. `python model.py` checks that both ways agree.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViltConfig, ViltForQuestionAnswering
from transformers.models.vilt.modeling_vilt import ViltEmbeddings

import data

WIDTH, LAYERS, HEADS = 128, 6, 4


def raster_order(self, pixel_values, pixel_mask=None, max_image_length=200):
    """All patches of a full-size image, row by row."""
    x = self.patch_embeddings(pixel_values).flatten(2).transpose(1, 2)
    x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.position_embeddings
    return x, torch.ones(x.shape[0], x.shape[1], dtype=torch.long), None


ViltEmbeddings.visual_embed = raster_order


def waves(positions: Tensor, width: int) -> Tensor:
    """Sines and cosines of the positions, from one turn in about three grid sides down to one in two cells."""
    lengths = torch.logspace(0.3, 1.6, width // 2)
    angles = positions[:, None] * (2 * torch.pi / lengths)
    return torch.cat([angles.sin(), angles.cos()], 1)


def start(model: ViltForQuestionAnswering, seed: int, alike: bool = True) -> None:
    """Weights to start from, in place.

    Image positions begin as waves along both sides, so that neighbours are alike. With `alike`, queries and keys of
    a head begin in the same directions: tokens look at tokens that resemble them (Trockman and Kolter 2023), words at
    what they name.
    """
    random = torch.Generator().manual_seed(seed)
    config = model.config
    spreads = {'word_embeddings': 0.5, 'text_embeddings.position': 0.25, 'token_type': 0.1, 'cls_token': 0.5}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2:
                continue
            spread = next((value for part, value in spreads.items() if part in name), weight[0].numel() ** -0.5)
            if 'encoder' in name and name.endswith('output.dense.weight'):
                spread *= (2 * config.num_hidden_layers) ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=random) * spread)
        for layer in model.vilt.encoder.layer if alike else ():
            same, _ = torch.linalg.qr(torch.randn(config.hidden_size, config.hidden_size, generator=random))
            for weight in (layer.attention.attention.query.weight, layer.attention.attention.key.weight):
                weight.mul_(0.5).add_(same, alpha=0.7)
        along = 0.5 * waves(torch.arange(data.GRID).float(), config.hidden_size // 2)
        grid = torch.cat([along.repeat_interleave(data.GRID, 0), along.repeat(data.GRID, 1)], 1)
        embeddings = model.vilt.embeddings
        embeddings.position_embeddings[0, 1:] = grid
        words = embeddings.text_embeddings.word_embeddings
        words.weight[words.padding_idx] = 0


def build(layers: int = LAYERS, seed: int = 0, alike: bool = True) -> ViltForQuestionAnswering:
    config = ViltConfig(
        vocab_size=len(data.WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=40,
        image_size=data.IMAGE,
        patch_size=data.PATCH,
        id2label=dict(enumerate(data.ANSWERS)),
        label2id=data.ANSWER,
    )
    config._attn_implementation = 'eager'
    model = ViltForQuestionAnswering(config)
    start(model, seed, alike)
    return model.eval()


class Vqa(nn.Module):
    """The model under positional inputs, as it is exported."""

    def __init__(self, model: ViltForQuestionAnswering):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids, pixel_values):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, pixel_values=pixel_values
        ).logits


class PatchHeads(nn.Module):
    """Says of each patch which colour and shape it shows: the one whose word it resembles most."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.nothing = nn.Parameter(torch.zeros(2, WIDTH))

    def forward(self, model: ViltForQuestionAnswering, patches: Tensor) -> list[Tensor]:
        text = model.vilt.embeddings.text_embeddings
        patches, scores = self.norm(patches), []
        for nothing, words in zip(self.nothing, (data.COLOURS, data.SHAPES)):
            named = text.word_embeddings.weight[[data.WORD[word] for word in words]]
            named = text.LayerNorm(named + text.token_type_embeddings.weight[0])
            scores.append(patches @ torch.cat([named, nothing[None]]).T * WIDTH**-0.5)
        return scores


class PlainPatchHeads(nn.Module):
    """The same by a layer of its own, without the words."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.colour = nn.Linear(WIDTH, len(data.COLOURS) + 1)
        self.shape = nn.Linear(WIDTH, len(data.SHAPES) + 1)

    def forward(self, model: ViltForQuestionAnswering, patches: Tensor) -> list[Tensor]:
        patches = self.norm(patches)
        return [self.colour(patches), self.shape(patches)]


class PlaceHeads(nn.Module):
    """Says of each object that a relation names in which column and row it lies, from the word for its shape."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.place = nn.Linear(WIDTH, 2 * data.CELLS)

    def forward(self, words: Tensor) -> Tensor:
        """words [n, WIDTH] -> scores [n, 2, CELLS]: columns, rows."""
        return self.place(self.norm(words)).view(-1, 2, data.CELLS)


class OrderHeads(nn.Module):
    """Says of the two objects of a relation which lies further left and which further up, from the relation's word."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.order = nn.Linear(WIDTH, 6)

    def forward(self, words: Tensor) -> Tensor:
        """words [n, WIDTH] -> scores [n, 2, 3]: along columns and rows, first before, level with or behind second."""
        return self.order(self.norm(words)).view(-1, 2, 3)


def quick_layer(layer, x: Tensor, bias: Tensor, rows: int | None = None) -> Tensor:
    """One encoder layer, for the first `rows` rows only if given."""
    own, n = layer.attention.attention, x.shape[0]
    normed = layer.layernorm_before(x)
    asking, x = (normed, x) if rows is None else (normed[:, :rows], x[:, :rows])
    split = lambda y: y.view(n, -1, own.num_attention_heads, own.attention_head_size).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(
        split(own.query(asking)), split(own.key(normed)), split(own.value(normed)), attn_mask=bias
    )
    mixed = mixed.transpose(1, 2).reshape(n, -1, own.all_head_size)
    x = x + layer.attention.output.dense(mixed)
    inner = functional.gelu(layer.intermediate.dense(layer.layernorm_after(x)))
    return x + layer.output.dense(inner)


def quick_pass(
    model: ViltForQuestionAnswering, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits, the patches as they leave the second layer, the words as they leave the last but two and but one."""
    vilt, words = model.vilt, input_ids.shape[1]
    text = vilt.embeddings.text_embeddings(input_ids=input_ids)
    n = text.shape[0]
    text = text + vilt.embeddings.token_type_embeddings.weight[0]
    # The patches as rows of one matrix: what the convolution computes, but several times faster.
    project = vilt.embeddings.patch_embeddings.projection
    patches = pixel_values.view(n, 3, data.GRID, data.PATCH, data.GRID, data.PATCH).permute(0, 2, 4, 1, 3, 5)
    patches = patches.reshape(n, data.GRID * data.GRID, -1)
    patches = functional.linear(patches, project.weight.flatten(1), project.bias)
    image = torch.cat([vilt.embeddings.cls_token.expand(n, -1, -1), patches], 1) + vilt.embeddings.position_embeddings
    image = image + vilt.embeddings.token_type_embeddings.weight[1]
    x = torch.cat([text, image], 1)
    seen = functional.pad(attention_mask, (0, image.shape[1]), value=1)[:, None, None, :]
    bias = (1 - seen.to(x.dtype)) * torch.finfo(x.dtype).min
    layers, early_patches, late_words = list(vilt.encoder.layer), None, []
    for number, layer in enumerate(layers, 1):
        x = quick_layer(layer, x, bias, rows=1 if number == len(layers) else None)
        if number == 2:
            early_patches = x[:, words + 1 :]
        if len(layers) - 2 <= number < len(layers):
            late_words.append(x[:, :words])
    pooled = torch.tanh(vilt.pooler.dense(vilt.layernorm(x)[:, 0]))
    return model.classifier(pooled), early_patches, *late_words


def main() -> None:
    torch.manual_seed(0)
    model = build()
    examples = {name: torch.from_numpy(value) for name, value in data.feeds(data.make(32, 1)).items()}
    with torch.no_grad():
        reference = Vqa(model)(**examples)
        quick, *_ = quick_pass(model, examples['input_ids'], examples['attention_mask'], examples['pixel_values'])
    parameters = sum(weight.numel() for weight in model.parameters())
    apart = (reference - quick).abs().max()
    print(f'{parameters} parameters; largest difference {apart:.1e} of {reference.abs().max():.2f}')


if __name__ == '__main__':
    main()
