import { describe, expect, it } from 'vitest';
import { HartBlock } from '../src/core/layout.ts';
import { Hart } from '../src/riscv64/hart.ts';
import { imsicSend } from '../src/riscv64/imsic.ts';
import { Csr } from '../src/riscv64/registers.ts';
import { asm, encode, loadConstant } from './assembler.ts';
import { EXIT_ADDRESS, ProgramRunner, RAM_BASE } from './program-runner.ts';

const [RA, T0, A0, A1, A2, T6] = [1, 5, 10, 11, 12, 31];
const HANDLER = RAM_BASE + 0x800;
const DATA = RAM_BASE + 0x1_0000;
const ECALL = asm.plain('ecall');
const FS_DIRTY = 3 << 13;
const INTERRUPT = 1n << 63n;

/** Runs words in S-mode until `ecall`, or until a trap, which ends the program with 0 in the exit register. */
function execute(
  words: readonly number[],
  runner = new ProgramRunner({ ramSize: 4 << 20 }),
): { runner: ProgramRunner; trapped: boolean; registers: bigint[] } {
  runner.loadWords(HANDLER, [asm.lui(T6, EXIT_ADDRESS), asm.store('sw', 0, T6), asm.jump(0)]);
  runner.loadWords(RAM_BASE, [...loadConstant(T6, BigInt(HANDLER)), asm.csrw(Csr.stvec, T6), ...words]);
  const trapped = runner.run(RAM_BASE) === 0;
  return { runner, trapped, registers: runner.registers() };
}

/** Bytes of code before the words of {@link execute}. */
const PROLOGUE = 12 * 4;

function field(runner: ProgramRunner, offset: number): bigint {
  return new DataView(runner.memory.memory.buffer).getBigUint64(runner.hart.block + offset, true);
}

function trap(runner: ProgramRunner): { cause: bigint; value: bigint; pc: bigint } {
  return {
    cause: field(runner, HartBlock.scause),
    value: field(runner, HartBlock.stval),
    pc: field(runner, HartBlock.sepc),
  };
}

/** Writes a constant to a CSR and reads it back to a0. */
const writeAndRead = (csr: number, value: bigint): number[] => [
  ...loadConstant(T0, value),
  asm.csrw(csr, T0),
  asm.csrr(A0, csr),
  ECALL,
];

describe('CSRs', () => {
  it.each([
    // sstatus: SIE, SPIE, SPP, FS, SUM, MXR; UXL is 2 and SD follows FS.
    ['sstatus', Csr.sstatus, -1n, 0x8000_0002_000c_6122n],
    ['sstatus, all clear', Csr.sstatus, 0n, 0x0000_0002_0000_0000n],
    ['sie', Csr.sie, -1n, 0x222n],
    ['stvec, reserved modes', Csr.stvec, -1n, -3n],
    ['scounteren', Csr.scounteren, -1n, 7n],
    ['senvcfg', Csr.senvcfg, -1n, 0xf1n],
    ['sscratch', Csr.sscratch, -2n, -2n],
    ['sepc', Csr.sepc, -1n, -2n],
    ['scause', Csr.scause, -1n, -1n],
    ['stval', Csr.stval, -1n, -1n],
    ['stimecmp', Csr.stimecmp, 0x1234_5678_9abc_def0n, 0x1234_5678_9abc_def0n],
    ['satp with a mode that does not exist', Csr.satp, 10n << 60n, 0n],
    ['satp, Bare', Csr.satp, 0xffff_1234_5678n, 0xffff_1234_5678n],
    ['sip, of which SSIP only is writable', Csr.sip, -1n & ~0n, 2n],
    ['siselect', Csr.siselect, 0xc0n, 0xc0n],
  ])('%s', (_name, csr, written, read) => {
    expect(execute(writeAndRead(csr, written)).registers[A0]).toBe(BigInt.asUintN(64, read));
  });

  it.each([
    ['of M-mode', 0x300],
    ['of a hypervisor', 0x600],
    ['of vectors', 0x008],
    ['that does not exist', 0x9ff],
    ['read-only, written', Csr.time],
    ['of floating point while it is off', Csr.fcsr],
    ['of an odd register of the interrupt file', Csr.sireg],
  ])('illegal: a CSR %s, with the instruction as stval', (_name, csr) => {
    const word = asm.csrw(csr, A1);
    const { runner, trapped } = execute([asm.addi(T0, 0, 0x81), asm.csrw(Csr.siselect, T0), word]);
    expect(trapped).toBe(true);
    expect(trap(runner)).toEqual({
      cause: 2n,
      value: BigInt(word >>> 0),
      pc: BigInt(RAM_BASE + PROLOGUE + 8),
    });
  });

  it('counters are readable in U-mode if scounteren says so', () => {
    for (const enabled of [0, 2]) {
      const read = asm.csrr(A0, Csr.time);
      const runner = new ProgramRunner({ ramSize: 4 << 20 });
      runner.time = 0x12_3456_789a;
      const { trapped } = execute(
        [
          asm.addi(T0, 0, enabled),
          asm.csrw(Csr.scounteren, T0),
          ...loadConstant(T0, BigInt(RAM_BASE + PROLOGUE + 15 * 4)),
          asm.csrw(Csr.sepc, T0),
          asm.plain('sret'),
          read,
          ECALL,
        ],
        runner,
      );
      expect(trapped).toBe(true);
      expect(trap(runner).cause).toBe(enabled === 0 ? 2n : 8n);
      expect(runner.registers()[A0]).toBe(enabled === 0 ? 0n : 0x12_3456_789an);
    }
  });

  it('floating-point instructions are illegal while FS is off, and make it dirty', () => {
    const add = encode('fadd_d', { rd: 1, rs1: 2, rs2: 3 });
    for (const word of [
      add,
      asm.load('fld', 1, A1),
      asm.store('fsd', 1, A1),
      encode('fmv_x_d', { rd: A0 }),
    ]) {
      const { runner } = execute([...loadConstant(A1, BigInt(DATA)), word]);
      expect(trap(runner)).toMatchObject({ cause: 2n, value: BigInt(word >>> 0) });
    }
    const CLEAN = 2 << 13;
    const fs = (word: number): bigint | undefined =>
      execute([
        ...loadConstant(T0, BigInt(CLEAN)),
        asm.csrw(Csr.sstatus, T0),
        ...loadConstant(A1, BigInt(DATA)),
        word,
        asm.csrr(A0, Csr.sstatus),
        ECALL,
      ]).registers[A0];
    expect(fs(asm.store('fsd', 1, A1))).toBe(0x2_0000_4000n);
    expect(fs(encode('fmv_x_d', { rd: A2 }))).toBe(0x2_0000_4000n);
    expect(fs(asm.load('fld', 1, A1))).toBe(0x8000_0002_0000_6000n);
    expect(fs(encode('fmv_d_x', { rd: A2 }))).toBe(0x8000_0002_0000_6000n);
    expect(fs(asm.csrw(Csr.frm, 0))).toBe(0x8000_0002_0000_6000n);
  });
});

describe('traps', () => {
  it('a call from U-mode goes to the handler, one from S-mode to the host', () => {
    const calls: bigint[] = [];
    const runner = new ProgramRunner({
      ramSize: 4 << 20,
      supervisorCall: (hart) => {
        calls.push(hart.pc);
        hart.setRegister(A0, -2);
        if (calls.length === 2) {
          hart.requestStop();
        }
      },
    });
    execute([ECALL, ECALL, asm.jump(0)], runner);
    expect(calls).toEqual([BigInt(RAM_BASE + PROLOGUE + 4), BigInt(RAM_BASE + PROLOGUE + 8)]);
    expect(runner.registers()[A0]).toBe(0xffff_ffff_ffff_fffen);
  });

  it.each([
    ['unknown instruction', [0xffff_ffff | 0], 2n, 0xffff_ffffn],
    ['compressed zero', [0], 2n, 0n],
    ['breakpoint', [asm.plain('ebreak')], 3n, BigInt(RAM_BASE + PROLOGUE)],
    ['jump to where nothing is', [asm.addi(A1, 0, 0x100), asm.jalr(0, A1)], 1n, 0x100n],
    ['misaligned load-reserved', [asm.addi(A1, 0, 2), encode('lr_w', { rd: A0, rs1: A1 })], 4n, 2n],
    ['misaligned atomic', [asm.addi(A1, 0, 4), encode('amoadd_d', { rd: A0, rs1: A1 })], 6n, 4n],
    ['atomic on a device', [asm.addi(A1, 0, 8), encode('amoadd_d', { rd: A0, rs1: A1 })], 7n, 8n],
    [
      'reserved dynamic rounding mode',
      [
        ...loadConstant(T0, BigInt(FS_DIRTY)),
        asm.csrw(Csr.sstatus, T0),
        asm.addi(T0, 0, 5),
        asm.csrw(Csr.frm, T0),
        encode('fadd_d', { rd: 1 }) | (7 << 12),
      ],
      2n,
      BigInt((encode('fadd_d', { rd: 1 }) | (7 << 12)) >>> 0),
    ],
  ])('%s', (_name, words, cause, value) => {
    const { runner } = execute(words);
    expect(trap(runner)).toMatchObject({ cause, value });
  });

  it('sret restores privilege and interrupt enable; U-mode may not use it, nor wfi, nor sfence.vma', () => {
    for (const operation of ['sret', 'wfi', 'sfence_vma', 'fence']) {
      const { runner } = execute([
        ...loadConstant(T0, BigInt(RAM_BASE + PROLOGUE + 13 * 4)),
        asm.csrw(Csr.sepc, T0),
        asm.plain('sret'),
        encode(operation),
        ECALL,
      ]);
      expect(trap(runner).cause).toBe(operation === 'fence' ? 8n : 2n);
      expect(field(runner, HartBlock.sstatus) & 0x100n).toBe(0n);
    }
  });

  it('an instruction on two pages runs, and faults with the second page as stval', () => {
    const at = RAM_BASE + 0x2ffe;
    const enter = [...loadConstant(A1, BigInt(at)), asm.jalr(RA, A1)];
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    const half = (address: number, value: number): void => {
      runner.memory.u16[(runner.memory.ramOffset + address - RAM_BASE) >>> 1] = value;
    };
    const put = (address: number, word: number): void => {
      half(address, word & 0xffff);
      half(address + 2, word >>> 16);
    };
    put(at, asm.addi(A0, 0, 0x123));
    put(at + 4, asm.jalr(0, RA));
    expect(execute([...enter, ECALL], runner).registers[A0]).toBe(0x123n);
    // The same at the end of RAM: the second half is nowhere.
    const end = RAM_BASE + (4 << 20) - 2;
    half(end, asm.addi(A0, 0, 0x123) & 0xffff);
    const { trapped } = execute([...loadConstant(A1, BigInt(end)), asm.jalr(RA, A1)], runner);
    expect(trapped).toBe(true);
    expect(trap(runner)).toEqual({ cause: 1n, value: BigInt(end + 2), pc: BigInt(end) });
  });
});

describe('code that changes', () => {
  /** Calls a function, replaces its instruction, and calls it again, after a fence or not. */
  const program = (fence: boolean): number[] => [
    ...loadConstant(A1, BigInt(DATA)),
    ...loadConstant(A2, BigInt(asm.addi(A0, A0, 0x100))),
    asm.jalr(RA, A1),
    asm.store('sw', A2, A1),
    fence ? encode('fence_i') : asm.addi(0, 0, 0),
    asm.jalr(RA, A1),
    ECALL,
  ];

  it('is executed after fence.i', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    runner.loadWords(DATA, [asm.addi(A0, A0, 1), asm.jalr(0, RA)]);
    expect(execute(program(true), runner).registers[A0]).toBe(0x101n);
  });

  it('need not be seen before', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    runner.loadWords(DATA, [asm.addi(A0, A0, 1), asm.jalr(0, RA)]);
    expect([2n, 0x101n]).toContain(execute(program(false), runner).registers[A0]);
  });

  it('may be more than there is room for decoded pages', () => {
    // 600 pages of code, of which 8 MiB hold about 400 decoded: each adds 1 and jumps to the next; three rounds.
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    const pages = 600;
    for (let page = 0; page < pages; page++) {
      const last = page === pages - 1;
      runner.loadWords(DATA + page * 4096, [
        asm.addi(A0, A0, 1),
        ...(last ? [asm.jalr(0, RA)] : [asm.jump(4096 - 4)]),
      ]);
    }
    const { registers } = execute(
      [...loadConstant(A1, BigInt(DATA)), asm.jalr(RA, A1), asm.jalr(RA, A1), asm.jalr(RA, A1), ECALL],
      runner,
    );
    expect(registers[A0]).toBe(BigInt(3 * pages));
  });
});

describe('devices', () => {
  it('see address, size and data of each access', () => {
    const seen: string[] = [];
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    runner.onMmio = (access, write) => {
      seen.push(
        `${write ? 'W' : 'R'} ${access.address.toString(16)} ${access.size} ${access.low.toString(16)} ${access.high.toString(16)}`,
      );
      access.low = 0x8899_aabb;
      access.high = 0x0123_4567;
      return true;
    };
    const address = 0x1000_0008;
    const { registers } = execute(
      [
        ...loadConstant(A1, BigInt(address)),
        ...loadConstant(A2, 0x1122_3344_5566_7788n),
        ...['sb', 'sh', 'sw', 'sd'].map((operation) => asm.store(operation, A2, A1)),
        ...['lb', 'lbu', 'lh', 'lhu', 'lw', 'lwu', 'ld'].map((operation, index) =>
          asm.load(operation, 20 + index, A1),
        ),
        ECALL,
      ],
      runner,
    );
    expect(seen.slice(0, 4)).toEqual([
      'W 10000008 1 88 0',
      'W 10000008 2 7788 0',
      'W 10000008 4 55667788 0',
      'W 10000008 8 55667788 11223344',
    ]);
    expect(seen.slice(4).map((line) => line.split(' ')[2])).toEqual(['1', '1', '2', '2', '4', '4', '8']);
    expect(registers.slice(20, 27)).toEqual([
      0xffff_ffff_ffff_ffbbn,
      0xbbn,
      0xffff_ffff_ffff_aabbn,
      0xaabbn,
      0xffff_ffff_8899_aabbn,
      0x8899_aabbn,
      0x0123_4567_8899_aabbn,
    ]);
  });

  it('are not asked about misaligned accesses', () => {
    const { runner } = execute([asm.addi(A1, 0, 0x101), asm.load('lw', A0, A1)]);
    expect(trap(runner)).toMatchObject({ cause: 5n, value: 0x101n });
  });
});

describe('interrupts', () => {
  const SIE = 2;
  /** Enables interrupts in sie and sstatus, then loops. */
  const waitFor = (enable: number, before: readonly number[] = []): number[] => [
    ...before,
    ...loadConstant(T0, BigInt(enable)),
    asm.csrw(Csr.sie, T0),
    asm.addi(T0, 0, SIE),
    asm.csrs(Csr.sstatus, T0),
    asm.jump(0),
  ];
  const setSelected = (select: number, value: number): number[] => [
    asm.addi(T0, 0, select),
    asm.csrw(Csr.siselect, T0),
    ...loadConstant(T0, BigInt.asUintN(64, BigInt(value))),
    asm.csrw(Csr.sireg, T0),
  ];

  it('software: pending by the guest itself or by another thread', () => {
    const own = execute(waitFor(2, [asm.addi(T0, 0, 2), asm.csrs(Csr.sip, T0)])).runner;
    expect(trap(own)).toMatchObject({ cause: INTERRUPT | 1n, value: 0n });
    const other = new ProgramRunner({
      ramSize: 4 << 20,
      supervisorCall: (hart) => Hart.sendSoftwareInterrupt(hart.memory, 0),
    });
    execute(waitFor(2, [ECALL]), other);
    expect(trap(other).cause).toBe(INTERRUPT | 1n);
  });

  it('timer: when time reaches stimecmp, in vectored mode at 4 × 5 from the base', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    runner.time = 1000;
    const vectors = HANDLER + 0x100;
    // Everything but entry 5 ends with another value.
    runner.loadWords(vectors, Array(5).fill(0));
    runner.loadWords(vectors + 20, [asm.jump(-0x100 - 20)]);
    execute(
      [
        ...loadConstant(T0, BigInt(vectors + 1)),
        asm.csrw(Csr.stvec, T0),
        ...waitFor(0x20, [asm.addi(T0, 0, 1000), asm.csrw(Csr.stimecmp, T0)]),
      ],
      runner,
    );
    expect(trap(runner).cause).toBe(INTERRUPT | 5n);
    expect(field(runner, HartBlock.sstatus) & 0x122n).toBe(0x120n);
  });

  it('wfi waits for the deadline, or returns at once if something is pending, masked or not', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    const asked: number[] = [];
    runner.millisecondsUntil = (...deadline: number[]) => {
      asked.push(...deadline);
      runner.time = 500;
      return 0;
    };
    execute(
      [
        asm.addi(T0, 0, 0x20),
        asm.csrw(Csr.sie, T0),
        asm.addi(T0, 0, 400),
        asm.csrw(Csr.stimecmp, T0),
        asm.plain('wfi'),
        asm.csrr(A0, Csr.sip),
        asm.plain('wfi'),
        ECALL,
      ],
      runner,
    );
    expect(asked).toEqual([400]);
    expect(runner.registers()[A0]).toBe(0x20n);
  });

  it('messages: the lowest identity that is pending, enabled and below the threshold, until it is claimed', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    for (const identity of [0, 5, 40, 41, 300, 2047, 2048, -1, 1.5]) {
      imsicSend(runner.memory, 0, identity);
    }
    const claim = (rd: number): number => encode('csrrw', { rd, immediate: Csr.stopei });
    const { registers } = execute(
      [
        ...setSelected(0x70, 1),
        // eie0 (identities 0–63): 40 and 41; eie8: 300.
        ...[
          asm.addi(T0, 0, 0xc0),
          asm.csrw(Csr.siselect, T0),
          ...loadConstant(T0, 3n << 40n),
          asm.csrw(Csr.sireg, T0),
        ],
        ...[
          asm.addi(T0, 0, 0xc8),
          asm.csrw(Csr.siselect, T0),
          ...loadConstant(T0, 1n << 44n),
          asm.csrw(Csr.sireg, T0),
        ],
        asm.csrr(20, Csr.sip),
        asm.csrr(21, Csr.stopei),
        claim(22),
        claim(23),
        ...setSelected(0x72, 300),
        asm.csrr(24, Csr.stopei),
        asm.csrr(25, Csr.sip),
        ...setSelected(0x72, 0),
        asm.csrr(26, Csr.stopi),
        claim(27),
        claim(28),
        // What is left is pending but not enabled.
        ...[asm.addi(T0, 0, 0x80), asm.csrw(Csr.siselect, T0), asm.csrr(29, Csr.sireg)],
        ECALL,
      ],
      runner,
    );
    const top = (identity: number): bigint => BigInt((identity << 16) | identity);
    expect(registers.slice(20, 30)).toEqual([
      0x200n,
      top(40),
      top(40),
      top(41),
      0n,
      0n,
      // sie is 0: stopi shows what is enabled there only.
      0n,
      top(300),
      0n,
      1n << 5n,
    ]);
  });

  it('messages interrupt, before software and timer interrupts, and stopi tells which', () => {
    const runner = new ProgramRunner({ ramSize: 4 << 20 });
    runner.time = 10;
    imsicSend(runner.memory, 0, 7);
    Hart.sendSoftwareInterrupt(runner.memory, 0);
    const program = waitFor(0x222, [
      ...setSelected(0x70, 1),
      ...setSelected(0xc0, 1 << 7),
      asm.csrw(Csr.stimecmp, 0),
      ...[asm.addi(T0, 0, 2), asm.csrs(Csr.sip, T0)],
      ...[...loadConstant(T0, 0x222n), asm.csrw(Csr.sie, T0), asm.csrr(A0, Csr.stopi)],
    ]);
    execute(program, runner);
    expect(trap(runner).cause).toBe(INTERRUPT | 9n);
    expect(runner.registers()[A0]).toBe((9n << 16n) | 1n);
  });
});
