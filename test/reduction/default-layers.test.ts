/** Where sites lie when nobody says so, as docs/semantics.md has it. */
import { describe, expect, test } from 'vitest';
import { kindOf } from '../../src/analysis/layers.ts';
import { understandModel } from '../../src/compile.ts';
import { readModel } from '../../src/onnx/read.ts';
import { defaultLayers, spreadLayers } from '../../src/reduction/choose-plan.ts';
import { models } from '../cli/run-cli.ts';

test.each([
  [1, [0]],
  [2, [0, 1]],
  [3, [0, 1, 2]],
  [5, [0, 2, 3]],
  [6, [1, 2, 4]],
  [12, [2, 5, 8]],
  [24, [4, 10, 16]],
])('spread over %i layers', (depth, layers) => {
  expect(spreadLayers(depth, 0)).toEqual(layers);
});

describe('the first layer', () => {
  const understood = (file: string): ReturnType<typeof understandModel> => understandModel(readModel(file), {});

  test('of one stream is left alone in safe, from five layers on', () => {
    const u = understood(models.vilt);
    const cut = (depth: number): typeof u => ({ ...u, layers: u.layers.slice(0, depth) });
    expect(defaultLayers(cut(5), 'safe')).toEqual([1, 2, 3]);
    expect(defaultLayers(cut(5), 'pumer')).toEqual([0, 2, 3]);
    expect(defaultLayers(cut(4), 'safe')).toEqual([0, 1, 2]);
    expect(defaultLayers(u, 'safe')).toEqual([1, 2, 4]);
  });

  test('behind an image encoder is a layer like others', () => {
    const u = understood(models.meter);
    expect(u.layers).toHaveLength(5);
    expect(defaultLayers(u, 'safe')).toEqual([0, 2, 3]);
    // What counts is what layer 0 is made from: image attention behind it makes no encoder.
    const at = ({ apply }: (typeof u.attentions)[number]): number => u.model.graph.nodes.indexOf(apply);
    const own = u.layers.slice(0, 1).flatMap(({ textToImage, imageToText }) => [...textToImage, ...imageToText]);
    const behind = u.attentions.filter((attention) => at(attention) > Math.max(...own.map(at)));
    expect(behind.map(kindOf)).toContain('image');
    expect(defaultLayers({ ...u, attentions: behind }, 'safe')).toEqual([1, 2, 3]);
  });
});
