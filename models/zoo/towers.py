"""Models that must be refused: nothing in them joins text and image before the end, or tokens are not ours to remove.

Two towers, one tower, windows on a grid, and a decoder that keeps keys and values between its steps.
"""
from __future__ import annotations

import torch
import transformers as hf
from torch import nn

from hugging_face import BODY, PICTURED, eager, text
from recording import WORDS, Call, Draw, Family

TOWER = {**BODY, 'num_hidden_layers': 3}
PICTURE = {'image_size': 128, 'patch_size': 16}


def two_towers(draw: Draw) -> dict:
    return {**text(draw), 'pixel_values': draw.floats(3, 128, 128)}


def clip(attention: str) -> nn.Module:
    words = {'vocab_size': WORDS, 'max_position_embeddings': 40, 'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': 0}
    config = hf.CLIPConfig(text_config={**TOWER, **words}, vision_config={**TOWER, **PICTURE}, projection_dim=32)
    config._attn_implementation = attention
    return Call(hf.CLIPModel(config), PICTURED, ('logits_per_image',))


def siglip() -> nn.Module:
    words = {'vocab_size': WORDS, 'max_position_embeddings': 64, 'projection_size': 64}
    config = hf.SiglipConfig(text_config={**TOWER, **words}, vision_config={**TOWER, **PICTURE})
    return Call(hf.SiglipModel(eager(config)), PICTURED, ('logits_per_image',))


def owlvit() -> nn.Module:
    words = {'vocab_size': WORDS, 'max_position_embeddings': 40, 'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': 0}
    config = hf.OwlViTConfig(text_config={**TOWER, **words}, vision_config={**TOWER, **PICTURE}, projection_dim=64)
    return Call(hf.OwlViTForObjectDetection(eager(config)), PICTURED, ('logits', 'pred_boxes'))


def image_only(head, config) -> nn.Module:
    return Call(head(eager(config)), ('pixel_values',), ('logits',))


class CachedDecoder(nn.Module):
    """A LLaVA-like decoder step: causal attention over kept keys and values and the new rows, with rotary positions."""

    def __init__(self, layers: int = 4, heads: int = 4):
        super().__init__()
        self.heads, self.width = heads, 64
        names = ('norm1', 'norm2', 'q', 'k', 'v', 'o', 'gate', 'up', 'down')
        shapes = {'gate': (64, 128), 'up': (64, 128), 'down': (128, 64)}
        made = lambda name: nn.LayerNorm(64) if 'norm' in name else nn.Linear(*shapes.get(name, (64, 64)), bias=False)
        self.layers = nn.ModuleList([nn.ModuleDict({name: made(name) for name in names}) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, WORDS)

    def rotate(self, x, positions):
        width = x.shape[-1]
        angles = positions[:, None, :, None] / 10000 ** (torch.arange(0, width, 2) / width)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)

    def forward(self, inputs_embeds, attention_mask, position_ids, *past):
        x, present = inputs_embeds, []
        rows, new = x.shape[:2]
        total = attention_mask.shape[1]
        causal = torch.arange(total)[None, :] <= (torch.arange(new) + total - new)[:, None]
        allowed = causal[None, None] & attention_mask[:, None, None, :].bool()
        for number, layer in enumerate(self.layers):
            y = layer['norm1'](x)
            q, k, v = (layer[n](y).view(rows, new, self.heads, -1).transpose(1, 2) for n in 'qkv')
            q, k = self.rotate(q, position_ids), self.rotate(k, position_ids)
            k, v = torch.cat([past[2 * number], k], 2), torch.cat([past[2 * number + 1], v], 2)
            present += [k, v]
            scores = (q @ k.transpose(-1, -2) / 4).masked_fill(~allowed, torch.finfo(torch.float32).min)
            x = x + layer['o']((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, new, -1))
            y = layer['norm2'](x)
            x = x + layer['down'](nn.functional.silu(layer['gate'](y)) * layer['up'](y))
        return (self.head(self.norm(x)), *present)


def decoder_step(draw: Draw) -> dict:
    """Eight rows kept from before; the new ones are a prompt with its image rows inside."""
    mask = torch.cat([torch.ones(draw.rows, 8, dtype=torch.long), draw.mask()], 1)
    positions = torch.arange(8, 8 + draw.length).expand(draw.rows, -1).contiguous()
    past = {f'past_key_values.{n // 2}.{"key" if n % 2 == 0 else "value"}': draw.floats(4, 8, 16) for n in range(8)}
    return {'inputs_embeds': draw.floats(draw.length, 64), 'attention_mask': mask, 'position_ids': positions, **past}


PRESENT = tuple(f'present.{n // 2}.{"key" if n % 2 == 0 else "value"}' for n in range(8))


def refused(name, build, inputs, outputs=('logits',), **rest) -> Family:
    return Family(name, build, inputs, outputs, expect='refuse', **rest)


def picture(draw: Draw) -> dict:
    return {'pixel_values': draw.floats(3, 128, 128)}


SWIN = {'image_size': 128, 'patch_size': 4, 'embed_dim': 16, 'depths': [2, 2], 'num_heads': [2, 4], 'window_size': 4}

TOWERS = [
    refused('clip', lambda: clip('eager'), two_towers, ('logits_per_image',)),
    refused('clip', lambda: clip('sdpa'), two_towers, ('logits_per_image',), attention='sdpa'),
    refused('siglip', siglip, two_towers, ('logits_per_image',)),
    refused('owlvit', owlvit, two_towers, ('logits', 'pred_boxes')),
    refused('vit', lambda: image_only(hf.ViTForImageClassification, hf.ViTConfig(**TOWER, **PICTURE)), picture),
    refused('beit', lambda: image_only(hf.BeitForImageClassification, hf.BeitConfig(**TOWER, **PICTURE)), picture),
    refused('swin', lambda: image_only(hf.SwinForImageClassification, hf.SwinConfig(**SWIN)), picture),
    refused(
        'bert',
        lambda: Call(
            hf.BertForSequenceClassification(eager(hf.BertConfig(vocab_size=WORDS, **TOWER))),
            ('input_ids', 'attention_mask', 'token_type_ids'),
            ('logits',),
        ),
        lambda draw: text(draw, 'token_type_ids'),
    ),
    refused(
        'cached-decoder',
        CachedDecoder,
        decoder_step,
        ('logits', *PRESENT),
        text={'inputs_embeds': (1, 0), 'attention_mask': (1, 8), 'position_ids': (1, 0)},
        options={'lanes': 'inputs_embeds=text:4,image:10,text:*'},
    ),
]
