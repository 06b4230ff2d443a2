"""Makes the full-size ViLT-B/32 for the benchmarks (run by hand, about 470 MB, not committed).

    python bench/make-vilt-b32.py [bench/cache/vilt-b32.onnx]

Needs the Python packages torch and transformers 5, nothing from the network: the weights are random with a fixed
seed (speed does not depend on them). 12 layers of width 768, 12 heads, 384-pixel images in 32-pixel patches (144
image tokens and their class token), 40 text tokens, a VQA head of 3129 answers; TorchScript exporter, opset 17,
dynamic batch. The architecture is Hugging Face's (Apache-2.0); only its image embedding is replaced: the original
draws the patches in random order, which no exporter can write, here they keep raster order.
"""
import pathlib
import sys
import time

import torch
from transformers import ViltConfig, ViltForQuestionAnswering
from transformers.models.vilt.modeling_vilt import ViltEmbeddings

TEXT = 40


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


def main(path: str) -> None:
    ViltEmbeddings.visual_embed = raster_order
    torch.manual_seed(32)
    config = ViltConfig(num_labels=3129)
    config._attn_implementation = 'eager'
    model = Vqa(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Zero at initialisation, which would make all image tokens alike.
            if name.endswith(('cls_token', 'position_embeddings')):
                weight.normal_(0, 0.02)
            # Sharper attention than fresh weights give, so that the choice of tokens is no tie.
            if name.endswith(('query.weight', 'key.weight')):
                weight.mul_(4)
    feeds = (
        torch.randint(1000, config.vocab_size, (2, TEXT)),
        torch.ones(2, TEXT, dtype=torch.long),
        torch.zeros(2, TEXT, dtype=torch.long),
        torch.randn(2, 3, config.image_size, config.image_size),
    )
    names = ['input_ids', 'attention_mask', 'token_type_ids', 'pixel_values']
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    torch.onnx.export(
        model,
        feeds,
        path,
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=['logits'],
        dynamic_axes={name: {0: 'batch'} for name in [*names, 'logits']},
    )
    print(f'{path}: {pathlib.Path(path).stat().st_size / 1e6:.0f} MB in {time.time() - start:.0f} s')


if __name__ == '__main__':
    main(sys.argv[1] if len(sys.argv) > 1 else str(pathlib.Path(__file__).parent / 'cache' / 'vilt-b32.onnx'))
