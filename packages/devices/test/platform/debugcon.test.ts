import { expect, test } from 'vitest';
import { ByteRing, Debugcon, describeDebugcon } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

test('what firmware writes comes out, and it can tell that somebody listens', () => {
  const output = ByteRing.create();
  const { read, write } = registersOf(new Debugcon(structuredClone(describeDebugcon({ output }))));
  expect(read(0)).toBe(0xe9);
  for (const byte of Buffer.from('SeaBIOS')) write(0, byte);
  expect(Buffer.from(output.peek()).toString()).toBe('SeaBIOS');
});
