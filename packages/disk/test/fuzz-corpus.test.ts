import { expect, test } from 'vitest';
import { testCorpus } from '../../../tools/fuzz/corpus-suite.ts';
import { TARGETS } from '../fuzz/targets.ts';
import { pack, unpack, type Window } from '../fuzz/windows.ts';

testCorpus('disk', TARGETS);

test('an image that is put together of its windows has in them what it had', () => {
  const windows: readonly Window[] = [
    { position: 64, length: 100 },
    { position: 5000, length: 10 },
    { position: -512, length: 512 },
  ];
  const packed = Buffer.from(Array.from({ length: 622 }, (_, i) => i % 251));
  const { length, pieces } = unpack(packed, windows);
  const image = Buffer.alloc(length);
  for (const { position, bytes } of pieces) image.set(bytes, position);
  expect(pack(image, windows)).toEqual(packed);
  // Nothing is left of it for the next one.
  expect(unpack(new Uint8Array(0), windows).pieces.every(({ bytes }) => bytes.every((b) => b === 0))).toBe(
    true,
  );
});
