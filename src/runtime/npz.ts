/**
 * Reads and writes NumPy archives (.npz) and arrays (.npy, format 1 to 3): sample data and recorded results.
 * Numeric and boolean arrays only; nothing is ever unpickled, so a file cannot run code.
 */
import { unzipSync, zipSync } from 'fflate';
import { CompileError } from '../diagnostics/diagnostic.ts';
import { npyObjectArray, npyUnreadable, npyUnsupportedType, npzUnreadable } from '../diagnostics/messages-runtime.ts';
import { DataType } from '../graph/model.ts';
import { elementCount } from '../graph/tensors.ts';
import { elementsOf, type TensorData } from './tensor-data.ts';

/** An array as it lies in a file, made row-major and little-endian. */
export interface NpyArray {
  /** ONNX element type. */
  readonly dtype: DataType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
}

const types: Readonly<Record<string, { dtype: DataType; size: number }>> = {
  b1: { dtype: DataType.BOOL, size: 1 },
  i1: { dtype: DataType.INT8, size: 1 },
  i2: { dtype: DataType.INT16, size: 2 },
  i4: { dtype: DataType.INT32, size: 4 },
  i8: { dtype: DataType.INT64, size: 8 },
  u1: { dtype: DataType.UINT8, size: 1 },
  u2: { dtype: DataType.UINT16, size: 2 },
  u4: { dtype: DataType.UINT32, size: 4 },
  u8: { dtype: DataType.UINT64, size: 8 },
  f2: { dtype: DataType.FLOAT16, size: 2 },
  f4: { dtype: DataType.FLOAT, size: 4 },
  f8: { dtype: DataType.DOUBLE, size: 8 },
};

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];

const swapped = (bytes: Uint8Array, size: number): Uint8Array => {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = bytes[i - (i % size) + size - 1 - (i % size)] as number;
  return out;
};

/** Column-major bytes as row-major ones. */
const rowMajor = (bytes: Uint8Array, dims: readonly number[], size: number): Uint8Array => {
  const out = new Uint8Array(bytes.length);
  const index = dims.map(() => 0);
  for (let row = 0; row * size < bytes.length; row++) {
    let column = 0;
    for (let axis = dims.length - 1; axis >= 0; axis--)
      column = column * (dims[axis] as number) + (index[axis] as number);
    out.set(bytes.subarray(column * size, column * size + size), row * size);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (dims[axis] as number)) break;
      index[axis] = 0;
    }
  }
  return out;
};

/** The three fields of the header, which is a Python dict literal of a fixed form. */
const headerFields = (array: string, header: string) => {
  const fail = (field: string): never => {
    throw new CompileError(npyUnreadable(array, `its header has no readable '${field}'`));
  };
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1] ?? fail('fortran_order');
  const shape = /'shape'\s*:\s*\(([^)]*)\)/.exec(header)?.[1] ?? fail('shape');
  const dims = shape
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => (/^\d+L?$/.test(part) ? Number.parseInt(part, 10) : fail('shape')));
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1];
  // A list of fields: a structured array.
  if (descr === undefined) throw new CompileError(npyUnsupportedType(array, 'a structured record'));
  return { fortran: order === 'True', dims, descr };
};

/**
 * Reads one .npy file. `name` is how messages call it.
 * Throws CompileError: npy-unreadable, npy-object-array, npy-unsupported-type.
 */
export const readNpy = (bytes: Uint8Array, name: string): NpyArray => {
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new CompileError(npyUnreadable(name, 'it does not start with the NumPy signature'));
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = (bytes[6] as number) >= 2;
  const start = long ? 12 : 10;
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > bytes.length) throw new CompileError(npyUnreadable(name, 'it ends inside its header'));
  const { fortran, dims, descr } = headerFields(name, new TextDecoder('latin1').decode(bytes.subarray(start, end)));
  if (descr.includes('O')) throw new CompileError(npyObjectArray(name));
  const type = /^[<>|=]?([biuf][1248])$/.exec(descr)?.[1];
  const known = type === undefined ? undefined : types[type];
  if (known === undefined) throw new CompileError(npyUnsupportedType(name, `'${descr}'`));
  const length = elementCount(dims) * known.size;
  if (bytes.length - end < length) {
    throw new CompileError(npyUnreadable(name, `it holds ${bytes.length - end} of ${length} bytes`));
  }
  const raw = bytes.subarray(end, end + length);
  const little = descr.startsWith('>') && known.size > 1 ? swapped(raw, known.size) : raw;
  const order = fortran && dims.length > 1 ? rowMajor(little, dims, known.size) : little;
  return { dtype: known.dtype, dims, bytes: order };
};

/**
 * Reads an .npz archive: arrays by name, in the order they were written. `file` is named in messages.
 * Throws CompileError: npz-unreadable and what readNpy throws.
 */
export const readNpz = (bytes: Uint8Array, file?: string): Map<string, NpyArray> => {
  let members: Record<string, Uint8Array>;
  try {
    members = unzipSync(bytes);
  } catch (error) {
    throw new CompileError(npzUnreadable(file, error instanceof Error ? error.message : String(error)), {
      cause: error,
    });
  }
  const arrays = Object.entries(members).filter(([name]) => name.endsWith('.npy'));
  return new Map(arrays.map(([name, member]) => [name.slice(0, -4), readNpy(member, name.slice(0, -4))]));
};

/** An array's elements, ready for a run. */
export const tensorOf = (array: NpyArray): TensorData => ({
  dataType: array.dtype,
  dims: array.dims,
  // Every type of the table above has elements.
  data: elementsOf(array.dtype, array.bytes) as TensorData['data'],
});

const npyBytes = (array: NpyArray): Uint8Array => {
  const descr = Object.entries(types).find(([, type]) => type.dtype === array.dtype)?.[0];
  if (descr === undefined) throw new CompileError(npyUnsupportedType('', String(array.dtype)));
  const shape = array.dims.length === 1 ? `${array.dims[0]},` : array.dims.join(', ');
  const text = `{'descr': '${descr.endsWith('1') ? '|' : '<'}${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  // The data start at a multiple of 64, the header ends in a newline.
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const out = new Uint8Array(length + array.bytes.length).fill(0x20, 0, length);
  out.set([...MAGIC, 1, 0]);
  new DataView(out.buffer).setUint16(8, length - 10, true);
  out.set(new TextEncoder().encode(text), 10);
  out[length - 1] = 0x0a;
  out.set(array.bytes, length);
  return out;
};

/** Writes an .npz archive that numpy.load reads; the same arrays give the same bytes. */
export const writeNpz = (arrays: ReadonlyMap<string, NpyArray>): Uint8Array =>
  zipSync(
    Object.fromEntries([...arrays].map(([name, array]) => [`${name}.npy`, npyBytes(array)])),
    // A fixed date: ZIP's first year.
    { level: 6, mtime: new Date(1980, 0, 1, 0, 0, 0) },
  );
