import { describe, expect, it } from 'vitest';
import { HartBlock } from '../src/core/layout.ts';
import { Csr } from '../src/riscv64/registers.ts';
import { asm, encode, loadConstant } from './assembler.ts';
import { EXIT_ADDRESS, ProgramRunner, RAM_BASE } from './program-runner.ts';

/** Page-table entry bits (privileged manual, 12.3.1 and 12.4). */
const V = 1;
const R = 2;
const W = 4;
const X = 8;
const U = 16;
const A = 64;
const D = 128;

const SPP = 1 << 8;
const SUM = 1 << 18;
const MXR = 1 << 19;

/** Physical addresses of tables, of the code in S-mode and in U-mode, and of the page that is translated. */
const ROOT = RAM_BASE + 0x10_0000;
const MIDDLE = ROOT + 0x1000;
const LAST = ROOT + 0x2000;
const EXTRA_ROOT = ROOT + 0x3000;
const SUPERVISOR_STUBS = RAM_BASE + 0x1000;
const USER_STUBS = RAM_BASE + 0x20_0000;
const DATA = RAM_BASE + 0x40_0000;

/** Virtual addresses of U-mode's code and of the page that is translated. */
const USER_CODE = 0x4000_0000;
const TARGET = 0x4020_3000;

const EBREAK = 0x0010_0073;
const T6 = 31;
const A1 = 11;

const Cause = { breakpoint: 3, page: { read: 13, write: 15, execute: 12 } } as const;
type Kind = keyof typeof Cause.page;
const KINDS: readonly Kind[] = ['read', 'write', 'execute'];

/** An access through a1 at the start of a stub, and the breakpoint that ends it. */
const STUBS: Readonly<Record<Kind, readonly number[]>> = {
  read: [asm.load('ld', 10, A1), EBREAK],
  write: [asm.store('sd', 0, A1), EBREAK],
  execute: [asm.jalr(0, A1), EBREAK],
};
const STUB_SIZE = 8;

interface Case {
  readonly kind: Kind;
  /** Bits of sstatus: SPP for the privilege, SUM, MXR. */
  readonly status: number;
}

class TranslationMachine {
  readonly runner = new ProgramRunner({ ramSize: 16 << 20 });
  readonly #mode: bigint;

  constructor(mode: 8 | 9) {
    this.#mode = BigInt(mode);
    const { runner } = this;
    for (const [index, kind] of KINDS.entries()) {
      runner.loadWords(SUPERVISOR_STUBS + index * STUB_SIZE, STUBS[kind]);
      runner.loadWords(USER_STUBS + index * STUB_SIZE, STUBS[kind]);
    }
    // The trap handler, at 0x80: report to the exit register.
    runner.loadWords(RAM_BASE + 0x80, [asm.lui(T6, EXIT_ADDRESS), asm.store('sw', 0, T6), asm.jump(0)]);
    runner.loadWords(DATA, [EBREAK]);
    const pointer = (table: number): bigint => BigInt(table / 4) | BigInt(V);
    // 1 GiB each: what is below RAM, and RAM itself, for S-mode.
    this.setEntry(ROOT, 0, BigInt(V | R | W | A | D));
    this.setEntry(ROOT, 2, BigInt(RAM_BASE / 4) | BigInt(V | R | W | X | A | D));
    this.setEntry(ROOT, 1, pointer(MIDDLE));
    this.setEntry(MIDDLE, 0, BigInt(USER_STUBS / 4) | BigInt(V | X | U | A));
    this.setEntry(MIDDLE, 1, pointer(LAST));
    this.setEntry(EXTRA_ROOT, 0, pointer(ROOT));
  }

  setEntry(table: number, index: number, entry: bigint): void {
    this.#view().setBigUint64(this.#offset(table) + index * 8, entry, true);
  }

  entry(table: number, index: number): bigint {
    return this.#view().getBigUint64(this.#offset(table) + index * 8, true);
  }

  /** Makes one access. @returns the cause and value of the trap that ends it */
  access({ kind, status }: Case, address: bigint = BigInt(TARGET)): { cause: number; value: bigint } {
    const stubs = (status & SPP) !== 0 ? SUPERVISOR_STUBS : USER_CODE;
    const root = this.#mode === 9n ? EXTRA_ROOT : ROOT;
    this.runner.loadWords(RAM_BASE + 0x100, [
      ...loadConstant(5, BigInt(RAM_BASE + 0x80)),
      asm.csrw(Csr.stvec, 5),
      ...loadConstant(5, (this.#mode << 60n) | BigInt(root / 4096)),
      asm.csrw(Csr.satp, 5),
      encode('sfence_vma'),
      ...loadConstant(5, BigInt(status)),
      asm.csrw(Csr.sstatus, 5),
      ...loadConstant(5, BigInt(stubs + KINDS.indexOf(kind) * STUB_SIZE)),
      asm.csrw(Csr.sepc, 5),
      ...loadConstant(A1, address),
      asm.plain('sret'),
    ]);
    expect(this.runner.run(RAM_BASE + 0x100)).toBe(0);
    const { memory, hart } = this.runner;
    const field = (offset: number): bigint =>
      new DataView(memory.memory.buffer).getBigUint64(hart.block + offset, true);
    return { cause: Number(field(HartBlock.scause)), value: field(HartBlock.stval) };
  }

  #view(): DataView {
    return new DataView(this.runner.memory.memory.buffer);
  }

  #offset(address: number): number {
    return this.runner.memory.ramOffset + address - RAM_BASE;
  }
}

/** Whether the manual permits an access to a leaf with these flags (12.3.2, steps 3 and 5 to 7). */
function isPermitted(flags: number, { kind, status }: Case): boolean {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (!has(V) || (has(W) && !has(R)) || !has(R | X)) {
    return false;
  }
  if ((status & SPP) === 0 ? !has(U) : has(U) && (kind === 'execute' || (status & SUM) === 0)) {
    return false;
  }
  switch (kind) {
    case 'read':
      return has(R) || (has(X) && (status & MXR) !== 0);
    case 'write':
      return has(W);
    default:
      return has(X);
  }
}

const CASES: readonly Case[] = KINDS.flatMap((kind) =>
  [0, SPP].flatMap((privilege) =>
    [0, SUM].flatMap((sum) => [0, MXR].map((mxr) => ({ kind, status: privilege | sum | mxr }))),
  ),
);
const INDEX = (TARGET >>> 12) & 511;

describe.each([
  ['Sv39', 8],
  ['Sv48', 9],
] as const)('%s', (_name, mode) => {
  const machine = new TranslationMachine(mode);

  it('permits, and sets A and D, as the manual says, whatever the flags, the access, the privilege, SUM and MXR', () => {
    for (let flags = 0; flags < 256; flags++) {
      for (const access of CASES) {
        const entry = BigInt(DATA / 4) | BigInt(flags);
        machine.setEntry(LAST, INDEX, entry);
        const { cause, value } = machine.access(access);
        const where = `flags ${flags.toString(2)} ${JSON.stringify(access)}`;
        // A pointer at the last level is a page fault like any other.
        if (isPermitted(flags, access)) {
          expect(cause, where).toBe(Cause.breakpoint);
          const set = BigInt(access.kind === 'write' ? A | D : A);
          expect(machine.entry(LAST, INDEX), where).toBe(entry | set);
        } else {
          expect(cause, where).toBe(Cause.page[access.kind]);
          expect(value, where).toBe(BigInt(TARGET));
          expect(machine.entry(LAST, INDEX), where).toBe(entry);
        }
        // A store may have overwritten the breakpoint.
        machine.runner.loadWords(DATA, [EBREAK]);
      }
    }
  });

  it('translates superpages, and refuses those whose low page number bits are set', () => {
    const flags = BigInt(V | R | W | X | A | D);
    const access: Case = { kind: 'read', status: SPP };
    machine.setEntry(MIDDLE, 2, BigInt(DATA / 4) | flags);
    machine.runner.memory.ram.set([0x5a, 1, 2, 3, 4, 5, 6, 7], DATA - RAM_BASE + 0x12_3458);
    expect(machine.access(access, 0x4052_3458n)).toEqual({ cause: 3, value: BigInt(SUPERVISOR_STUBS + 4) });
    expect(machine.runner.registers()[10]).toBe(0x0706_0504_0302_015an);
    machine.setEntry(MIDDLE, 2, BigInt((DATA + 0x1000) / 4) | flags);
    expect(machine.access(access, 0x4052_3458n)).toEqual({ cause: 13, value: 0x4052_3458n });
  });

  it('refuses reserved bits, tables with leaf flags at the end, and addresses that are not canonical', () => {
    const access: Case = { kind: 'read', status: SPP };
    for (const bit of [54n, 60n, 61n, 62n, 63n]) {
      machine.setEntry(LAST, INDEX, (1n << bit) | BigInt(DATA / 4) | BigInt(V | R | A));
      expect(machine.access(access).cause).toBe(13);
    }
    for (const flag of [A, D, U]) {
      machine.setEntry(MIDDLE, 3, BigInt(LAST / 4) | BigInt(V | flag));
      expect(machine.access(access, 0x4060_0000n).cause).toBe(13);
    }
    const width = mode === 8 ? 39n : 48n;
    for (const address of [1n << width, (1n << (width - 1n)) | BigInt(TARGET), 1n << 63n]) {
      for (const kind of KINDS) {
        expect(machine.access({ kind, status: SPP }, address)).toEqual({
          cause: Cause.page[kind],
          value: address,
        });
      }
    }
  });

  it('reports tables and pages that are not in memory as access faults, and lets the host answer for devices', () => {
    machine.setEntry(MIDDLE, 4, BigInt(0x7000_0000 / 4) | BigInt(V));
    expect(machine.access({ kind: 'read', status: SPP }, 0x4080_0000n).cause).toBe(5);
    expect(machine.access({ kind: 'write', status: SPP }, 0x4080_0000n).cause).toBe(7);
    expect(machine.access({ kind: 'execute', status: SPP }, 0x4080_0000n).cause).toBe(1);
    machine.setEntry(LAST, INDEX, BigInt(0x7000_0000 / 4) | BigInt(V | R | W | X | A | D));
    expect(machine.access({ kind: 'execute', status: SPP }).cause).toBe(1);
    expect(machine.access({ kind: 'read', status: SPP }).cause).toBe(3);
    machine.runner.onMmio = () => false;
    expect(machine.access({ kind: 'read', status: SPP })).toEqual({ cause: 5, value: BigInt(TARGET) });
    expect(machine.access({ kind: 'write', status: SPP })).toEqual({ cause: 7, value: BigInt(TARGET) });
    machine.runner.onMmio = undefined;
  });

  it('makes accesses that cross pages whole or not at all', () => {
    const flags = BigInt(V | R | W | A | D);
    const view = new DataView(machine.runner.memory.memory.buffer, machine.runner.memory.ramOffset);
    machine.setEntry(LAST, INDEX, BigInt(DATA / 4) | flags);
    machine.setEntry(LAST, INDEX + 1, 0n);
    view.setBigUint64(DATA - RAM_BASE + 0xff8, 0x1122_3344_5566_7788n, true);
    const address = BigInt(TARGET + 0xffd);
    for (const [kind, cause] of [
      ['read', 13],
      ['write', 15],
    ] as const) {
      // The value is the part that faults (12.1.9).
      expect(machine.access({ kind, status: SPP }, address)).toEqual({
        cause,
        value: BigInt(TARGET + 0x1000),
      });
    }
    expect(view.getBigUint64(DATA - RAM_BASE + 0xff8, true)).toBe(0x1122_3344_5566_7788n);
    // The next virtual page is another physical page.
    machine.setEntry(LAST, INDEX + 1, BigInt((DATA + 0x5000) / 4) | flags);
    view.setBigUint64(DATA - RAM_BASE + 0x5000, 0xaabb_ccdd_eeff_0102n, true);
    expect(machine.access({ kind: 'read', status: SPP }, address).cause).toBe(3);
    expect(machine.runner.registers()[10]).toBe(0xddee_ff01_0211_2233n);
    expect(machine.access({ kind: 'write', status: SPP }, address).cause).toBe(3);
    expect(view.getBigUint64(DATA - RAM_BASE + 0xff8, true)).toBe(0x44_5566_7788n);
    expect(view.getBigUint64(DATA - RAM_BASE + 0x5000, true)).toBe(0xaabb_cc00_0000_0000n);
  });
});
