/**
 * Tells from a file's first bytes what it is when it is not an ONNX model. Guesses only for the message's sake.
 */
const startsWith = (bytes: Uint8Array, text: string, at = 0): boolean =>
  [...text].every((c, i) => bytes[at + i] === c.charCodeAt(0));

export const isLfsPointer = (bytes: Uint8Array): boolean => startsWith(bytes, 'version https://git-lfs');

/** ONNX Runtime's own format: a flatbuffer with this identifier. */
export const isOrtFormat = (bytes: Uint8Array): boolean => startsWith(bytes, 'ORTM', 4);

const EXPORT_FIRST = 'export it to ONNX first (torch.onnx.export, optimum-cli export onnx)';

/** What the file seems to be, with an article, and what to do about it; undefined where nothing is recognised. */
export const looksLike = (bytes: Uint8Array): { what: string; fix?: string } | undefined => {
  const text = Buffer.from(bytes.subarray(0, 256))
    .toString('latin1')
    .replace(/^\xEF\xBB\xBF/, '')
    .trimStart();
  if (startsWith(bytes, 'PK\x03\x04'))
    return {
      what: 'a zip archive (PyTorch saves checkpoints so)',
      fix: `unpack it, or if it is a checkpoint ${EXPORT_FIRST}`,
    };
  if (bytes[0] === 0x80 && (bytes[1] ?? 9) <= 5) return { what: 'a Python pickle', fix: EXPORT_FIRST };
  if (/^<(!doctype|html|\?xml|head)/i.test(text))
    return { what: 'a web page', fix: 'the download went wrong: open the link in a browser to see what it answers' };
  if (/^<\s*ir_version/.test(text)) return { what: 'a model in ONNX text form', fix: 'save it in binary form' };
  if (bytes[8] === 0x7b && (bytes[9] === 0x22 || bytes[9] === 0x7d) && bytes[7] === 0)
    return { what: 'a safetensors file', fix: EXPORT_FIRST };
  if (/^[[{]/.test(text)) return { what: 'a JSON file' };
  if (startsWith(bytes, 'GGUF')) return { what: 'a GGUF file' };
  if (startsWith(bytes, 'TFL3', 4)) return { what: 'a TensorFlow Lite model' };
  if (startsWith(bytes, '\x89HDF')) return { what: 'an HDF5 file' };
  if (startsWith(bytes, '\x93NUMPY')) return { what: 'a NumPy array' };
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return { what: 'a gzip archive', fix: 'unpack it first' };
  return undefined;
};
