import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeMessage, MessageReader } from '../vitest/messages.ts';

test('messages arrive as they were sent, however their bytes do', () => {
  const message = fc.oneof(fc.string(), fc.integer(), fc.constant(undefined), fc.object(), fc.uint8Array());
  fc.assert(
    fc.property(fc.array(message), fc.integer({ min: 1, max: 40 }), (messages, size) => {
      const bytes = Buffer.concat(messages.map(encodeMessage));
      const reader = new MessageReader();
      const got: unknown[] = [];
      for (let at = 0; at < bytes.length; at += size) got.push(...reader.push(bytes.subarray(at, at + size)));
      expect(got).toEqual(messages);
    }),
  );
});
