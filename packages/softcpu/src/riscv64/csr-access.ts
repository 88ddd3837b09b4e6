import {
  type CodeBuilder,
  I32,
  I64,
  type Label,
  type Local,
  type ModuleBuilder,
  Op,
} from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { RiscvBlock } from './block.ts';
import { pushOffset, pushRegisterB, storeRegisterA } from './entry-code.ts';
import { defineFunction, HART, Outcome, pushField32, pushField64, setField64 } from './machine-code.ts';
import { CSR_KIND_SHIFT, Entry } from './predecode.ts';
import { Csr, STATUS_UXL_HIGH, Status, SUPERVISOR_INTERRUPTS } from './registers.ts';
import type { TrapFunctions } from './traps.ts';

export interface CsrImports {
  /** `(number: i32) → i32`: reads to `RiscvBlock.csrValue`; 0 if there is no such register. */
  readonly read: number;
  /**
   * `(number: i32, kind: i32) → Outcome`: writes `csrValue`; for kinds 2 and 3 the bits to set or clear are in `csrOperand`.
   */
  readonly write: number;
}

/** CSRs that are just a field of the block, with what a write keeps of the value. */
const PLAIN = [
  { number: Csr.sscratch, field: HartBlock.sscratch, writable: -1n },
  { number: Csr.sepc, field: HartBlock.sepc, writable: ~1n },
  { number: Csr.scause, field: HartBlock.scause, writable: -1n },
  { number: Csr.stval, field: HartBlock.stval, writable: -1n },
  { number: Csr.stvec, field: HartBlock.stvec, writable: ~2n },
] as const;

/** Funct3 of the instructions, without the bit for the immediate form. */
export const CsrKind = { write: 1, set: 2, clear: 3 } as const;
const IMMEDIATE_FORM = 4;

const FIRST_FAST = Csr.sstatus;

/** `(hart, ip) → Outcome`: the Zicsr instructions; the CSRs of trap handlers without leaving WebAssembly. */
export function defineCsrAccess(module: ModuleBuilder, traps: TrapFunctions, imports: CsrImports): number {
  return defineFunction(module, [I32], [I32], (code) => {
    new CsrAccessWriter(code, traps, imports).write();
  });
}

const IP = 1;

class CsrAccessWriter {
  readonly #code: CodeBuilder;
  readonly #traps: TrapFunctions;
  readonly #imports: CsrImports;
  readonly #number: Local;
  readonly #kind: Local;
  readonly #writes: Local;
  readonly #operand: Local;
  readonly #old: Local;
  readonly #value: Local;
  readonly #outcome: Local;

  constructor(code: CodeBuilder, traps: TrapFunctions, imports: CsrImports) {
    this.#code = code;
    this.#traps = traps;
    this.#imports = imports;
    this.#number = code.local(I32);
    this.#kind = code.local(I32);
    this.#writes = code.local(I32);
    this.#operand = code.local(I64);
    this.#old = code.local(I64);
    this.#value = code.local(I64);
    this.#outcome = code.local(I32);
  }

  write(): void {
    const code = this.#code;
    this.#readEntry();
    this.#refuseUnlessAllowed();
    this.#switch(
      (field) => {
        pushField64(code, field);
        code.set(this.#old);
      },
      () => {
        pushField64(code, HartBlock.sstatus)
          .i64Const(BigInt(STATUS_UXL_HIGH) << 32n)
          .op(Op.i64Or);
        // SD: some extension's state is dirty.
        code.i64Const(-(1n << 63n)).i64Const(0);
        pushField32(code, HartBlock.sstatus)
          .i32Const(Status.fs)
          .op(Op.i32And)
          .i32Const(Status.fs)
          .op(Op.i32Eq);
        code.op(Op.select).op(Op.i64Or).set(this.#old);
      },
      () => {
        code.get(this.#number).call(this.#imports.read).op(Op.i32Eqz).if();
        code.i32Const(Outcome.illegal).op(Op.return).end();
        pushField64(code, RiscvBlock.csrValue).set(this.#old);
      },
    );
    code.get(this.#writes).if();
    this.#combine();
    this.#write();
    code.get(this.#outcome).i32Const(Outcome.illegal).op(Op.i32Eq).if();
    code.get(this.#outcome).op(Op.return).end();
    code.end();
    storeRegisterA(code, IP, () => code.get(this.#old));
    code.get(this.#outcome);
  }

  #readEntry(): void {
    const code = this.#code;
    code.get(IP).memory(Op.i32Load, Entry.immediate).tee(this.#number);
    code.i32Const(CSR_KIND_SHIFT).op(Op.i32ShrU).set(this.#kind);
    code
      .get(this.#number)
      .i32Const((1 << CSR_KIND_SHIFT) - 1)
      .op(Op.i32And)
      .set(this.#number);
    code.get(this.#kind).i32Const(IMMEDIATE_FORM).op(Op.i32And).if(I64);
    pushOffset(code, IP, 'b');
    code.i32Const(3).op(Op.i32ShrU).op(Op.i64ExtendI32U).else();
    pushRegisterB(code, IP);
    code.end().set(this.#operand);
    code
      .get(this.#kind)
      .i32Const(IMMEDIATE_FORM - 1)
      .op(Op.i32And)
      .tee(this.#kind);
    // Setting or clearing with x0 or 0 does not write (Zicsr).
    code.i32Const(CsrKind.write).op(Op.i32Eq);
    pushOffset(code, IP, 'b');
    code.op(Op.i32Or).set(this.#writes);
  }

  /** CSR address mapping conventions (privileged manual, 2.1): bits 9:8 least privilege, 11:10 read-only if both set. */
  #refuseUnlessAllowed(): void {
    const code = this.#code;
    code.get(this.#number).i32Const(8).op(Op.i32ShrU).i32Const(3).op(Op.i32And);
    pushField32(code, HartBlock.privilege).op(Op.i32GtU);
    code.get(this.#number).i32Const(0xc00).op(Op.i32GeU);
    code.get(this.#writes).i32Const(0).op(Op.i32Ne).op(Op.i32And).op(Op.i32Or).if();
    code.i32Const(Outcome.illegal).op(Op.return).end();
  }

  /** Chooses by the register's number. */
  #switch(plain: (field: number, writable: bigint) => void, status: () => void, other: () => void): void {
    const code = this.#code;
    const done = code.block();
    const labels: Label[] = [];
    const otherLabel = code.block();
    const sie = code.block();
    const statusLabel = code.block();
    const plainLabels = PLAIN.map(() => code.block());
    const span = Math.max(...PLAIN.map(({ number }) => number)) - FIRST_FAST + 1;
    for (let index = 0; index < span; index++) {
      const number = FIRST_FAST + index;
      const which = PLAIN.findIndex((entry) => entry.number === number);
      if (number === Csr.sstatus) {
        labels.push(statusLabel);
      } else if (number === Csr.sie) {
        labels.push(sie);
      } else {
        labels.push(plainLabels[which] ?? otherLabel);
      }
    }
    code.get(this.#number).i32Const(FIRST_FAST).op(Op.i32Sub).brTable(labels, otherLabel);
    for (const { field, writable } of PLAIN.toReversed()) {
      code.end();
      plain(field, writable);
      code.br(done);
    }
    code.end();
    status();
    code.br(done).end();
    plain(HartBlock.sie, BigInt(SUPERVISOR_INTERRUPTS));
    code.br(done).end();
    other();
    code.end();
  }

  /** What is to be written: the operand, or the old value with its bits set or cleared. */
  #combine(): void {
    const code = this.#code;
    code.get(this.#operand).set(this.#value);
    code.get(this.#kind).i32Const(CsrKind.set).op(Op.i32Eq).if();
    code.get(this.#old).get(this.#operand).op(Op.i64Or).set(this.#value).end();
    code.get(this.#kind).i32Const(CsrKind.clear).op(Op.i32Eq).if();
    code.get(this.#old).get(this.#operand).i64Const(-1).op(Op.i64Xor).op(Op.i64And).set(this.#value).end();
  }

  #write(): void {
    const code = this.#code;
    this.#switch(
      (field, writable) => {
        setField64(code, field, () => {
          code.get(this.#value);
          if (writable !== -1n) {
            code.i64Const(writable).op(Op.i64And);
          }
        });
        if (field === HartBlock.sie) {
          code.get(HART).call(this.#traps.checkInterrupts);
          code.i32Const(Outcome.resume).set(this.#outcome);
        }
      },
      () => code.get(HART).get(this.#value).call(this.#traps.writeStatus).set(this.#outcome),
      () => {
        setField64(code, RiscvBlock.csrValue, () => code.get(this.#value));
        setField64(code, RiscvBlock.csrOperand, () => code.get(this.#operand));
        code.get(this.#number).get(this.#kind).call(this.#imports.write).set(this.#outcome);
      },
    );
  }
}
