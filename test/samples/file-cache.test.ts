/** Decoded files are kept while there is room, the last one always. */
import { expect, test } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import { fileCache, type Arrays } from '../../src/samples/file-cache.ts';

test('the files used last stay', () => {
  const decoded: string[] = [];
  const cache = fileCache(100);
  const read = (file: string, bytes: number): Arrays =>
    cache.of(file, () => {
      decoded.push(file);
      return new Map([['x', { dataType: DataType.UINT8, dims: [bytes], data: new Uint8Array(bytes) }]]);
    });
  for (const file of ['a', 'b', 'a']) read(file, 50);
  expect(decoded).toEqual(['a', 'b']);
  read('c', 50);
  read('a', 50);
  expect(decoded).toEqual(['a', 'b', 'c']);
  read('large', 500);
  read('large', 500);
  read('a', 50);
  expect(decoded).toEqual(['a', 'b', 'c', 'large', 'a']);
});
