import { CodeBuilder, F32, F64, ModuleBuilder } from '@tsvmm/wasm-emitter';
import type { FloatFormat } from './format.ts';

/** The part of the JavaScript API that is used here; TypeScript's declarations of it come with the browser's only. */
declare const WebAssembly: {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

/** Sub-opcodes of vector instructions (prefix 0xfd): SIMD and relaxed SIMD. */
const Vector = {
  s: { splat: 0x13, extractLane: 0x1f, relaxedMultiplyAdd: 0x105 },
  d: { splat: 0x14, extractLane: 0x21, relaxedMultiplyAdd: 0x107 },
} as const;

/** Writes the hardware's multiply-add of three scalars of one format, each pushed by a function. */
export function pushRelaxedMultiplyAdd(
  code: CodeBuilder,
  suffix: FloatFormat['suffix'],
  operands: readonly (() => void)[],
): void {
  const { splat, extractLane, relaxedMultiplyAdd } = Vector[suffix];
  for (const operand of operands) {
    operand();
    code.vector(splat);
  }
  code.vector(relaxedMultiplyAdd).vectorLane(extractLane, 0);
}

/**
 * Whether relaxed multiply-add rounds once, which is the engine's choice (relaxed SIMD: "relaxed_madd" may round the
 * product): asked of the machine, with (1 + ε)² − (1 + 2ε), which is ε² or, with two roundings, 0.
 */
export function multiplyAddIsFused(): boolean {
  fused ??= findOut();
  return fused;
}

let fused: boolean | undefined;

function findOut(): boolean {
  const module = new ModuleBuilder();
  for (const [suffix, type] of [
    ['s', F32],
    ['d', F64],
  ] as const) {
    const code = new CodeBuilder(3);
    pushRelaxedMultiplyAdd(
      code,
      suffix,
      [0, 1, 2].map((parameter) => () => code.get(parameter)),
    );
    module.exportFunction(suffix, module.function(module.type([type, type, type], [type]), code));
  }
  const bytes = module.toBytes();
  if (!WebAssembly.validate(bytes)) {
    return false;
  }
  type MultiplyAdd = (a: number, b: number, c: number) => number;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return (['s', 'd'] as const).every((suffix) => {
    const epsilon = suffix === 's' ? 2 ** -12 : 2 ** -27;
    const multiplyAdd = exports[suffix] as MultiplyAdd;
    const difference = multiplyAdd(1 + epsilon, 1 + epsilon, -(1 + 2 * epsilon));
    // The least normal number is 2^-126 or 2^-1022: a subnormal operand must not count as zero.
    const subnormal = suffix === 's' ? 2 ** -140 : 2 ** -1060;
    return difference === epsilon * epsilon && multiplyAdd(subnormal, 2, 0) === 2 * subnormal;
  });
}
