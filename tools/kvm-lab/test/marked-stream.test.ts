import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MarkedStream } from '../marked-stream.ts';

const MARK = '\u0001mark';
const chunksOf = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].toSorted((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
};

test('gives each reader what belongs to it, however the bytes arrive', async () => {
  // Beginnings of marks are likely in these.
  const output = fc.array(fc.constantFrom('\u0001', '\u0001mar', 'a', '\n', 'ä'), { maxLength: 20 });
  const cuts = fc.array(fc.nat(), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(fc.array(output, { minLength: 1, maxLength: 4 }), cuts, async (outputs, places) => {
      const expected = outputs.map((parts) => parts.join(''));
      fc.pre(expected.every((text) => !text.includes(MARK)));
      const stream = new MarkedStream();
      const bytes = Buffer.from(expected.map((text, index) => `${text}${MARK} ${index}\n`).join(''));
      const { signal } = new AbortController();
      const reading = (async () => {
        const got: string[] = [];
        for (const index of expected.keys()) {
          const chunks: Buffer[] = [];
          expect(await stream.readTo(MARK, (data) => chunks.push(data), signal)).toBe(`${index}`);
          got.push(Buffer.concat(chunks).toString());
        }
        return got;
      })();
      for (const chunk of chunksOf(bytes, places)) {
        stream.push(chunk);
        await Promise.resolve();
      }
      expect(await reading).toEqual(expected);
    }),
  );
});

test('a reader gives up when the stream has ended', async () => {
  const stream = new MarkedStream();
  const ended = new AbortController();
  const reading = stream.readTo(MARK, () => {}, ended.signal);
  ended.abort(new Error('gone'));
  await expect(reading).rejects.toThrow();
});
