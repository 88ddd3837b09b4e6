import { CodeBuilder, I32, type ModuleBuilder, Op, type ValueType } from '@tsvmm/wasm-emitter';

/** Every function of the interpreter's module has the address of the hart's block as its first parameter. */
export const HART = 0;

/** What the functions for rare operations return: how the main function goes on. */
export const Outcome = {
  /** At the next instruction. */
  next: 0,
  /** At the hart's pc: control, privilege or mappings changed. */
  resume: 1,
  /** With the exception that is in the block (`RiscvBlock.trapCause`, `trapValue`). */
  fault: 2,
  /** With an illegal-instruction exception. */
  illegal: 3,
} as const;

/** Pushes an i32 field of the hart's block. */
export function pushField32(code: CodeBuilder, offset: number): CodeBuilder {
  return code.get(HART).memory(Op.i32Load, offset);
}

/** Pushes an i64 field of the hart's block. */
export function pushField64(code: CodeBuilder, offset: number): CodeBuilder {
  return code.get(HART).memory(Op.i64Load, offset);
}

/** Stores the i32 that `value` pushes into a field of the hart's block. */
export function setField32(code: CodeBuilder, offset: number, value: () => void): void {
  code.get(HART);
  value();
  code.memory(Op.i32Store, offset);
}

/** Stores the i64 that `value` pushes into a field of the hart's block. */
export function setField64(code: CodeBuilder, offset: number, value: () => void): void {
  code.get(HART);
  value();
  code.memory(Op.i64Store, offset);
}

/**
 * Defines a function whose first parameter is the hart's block.
 *
 * @param parameters types of the others, which are locals 1 and up
 * @returns the function's index
 */
export function defineFunction(
  module: ModuleBuilder,
  parameters: readonly ValueType[],
  results: readonly ValueType[],
  write: (code: CodeBuilder) => void,
): number {
  const types: ValueType[] = [I32, ...parameters];
  const code = new CodeBuilder(types.length);
  write(code);
  return module.function(module.type(types, results), code);
}
