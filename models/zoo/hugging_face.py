"""Vision-language encoders of Hugging Face transformers (5.17), small and with random weights.

One entry per head or way of feeding: the graph behind the last layer differs, and with it what a reduction may do. Two
things are changed: ViLT draws its image patches in random order, which no exporter can write; here they keep raster
order. BridgeTower's image mask gets one row, as its text mask has: as written, it can be run but not traced.
"""
from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from transformers.models.bridgetower import modeling_bridgetower
from transformers.models.vilt.modeling_vilt import ViltEmbeddings

from recording import WORDS, Call, Draw, Family

TEXT = ('input_ids', 'attention_mask', 'token_type_ids')
BODY = {'hidden_size': 64, 'num_attention_heads': 4, 'intermediate_size': 128}


def text(draw: Draw, *also: str) -> dict:
    given = {'input_ids': draw.ids(), 'attention_mask': draw.mask(), 'token_type_ids': draw.zeros()}
    return {name: given[name] for name in ('input_ids', 'attention_mask', *also)}


def eager(config):
    config._attn_implementation = 'eager'
    return config


def raster_order(self, pixel_values, pixel_mask, max_image_length=200):
    """All patches, row by row, and which of them the picture covers."""
    x = self.patch_embeddings(pixel_values)
    covered = nn.functional.interpolate(pixel_mask[:, None].float(), size=x.shape[2:]).flatten(1).long()
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.position_embeddings
    return x, torch.cat([torch.ones(x.shape[0], 1, dtype=torch.long), covered], 1), None


ViltEmbeddings.visual_embed = raster_order


def vilt(head, layers=6, size=128, **config):
    settings = {'vocab_size': WORDS, 'max_position_embeddings': 40, 'num_labels': 37, **BODY, **config}
    return head(eager(hf.ViltConfig(num_hidden_layers=layers, image_size=size, patch_size=16, **settings)))


def vilt_family(name, head, outputs, extra, config=None, layers=6, also=('token_type_ids',), expect='compile'):
    inputs = lambda draw: {**text(draw, *also), **extra(draw)}
    names = tuple(inputs(Draw(2, 4, (4, 2), torch.Generator())))
    build = lambda: Call(vilt(head, layers, **(config or {})), names, tuple(outputs))
    flat = tuple(output.replace('.', '_') for output in outputs)
    return Family(name, build, inputs, flat, expect=expect)


def picture(size=128):
    return lambda draw: {'pixel_values': draw.floats(3, size, size)}


def masked_picture(draw: Draw) -> dict:
    """Pictures of different heights in one batch, as the original pads them."""
    rows = torch.tensor([128 - 32 * (row % 3) for row in range(draw.rows)])
    mask = (torch.arange(128)[None, :, None] < rows[:, None, None]).long().expand(-1, -1, 128).contiguous()
    return {'pixel_values': draw.floats(3, 128, 128), 'pixel_mask': mask}


def patch_embeddings(draw: Draw) -> dict:
    return {'image_embeds': draw.floats(50, 64), 'pixel_mask': draw.region_mask(50)}


VILT = [
    vilt_family('vilt-vqa', hf.ViltForQuestionAnswering, ['logits'], picture()),
    vilt_family(
        'vilt-itm', hf.ViltForImageAndTextRetrieval, ['logits'], picture(96), {'size': 96, 'num_attention_heads': 8}, 5
    ),
    vilt_family('vilt-mlm', hf.ViltForMaskedLM, ['logits'], picture()),
    vilt_family(
        'vilt-nlvr2',
        hf.ViltForImagesAndTextClassification,
        ['logits'],
        lambda draw: {'pixel_values': draw.floats(2, 3, 96, 96)},
        {'size': 96, 'num_images': 2, 'modality_type_vocab_size': 3, 'num_labels': 2},
    ),
    vilt_family('vilt-bare', hf.ViltModel, ['last_hidden_state', 'pooler_output'], picture(96), {'size': 96}, 8),
    vilt_family('vilt-embeds', hf.ViltForQuestionAnswering, ['logits'], patch_embeddings),
    vilt_family('vilt-mask', hf.ViltForQuestionAnswering, ['logits'], masked_picture),
    vilt_family('vilt-tags', hf.ViltForTokenClassification, ['logits'], picture(), also=()),
]


def regions(count: int, ragged: bool):
    def draw_them(draw: Draw) -> dict:
        return {
            **text(draw, 'token_type_ids'),
            'visual_embeds': draw.floats(count, 48),
            'visual_attention_mask': draw.region_mask(count) if ragged else torch.ones(draw.rows, count).long(),
            'visual_token_type_ids': torch.ones(draw.rows, count, dtype=torch.long),
        }

    return draw_them


def phrases(draw: Draw) -> dict:
    """Positions of the words whose regions are asked for; -1 fills the row up."""
    wanted = torch.randint(1, min(draw.real), (draw.rows, 10), generator=draw.random)
    wanted[:, 7:] = -1
    return {**regions(36, True)(draw), 'region_to_phrase_position': wanted}


def visualbert_family(name, head, outputs, inputs, layers=6, labels=37, expect='compile'):
    names = (*TEXT, 'visual_embeds', 'visual_attention_mask', 'visual_token_type_ids')
    names += ('region_to_phrase_position',) if inputs is phrases else ()

    def build() -> nn.Module:
        settings = {'vocab_size': WORDS, 'num_labels': labels, 'visual_embedding_dim': 48, **BODY}
        return Call(head(eager(hf.VisualBertConfig(num_hidden_layers=layers, **settings))), names, tuple(outputs))

    return Family(name, build, inputs, tuple(outputs), expect=expect)


VISUALBERT = [
    visualbert_family('visualbert-vqa', hf.VisualBertForQuestionAnswering, ['logits'], regions(36, False)),
    visualbert_family('visualbert-nlvr', hf.VisualBertForVisualReasoning, ['logits'], regions(72, True), labels=2),
    visualbert_family(
        'visualbert-pretrain',
        hf.VisualBertForPreTraining,
        ['prediction_logits', 'seq_relationship_logits'],
        regions(36, True),
        layers=5,
    ),
    visualbert_family('visualbert-phrases', hf.VisualBertForRegionToPhraseAlignment, ['logits'], phrases, expect=None),
    visualbert_family('visualbert-bare', hf.VisualBertModel, ['last_hidden_state', 'pooler_output'], regions(36, True)),
]


def boxes(ragged: bool):
    def draw_them(draw: Draw) -> dict:
        given = {**text(draw, 'token_type_ids'), 'visual_feats': draw.floats(36, 48), 'visual_pos': draw.boxes(36)}
        return {**given, 'visual_attention_mask': draw.region_mask(36).float()} if ragged else given

    return draw_them


def lxmert_family(name, head, outputs, ragged=False, cross=5):
    names = (*TEXT, 'visual_feats', 'visual_pos', *(('visual_attention_mask',) if ragged else ()))

    def build() -> nn.Module:
        sizes = {'l_layers': 2, 'x_layers': cross, 'r_layers': 2, 'visual_feat_dim': 48, 'num_qa_labels': 37}
        config = hf.LxmertConfig(vocab_size=WORDS, num_object_labels=12, num_attr_labels=9, **BODY, **sizes)
        return Call(head(eager(config)), names, tuple(outputs))

    return Family(name, build, boxes(ragged), tuple(outputs))


LXMERT = [
    lxmert_family('lxmert-vqa', hf.LxmertForQuestionAnswering, ['question_answering_score']),
    lxmert_family(
        'lxmert-pretrain',
        hf.LxmertForPreTraining,
        ['prediction_logits', 'cross_relationship_score', 'question_answering_score'],
        cross=4,
    ),
    lxmert_family('lxmert-bare', hf.LxmertModel, ['language_output', 'vision_output', 'pooled_output']),
    lxmert_family('lxmert-mask', hf.LxmertForQuestionAnswering, ['question_answering_score'], ragged=True),
]


class FlavaClassifier(nn.Module):
    """A head on the multimodal class token, as the fine-tuned FLAVA models have."""

    def __init__(self, config):
        super().__init__()
        self.m, self.head = hf.FlavaModel(config), nn.Linear(64, 37)

    def forward(self, **inputs):
        return self.head(self.m(**inputs).multimodal_embeddings[:, 0])


def flava_config():
    part = {'num_hidden_layers': 2, **BODY}
    config = hf.FlavaConfig(
        text_config={'vocab_size': WORDS, 'max_position_embeddings': 64, **part},
        image_config={'image_size': 128, 'patch_size': 16, **part},
        multimodal_config={**part, 'num_hidden_layers': 6},
        hidden_size=64,
        projection_dim=64,
        attn_implementation='eager',
    )
    return config


def pictured_text(size=128, also=()):
    return lambda draw: {**text(draw, *also), 'pixel_values': draw.floats(3, size, size)}


def joint_rows(draw: Draw) -> dict:
    """65 image rows, then text rows; the mask counts the class token that the model puts before them."""
    mask = torch.cat([torch.ones(draw.rows, 66, dtype=torch.long), draw.mask()], 1)
    return {'hidden_states': draw.floats(65 + draw.length, 64), 'attention_mask': mask}


PICTURED = ('input_ids', 'attention_mask', 'pixel_values')
FLAVA = [
    Family(
        'flava',
        lambda: Call(FlavaClassifier(flava_config()), (*TEXT, 'pixel_values'), ('',)),
        pictured_text(also=('token_type_ids',)),
        ('logits',),
    ),
    Family(
        'flava-bare',
        lambda: Call(
            hf.FlavaModel(flava_config()), PICTURED, ('image_embeddings', 'text_embeddings', 'multimodal_embeddings')
        ),
        pictured_text(),
        ('image_embeddings', 'text_embeddings', 'multimodal_embeddings'),
    ),
    Family(
        'flava-joint',
        lambda: Call(
            hf.FlavaMultimodalModel(eager(hf.FlavaMultimodalConfig(num_hidden_layers=6, **BODY))),
            ('hidden_states', 'attention_mask'),
            ('last_hidden_state', 'pooler_output'),
        ),
        joint_rows,
        ('last_hidden_state', 'pooler_output'),
        text={'hidden_states': (1, 65), 'attention_mask': (1, 66)},
        options={'lanes': 'hidden_states=image:65,text:*'},
    ),
]


def blip(head):
    return head(
        hf.BlipConfig(
            text_config={
                'encoder_hidden_size': 64,
                'num_hidden_layers': 6,
                'vocab_size': WORDS,
                'max_position_embeddings': 64,
                'bos_token_id': 1,
                'sep_token_id': 2,
                'pad_token_id': 0,
                **BODY,
            },
            vision_config={'num_hidden_layers': 3, 'image_size': 128, 'patch_size': 16, **BODY},
            projection_dim=32,
            image_text_hidden_size=32,
            attn_implementation='eager',
        )
    )


def encoded_picture(draw: Draw) -> dict:
    return {**text(draw), 'encoder_hidden_states': draw.floats(50, 64)}


def masked_encoded_picture(draw: Draw) -> dict:
    return {**encoded_picture(draw), 'encoder_attention_mask': draw.region_mask(50)}


def blip_text(name, inputs, extra=()):
    names = ('input_ids', 'attention_mask', 'encoder_hidden_states', *extra)
    build = lambda: Call(blip(hf.BlipForQuestionAnswering).text_encoder, names, ('last_hidden_state',), is_decoder=False)
    return Family(name, build, inputs, ('last_hidden_state',))


BLIP = [
    Family(
        'blip-itm',
        lambda: Call(blip(hf.BlipForImageTextRetrieval), PICTURED, ('itm_score',), use_itm_head=True),
        pictured_text(),
        ('itm_score',),
    ),
    blip_text('blip-text', encoded_picture),
    blip_text('blip-text-mask', masked_encoded_picture, ('encoder_attention_mask',)),
]


square_mask = modeling_bridgetower.create_bidirectional_mask


def one_row_mask(config, inputs_embeds, **rest):
    return square_mask(config=config, inputs_embeds=inputs_embeds[:, :1], **rest)


modeling_bridgetower.create_bidirectional_mask = one_row_mask


def bridgetower(head, layers=5, **config):
    part = {'hidden_size': 64, 'num_hidden_layers': layers + 1}
    settings = hf.BridgeTowerConfig(
        hidden_size=64,
        num_attention_heads=4,
        num_hidden_layers=layers,
        text_config={
            **part,
            'num_attention_heads': 4,
            'intermediate_size': 128,
            'vocab_size': WORDS,
            'max_position_embeddings': 64,
            'pad_token_id': 0,
        },
        vision_config={**part, 'image_size': 128, 'patch_size': 16},
        attn_implementation='eager',
        **config,
    )
    return head(settings)


def bridgetower_family(name, head, outputs, layers=5, **config):
    build = lambda: Call(bridgetower(head, layers, **config), PICTURED, tuple(outputs))
    return Family(name, build, pictured_text(), tuple(outputs))


BRIDGETOWER = [
    bridgetower_family('bridgetower-itm', hf.BridgeTowerForImageAndTextRetrieval, ['logits']),
    bridgetower_family('bridgetower-mlm', hf.BridgeTowerForMaskedLM, ['logits'], 4),
    bridgetower_family(
        'bridgetower-bare', hf.BridgeTowerModel, ['text_features', 'image_features', 'pooler_output']
    ),
]


def document(draw: Draw) -> dict:
    boxes = (draw.boxes(draw.length) * 999).long()
    return {**text(draw), 'bbox': boxes, 'pixel_values': draw.floats(3, 96, 96)}


def layoutlmv3_family(name, head, outputs, layers=6, **config):
    def build() -> nn.Module:
        sizes = {'coordinate_size': 11, 'shape_size': 10, 'input_size': 96, 'patch_size': 16, 'num_labels': 7}
        settings = {**BODY, **sizes, 'pad_token_id': 0, 'max_position_embeddings': 80, **config}
        model = head(eager(hf.LayoutLMv3Config(vocab_size=WORDS, num_hidden_layers=layers, **settings)))
        return Call(model, ('input_ids', 'attention_mask', 'bbox', 'pixel_values'), tuple(outputs))

    return Family(
        name,
        build,
        document,
        tuple(outputs),
        text={'input_ids': (1, 0), 'attention_mask': (1, 0), 'bbox': (1, 0)},
    )


LAYOUTLMV3 = [
    layoutlmv3_family('layoutlmv3-class', hf.LayoutLMv3ForSequenceClassification, ['logits']),
    layoutlmv3_family('layoutlmv3-tags', hf.LayoutLMv3ForTokenClassification, ['logits'], 5),
    layoutlmv3_family('layoutlmv3-bare', hf.LayoutLMv3Model, ['last_hidden_state'], 4),
    layoutlmv3_family(
        'layoutlmv3-nobias',
        hf.LayoutLMv3ForSequenceClassification,
        ['logits'],
        has_relative_attention_bias=False,
        has_spatial_attention_bias=False,
    ),
]


def joint_embeddings(draw: Draw) -> dict:
    """What the caller of an `encoder_model` lays out: 49 image rows, then the rows of a prompt."""
    mask = torch.cat([torch.ones(draw.rows, 49, dtype=torch.long), draw.mask()], 1)
    return {'inputs_embeds': draw.floats(49 + draw.length, 64), 'attention_mask': mask}


def encoder_model(name, attention):
    def build() -> nn.Module:
        config = hf.BartConfig(
            vocab_size=WORDS,
            d_model=64,
            encoder_layers=6,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=128,
            decoder_ffn_dim=128,
            max_position_embeddings=128,
        )
        config._attn_implementation = attention
        return Call(hf.BartModel(config).encoder, ('inputs_embeds', 'attention_mask'), ('last_hidden_state',))

    return Family(
        name,
        build,
        joint_embeddings,
        ('last_hidden_state',),
        text={'inputs_embeds': (1, 49), 'attention_mask': (1, 49)},
        attention=attention,
        options={'lanes': 'inputs_embeds=image:49,text:*'},
    )


FLORENCE = [encoder_model('florence-encoder', 'eager'), encoder_model('florence-encoder', 'sdpa')]

HUGGING_FACE = [*VILT, *VISUALBERT, *LXMERT, *FLAVA, *BLIP, *BRIDGETOWER, *LAYOUTLMV3, *FLORENCE]
