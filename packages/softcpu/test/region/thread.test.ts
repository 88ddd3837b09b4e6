import { expect, test } from 'vitest';
import { SoftMemory } from '../../src/core/memory.ts';
import type { RegionInstaller } from '../../src/core/region/region-installer.ts';
import { Hart } from '../../src/riscv64/hart.ts';
import { attachTranslation, startTranslation } from '../../src/riscv64/regions.ts';
import { CODE_BASE, GuestProgram } from './guest-program.ts';

/** Two loops without end that add up, one for each hart, with a call to the firmware now and then. */
const PROGRAM = `
  .globl _start
_start:
  li s0, 0
  li s1, 0
outer:
  li s2, 100
inner:
  addi s0, s0, 3
  call add
  addi s2, s2, -1
  bnez s2, inner
  ecall
  j outer
add:
  add s1, s1, s0
  ret
`;

test('a thread translates for all harts, which share its modules', async () => {
  using program = new GuestProgram(PROGRAM);
  const memory = SoftMemory.create({ harts: 2, ramBase: CODE_BASE, ramSize: 1 << 16, codeSize: 1 << 20 });
  memory.ram.set(program.read(CODE_BASE, 4096));
  await using translation = startTranslation(memory);
  await translation.ready;
  for (const id of [0, 1]) {
    let regions: RegionInstaller | undefined;
    let rounds = 0;
    const hart: Hart = new Hart(
      memory,
      id,
      {
        mmioRead: () => false,
        mmioWrite: () => false,
        supervisorCall: () => {
          rounds++;
          const count = BigInt(rounds) * 100n;
          expect(hart.register(8)).toBe(Number(3n * count));
          expect(BigInt.asUintN(64, BigInt(hart.register(9)))).toBe((3n * count * (count + 1n)) / 2n);
          if (regions !== undefined && regions.statistics.regions > 0) {
            hart.requestStop();
          }
        },
        readTime: () => 0,
        millisecondsUntil: () => Number.POSITIVE_INFINITY,
      },
      { hotThreshold: 50 },
    );
    regions = attachTranslation(hart, translation.port(id));
    hart.reset(CODE_BASE, 0, 0);
    hart.run();
    expect(regions.statistics.regions).toBeGreaterThan(0);
  }
});
