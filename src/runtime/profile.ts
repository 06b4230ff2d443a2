/**
 * Reads the profile that ONNX Runtime writes (Chrome trace JSON): which nodes ran, on what shapes, for how long.
 * Counts multiply-adds from the shapes that really occurred, so it agrees with no analysis of ours by construction.
 */

/** One execution of one node. */
export interface NodeRun {
  /** ONNX Runtime's name: the node's own, or a name the optimiser or function inlining made. */
  readonly name: string;
  readonly op: string;
  /** Sizes of the computed inputs in the node's order. ONNX Runtime leaves constant ones (weights) out. */
  readonly inputs: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
  readonly microseconds: number;
}

/** Per value one entry: the type's name and the sizes. */
type TypedShapes = readonly Readonly<Record<string, readonly number[]>>[];

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly dur?: number;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: TypedShapes;
    readonly output_type_shape?: TypedShapes;
  };
}

const SUFFIX = '_kernel_time';

const shapes = (values: TypedShapes | undefined) => (values ?? []).map((value) => Object.values(value)[0] ?? []);

/** The node executions of a profile, in the order they ended. */
export const readProfile = (json: string): NodeRun[] => {
  const events = JSON.parse(json) as readonly TraceEvent[];
  return events
    .filter(
      (event) => event.cat === 'Node' && event.name?.endsWith(SUFFIX) === true && event.args?.op_name !== undefined,
    )
    .map((event) => ({
      name: (event.name ?? '').slice(0, -SUFFIX.length),
      op: event.args?.op_name ?? '',
      inputs: shapes(event.args?.input_type_shape),
      outputs: shapes(event.args?.output_type_shape),
      microseconds: event.dur ?? 0,
    }));
};

const product = (sizes: readonly number[]): number => sizes.reduce((n, size) => n * size, 1);

/** The length that a product sums over: one matrix of input 0, transposed or not, over its rows in the output. */
const summed = (run: NodeRun): number => product(run.inputs[0]?.slice(-2) ?? []) / (run.outputs[0]?.at(-2) ?? 1);
/** A constant first input would be missing here; exporters put weights second. */
const lastAxis = (run: NodeRun): number => run.inputs[0]?.at(-1) ?? 0;

const contractions: ReadonlyMap<string, (run: NodeRun) => number> = new Map([
  ['MatMul', lastAxis],
  ['MatMulInteger', lastAxis],
  ['MatMulNBits', lastAxis],
  ['Gemm', summed],
  ['FusedGemm', summed],
  ['FusedMatMul', summed],
]);

/**
 * Both products of an operator that is a whole attention, and com.microsoft.Attention's own projections [C, 3 V], which
 * the profile leaves out like all weights.
 */
const attentionProducts = (run: NodeRun): number => {
  const [query = [], key] = run.inputs;
  const [out = []] = run.outputs;
  const isProjected = key?.length === query.length && key[0] === query[0];
  const keys = (isProjected ? key : query).at(-2) ?? 0;
  if (isProjected) return (product(query) + product(out)) * keys;
  return product(out) * (2 * keys + 3 * lastAxis(run));
};

/** Multiply-adds of one matrix product (MatMul, Gemm and their fused or integer forms) or whole attention; else 0. */
export const multiplyAdds = (run: NodeRun): number => {
  if (['Attention', 'MultiHeadAttention'].includes(run.op)) return attentionProducts(run);
  const contraction = contractions.get(run.op);
  return contraction === undefined ? 0 : product(run.outputs[0] ?? []) * contraction(run);
};
