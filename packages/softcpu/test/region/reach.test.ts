import { expect, test } from 'vitest';
import { BareMachine, GuestProgram } from './guest-program.ts';

/**
 * Calls `function`, which an instruction that no region can do is in, through aliases of its page that are as far away as
 * `auipc` reaches, as Linux's modules call the kernel. Every call adds what it got of the pc.
 */
const FAR_CALLS = `
  .option norvc
  .option norelax
  .globl _start
_start:
  la t1, root_table
  srli t1, t1, 12
  li t0, 8 << 60
  or t1, t1, t0
  csrw satp, t1
  sfence.vma
  # Whoever arrives elsewhere ends without output.
  la t0, finish
  csrw stvec, t0
  li s0, 40
  li s1, 0
  j loop
  .org 0x100
loop:
  auipc ra, 0x40000            # + 1 GiB
  jalr ra, 0x100(ra)
  auipc ra, 0x80000            # - 2 GiB
  jalr ra, 0x0f8(ra)
  auipc ra, 0xc0000            # - 1 GiB
  jalr ra, 0x0f0(ra)
  addi s0, s0, -1
  bnez s0, loop
  la a1, log
  sd s1, 0(a1)
  li a0, 1
  li a2, 8
  li a7, 64
  ecall
  .balign 4
finish:
  li a7, 93
  ecall
  j .
  .org 0x200
function:
  csrr t0, sscratch
  auipc t1, 0
  add s1, s1, t1
  ret

  .data
  .balign 4096
root_table:
  .set LEAF, 0x80000000 >> 12 << 10 | 0xcf  # D A X W R V
  .dword LEAF, LEAF, LEAF, LEAF
  .fill 508, 8, 0
log:
  .dword 0
`;

test('calls to where offsets from a region cannot be written in its exits arrive', () => {
  using program = new GuestProgram(FAR_CALLS);
  const [pc = 0] = [program.symbols().get('function')].map((address) => (address ?? 0) + 4);
  const gigabyte = 2 ** 30;
  const expected = BigInt(40 * (pc + gigabyte + (pc - 2 * gigabyte) + (pc - gigabyte)));
  for (const hotThreshold of [0, 1, 2, 5]) {
    const machine = new BareMachine(program.elf, hotThreshold);
    machine.hart.run();
    const output = new BigUint64Array(Uint8Array.from(machine.output).buffer);
    expect(output, `regions after ${hotThreshold} jumps`).toEqual(BigUint64Array.of(expected));
  }
}, 30_000);
