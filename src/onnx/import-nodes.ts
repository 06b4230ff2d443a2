/**
 * NodeProto and AttributeProto to the compiler's nodes and attributes. Each remembers the message it came from and
 * what was read from it, by which export.ts tells changed parts from untouched ones.
 */
import { isUtf8 } from 'node:buffer';
import type { Attr, Body, Node } from '../graph/model.ts';
import { numberOf, textFromBytes, type AttributeProto, type GraphProto, type NodeProto } from './proto.ts';
import { importTensor } from './tensor-data.ts';
import { capturesOf } from './wiring.ts';

/** AttributeProto.AttributeType, as far as attributes are looked into. */
export const AttrType = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

/** What an imported attribute remembers. */
export interface AttrOrigin {
  readonly proto: AttributeProto;
  readonly was?: unknown;
}

/** What an imported node remembers. */
export interface NodeOrigin {
  readonly proto: NodeProto;
  readonly was: Omit<Node, 'origin'>;
}

/** The default domain has two spellings. */
export const domainOf = (domain: string | undefined): string => (domain === 'ai.onnx' ? '' : (domain ?? ''));

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

const floatFromBits = (bits: number): number => {
  floatBits[0] = bits;
  return float[0] as number;
};

export const bitsFromFloat = (value: number): number => {
  float[0] = value;
  return floatBits[0] as number;
};

/** Files older than IR 2 leave the type out; the field in use tells it. */
const typeOf = (proto: AttributeProto): number => {
  if (proto.type !== undefined && proto.type !== 0) return proto.type;
  const used = (key: keyof AttributeProto): boolean => Object.hasOwn(proto, key);
  const fields = { f: 1, i: 2, s: 3, t: 4, g: 5, floats: 6, ints: 7, strings: 8 } as const;
  for (const [field, type] of Object.entries(fields)) if (used(field as keyof AttributeProto)) return type;
  return 0;
};

/** Undefined where it holds what the picture leaves out. */
const importBody = (proto: GraphProto): Body | undefined =>
  (proto.sparseInitializer ?? []).length > 0
    ? undefined
    : {
        inputs: (proto.input ?? []).map((v) => v.name ?? ''),
        outputs: (proto.output ?? []).map((v) => v.name ?? ''),
        nodes: (proto.node ?? []).map(importNode),
        constants: new Map((proto.initializer ?? []).map((t) => [t.name ?? '', importTensor(t)])),
      };

export const importAttr = (proto: AttributeProto): Attr => {
  const keep = <K extends Attr['kind'], V>(kind: K, value: V) => ({
    kind,
    value,
    origin: { proto, was: value } satisfies AttrOrigin,
  });
  const opaque = { kind: 'opaque', origin: { proto } satisfies AttrOrigin } as const;
  if (proto.refAttrName !== undefined && proto.refAttrName !== '') return keep('reference', proto.refAttrName);
  switch (typeOf(proto)) {
    case AttrType.float:
      return keep('float', floatFromBits(proto.f ?? 0));
    case AttrType.int:
      return keep('int', numberOf(proto.i));
    case AttrType.string: {
      const bytes = Object.hasOwn(proto, 's') && proto.s ? proto.s : new Uint8Array();
      return isUtf8(bytes) ? keep('string', textFromBytes(bytes)) : opaque;
    }
    case AttrType.tensor:
      return proto.t ? keep('tensor', importTensor(proto.t)) : opaque;
    case AttrType.graph: {
      const body = proto.g ? importBody(proto.g) : undefined;
      return body ? keep('body', body) : opaque;
    }
    case AttrType.floats:
      return keep('floats', (proto.floats ?? []).map(floatFromBits));
    case AttrType.ints:
      return keep('ints', (proto.ints ?? []).map(numberOf));
    case AttrType.strings:
      return (proto.strings ?? []).every((s) => isUtf8(s))
        ? keep('strings', (proto.strings ?? []).map(textFromBytes))
        : opaque;
    default:
      return opaque;
  }
};

export const importNode = (proto: NodeProto): Node => {
  const was = {
    name: proto.name ?? '',
    op: proto.opType ?? '',
    domain: domainOf(proto.domain),
    inputs: proto.input ?? [],
    outputs: proto.output ?? [],
    attrs: Object.fromEntries((proto.attribute ?? []).map((attr) => [attr.name ?? '', importAttr(attr)])),
    captures: capturesOf(proto),
  };
  return { ...was, origin: { proto, was } satisfies NodeOrigin };
};
