/** Small parts of what is printed: suggestions, diagnostics as text, columns, figures. */
import { describe, expect, test } from 'vitest';
import { diagnosticText, inFile } from '../../src/diagnostics/render.ts';
import { colourStyle } from '../../src/diagnostics/style.ts';
import { bytesText, columns, countText, shareText, timeText } from '../../src/report/columns.ts';
import { closest } from '../../src/support/suggest.ts';

test('the closest known word, where one is near', () => {
  const known = ['input_ids', 'attention_mask', 'pixel_values'];
  expect(closest('input_id', known)).toBe('input_ids');
  expect(closest('Attention-Mask', known)).toBe('attention_mask');
  expect(closest('pxiel_values', known)).toBe('pixel_values');
  expect(closest('logits', known)).toBeUndefined();
  expect(closest('x', [])).toBeUndefined();
});

describe('a diagnostic as text', () => {
  const diagnostic = {
    code: 'no-cross-modal-layer',
    severity: 'error',
    message: 'the model has 8 attention layers, none joins text and image tokens',
    notes: ['text tower: 4 layers on input_ids'],
    fix: 'see docs/models.md#two-towers',
  } as const;

  test('names the file in the place of the model', () => {
    expect(diagnosticText(inFile(diagnostic, 'clip.onnx'))).toBe(
      [
        'error no-cross-modal-layer: clip.onnx has 8 attention layers, none joins text and image tokens',
        '  text tower: 4 layers on input_ids',
        '  fix: see docs/models.md#two-towers',
      ].join('\n'),
    );
  });

  test('names file, node, value and axis once each', () => {
    const at = { file: 'a.onnx', node: 'n', value: 'v', axis: 1 };
    expect(diagnosticText({ code: 'c', severity: 'warning', message: 'it is odd', at })).toBe(
      'warning c: a.onnx: it is odd\n  at node "n", value "v", axis 1',
    );
    const named = {
      code: 'c',
      severity: 'note',
      message: 'a.onnx: node n1 reads v1',
      at: { file: 'a.onnx', node: 'n1', value: 'v1' },
    } as const;
    expect(diagnosticText(named)).toBe('note c: a.onnx: node n1 reads v1');
  });

  test('has colours only where asked', () => {
    expect(diagnosticText(diagnostic)).not.toContain('\u001b');
    expect(diagnosticText(diagnostic, colourStyle)).toContain('\u001b[31m');
  });
});

test('columns line up, colours apart', () => {
  expect(
    columns(
      [
        ['a', 'bb'],
        [colourStyle.red('ccc'), 'd'],
      ],
      ['left', 'right'],
    ),
  ).toEqual(['a    bb', `${colourStyle.red('ccc')}   d`]);
  expect(columns([])).toEqual([]);
});

test('figures', () => {
  expect([0, 999, 1000, 470_108_892].map(bytesText)).toEqual(['0 B', '999 B', '1.0 kB', '470.1 MB']);
  expect([12, 68_570_080, 999_999_999].map(countText)).toEqual(['12', '68.57 M', '1.00 G']);
  expect([1, 0.345, 0.05].map(shareText)).toEqual(['100 %', '35 %', '5.0 %']);
  expect([0.4, 85, 1234].map(timeText)).toEqual(['0 ms', '85 ms', '1.2 s']);
});
