import { expect, test } from 'vitest';
import { I8042 } from '../../src/index.ts';
import { registersOf } from '../support/registers.ts';

const COMMAND = 0;

test('command 0xFE resets the machine, and no other does', () => {
  const requests: string[] = [];
  const { read, write } = registersOf(new I8042((detail) => requests.push(detail)));
  for (let command = 0; command < 0x100; command++) if (command !== 0xfe) write(COMMAND, command);
  expect(requests).toEqual([]);
  write(COMMAND, 0xfe);
  expect(requests).toEqual(['the guest asked for a reset (keyboard controller)']);
  expect(read(COMMAND)).toBe(0);
});
