"""Vision-language encoders that transformers does not hold, as small modules after the original repositories.

Each differs from the others in what its graph shows: where the norms sit, how heads are split, how padding is hidden,
who reads which stream. PyTorch's own layers (nn.MultiheadAttention, scaled_dot_product_attention) are here, too.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recording import WORDS, Draw, Family

WIDTH, HEADS = 64, 4
# PyTorch's one-kernel encoder layer cannot be exported.
torch.backends.mha.set_fastpath_enabled(False)


def additive(mask: Tensor) -> Tensor:
    return (1.0 - mask[:, None, None, :].float()) * -10000.0


class Words(nn.Module):
    def __init__(self, kind: bool = False):
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(64, WIDTH)
        self.kind = nn.Embedding(2, WIDTH) if kind else None
        self.norm = nn.LayerNorm(WIDTH)
        self.register_buffer('numbers', torch.arange(64)[None], persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids) + self.positions(self.numbers[:, : ids.shape[1]])
        x = x if self.kind is None else x + self.kind(torch.zeros_like(ids))
        return self.norm(x)


class Patches(nn.Module):
    """A picture cut into patches in raster order, behind a class token."""

    def __init__(self, height: int = 96, width: int = 128, kind: bool = False):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 16, 16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position_table = nn.Parameter(torch.zeros(1, 1 + (height // 16) * (width // 16), WIDTH))
        self.kind = nn.Embedding(2, WIDTH) if kind else None

    def forward(self, picture: Tensor) -> Tensor:
        x = self.patches(picture).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1) + self.position_table
        return x if self.kind is None else x + self.kind(torch.ones(x.shape[:2], dtype=torch.long))


class Attention(nn.Module):
    """Queries of x, keys and values of y; the mask is added to the scores."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None) -> Tensor:
        scores = self.split(self.query(x)) @ self.split(self.key(y)).transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        scores = scores if mask is None else scores + mask
        context = scores.softmax(-1) @ self.split(self.value(y))
        return self.out(context.transpose(1, 2).reshape(x.shape[0], -1, WIDTH))


def feed_forward() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 128), nn.GELU(), nn.Linear(128, WIDTH))


class FusedBlock(nn.Module):
    """timm's block as the original ViLT has it: q, k and v in one product, padding filled with -inf in every layer.
    `counted`: the scale is computed from sizes, which TorchScript traces."""

    def __init__(self, counted: bool = False):
        super().__init__()
        self.scale = None if counted else (WIDTH // HEADS) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6), nn.LayerNorm(WIDTH, eps=1e-6)
        self.qkv, self.proj, self.mlp = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), feed_forward()

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        rows, tokens, width = x.shape
        qkv = self.qkv(x).reshape(rows, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q @ k.transpose(-2, -1)) * (self.scale or (width // HEADS) ** -0.5)
        if mask is not None:
            scores = scores.masked_fill(~mask.bool()[:, None, None, :], float('-inf'))
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, tokens, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class OriginalVilt(nn.Module):
    """The ViLT of dandelin/ViLT: text and image are cut apart again behind the stack; `pooled` gives answers only."""

    def __init__(self, pooled: bool, counted: bool = False, layers: int = 6):
        super().__init__()
        self.text, self.image = Words(kind=True), Patches(kind=True)
        self.blocks, self.norm = nn.ModuleList([FusedBlock(counted) for _ in range(layers)]), nn.LayerNorm(WIDTH)
        self.pooler, self.head, self.pooled = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 37), pooled

    def forward(self, input_ids, attention_mask, pixel_values):
        text, image = self.text(input_ids), self.image(pixel_values)
        mask = torch.cat([attention_mask, torch.ones(image.shape[:2], dtype=torch.long)], 1)
        x = torch.cat([text, image], 1)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        words, patches = x[:, : text.shape[1]], x[:, text.shape[1] :]
        answers = self.head(torch.tanh(self.pooler(x[:, 0])))
        return answers if self.pooled else (answers, words, patches)


class CrossLayer(nn.Module):
    """METER's layer: self-attention, cross-attention, feed-forward; a norm behind each."""

    def __init__(self):
        super().__init__()
        self.own, self.cross, self.mlp = Attention(), Attention(), feed_forward()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x, y, mask_x, mask_y):
        x = self.norm1(x + self.own(x, x, mask_x))
        x = self.norm2(x + self.cross(x, y, mask_y))
        return self.norm3(x + self.mlp(x))


class Meter(nn.Module):
    """`order`: both layers of a pair read the old streams, or the image layer the new text. `pool`: class token or mean."""

    def __init__(self, order: str = 'old', pool: str = 'class', pairs: int = 4):
        super().__init__()
        self.text, self.image = Words(kind=True), Patches(kind=True)
        self.tower = nn.Sequential(FusedBlock(), FusedBlock(), nn.LayerNorm(WIDTH))
        self.to_joint, self.order, self.pool = nn.Linear(WIDTH, WIDTH), order, pool
        self.text_layers = nn.ModuleList([CrossLayer() for _ in range(pairs)])
        self.image_layers = nn.ModuleList([CrossLayer() for _ in range(pairs)])
        self.text_pooler, self.image_pooler = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.average = nn.AdaptiveAvgPool1d(1)
        self.head = nn.Sequential(nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, 37))

    def forward(self, input_ids, attention_mask, pixel_values):
        x, y = self.text(input_ids), self.to_joint(self.tower(self.image(pixel_values)))
        mask_x, mask_y = additive(attention_mask), additive(torch.ones(y.shape[:2]))
        for text_layer, image_layer in zip(self.text_layers, self.image_layers):
            new = text_layer(x, y, mask_x, mask_y)
            y = image_layer(y, x if self.order == 'old' else new, mask_y, mask_x)
            x = new
        image = y[:, 0] if self.pool == 'class' else self.average(y.transpose(1, 2)).flatten(1)
        pooled = [torch.tanh(self.text_pooler(x[:, 0])), torch.tanh(self.image_pooler(image))]
        return self.head(torch.cat(pooled, 1))


class PostNormLayer(nn.Module):
    """BERT's layer."""

    def __init__(self):
        super().__init__()
        self.own, self.mlp = Attention(), feed_forward()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x, mask):
        x = self.norm1(x + self.own(x, x, mask))
        return self.norm2(x + self.mlp(x))


class Uniter(nn.Module):
    """UNITER and OSCAR: words and detected regions in one stream, one mask over both from outside."""

    def __init__(self, positions: int, layers: int = 6):
        super().__init__()
        self.text, self.features, self.places = Words(), nn.Linear(48, WIDTH), nn.Linear(positions or 7, WIDTH)
        self.feature_norm, self.place_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList([PostNormLayer() for _ in range(layers)])
        self.pooler, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 37)

    def forward(self, input_ids, attention_mask, img_feat, img_pos_feat=None):
        image = self.feature_norm(self.features(img_feat))
        if img_pos_feat is not None:
            image = self.norm(image + self.place_norm(self.places(img_pos_feat)))
        x, mask = torch.cat([self.text(input_ids), image], 1), additive(attention_mask)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(torch.tanh(self.pooler(x[:, 0])))


class FusionLayer(nn.Module):
    """ALBEF's text layer; only the later ones look at the image."""

    def __init__(self, fusion: bool):
        super().__init__()
        self.own, self.mlp, self.cross = Attention(), feed_forward(), Attention() if fusion else None
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.cross_norm = nn.LayerNorm(WIDTH) if fusion else None

    def forward(self, x, mask, image, image_mask):
        x = self.norm1(x + self.own(x, x, mask))
        x = x if self.cross is None else self.cross_norm(x + self.cross(x, image, image_mask))
        return self.norm2(x + self.mlp(x))


class Albef(nn.Module):
    """ALBEF and X-VLM: the image is only keys and values. `whole`: with the picture's own encoder in the graph."""

    def __init__(self, whole: bool, layers: int = 8, fusion: int = 3):
        super().__init__()
        self.text, self.head, self.whole = Words(), nn.Linear(WIDTH, 2), whole
        self.image = Patches() if whole else None
        self.tower = nn.Sequential(FusedBlock(), FusedBlock(), nn.LayerNorm(WIDTH)) if whole else None
        self.layers = nn.ModuleList([FusionLayer(number >= fusion) for number in range(layers)])

    def forward(self, input_ids, attention_mask, image, image_atts=None):
        if self.whole:
            image = self.tower(self.image(image))
        x, mask = self.text(input_ids), additive(attention_mask)
        image_mask = None if image_atts is None else additive(image_atts)
        for layer in self.layers:
            x = layer(x, mask, image, image_mask)
        return self.head(x[:, 0])


class TorchEncoder(nn.Module):
    """nn.TransformerEncoder over words and patches, batch first or tokens first as it is by default."""

    def __init__(self, batch_first: bool, norm_first: bool, layers: int = 5):
        super().__init__()
        self.text, self.image, self.batch_first = Words(kind=True), Patches(kind=True), batch_first
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 128, 0.0, 'gelu', batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 37)

    def forward(self, input_ids, attention_mask, pixel_values):
        text, image = self.text(input_ids), self.image(pixel_values)
        hidden = torch.cat([attention_mask == 0, torch.zeros(image.shape[:2], dtype=torch.bool)], 1)
        x = torch.cat([text, image], 1)
        x = x if self.batch_first else x.transpose(0, 1)
        x = self.encoder(x, src_key_padding_mask=hidden)
        return self.head(x[:, 0] if self.batch_first else x[0])


class TorchAttentionBlock(nn.Module):
    """CLIP's residual block (QuickGELU); asks nn.MultiheadAttention for its weights, which writes it out in full."""

    def __init__(self, weights: bool):
        super().__init__()
        self.attn, self.weights = nn.MultiheadAttention(WIDTH, HEADS), weights
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 128), nn.Linear(128, WIDTH)

    def forward(self, x, hidden):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, key_padding_mask=hidden, need_weights=self.weights)[0]
        y = self.up(self.norm2(x))
        return x + self.down(y * torch.sigmoid(1.702 * y))


class TorchAttentionStack(nn.Module):
    def __init__(self, weights: bool, layers: int = 5):
        super().__init__()
        self.text, self.image, self.head = Words(), Patches(), nn.Linear(WIDTH, 37)
        self.blocks = nn.ModuleList([TorchAttentionBlock(weights) for _ in range(layers)])

    def forward(self, input_ids, attention_mask, pixel_values):
        text, image = self.text(input_ids), self.image(pixel_values)
        hidden = torch.cat([attention_mask == 0, torch.zeros(image.shape[:2], dtype=torch.bool)], 1)
        x = torch.cat([text, image], 1).transpose(0, 1)
        for block in self.blocks:
            x = block(x, hidden)
        return self.head(x[0])


class SdpaLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2, self.mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), feed_forward()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask):
        y = self.norm1(x)
        q, k, v = (f(y).view(*y.shape[:2], HEADS, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(z.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm2(x))


class SdpaEncoder(nn.Module):
    """A single stream on scaled_dot_product_attention. `mask`: none, bool, float, or square (bool, for every query)."""

    def __init__(self, mask: str, layers: int = 6):
        super().__init__()
        self.text, self.image, self.mask = Words(kind=True), Patches(kind=True), mask
        self.layers, self.norm = nn.ModuleList([SdpaLayer() for _ in range(layers)]), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 37)

    def forward(self, input_ids, attention_mask, pixel_values):
        text, image = self.text(input_ids), self.image(pixel_values)
        x = torch.cat([text, image], 1)
        keep = torch.cat([attention_mask, torch.ones(image.shape[:2], dtype=torch.long)], 1)
        mask = keep[:, None, None, :].bool()
        if self.mask == 'square':
            mask = mask.expand(-1, 1, x.shape[1], -1)
        if self.mask == 'float':
            mask = (1.0 - mask.float()) * torch.finfo(torch.float32).min
        for layer in self.layers:
            x = layer(x, None if self.mask == 'none' else mask)
        return self.head(self.norm(x)[:, 0])


def pictured(draw: Draw) -> dict:
    return {'input_ids': draw.ids(), 'attention_mask': draw.mask(), 'pixel_values': draw.floats(3, 96, 128)}


def detected(draw: Draw, places: int) -> dict:
    mask = torch.cat([draw.mask(), draw.region_mask(36)], 1)
    given = {'input_ids': draw.ids(), 'attention_mask': mask, 'img_feat': draw.floats(36, 48)}
    return {**given, 'img_pos_feat': draw.floats(36, places)} if places else given


def encoded(draw: Draw, ragged: bool) -> dict:
    given = {'input_ids': draw.ids(), 'attention_mask': draw.mask(), 'image': draw.floats(50, WIDTH)}
    return {**given, 'image_atts': draw.region_mask(50)} if ragged else given


def family(name, build, inputs=pictured, outputs=('logits',), **rest) -> Family:
    return Family(name, build, inputs, outputs, **rest)


JOINT_MASK = {'input_ids': (1, 0), 'attention_mask': (1, 36)}

OWN = [
    family('vilt-timm', lambda: OriginalVilt(True)),
    family('vilt-timm-parts', lambda: OriginalVilt(False), outputs=('logits', 'text_feats', 'image_feats')),
    family('vilt-timm-scale', lambda: OriginalVilt(True, counted=True)),
    family('meter', lambda: Meter()),
    family('meter-chained', lambda: Meter('new')),
    family('meter-mean', lambda: Meter(pool='mean'), expect='refuse'),
    family('uniter', lambda: Uniter(7), lambda draw: detected(draw, 7), text=JOINT_MASK),
    family('oscar', lambda: Uniter(0), lambda draw: detected(draw, 0), text=JOINT_MASK),
    family('albef', lambda: Albef(False), lambda draw: encoded(draw, False)),
    family('xvlm', lambda: Albef(False, 6, 2), lambda draw: encoded(draw, True)),
    family('albef-whole', lambda: Albef(True), lambda draw: {**encoded(draw, False), 'image': draw.floats(3, 96, 128)}),
    family('torch-encoder', lambda: TorchEncoder(False, False), attention='sdpa'),
    family('torch-encoder-first', lambda: TorchEncoder(True, True), attention='sdpa'),
    family('torch-mha', lambda: TorchAttentionStack(True)),
    family('torch-mha', lambda: TorchAttentionStack(False), attention='sdpa'),
    family('sdpa-bool', lambda: SdpaEncoder('bool'), attention='sdpa'),
    family('sdpa-float', lambda: SdpaEncoder('float'), attention='sdpa'),
    family('sdpa-square', lambda: SdpaEncoder('square'), attention='sdpa'),
    family('sdpa-none', lambda: SdpaEncoder('none'), attention='sdpa'),
]
