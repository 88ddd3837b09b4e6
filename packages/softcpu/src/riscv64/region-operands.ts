import { type CodeBuilder, I32, type Local, Op, type ValueType } from '@tsvmm/wasm-emitter';
import type { RegionEmitter } from '../core/region/region-emitter.ts';
import type { Instruction } from './instruction.ts';
import type { Operands } from './operands.ts';

/** Index of f0 among a region's guest registers; x0–x31 come first. */
export const FLOAT_REGISTERS = 32;

/** Operands of an instruction in a region: registers are locals, everything else is a constant. */
export class RegionOperands implements Operands {
  readonly code: CodeBuilder;
  readonly hart: Local;
  readonly #emitter: RegionEmitter;
  readonly #instruction: Instruction;
  readonly #offset: number;

  constructor(emitter: RegionEmitter, instruction: Instruction, offset: number) {
    this.code = emitter.code;
    this.hart = emitter.hart;
    this.#emitter = emitter;
    this.#instruction = instruction;
    this.#offset = offset;
  }

  get knownRoundingMode(): number {
    return this.#instruction.mode;
  }

  rs1(): void {
    this.#pushInteger(this.#instruction.rs1);
  }

  rs2(): void {
    this.#pushInteger(this.#instruction.rs2);
  }

  frs1(): void {
    this.#pushFloat(this.#instruction.rs1);
  }

  frs2(): void {
    this.#pushFloat(this.#instruction.rs2);
  }

  frs3(): void {
    this.#pushFloat(this.#instruction.rs3);
  }

  immediate(): void {
    this.code.i64Const(this.#instruction.immediate);
  }

  immediate32(): void {
    this.code.i32Const(this.#instruction.immediate);
  }

  pc(): void {
    this.#emitter.pushPc(this.#offset);
  }

  roundingMode(): void {
    this.code.i32Const(this.#instruction.mode);
  }

  /** Pushes rs1 plus the immediate. */
  address(): void {
    this.rs1();
    if (this.#instruction.immediate !== 0) {
      this.immediate();
      this.code.op(Op.i64Add);
    }
  }

  scratch(type: ValueType, index: number): Local {
    return this.#emitter.scratch(type, index);
  }

  callHelper(name: string): void {
    this.#emitter.callHelper(name);
  }

  #pushInteger(register: number): void {
    if (register === 0) {
      this.code.i64Const(0);
    } else {
      this.code.get(this.#emitter.register(register));
    }
  }

  #pushFloat(register: number): void {
    this.code.get(this.#emitter.register(FLOAT_REGISTERS + register));
  }
}

/** Source operands, as the methods of {@link Operands} that push them. */
export type Source = 'rs1' | 'rs2' | 'frs1' | 'frs2' | 'frs3';

/** Finds out what a definition reads by having it write code that nobody runs. */
export class SourceRecorder implements Operands {
  readonly code: CodeBuilder;
  readonly hart: Local = 0;
  readonly knownRoundingMode = undefined;
  readonly sources = new Set<Source>();

  constructor(code: CodeBuilder) {
    this.code = code;
  }

  rs1(): void {
    this.sources.add('rs1');
  }

  rs2(): void {
    this.sources.add('rs2');
  }

  frs1(): void {
    this.sources.add('frs1');
  }

  frs2(): void {
    this.sources.add('frs2');
  }

  frs3(): void {
    this.sources.add('frs3');
  }

  immediate(): void {}

  immediate32(): void {}

  pc(): void {}

  roundingMode(): void {}

  scratch(): Local {
    return this.code.local(I32);
  }

  callHelper(): void {}
}
