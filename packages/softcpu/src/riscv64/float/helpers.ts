import type { ModuleBuilder } from '@tsvmm/wasm-emitter';
import { writeAdd, writeSubtract } from './add.ts';
import { writeClassify, writeCompare, writeMinimumMaximum } from './compare.ts';
import { type IntegerFormat, writeFromInteger, writeNarrow, writeToInteger, writeWiden } from './convert.ts';
import { writeDivide } from './divide.ts';
import { DOUBLE, type FloatFormat, SINGLE } from './format.ts';
import { FunctionWriter } from './function-writer.ts';
import { writeFusedMultiplyAdd } from './fused-multiply-add.ts';
import { multiplyAddIsFused } from './fused-support.ts';
import { tryAdd, tryDivide, tryMultiply, tryMultiplyAdd, trySquareRoot } from './hardware.ts';
import { writeMultiply } from './multiply.ts';
import { buildRoundAndPack } from './round.ts';
import { FLOAT_HELPERS, type FloatHelper } from './signatures.ts';
import { writeSquareRoot } from './square-root.ts';

const INTEGERS: Readonly<Record<'w' | 'wu' | 'l' | 'lu', IntegerFormat>> = {
  w: { width: 32, signed: true },
  wu: { width: 32, signed: false },
  l: { width: 64, signed: true },
  lu: { width: 64, signed: false },
};

/**
 * Adds the exact floating-point operations to a module and exports each under its name. The module's memory 0 is the one
 * with the harts' blocks, and its imports are complete.
 *
 * @param hardwareFuses whether relaxed multiply-add rounds once on the machine that the code is for.
 * @returns the function index of every helper of {@link FLOAT_HELPERS}.
 */
export function buildFloatHelpers(
  module: ModuleBuilder,
  hardwareFuses = multiplyAddIsFused(),
): ReadonlyMap<FloatHelper, number> {
  const helpers = new Map<FloatHelper, number>();
  const define = (name: FloatHelper, body: (writer: FunctionWriter) => void): number => {
    const index = FunctionWriter.define(module, FLOAT_HELPERS[name], body);
    module.exportFunction(name, index);
    helpers.set(name, index);
    return index;
  };

  const roundAndPack = { s: buildRoundAndPack(module, SINGLE), d: buildRoundAndPack(module, DOUBLE) };
  const defineFor = (format: FloatFormat): void => {
    const { suffix } = format;
    const round = roundAndPack[suffix];
    const attempt = format.width === 32 || hardwareFuses;
    const add = define(`fadd_${suffix}`, (writer) => {
      tryAdd(writer, format);
      writeAdd(writer, format, round);
    });
    define(`fsub_${suffix}`, (writer) => writeSubtract(writer, format, add));
    define(`fmul_${suffix}`, (writer) => {
      if (attempt) {
        tryMultiply(writer, format);
      }
      writeMultiply(writer, format, round);
    });
    define(`fdiv_${suffix}`, (writer) => {
      if (attempt) {
        tryDivide(writer, format);
      }
      writeDivide(writer, format, round);
    });
    define(`fsqrt_${suffix}`, (writer) => {
      if (attempt) {
        trySquareRoot(writer, format);
      }
      writeSquareRoot(writer, format, round);
    });
    define(`fmadd_${suffix}`, (writer) => {
      if (attempt) {
        tryMultiplyAdd(writer, format);
      }
      writeFusedMultiplyAdd(writer, format, round);
    });
    define(`fcvt_${suffix}_l`, (writer) => writeFromInteger(writer, format, true, round));
    define(`fcvt_${suffix}_lu`, (writer) => writeFromInteger(writer, format, false, round));
    for (const integer of ['w', 'wu', 'l', 'lu'] as const) {
      define(`fcvt_${integer}_${suffix}`, (writer) => writeToInteger(writer, format, INTEGERS[integer]));
    }
    for (const relation of ['eq', 'lt', 'le'] as const) {
      define(`f${relation}_${suffix}`, (writer) => writeCompare(writer, format, relation));
    }
    define(`fmin_${suffix}`, (writer) => writeMinimumMaximum(writer, format, 'minimum'));
    define(`fmax_${suffix}`, (writer) => writeMinimumMaximum(writer, format, 'maximum'));
    define(`fclass_${suffix}`, (writer) => writeClassify(writer, format));
  };
  defineFor(SINGLE);
  defineFor(DOUBLE);
  define('fcvt_s_d', (writer) => writeNarrow(writer, roundAndPack.s));
  define('fcvt_d_s', (writer) => writeWiden(writer));
  return helpers;
}
