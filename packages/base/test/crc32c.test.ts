import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../src/index.ts';

const sum = (bytes: Uint8Array) => ~crc32c(0xffff_ffff, bytes) >>> 0;

test.each([
  ['the check value of the catalogue of parametrised CRCs', Buffer.from('123456789'), 0xe306_9283],
  ['RFC 3720, B.4: 32 bytes of zeroes', Buffer.alloc(32), 0x8a91_36aa],
  ['RFC 3720, B.4: 32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8_ab43],
  ['RFC 3720, B.4: 32 incrementing bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e],
])('%s', (_, bytes, expected) => {
  expect(sum(bytes)).toBe(expected);
});

test('goes on where it ended', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      expect(crc32c(crc32c(0xffff_ffff, bytes, 0, at), bytes, at)).toBe(crc32c(0xffff_ffff, bytes));
    }),
  );
});
