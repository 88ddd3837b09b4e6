import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodeBuilder } from '../src/code-builder.ts';
import { ModuleBuilder } from '../src/module-builder.ts';
import { F64, I32, I64, Op, type Opcode, type ValueType } from '../src/opcodes.ts';

/** Builds a module of one exported function and lets the engine compile it. */
function instantiate(
  parameters: readonly ValueType[],
  results: readonly ValueType[],
  write: (code: CodeBuilder) => void,
): (...values: unknown[]) => unknown {
  const module = new ModuleBuilder();
  const code = new CodeBuilder(parameters.length);
  write(code);
  module.exportFunction('f', module.function(module.type(parameters, results), code));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()));
  return instance.exports.f as (...values: unknown[]) => unknown;
}

describe('constants', () => {
  it('encodes every 32-bit constant', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(instantiate([], [I32], (code) => code.i32Const(value))()).toBe(value);
      }),
    );
  });

  it('encodes every 64-bit constant, as a number and as a bigint', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
        expect(instantiate([], [I64], (code) => code.i64Const(value))()).toBe(value);
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(instantiate([], [I64], (code) => code.i64Const(value))()).toBe(BigInt(value));
      }),
    );
  });

  it('encodes every double', () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        expect(instantiate([], [F64], (code) => code.f64Const(value))()).toBe(value);
      }),
    );
  });

  it('refuses a number that a double cannot hold exactly', () => {
    expect(() => new CodeBuilder(0).i64Const(2 ** 60)).toThrow(/bigint/);
  });
});

describe('control', () => {
  it('works out the depth of branches from labels', () => {
    const factorial = instantiate([I64], [I64], (code) => {
      const product = code.local(I64);
      code.i64Const(1).set(product);
      const done = code.block();
      const again = code.loop();
      code.get(0).op(Op.i64Eqz).brIf(done);
      code.get(product).get(0).op(Op.i64Mul).set(product);
      code.get(0).i64Const(1).op(Op.i64Sub).set(0).br(again);
      code.end().end().get(product);
    });
    expect(factorial(20n)).toBe(2432902008176640000n);
  });

  it('selects with br_table', () => {
    const choose = instantiate([I32], [I32], (code) => {
      const other = code.block();
      const second = code.block();
      const first = code.block();
      code.get(0).brTable([first, second], other);
      code.end().i32Const(10).op(Op.return);
      code.end().i32Const(20).op(Op.return);
      code.end().i32Const(30);
    });
    expect([choose(0), choose(1), choose(2), choose(-1)]).toEqual([10, 20, 30, 30]);
  });

  it('refuses a branch to a closed block and a body with open ones', () => {
    const code = new CodeBuilder(0);
    const label = code.block();
    code.end();
    expect(() => code.br(label)).toThrow(/closed/);
    code.block();
    const module = new ModuleBuilder();
    module.function(module.type([], []), code);
    expect(() => module.toBytes()).toThrow(/open/);
  });
});

describe('memory', () => {
  it('accepts every load, store and read-modify-write with its natural alignment', () => {
    const types: Record<string, ValueType> = { i32: I32, i64: I64, f64: F64, f32: 0x7d };
    for (const [name, opcode] of Object.entries(Op) as [string, Opcode][]) {
      if (!/^(i32|i64|f32|f64)(Load|Store|Atomic)/.test(name)) {
        continue;
      }
      const value = types[name.slice(0, 3)] as ValueType;
      const operands = /Store|Rmw/.test(name) ? (/Cmpxchg/.test(name) ? 2 : 1) : 0;
      const parameters = [I32, ...Array.from({ length: operands }, () => value)] as ValueType[];
      const module = new ModuleBuilder();
      module.importMemory('e', 'm', { minimumPages: 1, maximumPages: 1, shared: true });
      const code = new CodeBuilder(parameters.length);
      parameters.forEach((_, index) => {
        code.get(index);
      });
      code.memory(opcode, 8);
      module.function(module.type(parameters, name.includes('Store') ? [] : [value]), code);
      expect(WebAssembly.validate(module.toBytes()), name).toBe(true);
    }
  });

  it('names every numeric instruction so that the engine agrees with its type', () => {
    for (const [name, opcode] of Object.entries(Op) as [string, Opcode][]) {
      const match = /^(i32|i64)(Add|Sub|Mul|DivS|DivU|RemS|RemU|And|Or|Xor|Shl|ShrS|ShrU|Rotl|Rotr)$/.exec(
        name,
      );
      if (match === null) {
        continue;
      }
      const type = match[1] === 'i32' ? I32 : I64;
      expect(
        () => instantiate([type, type], [type], (code) => code.get(0).get(1).op(opcode)),
        name,
      ).not.toThrow();
    }
  });
});
