import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EscapeFilter } from '../src/run/escape.ts';

const A = '\x01';

/** The forwarded text and the actions for pieces of input. */
function filter(...pieces: string[]): [string, string[]] {
  const filter = new EscapeFilter();
  const results = pieces.map((piece) => filter.push(Buffer.from(piece, 'latin1')));
  const text = results.map(({ forward }) => Buffer.from(forward).toString('latin1')).join('');
  return [text, results.flatMap(({ actions }) => actions)];
}

test.each<[string[], string, string[]]>([
  [['ls\r'], 'ls\r', []],
  [[`a${A}x`], 'a', ['quit']],
  [[`a${A}x behind`], 'a', ['quit']],
  [[`a${A}`, 'xb'], 'a', ['quit']],
  [[`${A}\x18`], '', ['quit']],
  [[`${A}${A}`], A, []],
  [[A, A, 'x'], `${A}x`, []],
  [[`${A}h${A}?z`], 'z', ['help', 'help']],
  [[`${A}q`], `${A}q`, []],
  [[A, 'q'], `${A}q`, []],
  [[A], '', []],
])('%j', (pieces, forward, actions) => {
  expect(filter(...pieces)).toEqual([forward, actions]);
});

test('property: how the input is cut into pieces does not matter', () => {
  const input = fc.array(fc.constantFrom(A, 'x', 'h', 'a', '\xff'), { maxLength: 20 });
  fc.assert(
    fc.property(input, fc.nat(), (bytes, at) => {
      const text = bytes.join('');
      const whole = filter(text);
      if (whole[1].includes('quit')) return;
      const cut = at % (text.length + 1);
      expect(filter(text.slice(0, cut), text.slice(cut))).toEqual(whole);
      expect(filter(...text)).toEqual(whole);
    }),
  );
});

test('property: input without Ctrl-A passes as it is, and doubled Ctrl-A comes out single', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1');
      expect(filter(text.replaceAll(A, A + A))).toEqual([text, []]);
    }),
  );
});
