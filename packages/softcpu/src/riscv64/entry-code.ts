import { type CodeBuilder, type Label, type Local, Op, type ValueType } from '@tsvmm/wasm-emitter';
import { HartBlock } from '../core/layout.ts';
import { HART } from './machine-code.ts';
import type { Operands } from './operands.ts';
import { Entry } from './predecode.ts';

/** Code that reads a decoded entry, whose address is in the local `ip` (i32), and the registers it names. */

/** Pushes the offset of register `a` or `b` (register number times 8). */
export function pushOffset(code: CodeBuilder, ip: Local, field: 'a' | 'b'): void {
  code.get(ip).memory(Op.i32Load8U, Entry[field]);
}

function pushRegister(code: CodeBuilder, pushRegisterOffset: () => void, file: number): void {
  code.get(HART);
  pushRegisterOffset();
  code.op(Op.i32Add).memory(Op.i64Load, file);
}

/** Pushes the integer register `a` names: stores and branches have rs2 there. */
export function pushRegisterA(code: CodeBuilder, ip: Local, file: number = HartBlock.x): void {
  pushRegister(code, () => pushOffset(code, ip, 'a'), file);
}

/** Pushes the register `b` names: rs1. */
export function pushRegisterB(code: CodeBuilder, ip: Local, file: number = HartBlock.x): void {
  pushRegister(code, () => pushOffset(code, ip, 'b'), file);
}

/** Pushes the register named by a byte of the immediate: rs2 (byte 0) or rs3 (byte 1). */
export function pushRegisterFromImmediate(
  code: CodeBuilder,
  ip: Local,
  file: number = HartBlock.x,
  byte = 0,
): void {
  pushRegister(code, () => code.get(ip).memory(Op.i32Load8U, Entry.immediate + byte), file);
}

/** Stores the i64 that `value` pushes to the register `a` names, unless that is x0. */
export function storeRegisterA(code: CodeBuilder, ip: Local, value: () => void): void {
  pushOffset(code, ip, 'a');
  code.if();
  setRegisterA(code, ip, HartBlock.x, value);
  code.end();
}

/** Stores the i64 that `value` pushes to the register `a` names, which is not x0. */
export function setRegisterA(code: CodeBuilder, ip: Local, file: number, value: () => void): void {
  code.get(HART);
  pushOffset(code, ip, 'a');
  code.op(Op.i32Add);
  value();
  code.memory(Op.i64Store, file);
}

/**
 * Writes a switch over consecutive operation numbers.
 *
 * @param operation local with the number (i32), which must be one of them
 * @param body must leave the function or branch away
 */
export function writeCases(
  code: CodeBuilder,
  operation: Local,
  first: number,
  names: readonly string[],
  body: (name: string) => void,
): void {
  const labels = names.map(() => code.block()).toReversed();
  code
    .get(operation)
    .i32Const(first)
    .op(Op.i32Sub)
    .brTable(labels, labels[0] as Label);
  for (const name of names) {
    code.end();
    body(name);
  }
  code.op(Op.unreachable);
}

/** Operands that are read through a decoded entry from the hart's block: what makes semantics an interpreter. */
export class EntryOperands implements Operands {
  readonly code: CodeBuilder;
  readonly hart = HART;
  readonly knownRoundingMode = undefined;
  readonly #ip: Local;
  readonly #pcBase: Local;
  readonly #helpers: ReadonlyMap<string, number>;
  readonly #scratch = new Map<ValueType, Local[]>();

  /**
   * @param ip local with the entry's address (i32)
   * @param pcBase local with what the pc is over a quarter of that (i64)
   * @param helpers function indices of the helpers
   */
  constructor(code: CodeBuilder, ip: Local, pcBase: Local, helpers: ReadonlyMap<string, number>) {
    this.code = code;
    this.#ip = ip;
    this.#pcBase = pcBase;
    this.#helpers = helpers;
  }

  rs1(): void {
    pushRegisterB(this.code, this.#ip);
  }

  rs2(): void {
    pushRegisterFromImmediate(this.code, this.#ip);
  }

  frs1(): void {
    pushRegisterB(this.code, this.#ip, HartBlock.f);
  }

  frs2(): void {
    pushRegisterFromImmediate(this.code, this.#ip, HartBlock.f);
  }

  frs3(): void {
    pushRegisterFromImmediate(this.code, this.#ip, HartBlock.f, 1);
  }

  immediate(): void {
    this.code.get(this.#ip).memory(Op.i64Load32S, Entry.immediate);
  }

  immediate32(): void {
    this.code.get(this.#ip).memory(Op.i32Load, Entry.immediate);
  }

  pc(): void {
    this.code.get(this.#ip).i32Const(2).op(Op.i32ShrU).op(Op.i64ExtendI32U);
    this.code.get(this.#pcBase).op(Op.i64Add);
  }

  roundingMode(): void {
    this.code.get(this.#ip).memory(Op.i32Load8U, Entry.immediate + 2);
  }

  scratch(type: ValueType, index: number): Local {
    const locals = this.#scratch.get(type) ?? [];
    this.#scratch.set(type, locals);
    while (locals.length <= index) {
      locals.push(this.code.local(type));
    }
    return locals[index] as Local;
  }

  callHelper(name: string): void {
    const index = this.#helpers.get(name);
    if (index === undefined) {
      throw new RangeError(`no helper ${name}`);
    }
    this.code.call(index);
  }
}

/** Operands of branches, whose second source is where others have their destination. */
export class BranchOperands extends EntryOperands {
  readonly #entry: Local;

  constructor(code: CodeBuilder, ip: Local, pcBase: Local) {
    super(code, ip, pcBase, new Map());
    this.#entry = ip;
  }

  override rs2(): void {
    pushRegisterA(this.code, this.#entry);
  }
}
