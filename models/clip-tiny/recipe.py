"""Exports models/clip-tiny/model.onnx again (run by hand: python models/clip-tiny/recipe.py).

Needs torch 2.13 and transformers 5.17. Hugging Face's CLIP (Apache-2.0) with random weights: a text tower and an image
tower that never meet in a layer, so there is nothing to prune by text. The compiler must say so and write nothing.
"""
import pathlib

import torch
from transformers import CLIPConfig, CLIPModel

SEED = 7


class Similarity(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.m = CLIPModel(config)

    def forward(self, input_ids, attention_mask, pixel_values):
        return self.m(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values).logits_per_image


def main() -> None:
    torch.manual_seed(SEED)
    shared = {'hidden_size': 32, 'intermediate_size': 64, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    config = CLIPConfig(
        text_config={**shared, 'vocab_size': 100, 'max_position_embeddings': 16, 'eos_token_id': 2},
        vision_config={**shared, 'image_size': 64, 'patch_size': 16},
        projection_dim=16,
    )
    model = Similarity(config).eval()
    text = {0: 'text_batch', 1: 'sequence'}
    names = ['input_ids', 'attention_mask', 'pixel_values']
    path = pathlib.Path(__file__).parent / 'model.onnx'
    torch.onnx.export(
        model,
        (torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long), torch.zeros(2, 3, 64, 64)),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=['logits_per_image'],
        dynamic_axes={'input_ids': text, 'attention_mask': text, 'pixel_values': {0: 'image_batch'}},
    )
    print(f'{path}: {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()
