import { expect, test } from 'vitest';
import { discoverRegion, type FetchPage, pagesOf } from '../../src/core/region/control-flow.ts';
import { Flow } from '../../src/core/region/region-architecture.ts';
import { riscvRegions } from '../../src/riscv64/region-architecture.ts';
import { CODE_BASE, GuestProgram, symbols } from './guest-program.ts';

/** Pages of a program, of which those that `known` says are mapped; physical page n + 100 is the n-th of the program. */
function fetchFrom(program: GuestProgram, known: (page: number) => boolean = () => true): FetchPage {
  return (page) =>
    page >= 0 && known(page)
      ? { physicalPage: page + 100, bytes: program.read(CODE_BASE + page * 4096, 4096) }
      : undefined;
}

const CALLS = `
  .globl _start
  .option norvc
_start:
  li a0, 10
loop:
  call near
first_site:
  call far
second_site:
  addi a0, a0, -1
  bnez a0, loop
  csrr a1, time
  ebreak
near:
  addi a1, a1, 1
  beqz a1, 1f
  ret
1:
  nop
  ret
  .balign 4096
far:
  addi a2, a2, 1
  ret
`;

test('regions follow calls to other pages, and returns to where those came from', () => {
  using program = new GuestProgram(CALLS, ['-Wl,--no-relax']);
  const at = symbols(program, CODE_BASE);
  const region = discoverRegion(riscvRegions, fetchFrom(program), at('_start'), 500);
  const blocks = region?.blocks ?? new Map();
  const returns = [...blocks.values()].filter(({ flow }) => flow === Flow.return);
  expect(returns.map(({ returnsTo }) => returnsTo)).toEqual(
    [[at('first_site')], [at('first_site')], [at('second_site')]].sort(),
  );
  expect(blocks.get(at('loop'))).toMatchObject({ flow: Flow.call, target: at('near') });
  expect(blocks.get(at('first_site'))).toMatchObject({ flow: Flow.call, target: at('far') });
  const stop = [...blocks.values()].find(({ flow }) => flow === Flow.stop);
  expect(stop).toMatchObject({ instructions: [], next: at('second_site') + 8 });
  expect(pagesOf(blocks.values(), region?.guestCode as never)).toEqual([
    { pageOffset: 0, physicalPage: 100 },
    { pageOffset: 1, physicalPage: 101 },
  ]);
});

test('regions end where the mapping is not known, where nothing was executed, and at their limit', () => {
  using program = new GuestProgram(CALLS, ['-Wl,--no-relax']);
  const at = symbols(program, CODE_BASE);
  const onePage = discoverRegion(
    riscvRegions,
    fetchFrom(program, (page) => page === 0),
    at('_start'),
    500,
  );
  expect(onePage?.blocks.has(at('far'))).toBe(false);
  expect(pagesOf(onePage?.blocks.values() ?? [], onePage?.guestCode as never)).toHaveLength(1);

  const pages = fetchFrom(program);
  const reached: FetchPage = (page) => {
    const known = pages(page);
    return known && { ...known, wasReached: (offset) => page !== 0 || offset !== at('near') + 12 };
  };
  const partial = discoverRegion(riscvRegions, reached, at('_start'), 500);
  expect(partial?.blocks.has(at('near') + 8)).toBe(true);
  expect(partial?.blocks.has(at('near') + 12)).toBe(false);

  expect(discoverRegion(riscvRegions, pages, at('_start'), 5)?.instructionCount).toBe(5);
  expect(discoverRegion(riscvRegions, pages, at('second_site') + 8, 500)).toBeUndefined();
});

test('a jump to the second half of a far jump does not know what the first half did', () => {
  using program = new GuestProgram(`
    .globl _start
    .option norvc
  _start:
    beqz a0, second_half
    auipc t1, 0
  second_half:
    jalr zero, 16(t1)
    nop
    nop
  target:
    ebreak
  `);
  const at = symbols(program, CODE_BASE);
  const region = discoverRegion(riscvRegions, fetchFrom(program), at('_start'), 500);
  expect(region?.blocks.get(at('second_half'))).toMatchObject({ flow: Flow.indirect });
  expect(region?.blocks.get(at('_start') + 4)).toMatchObject({ flow: Flow.next, next: at('second_half') });
});
