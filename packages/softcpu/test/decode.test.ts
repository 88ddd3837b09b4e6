import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { decode } from '../src/riscv64/decode.ts';
import { ENCODINGS } from '../src/riscv64/encodings.ts';
import type { Instruction } from '../src/riscv64/instruction.ts';

const folder = mkdtempSync(join(tmpdir(), 'softcpu-decode-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ISA = 'rv64imafdc_zicsr_zifencei_zba_zbb_zbs_zicbom_zicboz';

/** What binutils makes of the words: one line each, operands included. */
function disassemble(words: readonly number[]): string[] {
  const file = join(folder, 'words.bin');
  writeFileSync(file, new Uint8Array(Uint32Array.from(words).buffer));
  const source = join(folder, 'words.s');
  writeFileSync(source, `.incbin "${file}"\n`);
  const object = join(folder, 'words.o');
  execFileSync('riscv64-linux-gnu-as', [`-march=${ISA}`, '-o', object, source]);
  const dump = execFileSync(
    'riscv64-linux-gnu-objdump',
    ['-D', '-z', '-M', 'no-aliases,numeric', '-j', '.text', object],
    { encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  return dump.split('\n').filter((line) => /^\s+[0-9a-f]+:/.test(line));
}

/** Operations with fields that hardware must ignore (fences) or accept (rounding of exact conversions); binutils balks. */
const RESERVED_BUT_VALID = /^(fence|fence_i|fcvt_d_(s|w|wu))$/;

/** The assembler's spelling of our operation. */
function mnemonic({ operation }: Instruction): string {
  return operation.replaceAll('_', '.');
}

/** Words that the assembler makes of a program, with the instruction each one stands for. */
function assemble(lines: readonly string[]): number[] {
  const source = join(folder, 'program.s');
  writeFileSync(source, `.option norelax\n${lines.join('\n')}\n`);
  const object = join(folder, 'program.o');
  const binary = join(folder, 'program.bin');
  execFileSync('riscv64-linux-gnu-as', [`-march=${ISA}`, '-o', object, source]);
  execFileSync('riscv64-linux-gnu-objcopy', ['-O', 'binary', '-j', '.text', object, binary]);
  const bytes = readFileSync(binary);
  return Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16LE(index * 2));
}

describe('decode', () => {
  it('names every 32-bit encoding as binutils does', () => {
    const random = fc.sample(fc.integer({ min: 0, max: 0xffff_ffff }), { numRuns: 4000, seed: 7 });
    const words = ENCODINGS.flatMap((encoding, index) =>
      random
        .slice(index * 20, index * 20 + 20)
        .map((bits) => ((bits & ~encoding.mask) | encoding.match) >>> 0)
        .filter((word) => decode(word).operation !== 'illegal'),
    );
    const lines = disassemble(words);
    expect(lines).toHaveLength(words.length);
    for (const [index, word] of words.entries()) {
      const [, , name, operands = ''] = (lines[index] ?? '').split('\t');
      const instruction = decode(word);
      const where = `${word.toString(16)} ${lines[index]}`;
      if (RESERVED_BUT_VALID.test(instruction.operation) && name === '.4byte') {
        continue;
      }
      expect(name?.replace(/\.(aqrl|aq|rl)$/, ''), where).toBe(mnemonic(instruction));
      const registers = [...operands.matchAll(/\b[xf]([12]?\d|3[01])\b(?! <)/g)].map((match) =>
        Number(match[1]),
      );
      for (const register of registers) {
        expect([instruction.rd, instruction.rs1, instruction.rs2, instruction.rs3], where).toContain(
          register,
        );
      }
    }
  });

  it('decodes immediates as the assembler encodes them', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -2048, max: 2047 }),
        fc.integer({ min: 0, max: 63 }),
        (immediate, amount) => {
          const branch = immediate * 2;
          const jump = immediate * 512;
          const halves = assemble([
            '.option norvc',
            `addi x1, x2, ${immediate}`,
            `sd x3, ${immediate}(x4)`,
            `beq x5, x6, . + ${branch}`,
            `jal x7, . + ${jump}`,
            `lui x8, ${(immediate * 255) & 0xf_ffff}`,
            `srai x9, x10, ${amount}`,
          ]);
          const words = Array.from({ length: halves.length / 2 }, (_, index) => {
            return (halves[index * 2] ?? 0) | ((halves[index * 2 + 1] ?? 0) << 16) | 0;
          });
          expect(words.map((word) => decode(word).immediate)).toEqual([
            immediate,
            immediate,
            branch,
            jump,
            (immediate * 255) << 12,
            amount,
          ]);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('expands every compressed instruction as binutils does', () => {
    const halves = Array.from({ length: 0x1_0000 }, (_, half) => half).filter((half) => (half & 3) !== 3);
    // Each half is followed by c.nop, so that one word is two lines.
    const lines = disassemble(halves.map((half) => half | 0x0001_0000));
    expect(lines).toHaveLength(halves.length * 2);
    for (const [index, half] of halves.entries()) {
      const line = lines[index * 2] ?? '';
      const [, , name = '', operands = ''] = line.split('\t');
      const instruction = decode(half);
      expect(instruction.length).toBe(2);
      const known = !/^(\.|0x|c\.unimp)/.test(name);
      if (instruction.operation === 'illegal') {
        // binutils spells two reserved encodings out: stack adjustment by 0, and loads to x0.
        expect(!known || name === 'c.addi16sp', line).toBe(true);
      } else if (known) {
        const text = `${name} ${operands.replace(/\s*[#<].*/, '')}`.trim();
        expect(describeCompressed(instruction, index * 4), line).toContain(text);
      }
    }
  });

  it('calls everything else illegal, with its bits', () => {
    for (const word of [0xffff_ffff, 0x3020_0073 /* mret */, 0x0200_705b, 0x0000_57d7 /* vsetvli */]) {
      expect(decode(word)).toMatchObject({ operation: 'illegal', immediate: word | 0, length: 4 });
    }
    expect(decode(0)).toMatchObject({ operation: 'illegal', immediate: 0, length: 2 });
    expect(decode(0xdead_0000)).toMatchObject({ operation: 'illegal', immediate: 0, length: 2 });
    // Reserved rounding mode: fadd.d with rm = 5.
    expect(decode(0x0220_d053).operation).toBe('illegal');
  });
});

/** The assembler texts that may stand for an expanded compressed instruction at `address`. */
function describeCompressed({ operation, rd, rs1, rs2, immediate }: Instruction, address: number): string[] {
  const target = BigInt.asUintN(64, BigInt(address + immediate)).toString(16);
  switch (operation) {
    case 'addi':
      return [
        `c.addi4spn x${rd},x${rs1},${immediate}`,
        `c.addi16sp x2,${immediate}`,
        `c.addi x${rd},${immediate}`,
        `c.li x${rd},${immediate}`,
        `c.nop ${immediate}`,
        'c.nop',
      ];
    case 'lui':
      return [`c.lui x${rd},0x${((immediate >> 12) & 0xf_ffff).toString(16)}`];
    case 'lw':
    case 'ld':
      return [`c.${operation} x${rd},${immediate}(x${rs1})`, `c.${operation}sp x${rd},${immediate}(x2)`];
    case 'fld':
      return [`c.fld f${rd},${immediate}(x${rs1})`, `c.fldsp f${rd},${immediate}(x2)`];
    case 'sw':
    case 'sd':
      return [`c.${operation} x${rs2},${immediate}(x${rs1})`, `c.${operation}sp x${rs2},${immediate}(x2)`];
    case 'fsd':
      return [`c.fsd f${rs2},${immediate}(x${rs1})`, `c.fsdsp f${rs2},${immediate}(x2)`];
    case 'slli':
    case 'srli':
    case 'srai':
      return [`c.${operation} x${rd},0x${immediate.toString(16)}`, `c.${operation}64 x${rd}`];
    case 'addiw':
    case 'andi':
      return [`c.${operation} x${rd},${immediate}`];
    case 'beq':
    case 'bne':
      return [`c.${operation}z x${rs1},${target}`];
    case 'jal':
      return [`c.j ${target}`];
    case 'jalr':
      return [rd === 0 ? `c.jr x${rs1}` : `c.jalr x${rs1}`];
    case 'ebreak':
      return ['c.ebreak'];
    default:
      return [`c.mv x${rd},x${rs2}`, `c.${operation} x${rd},x${rs2}`];
  }
}
