/**
 * Decides which tensors have their data inside the model file and which in the file beside it, and lays that file out.
 * Data is referred to, never read.
 */
import { memorySource, type ByteSource, type Slice } from '../support/byte-source.ts';
import { LARGE } from './located.ts';
import type { ModelProto } from './proto.ts';
import { rawLength, rawSlice, withExternalData, withRawData } from './tensor-data.ts';
import { mapTensors } from './tensor-tree.ts';

export interface Placement {
  readonly proto: ModelProto;
  /** Name of the file beside the model. */
  readonly location?: string;
  /** Its contents; empty where nothing is external. */
  readonly data: readonly Slice[];
}

/** Large tensors start on a page, so that they can be mapped into memory; others on a cache line. */
const alignmentOf = (length: number): number => (length >= 1 << 20 ? 4096 : 64);

const layout = (): { data: Slice[]; add: (slice: Slice) => number } => {
  const data: Slice[] = [];
  const known = new Map<ByteSource, Map<string, number>>();
  let end = 0;
  return {
    data,
    // Tensors that shared their data go on sharing it.
    add: (slice) => {
      const places = known.get(slice.source) ?? new Map<string, number>();
      known.set(slice.source, places);
      const key = `${slice.offset}+${slice.length}`;
      const there = places.get(key);
      if (there !== undefined) return there;
      const alignment = alignmentOf(slice.length);
      const offset = Math.ceil(end / alignment) * alignment;
      if (offset > end) data.push({ source: zeros, offset: 0, length: offset - end });
      data.push(slice);
      end = offset + slice.length;
      places.set(key, offset);
      return offset;
    },
  };
};

const zeros = memorySource('padding', new Uint8Array(4096));

/**
 * `inline`: all data inside. `keep`: what was external goes to `location`, what was inside stays. `move`: initializers
 * of the main graph and whatever was external go to `location`, from 1 KiB up; the rest is inside.
 */
export const placeTensors = (model: ModelProto, mode: 'inline' | 'keep' | 'move', location?: string): Placement => {
  const { data, add } = layout();
  const proto = mapTensors(model, (tensor, role) => {
    const wasExternal = tensor.external !== undefined;
    const movable = wasExternal || (mode === 'move' && role === 'initializer' && rawLength(tensor) !== undefined);
    if (!movable) return tensor;
    const raw = rawSlice(tensor);
    const goesOut = mode === 'keep' || (mode === 'move' && raw.length >= LARGE);
    if (!goesOut || location === undefined) return wasExternal ? withRawData(tensor, raw) : tensor;
    return withExternalData(tensor, location, add(raw), raw.length);
  });
  return location === undefined ? { proto, data } : { proto, location, data };
};
