/**
 * Where the time of a run goes, by kind of operator, from ONNX Runtime's own profile. The reducers are told apart by
 * their nodes' names: those the runtime gives to inlined function bodies, and those insertion writes. A node that the
 * optimiser fuses and renames counts under its operator.
 */
import type { NodeRun } from '../src/runtime/profile.ts';
import { median } from '../src/timing/spread.ts';

/** In the order in which they are printed. */
export const kinds = [
  'products',
  'softmax',
  'normalisation',
  'elementwise',
  'moves',
  'reducers',
  'around them',
  'rest',
] as const;
export type Kind = (typeof kinds)[number];

const operators: ReadonlyMap<string, Kind> = new Map(
  (
    [
      [
        'products',
        'MatMul Gemm FusedMatMul FusedGemm MatMulInteger MatMulIntegerToFloat MatMulNBits Conv FusedConv Attention MultiHeadAttention',
      ],
      ['softmax', 'Softmax'],
      ['normalisation', 'LayerNormalization SkipLayerNormalization EmbedLayerNormalization RMSNormalization'],
      [
        'elementwise',
        'Add Sub Mul Div Pow Sqrt Exp Log Erf Tanh Sigmoid Relu Gelu BiasGelu FastGelu QuickGelu BiasAdd Where Cast Clip Max Min Neg Abs Reciprocal',
      ],
      [
        'moves',
        'Transpose Reshape Concat Slice Gather GatherND GatherElements Expand Unsqueeze Squeeze Split Flatten ReorderInput ReorderOutput',
      ],
    ] as const
  ).flatMap(([kind, names]) => names.split(' ').map((name) => [name, kind] as const)),
);

const ofBody = /^_inlfunc_TokenReduce/;
const inserted = /^pumer\/|_pumer\//;

const kindOf = ({ name, op }: NodeRun): Kind => {
  if (op.startsWith('TokenReduce') || ofBody.test(name)) return 'reducers';
  return inserted.test(name) ? 'around them' : (operators.get(op) ?? 'rest');
};

/** Milliseconds by kind: medians over the runs after the first `skip`. Every run must execute the same nodes. */
export const breakdown = (nodes: readonly NodeRun[], runs: number, skip: number): ReadonlyMap<Kind, number> => {
  const perRun = nodes.length / runs;
  if (!Number.isInteger(perRun)) throw new Error(`${nodes.length} node executions do not divide into ${runs} runs`);
  const sums = Array.from({ length: runs - skip }, (_, i) => {
    const own = new Map<Kind, number>();
    for (const node of nodes.slice((skip + i) * perRun, (skip + i + 1) * perRun)) {
      const kind = kindOf(node);
      own.set(kind, (own.get(kind) ?? 0) + node.microseconds / 1000);
    }
    return own;
  });
  return new Map(kinds.map((kind) => [kind, median(sums.map((own) => own.get(kind) ?? 0))]));
};
