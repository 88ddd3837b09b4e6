import { expect, test } from 'vitest';
import { BareMachine, GuestProgram } from './guest-program.ts';

/** Sv39 with the program where it is, and pages of 4 KiB from WINDOW on, whose entries are at `window`. */
const PAGING = `
  .equ WINDOW, 0x40000000
  .equ LEAF, 0xcf        # D A X W R V
  .macro entry physical, flags
    .dword (\\physical) >> 12 << 10 | (\\flags)
  .endm
`;

const ENABLE_PAGING = `
    la t0, middle_table
    srli t0, t0, 12
    slli t0, t0, 10
    ori t0, t0, 1
    la t1, root_table
    sd t0, 8(t1)
    la t0, window
    srli t0, t0, 12
    slli t0, t0, 10
    ori t0, t0, 1
    la t2, middle_table
    sd t0, 0(t2)
    srli t1, t1, 12
    li t0, 8 << 60
    or t1, t1, t0
    csrw satp, t1
    sfence.vma
`;

const TABLES = `
  .data
  .balign 4096
root_table:
  .dword 0, 0
  entry 0x80000000, LEAF
  .fill 509, 8, 0
middle_table:
  .fill 512, 8, 0
window:
  .fill 512, 8, 0
`;

/** Writes a0 bytes from \`log\` and stops. */
const FINISH = `
finish:
  mv a2, a0
  li a0, 1
  la a1, log
  li a7, 64
  ecall
  li a7, 93
  ecall
  j .
`;

function outputs(assembly: string): number[][] {
  using program = new GuestProgram(assembly);
  return [0, 1, 2, 5].map((hotThreshold) => {
    const machine = new BareMachine(program.elf, hotThreshold);
    machine.hart.run();
    if (hotThreshold > 0) {
      expect(machine.regions?.statistics.regions).toBeGreaterThan(0);
    }
    return machine.output;
  });
}

function words(output: readonly number[]): bigint[] {
  return [...new BigUint64Array(Uint8Array.from(output).buffer)];
}

test('page faults in the middle of a loop show the exact registers and pc, and the loop goes on', () => {
  // Adds up and overwrites eight pages; the handler maps each page when it is touched: first for reading, then for writing.
  const [interpreted, ...translated] = outputs(`${PAGING}
    .text
    .globl _start
  _start:
    ${ENABLE_PAGING}
    la t0, handler
    csrw stvec, t0
    la s11, log
    la s10, frames
    la s9, window
    li s0, WINDOW
    li s1, WINDOW + 8 * 4096
    li a0, 1
    li a1, 0
  loop:
    addi a1, a1, 3
    ld a2, 8(s0)
    mul a0, a0, a1
  read_done:
    add a0, a0, a2
    xor a3, a0, a1
    sd a0, 16(s0)
    sd a3, 24(s0)
    addi a4, a1, 5
    addi s0, s0, 128
    bltu s0, s1, loop
    sd a0, 0(s11)
    sd a4, 8(s11)
    addi s11, s11, 16
    la a0, log
    sub a0, s11, a0
    j finish

    .balign 4
  handler:
    csrr t0, sepc
    sd t0, 0(s11)
    csrr t0, scause
    sd t0, 8(s11)
    li t1, 15
    sub t2, t0, t1
    csrr t0, stval
    sd t0, 16(s11)
    sd a0, 24(s11)
    sd a1, 32(s11)
    sd a2, 40(s11)
    sd a3, 48(s11)
    sd a4, 56(s11)
    addi s11, s11, 64
    li t1, WINDOW
    sub t1, t0, t1
    srli t1, t1, 12
    # Page n of the window is frame n, readable; after a store to it, writable.
    slli t3, t1, 12
    add t3, t3, s10
    srli t3, t3, 12
    slli t3, t3, 10
    ori t3, t3, 0x43
    bnez t2, 1f
    ori t3, t3, 0x84
  1:
    slli t1, t1, 3
    add t1, t1, s9
    sd t3, 0(t1)
    sfence.vma t0, zero
    sret
    ${FINISH}
    ${TABLES}
  log:
    .fill 4096, 1, 0
    .balign 4096
  frames:
    .rept 8 * 512
    .dword 0x123456789
    .endr
  `);
  expect(words(interpreted ?? []).length).toBe(16 * 8 + 2);
  for (const output of translated) {
    expect(words(output)).toEqual(words(interpreted ?? []));
  }
});

test('code that was changed is executed as it is after fence.i', () => {
  // Overwrites the immediate of \`addi a0, a0, imm\`, in a function called from a hot loop on another page.
  const all = outputs(`
    .text
    .globl _start
  _start:
    la s0, log
    li s1, 20
    li a0, 0
  outer:
    li s2, 50
  inner:
    call changing
    addi s2, s2, -1
    bnez s2, inner
    sd a0, 0(s0)
    addi s0, s0, 8
    slli t0, s1, 20
    li t1, 0x00050513
    or t0, t0, t1
    la t1, changing
    sw t0, 0(t1)
    fence.i
    addi s1, s1, -1
    bnez s1, outer
    li a0, 160
    j finish
    ${FINISH}
    .balign 4096
    .option push
    .option norvc
  changing:
    addi a0, a0, 1
    .option pop
    ret
    .data
    .balign 8
  log:
    .fill 160, 1, 0
  `);
  let sum = 0n;
  const expected = Array.from({ length: 20 }, (_, round) => {
    sum += 50n * (round === 0 ? 1n : BigInt(21 - round));
    return sum;
  });
  for (const output of all) {
    expect(words(output)).toEqual(expected);
  }
});

test('regions follow their pages when mappings change', () => {
  // A function on two virtual pages, of which now this, now that is mapped to other code.
  const all = outputs(`${PAGING}
    .text
    .globl _start
  _start:
    ${ENABLE_PAGING}
    la s9, window
    la s10, variants
    la s11, log
    li s1, 0
  outer:
    # Two bits of the round choose the variants of the two pages.
    andi t0, s1, 1
    slli t0, t0, 13
    add t0, t0, s10
    srli t0, t0, 12
    slli t0, t0, 10
    ori t0, t0, LEAF
    sd t0, 0(s9)
    andi t0, s1, 2
    slli t0, t0, 12
    li t1, 4096
    add t0, t0, t1
    add t0, t0, s10
    srli t0, t0, 12
    slli t0, t0, 10
    ori t0, t0, LEAF
    sd t0, 8(s9)
    sfence.vma
    li s2, 40
    li s3, WINDOW
    li a0, 0
  inner:
    jalr s3
    addi s2, s2, -1
    bnez s2, inner
    sd a0, 0(s11)
    addi s11, s11, 8
    addi s1, s1, 1
    li t0, 16
    bne s1, t0, outer
    li a0, 128
    j finish
    ${FINISH}
    .balign 4096
  variants:
    addi a0, a0, 1
    li t1, 3
  1:
    addi t1, t1, -1
    bnez t1, 1b
    j second_a
    .balign 4096
  second_a:
    addi a0, a0, 16
    ret
    .balign 4096
    addi a0, a0, 2
    li t1, 3
  1:
    addi t1, t1, -1
    bnez t1, 1b
    j second_b
    .balign 4096
  second_b:
    addi a0, a0, 32
    ret
    ${TABLES}
  log:
    .fill 128, 1, 0
  `);
  const expected = Array.from(
    { length: 16 },
    (_, round) => 40n * (((round & 1) === 0 ? 1n : 2n) + ((round & 2) === 0 ? 16n : 32n)),
  );
  for (const output of all) {
    expect(words(output)).toEqual(expected);
  }
});
