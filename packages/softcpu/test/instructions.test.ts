import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENCODINGS } from '../src/riscv64/encodings.ts';
import { atomics } from '../src/riscv64/semantics/atomic.ts';
import { bitManipulationSemantics } from '../src/riscv64/semantics/bit-manipulation.ts';
import { branchConditions, integerSemantics } from '../src/riscv64/semantics/integer.ts';
import { multiplyDivideSemantics } from '../src/riscv64/semantics/multiply-divide.ts';
import { asm, encode, loadConstant } from './assembler.ts';
import { ProgramRunner, RAM_BASE } from './program-runner.ts';

/** Where programs have their operands and put their results; registers that hold these addresses. */
const OPERANDS = RAM_BASE + 0x40_0000;
const RESULTS = RAM_BASE + 0x50_0000;
const S0 = 8;
const S1 = 9;
const [A0, A1, A2, A7] = [10, 11, 12, 17];

/** Values at which arithmetic has its corners. */
const VALUES = [
  0n,
  1n,
  -1n,
  2n,
  -2n,
  63n,
  64n,
  0x7fffn,
  -0x8000n,
  0x7fff_ffffn,
  0x8000_0000n,
  -0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x0123_4567_89ab_cdefn,
  -0x0123_4567_89ab_cdefn,
  0x7fff_ffff_ffff_ffffn,
  -0x8000_0000_0000_0000n,
  0x00ff_0100_8000_7f01n,
];
const IMMEDIATES = [0, 1, -1, 31, 63, 2047, -2048];
const AMOUNTS = [0, 1, 31, 32, 63];

const formats = new Map(ENCODINGS.map(({ operation, format, mask }) => [operation, { format, mask }]));

/** Instructions that compute t2 from t0 and t1, in all forms of an operation that are worth a look. */
function forms(operation: string): number[] {
  const encoding = formats.get(operation);
  const registers = { rd: 7, rs1: 5, rs2: 6 };
  switch (encoding?.format) {
    case 'I':
      return IMMEDIATES.map((immediate) => encode(operation, { ...registers, immediate }));
    case 'shift': {
      const isNarrow = (encoding.mask & (1 << 25)) !== 0;
      return AMOUNTS.filter((amount) => !isNarrow || amount < 32).map((immediate) =>
        encode(operation, { ...registers, immediate }),
      );
    }
    case 'U':
      return [0, 0x7fff_f000, -0x8000_0000, 0x1000].map((immediate) =>
        encode(operation, { rd: 7, immediate }),
      );
    default:
      return [encode(operation, registers)];
  }
}

/** A program that applies instructions to all pairs of values, and writes the results to descriptor 1. */
function program(instructions: readonly number[], around: (word: number) => number[]): number[] {
  const body = instructions.flatMap((word) => [...around(word), asm.store('sd', 7, S1), asm.addi(S1, S1, 8)]);
  const size = instructions.length * VALUES.length ** 2 * 8;
  const loop = [
    asm.load('ld', 5, S0, 0),
    asm.load('ld', 6, S0, 8),
    asm.addi(7, 0, 0),
    ...body,
    asm.addi(S0, S0, 16),
    asm.addi(18, 18, -1),
    asm.branch('beq', 18, 0, 8),
  ];
  return [
    ...loadConstant(S0, BigInt(OPERANDS)),
    ...loadConstant(S1, BigInt(RESULTS)),
    ...loadConstant(18, BigInt(VALUES.length ** 2)),
    ...loop,
    asm.jump(-loop.length * 4),
    asm.addi(A0, 0, 1),
    ...loadConstant(A1, BigInt(RESULTS)),
    ...loadConstant(A2, BigInt(size)),
    asm.addi(A7, 0, 64),
    asm.plain('ecall'),
    asm.addi(A0, 0, 0),
    asm.addi(A7, 0, 93),
    asm.plain('ecall'),
  ];
}

const operands = new BigInt64Array(VALUES.flatMap((first) => VALUES.flatMap((second) => [first, second])));

/** An ELF executable of one segment with code, operands and room for results. */
function executable(words: readonly number[]): Uint8Array {
  const file = new Uint8Array(0x1000 + (OPERANDS - RAM_BASE) + operands.byteLength);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint32(16, 0x00f3_0002, true); // ET_EXEC, EM_RISCV
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(RAM_BASE), true);
  view.setBigUint64(32, 64n, true);
  view.setUint32(48, 5, true); // RVC, double-float ABI
  view.setUint32(52, 0x0038_0040, true); // sizes of the headers
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 7, true);
  view.setBigUint64(72, 0x1000n, true);
  view.setBigUint64(80, BigInt(RAM_BASE), true);
  view.setBigUint64(88, BigInt(RAM_BASE), true);
  view.setBigUint64(96, BigInt(file.length - 0x1000), true);
  view.setBigUint64(104, 0x200_0000n, true);
  view.setBigUint64(112, 0x1000n, true);
  words.forEach((word, index) => {
    view.setInt32(0x1000 + index * 4, word, true);
  });
  file.set(new Uint8Array(operands.buffer), 0x1000 + OPERANDS - RAM_BASE);
  return file;
}

function compare(
  instructions: readonly number[],
  around: (word: number) => number[] = (word) => [word],
): void {
  const elf = executable(program(instructions, around));
  const folder = mkdtempSync(join(tmpdir(), 'softcpu-instructions-'));
  const path = join(folder, 'program');
  try {
    writeFileSync(path, elf, { mode: 0o755 });
    const expected = execFileSync('qemu-riscv64-static', [path], { maxBuffer: 1 << 26 });
    let actual = new Uint8Array();
    const machine = new ProgramRunner({
      supervisorCall: (hart) => {
        if (hart.register(A7) === 64) {
          const start = hart.register(A1) - RAM_BASE;
          actual = machine.memory.ram.slice(start, start + hart.register(A2));
        } else {
          hart.requestStop();
        }
      },
    });
    machine.run(machine.loadElf(elf));
    expect(actual.length).toBe(expected.length);
    const wrong = expected.findIndex((byte, index) => byte !== actual[index]);
    if (wrong !== -1) {
      const pair = Math.floor(wrong / 8 / instructions.length);
      const word = instructions[Math.floor(wrong / 8) % instructions.length] ?? 0;
      expect.fail(
        `${(word >>> 0).toString(16)} of ${operands.slice(pair * 2, pair * 2 + 2).join(', ')} differs`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('every instruction gives what QEMU gives, for all pairs of corner values', () => {
  it.each([
    ['RV64I', Object.keys(integerSemantics)],
    ['M', Object.keys(multiplyDivideSemantics)],
    // QEMU 7.2 counts on in the upper word when the lower one is 0: see below.
    ['Zba, Zbb and Zbs', Object.keys(bitManipulationSemantics).filter((name) => name !== 'ctzw')],
  ])('%s', (_name, operations) => compare(operations.flatMap(forms)));

  it('ctzw counts in the lower word only (unprivileged manual, 29.4.8)', () => {
    const machine = new ProgramRunner();
    for (const [value, count] of [
      [0n, 32],
      [1n << 63n, 32],
      [1n << 32n, 32],
      [1n << 31n, 31],
      [0xff00n, 8],
      [-1n, 0],
    ] as const) {
      machine.loadWords(RAM_BASE, [
        ...loadConstant(5, value),
        encode('ctzw', { rd: 7, rs1: 5 }),
        asm.plain('ecall'),
      ]);
      machine.run(RAM_BASE);
      expect(machine.hart.register(7), `${value}`).toBe(count);
    }
  });

  it('branches', () => {
    const skip = (word: number): number[] => [word, asm.addi(7, 0, 1)];
    compare(
      Object.keys(branchConditions).map((operation) => asm.branch(operation, 5, 6, 8)),
      skip,
    );
  });

  it('atomics, with the old value and what is left in memory', () => {
    const access = (word: number): number[] => [
      asm.store('sd', 5, S1),
      word,
      // What rd got, and the datum, in one.
      asm.load('ld', 28, S1),
      encode('slli', { rd: 7, rs1: 7, immediate: 1 }),
      encode('xor', { rd: 7, rs1: 7, rs2: 28 }),
    ];
    const words = [...Object.keys(atomics), 'sc_w', 'sc_d'].map((operation) =>
      encode(operation, { rd: 7, rs1: S1, rs2: 6 }),
    );
    compare(words, access);
    // A store-conditional after its load-reserved.
    compare(
      ['w', 'd'].map((width) => encode(`sc_${width}`, { rd: 7, rs1: S1, rs2: 6 })),
      (word) => [
        asm.store('sd', 5, S1),
        encode((word & 0x1000) === 0 ? 'lr_w' : 'lr_d', { rd: 29, rs1: S1 }),
        word,
        asm.load('ld', 28, S1),
        encode('xor', { rd: 7, rs1: 7, rs2: 28 }),
        encode('xor', { rd: 7, rs1: 7, rs2: 29 }),
      ],
    );
  });

  it('loads and stores of every width and alignment, across pages too', () => {
    // t0 is stored before, then bytes are replaced and read back.
    const accesses = ['sb', 'sh', 'sw', 'sd'].flatMap((store) =>
      ['lb', 'lh', 'lw', 'ld', 'lbu', 'lhu', 'lwu'].flatMap((load) =>
        [0, 1, 3, 7].map((offset) => ({ store, load, offset })),
      ),
    );
    const words = accesses.map(({ load, offset }) => asm.load(load, 7, 30, 0x7f8 + offset));
    compare(words, (word) => {
      const { store = 'sb', offset = 0 } = accesses[words.indexOf(word)] ?? {};
      return [
        asm.lui(30, OPERANDS - 0x1_0000_0000 - 0x7_f800 + 0x7_f000),
        // Zero-extends the address.
        encode('add_uw', { rd: 30, rs1: 30, rs2: 0 }),
        asm.store('sd', 5, 30, 0x7f8),
        asm.store(store, 6, 30, 0x7f8 + offset),
        word,
      ];
    });
  });
});
