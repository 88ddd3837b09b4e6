import {
  CodeBuilder,
  F64,
  I32,
  I64,
  type Local,
  ModuleBuilder,
  Op,
  type ValueType,
} from '@tsvmm/wasm-emitter';
import { HART_BASE, HartBlock } from '../../src/core/layout.ts';
import { multiplyAddIsFused } from '../../src/riscv64/float/fused-support.ts';
import { buildFloatHelpers } from '../../src/riscv64/float/helpers.ts';
import type { FloatHelper } from '../../src/riscv64/float/signatures.ts';
import type { Operands, Semantics } from '../../src/riscv64/operands.ts';
import { floatEffects } from '../../src/riscv64/semantics/float.ts';
import type { RegisterType } from '../../src/riscv64/semantics/float-access.ts';

/** Where records are: beyond the first hart's registers. */
const RECORDS = 0x2_0000;
const MEMORY_PAGES = 512;

/** How an instruction's rounding mode reaches its semantics: a constant (7 for dynamic), or at run time. */
export type ModeSource = number | 'operand';

/** Operands that are the parameters and locals of a function (hart, mode, pointer, end). */
class ParameterOperands implements Operands {
  readonly code: CodeBuilder;
  readonly hart: Local = 0;
  readonly knownRoundingMode: number | undefined;
  readonly #sources: readonly Local[];
  readonly #helpers: ReadonlyMap<string, number>;
  readonly #scratch = new Map<string, Local>();

  constructor(
    code: CodeBuilder,
    sources: readonly Local[],
    helpers: ReadonlyMap<string, number>,
    mode: number | undefined,
  ) {
    this.code = code;
    this.#sources = sources;
    this.#helpers = helpers;
    this.knownRoundingMode = mode;
  }

  rs1(): void {
    this.#push(0);
  }

  rs2(): void {
    this.#push(1);
  }

  frs1(): void {
    this.#push(0);
  }

  frs2(): void {
    this.#push(1);
  }

  frs3(): void {
    this.#push(2);
  }

  immediate(): void {
    throw new Error('floating-point operations have no immediate');
  }

  immediate32(): void {
    this.immediate();
  }

  pc(): void {
    throw new Error('floating-point operations do not know where they are');
  }

  roundingMode(): void {
    if (this.knownRoundingMode === undefined) {
      this.code.get(1);
    } else {
      this.code.i32Const(this.knownRoundingMode);
    }
  }

  scratch(type: ValueType, index: number): Local {
    const key = `${type}:${index}`;
    const known = this.#scratch.get(key);
    if (known !== undefined) {
      return known;
    }
    const local = this.code.local(type);
    this.#scratch.set(key, local);
    return local;
  }

  callHelper(name: string): void {
    const index = this.#helpers.get(name);
    if (index === undefined) {
      throw new Error(`no helper ${name}`);
    }
    this.code.call(index);
  }

  #push(source: number): void {
    this.code.get(this.#sources[source] ?? 0);
  }
}

export interface HarnessOptions {
  readonly hardwareFuses?: boolean;
  /** Type of the results that go to floating-point registers. */
  readonly registers?: RegisterType;
}

type Run = (hart: number, mode: number, start: number, end: number) => void;

/** Executes semantics on many records, in WebAssembly. */
export class Harness {
  readonly #memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
  readonly #exports: WebAssembly.Exports;
  readonly #u32: Uint32Array;
  readonly #u64: BigUint64Array;

  constructor(
    semantics: Readonly<Record<string, Semantics>>,
    modes: readonly ModeSource[],
    { hardwareFuses = multiplyAddIsFused(), registers = I64 }: HarnessOptions = {},
  ) {
    const module = new ModuleBuilder();
    module.importMemory('env', 'memory', {
      minimumPages: MEMORY_PAGES,
      maximumPages: MEMORY_PAGES,
      shared: true,
    });
    const helpers: ReadonlyMap<FloatHelper, number> = buildFloatHelpers(module, hardwareFuses);
    for (const [operation, write] of Object.entries(semantics)) {
      for (const mode of modes) {
        const index = defineLoop(module, helpers, mode === 'operand' ? undefined : mode, (operands) => {
          write(operands);
          if (registers === F64 && floatEffects[operation]?.writesFloat) {
            operands.code.op(Op.i64ReinterpretF64);
          }
        });
        module.exportFunction(`${operation}:${mode}`, index);
      }
    }
    const compiled = new WebAssembly.Module(module.toBytes());
    this.#exports = new WebAssembly.Instance(compiled, { env: { memory: this.#memory } }).exports;
    this.#u32 = new Uint32Array(this.#memory.buffer);
    this.#u64 = new BigUint64Array(this.#memory.buffer);
  }

  /**
   * Executes an operation once a record.
   *
   * @param source which variant of the code, one of the constructor's.
   * @param mode the instruction's rounding mode field.
   * @param flags `fflags` before each.
   * @returns a view of the records, of which the first two doublewords became result and flags.
   */
  run(
    operation: string,
    source: ModeSource,
    mode: number,
    frm: number,
    flags: number,
    operands: BigUint64Array,
  ): BigUint64Array {
    this.load(operands);
    this.#u32[(HART_BASE + HartBlock.frm) >> 2] = frm;
    this.#u32[(HART_BASE + HartBlock.fflags) >> 2] = flags;
    this.#u64[(HART_BASE + HartBlock.x) >> 3] = BigInt(flags);
    this.repeat(operation, source, mode, operands.length);
    return this.#u64.subarray(RECORDS >> 3, (RECORDS >> 3) + operands.length);
  }

  load(operands: BigUint64Array): void {
    this.#u64.set(operands, RECORDS >> 3);
  }

  repeat(operation: string, source: ModeSource, mode: number, length: number): void {
    const run = this.#exports[`${operation}:${source}`] as Run;
    run(HART_BASE, mode, RECORDS, RECORDS + length * 8);
  }
}

/** Adds a loop over records: (hart, mode, start, end); the flags to start with are where x0 is. */
function defineLoop(
  module: ModuleBuilder,
  helpers: ReadonlyMap<string, number>,
  mode: number | undefined,
  write: Semantics,
): number {
  const [hart, , pointer, end] = [0, 1, 2, 3] as const;
  const code = new CodeBuilder(4);
  const sources = [code.local(I64), code.local(I64), code.local(I64)];
  const result = code.local(I64);
  const operands = new ParameterOperands(code, sources, helpers, mode);
  const loop = code.loop();
  for (const [index, source] of sources.entries()) {
    code
      .get(pointer)
      .memory(Op.i64Load, index * 8)
      .set(source);
  }
  code.get(hart).get(hart).memory(Op.i32Load, HartBlock.x).memory(Op.i32Store, HartBlock.fflags);
  write(operands);
  code.set(result);
  code.get(pointer).get(result).memory(Op.i64Store);
  code.get(pointer).get(hart).memory(Op.i64Load32U, HartBlock.fflags).memory(Op.i64Store, 8);
  code.get(pointer).i32Const(24).op(Op.i32Add).tee(pointer);
  code.get(end).op(Op.i32LtU).brIf(loop).end();
  return module.function(module.type([I32, I32, I32, I32], []), code);
}
