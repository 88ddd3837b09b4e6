import { expect, test } from 'vitest';
import { BareMachine, GuestProgram } from './guest-program.ts';
import { randomProgram, STATE_SIZE } from './random-program.ts';

/** Names the first difference of two final states. */
function difference(actual: Uint8Array, expected: Uint8Array): string | undefined {
  const at = expected.findIndex((byte, index) => byte !== actual[index]);
  if (at === -1 && actual.length === expected.length) {
    return undefined;
  }
  const register = Math.floor(at / 8) + 1;
  const place = register < 32 ? `x${register}` : register < 64 ? `f${register - 32}` : `byte ${at}`;
  const start = at & ~7;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(start, start + 8)).toString('hex');
  return `${place}: ${hex(actual)}, expected ${hex(expected)}`;
}

const SEEDS = Array.from({ length: 14 }, (_, index) => 1000 + index * 77);

test.each(SEEDS)('random program %i ends alike in QEMU, in the interpreter and in regions', (seed) => {
  using program = new GuestProgram(randomProgram(seed, 60 + (seed % 5) * 60));
  const expected = program.runInQemu();
  expect(expected.length).toBe(STATE_SIZE);
  for (const hotThreshold of [0, 1, 3]) {
    const machine = new BareMachine(program.elf, hotThreshold);
    machine.hart.run();
    expect(
      difference(Uint8Array.from(machine.output), expected),
      `threshold ${hotThreshold}`,
    ).toBeUndefined();
    if (hotThreshold > 0) {
      expect(machine.regions?.statistics.regions).toBeGreaterThan(0);
    }
  }
});

test.each([5, 6, 7])(
  'program %i ends alike when regions are small, come in batches, and make room for each other',
  (seed) => {
    using program = new GuestProgram(randomProgram(seed, 200));
    const machine = new BareMachine(program.elf, 2, {
      maximumCodeSize: 4000,
      batchSize: 3,
      limits: { maximumInstructions: 40, maximumCodeSize: 1500 },
    });
    machine.hart.run();
    expect(difference(Uint8Array.from(machine.output), program.runInQemu())).toBeUndefined();
    // The newest module may stay whatever its size: three regions at most.
    expect(machine.regions?.statistics.codeSize).toBeLessThan(4000 + 3 * 2000);
  },
);
