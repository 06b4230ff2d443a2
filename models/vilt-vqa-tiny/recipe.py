"""Exports models/vilt-vqa-tiny/model.onnx again (run by hand: python models/vilt-vqa-tiny/recipe.py).

Needs torch 2.13 and transformers 5.17; other versions may write another, equivalent graph. Hugging Face's ViLT
(Apache-2.0) with random weights of a fixed seed: it answers nothing, but it has the shape of the real model. 6 layers
of width 80, 5 heads, 160-pixel images in 16-pixel patches (100 image tokens and their class token), questions of up
to 40 tokens, 37 answers; TorchScript exporter, opset 17, batch and text length dynamic. One part is replaced: the
original draws the image patches in random order, which no exporter can write, here they keep raster order.
"""
import pathlib

import torch
from transformers import ViltConfig, ViltForQuestionAnswering
from transformers.models.vilt.modeling_vilt import ViltEmbeddings

SEED = 2023


def raster_order(self, pixel_values, pixel_mask=None, max_image_length=200):
    """All patches of a full-size image, row by row."""
    x = self.patch_embeddings(pixel_values).flatten(2).transpose(1, 2)
    x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.position_embeddings
    return x, torch.ones(x.shape[0], x.shape[1], dtype=torch.long), None


class Vqa(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.m = ViltForQuestionAnswering(config)

    def forward(self, input_ids, attention_mask, token_type_ids, pixel_values):
        return self.m(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, pixel_values=pixel_values
        ).logits


def with_random_weights(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights that keep signals at their scale and attention selective, as trained ones do."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=random)
            if 'layernorm' in name.lower() and name.endswith('weight'):
                weight.copy_(1 + 0.1 * noise)
            elif weight.ndim == 1:
                weight.copy_(0.05 * noise)
            elif 'embeddings' in name and 'projection' not in name:
                weight.copy_(0.5 * noise)
            else:
                sharper = 2.5 if name.endswith(('query.weight', 'key.weight')) else 1
                weight.copy_(sharper * noise / weight[0].numel() ** 0.5)
    return model


def main() -> None:
    ViltEmbeddings.visual_embed = raster_order
    config = ViltConfig(
        vocab_size=256,
        hidden_size=80,
        num_hidden_layers=6,
        num_attention_heads=5,
        intermediate_size=160,
        image_size=160,
        patch_size=16,
        max_position_embeddings=40,
        num_labels=37,
    )
    config._attn_implementation = 'eager'
    model = with_random_weights(Vqa(config).eval(), SEED)
    feeds = (
        torch.ones(2, 24, dtype=torch.long),
        torch.ones(2, 24, dtype=torch.long),
        torch.zeros(2, 24, dtype=torch.long),
        torch.zeros(2, 3, 160, 160),
    )
    text = {0: 'batch', 1: 'sequence'}
    names = ['input_ids', 'attention_mask', 'token_type_ids', 'pixel_values']
    path = pathlib.Path(__file__).parent / 'model.onnx'
    torch.onnx.export(
        model,
        feeds,
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=['logits'],
        dynamic_axes={**{name: text for name in names[:3]}, 'pixel_values': {0: 'batch'}, 'logits': {0: 'batch'}},
    )
    print(f'{path}: {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()
