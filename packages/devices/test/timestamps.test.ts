import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type SerialSink, withTimestamps } from '../src/index.ts';

/** A sink that keeps what it gets, with the time at which it does. */
function collect(now: () => number) {
  const written: Buffer[] = [];
  const sink: SerialSink = {
    name: 'memory',
    async write(bytes) {
      written.push(Buffer.from(bytes));
    },
    async [Symbol.asyncDispose]() {},
  };
  return { sink: withTimestamps(sink, now), text: () => Buffer.concat(written).toString() };
}

const STAMP = '[ 2024-02-29 23:59:58.007000000 ]: ';

test('each line begins with the time at which its first byte came', async () => {
  let time = Date.UTC(2024, 1, 29, 23, 59, 58, 7);
  const { sink, text } = collect(() => time);
  await sink.write(Buffer.from('one\ntw'));
  time += 1000;
  await sink.write(Buffer.from('o\n'));
  await sink.write(Buffer.from('\nthree'));
  const later = '[ 2024-02-29 23:59:59.007000000 ]: ';
  expect(text()).toBe(`${STAMP}one\n${STAMP}two\n${later}\n${later}three`);
});

test('however output is cut, what is left without the times is what was written', async () => {
  const pieces = fc.array(fc.string({ unit: fc.constantFrom('a', '\n', '\r', ' ') }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(pieces, async (list) => {
      const { sink, text } = collect(() => Date.UTC(2024, 1, 29, 23, 59, 58, 7));
      for (const piece of list) await sink.write(Buffer.from(piece));
      const lines = text().split('\n');
      const ended = lines.slice(0, -1);
      expect(ended.every((line) => line.startsWith(STAMP))).toBe(true);
      expect(text().replaceAll(STAMP, '')).toBe(list.join(''));
    }),
  );
});
