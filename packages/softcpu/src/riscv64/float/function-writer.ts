import {
  CodeBuilder,
  I32,
  I64,
  type Local,
  type ModuleBuilder,
  Op,
  type ValueType,
} from '@tsvmm/wasm-emitter';
import { HartBlock } from '../../core/layout.ts';
import { RoundingMode } from './environment.ts';
import { type Condition, Int64, type Operand, Variable } from './expression.ts';

/** Writes one function with statements over {@link Int64} and {@link Condition}. Its first parameter is the hart's block. */
export class FunctionWriter {
  readonly code: CodeBuilder;
  /** The address of the hart's block (i32). */
  readonly hart: Local = 0;

  private constructor(parameterCount: number) {
    this.code = new CodeBuilder(parameterCount);
  }

  /**
   * Adds a function with an i64 result to a module.
   *
   * @param body must end with {@link return} on every path.
   * @returns the function's index.
   */
  static define(
    module: ModuleBuilder,
    parameters: readonly ValueType[],
    body: (writer: FunctionWriter) => void,
  ): number {
    const writer = new FunctionWriter(parameters.length);
    body(writer);
    writer.code.op(Op.unreachable);
    return module.function(module.type(parameters, [I64]), writer.code);
  }

  /** A parameter of type i64. */
  parameter(index: number): Variable {
    return new Variable(this.code, index);
  }

  /**
   * The rounding mode in force: the instruction's, parameter `index` (i32), or `frm` where that says dynamic. As i64, as
   * everything is that formulas are made of.
   */
  roundingMode(index: number): Variable {
    const { code, hart } = this;
    return this.let(
      new Int64(() => {
        code.get(hart).memory(Op.i64Load32U, HartBlock.frm);
        code.get(index).op(Op.i64ExtendI32U);
        code.get(index).i32Const(RoundingMode.dynamic).op(Op.i32Eq).op(Op.select);
      }),
    );
  }

  /** A new variable. */
  let(value: Operand): Variable {
    const variable = new Variable(this.code, this.code.local(I64));
    variable.set(value);
    return variable;
  }

  when(condition: Condition, then: () => void, otherwise?: () => void): void {
    condition.push(this.code);
    this.code.if();
    then();
    if (otherwise !== undefined) {
      this.code.else();
      otherwise();
    }
    this.code.end();
  }

  /** Accumulates exception flags. */
  raise(flags: Operand): void {
    const { code, hart } = this;
    code.get(hart);
    code.get(hart).memory(Op.i32Load, HartBlock.fflags);
    if (flags instanceof Int64) {
      flags.push(code);
      code.op(Op.i32WrapI64);
    } else {
      code.i32Const(Number(flags));
    }
    code.op(Op.i32Or).memory(Op.i32Store, HartBlock.fflags);
  }

  return(value: Operand): void {
    if (value instanceof Int64) {
      value.push(this.code);
    } else {
      this.code.i64Const(value);
    }
    this.code.op(Op.return);
  }

  /** A call of a function whose parameters are the hart's block and then i64s. */
  call(index: number, ...operands: readonly Operand[]): Int64 {
    return new Int64((code) => {
      code.get(this.hart);
      for (const operand of operands) {
        if (operand instanceof Int64) {
          operand.push(code);
        } else {
          code.i64Const(operand);
        }
      }
      code.call(index);
    });
  }
}

/** Types of the parameters of a function for {@link FunctionWriter.call}. */
export function internalParameters(count: number): ValueType[] {
  return [I32, ...Array<ValueType>(count).fill(I64)];
}
