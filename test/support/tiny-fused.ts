/**
 * The tiny ViLT as ONNX Runtime's optimiser or a newer exporter would write it: the same weights and arithmetic, with
 * whole-attention operators and normalisations that took the residual sum in.
 */
import { heads, tinyVilt, width, type Tiny, type TinyOptions } from './tiny-vilt.ts';

/** `counts` reads the mask as a number of tokens from the left, which is right only without PAD. */
export type Fusion = 'packed' | 'packed, counts' | 'separate' | 'standard' | 'products';

const ms = 'com.microsoft.';

/** Columns side by side: [width, n] each. */
const beside = (parts: readonly (readonly number[])[], rows: number): number[] =>
  Array.from({ length: rows }, (_, r) =>
    parts.flatMap((p) => p.slice((r * p.length) / rows, ((r + 1) * p.length) / rows)),
  ).flat();

export const tinyFused = (fusion: Fusion, options: TinyOptions = {}): Tiny => {
  const tiny = tinyVilt({ ...options, ...(fusion === 'standard' && { opset: 23 }) });
  const values: Record<string, string> = { ...tiny.values, two: 'i[1]:2' };
  const numbers = (name: string): readonly number[] => tiny.weights.get(name) ?? [];
  const norm = options.norm !== false;
  const gone = new Set<string>();
  const instead = new Map<string, string>();
  const mask = fusion === 'packed, counts' ? 'counts' : 'mask32';
  for (let k = 0; k < tiny.layers; k++) {
    const input = norm ? `before${k}` : `x${k}`;
    const parts = ['q', 'k', 'v'];
    values[`packed${k}_w`] = `f[${width},${3 * width}]:${beside(
      parts.map((p) => numbers(`${p}${k}_w`)),
      width,
    ).join()}`;
    values[`packed${k}_c`] = `f[${3 * width}]:${parts.flatMap((p) => numbers(`${p}${k}_c`)).join()}`;
    const projected = parts.map((p) => `${p}${k}_m`);
    const whole: Readonly<Record<Fusion, string>> = {
      packed: `${ms}Attention(${input}, packed${k}_w, packed${k}_c, ${mask}) num_heads=${heads}`,
      'packed, counts': `${ms}Attention(${input}, packed${k}_w, packed${k}_c, ${mask}) num_heads=${heads}`,
      separate: `${ms}MultiHeadAttention(${projected.join()}, packed${k}_c, ${mask}) num_heads=${heads}`,
      standard: `Attention(q${k}, k${k}, v${k}, shown) q_num_heads=${heads} kv_num_heads=${heads}`,
      products: '',
    };
    if (fusion === 'products') {
      instead.set(`product${k}`, `scores${k} = ${ms}FusedMatMul(query${k}, key${k}) alpha=0.5`);
      gone.add(`scores${k}`);
    } else {
      const inner = ['query', 'key', 'value', 'product', 'scores', 'masked', 'probs', 'context'].map((v) => `${v}${k}`);
      for (const v of [...inner, `context${k}_t`, ...parts.map((p) => `${p}${k}_r`)]) gone.add(v);
      if (fusion !== 'standard') for (const p of parts) gone.add(`${p}${k}`);
      if (fusion.startsWith('packed')) for (const p of projected) gone.add(p);
      instead.set(`context${k}_r`, `context${k}_r = ${whole[fusion]}`);
    }
    if (!norm) continue;
    const skip = (out: string, sum: string, branch: string, stream: string): void => {
      const line = `${out}, , , ${sum} = ${ms}SkipLayerNormalization(${branch}_m, ${stream}, ${out}_g, ${out}_b, ${branch}_c) epsilon=0.00001`;
      instead.set(out, line);
      gone.add(sum);
      gone.add(branch);
    };
    skip(`after${k}`, `sum${k}`, `out${k}`, `x${k}`);
    skip(k + 1 < tiny.layers ? `before${k + 1}` : 'final', `x${k + 1}`, `down${k}`, `sum${k}`);
  }
  const nodes = tiny.nodes.flatMap((line) => {
    const made = line.split(' = ')[0] ?? '';
    if (gone.has(made)) return [];
    const by = instead.get(made);
    if (by !== undefined) return [by];
    if (made !== 'mask_float') return [line];
    return [
      'mask32 = Cast(mask) to=6',
      ...(fusion === 'packed, counts' ? [`counts = ReduceSum(mask32, second) keepdims=0`] : []),
      line,
    ];
  });
  const shown = nodes.findIndex((line) => line.startsWith('mask_keys'));
  if (fusion === 'standard')
    nodes.splice(
      shown + 1,
      0,
      // One row a query, as the operator asks for.
      'all_tokens = Shape(mask)',
      'token_count = Slice(all_tokens, second, two)',
      'rows_asked = Concat(second, second, token_count, second) axis=0',
      'key_shown = Cast(mask_keys) to=9',
      'shown = Expand(key_shown, rows_asked)',
    );
  return { ...tiny, values, nodes };
};
