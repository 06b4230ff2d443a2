/**
 * Where lanes are born (semantics.md, Words): text where ids meet an embedding table, image where a picture is cut
 * into patches by a convolution or where region features enter as a float input; and at every TokenReduce, whose
 * outputs are the shortened lane. Names are looked at only where the user gives them.
 */
import { DataType, type GraphValue, type Model, type Node, type ValueName } from '../graph/model.ts';
import { intsOf } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { memoised } from '../support/memo.ts';
import { subDims, sumDims, type Dim } from './dim.ts';
import { inputsBehind } from './dependencies.ts';
import { plainAxis, rowsAxis, tokensAxis, type Axis, type LaneName, type Labels, type Segment } from './labels.ts';
import { shapesOf } from './shapes.ts';

/** One run of tokens of an input given by the user; `length` undefined takes what is left of the axis. */
export interface HintedSegment {
  readonly lane: LaneName;
  readonly length?: Dim;
}

/** The user's word on where lanes are born: `--text-input`, `--image-input`, `--lanes`. */
export interface LaneHints {
  readonly textInput?: ValueName;
  readonly imageInput?: ValueName;
  /** Inputs that are token embeddings already, axis 1 laid out as given. */
  readonly embeddings?: ReadonlyMap<ValueName, readonly HintedSegment[]>;
}

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);

const trueInputs = (model: Model): readonly GraphValue[] =>
  model.graph.inputs.filter((i) => !model.graph.constants.has(i.name));

const isFloat = (input: GraphValue): boolean => input.type !== undefined && floats.has(input.type.dataType);

/** Gather, or ONNX Runtime's from a table of a few bits; both along axis 0 unless they say otherwise. */
export const gathersRows = (node: Node): boolean =>
  (node.domain === '' && node.op === 'Gather') ||
  (node.domain === 'com.microsoft' && node.op === 'GatherBlockQuantized');

/** Inputs [batch, tokens, width] that may hold embeddings: which tokens, only the user can say. */
export const embeddingInputs = (model: Model): readonly ValueName[] =>
  trueInputs(model)
    .filter((input) => isFloat(input) && shapesOf(model).of(input.name)?.dims?.length === 3)
    .map((input) => input.name);

/** A lookup of ids that come from an input in a constant table: Gather(table [V, D], ids [.., T]). */
const isLookup = (model: Model, node: Node): boolean =>
  gathersRows(node) &&
  constantTableRank(model, node.inputs[0] ?? '') === 2 &&
  inputsBehind(model)(node.inputs[1] ?? '').size > 0;

/** Rank of an embedding table: an initializer, perhaps behind a dequantisation or a cast. */
const constantTableRank = (model: Model, value: ValueName): number | undefined => {
  if (inputsBehind(model)(value).size > 0) return undefined;
  return constantTensor(model, value)?.dims.length ?? shapesOf(model).of(value)?.dims?.length;
};

const hasLookup: (model: Model) => boolean = memoised((model) => model.graph.nodes.some((n) => isLookup(model, n)));

/** Axis 1 of an embeddings input, cut as the user says. */
const hintedAxis = (dim: Dim, segments: readonly HintedSegment[]): Axis => {
  const given = sumDims(segments.flatMap((s) => (s.length === undefined ? [] : [s.length])));
  return tokensAxis(segments.map((s) => ({ lane: s.lane, length: s.length ?? subDims(dim, given), version: '' })));
};

/** Labels graph inputs are born with. */
export const inputLabels = (model: Model, hints: LaneHints): ReadonlyMap<ValueName, Labels> => {
  const born = new Map<ValueName, Labels>();
  const shapes = shapesOf(model);
  for (const input of trueInputs(model)) {
    const dims = shapes.of(input.name)?.dims;
    if (dims === undefined || !isFloat(input) || dims.length !== 3) continue;
    const [batch, tokens, width] = dims as [Dim, Dim, Dim];
    const segments = hints.embeddings?.get(input.name);
    if (segments !== undefined) {
      born.set(input.name, [rowsAxis(batch), hintedAxis(tokens, segments), plainAxis(width)]);
      continue;
    }
    if (hints.imageInput === undefined ? !hasLookup(model) : hints.imageInput !== input.name) continue;
    born.set(input.name, [
      rowsAxis(batch),
      tokensAxis([{ lane: 'image', length: tokens, version: '' }]),
      plainAxis(width),
    ]);
  }
  return born;
};

const comesFrom = (model: Model, value: ValueName, wanted: ValueName | undefined): boolean => {
  const behind = inputsBehind(model)(value);
  return wanted === undefined ? behind.size > 0 : behind.has(wanted);
};

/** Where words lie on an axis of ids: the last one, unless the model turned them first ([T, B] code). */
const wordAxis = (model: Model, ids: ValueName, rank: number): number => {
  let perm = Array.from({ length: rank }, (_, i) => i);
  for (let value = ids; ;) {
    const node = usesOf(model.graph).producer(value);
    if (node?.op === 'Transpose') {
      const turn = intsOf(node, 'perm') ?? perm.map((_, i) => rank - 1 - i);
      perm = perm.map((from) => turn[from] as number);
    } else if (node?.op !== 'Cast' && node?.op !== 'Identity') return perm.indexOf(rank - 1);
    value = node.inputs[0] ?? '';
  }
};

const bornText = (model: Model, hints: LaneHints, node: Node): Labels | undefined => {
  if (!isLookup(model, node)) return undefined;
  const ids = node.inputs[1] ?? '';
  // Lookups of ids that depend on float inputs (boxes cut from features) take the lane of what they join.
  if ([...inputsBehind(model)(ids)].some((i) => isFloat(trueInputs(model).find((g) => g.name === i) as GraphValue)))
    return undefined;
  if (!comesFrom(model, ids, hints.textInput)) return undefined;
  const dims = shapesOf(model).of(ids)?.dims;
  if (dims === undefined || dims.length === 0 || dims.length > 2) return undefined;
  const out = shapesOf(model).of(node.outputs[0] ?? '')?.dims;
  const axis = wordAxis(model, ids, dims.length);
  const length = dims[axis] as Dim;
  const token: Segment = { lane: 'text', length, version: '', weak: true };
  return out?.map((dim, i) => (i === axis ? tokensAxis([token]) : i < dims.length ? rowsAxis(dim) : plainAxis(dim)));
};

const bornImage = (model: Model, hints: LaneHints, node: Node): Labels | undefined => {
  // QLinearConv, a picture in integers, begins nothing: attention in integers is not read anyway.
  if (!['Conv', 'ConvInteger'].includes(node.op) || node.domain !== '') return undefined;
  const pixels = [...inputsBehind(model)(node.inputs[0] ?? '')].filter(
    (name) => hints.imageInput === undefined || hints.imageInput === name,
  );
  // Rank 5: several pictures a row, [B, pictures, C, H, W], each cut off before its convolution.
  const fromPicture = pixels.some((name) => [4, 5].includes(shapesOf(model).of(name)?.dims?.length ?? 0));
  const out = shapesOf(model).of(node.outputs[0] ?? '')?.dims;
  if (!fromPicture || out?.length !== 4) return undefined;
  const [b, c, h, w] = out as [Dim, Dim, Dim, Dim];
  return [rowsAxis(b), plainAxis(c), [{ dim: h, grid: 'h' }], [{ dim: w, grid: 'w' }]];
};

/** Labels the first output of a node is born with, where a lane begins there. */
export const bornIn = (model: Model, hints: LaneHints, node: Node): Labels | undefined =>
  bornText(model, hints, node) ?? bornImage(model, hints, node);
