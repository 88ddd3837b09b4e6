import { rmSync } from 'node:fs';
import { F64, I64, Op } from '@tsvmm/wasm-emitter';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { multiplyAddIsFused } from '../../src/riscv64/float/fused-support.ts';
import {
  createFloatSemantics,
  floatEffects,
  floatSemantics,
  reservedRoundingMode,
} from '../../src/riscv64/semantics/float.ts';
import { Harness, type ModeSource } from './harness.ts';
import { operandsFor } from './operands.ts';
import { type Block, buildOracle, ILLEGAL, RECORD, runOracle } from './oracle.ts';

const RECORDS = Number(process.env.FLOAT_RECORDS ?? 2000);
const SEED = Number(process.env.FLOAT_SEED ?? 1);
const MODES = [0, 1, 2, 3, 4];
const NAMES = ['RNE', 'RTZ', 'RDN', 'RUP', 'RMM'];
const DYNAMIC = 7;

const operations = Object.keys(floatSemantics);
const oracle = buildOracle();
afterAll(() => rmSync(oracle.directory, { recursive: true }));

function hex(value: bigint | undefined): string {
  return (value ?? 0n).toString(16).padStart(16, '0');
}

describe.each([
  ['fused multiply-add of the hardware', 'bits', { hardwareFuses: multiplyAddIsFused(), registers: I64 }],
  ['fused multiply-add of the hardware', 'doubles', { hardwareFuses: multiplyAddIsFused(), registers: F64 }],
  ['software only', 'bits', { hardwareFuses: false, registers: I64 }],
] as const)('results and flags are those of QEMU: %s, results as %s', (_fused, _type, options) => {
  const sources: readonly ModeSource[] = [...MODES, DYNAMIC, 'operand'];
  const harness = new Harness(
    createFloatSemantics(options.hardwareFuses, options.registers),
    sources,
    options,
  );
  const blocks: Block[] = operations.flatMap((operation, index) =>
    (floatEffects[operation]?.hasRoundingMode ? MODES : [0]).map((frm) => ({
      operation,
      frm,
      operands: operandsFor(operation, RECORDS, SEED + 977 * index + frm),
    })),
  );
  let expected: BigUint64Array[] = [];
  beforeAll(() => {
    expected = runOracle(oracle.program, blocks);
  });

  it.each(operations)('%s', (operation) => {
    for (const [index, { frm, operands, ...block }] of blocks.entries()) {
      if (block.operation !== operation) {
        continue;
      }
      const wanted = expected[index] as BigUint64Array;
      // A constant in the code, in frm by a constant, an operand, in frm by an operand: [variant, field, frm].
      const variants: [ModeSource, number, number][] = [
        [frm, frm, 4 - frm],
        [DYNAMIC, DYNAMIC, frm],
        ['operand', frm, 4 - frm],
        ['operand', DYNAMIC, frm],
      ];
      for (const [source, mode, dynamic] of variants) {
        for (const flags of [0, 1, 30]) {
          const got = harness.run(operation, source, mode, dynamic, flags, operands);
          for (let i = 0; i < wanted.length / 2; i++) {
            const flagsWanted = (wanted[2 * i + 1] ?? 0n) | BigInt(flags);
            if (got[RECORD * i] !== wanted[2 * i] || got[RECORD * i + 1] !== flagsWanted) {
              const [a, b, c] = operands.subarray(RECORD * i, RECORD * i + RECORD);
              expect.fail(
                `${operation} ${NAMES[frm]} of ${hex(a)}, ${hex(b)}, ${hex(c)} with flags ${flags} as ${source}: ` +
                  `${hex(got[RECORD * i])} flags ${got[RECORD * i + 1]}, ` +
                  `not ${hex(wanted[2 * i])} flags ${flagsWanted}`,
              );
            }
          }
        }
      }
    }
  });
});

describe('effects', () => {
  const encodable = [0, 1, 2, 3, 4, 5, 6, DYNAMIC];
  const harness = new Harness(
    {
      reserved: (operands) => {
        reservedRoundingMode(operands);
        operands.code.op(Op.i64ExtendI32U);
      },
    },
    [...encodable, 'operand'],
  );

  it('finds the rounding modes with which instructions are illegal', () => {
    for (const mode of encodable) {
      for (const frm of [0, 1, 2, 3, 4, 5, 6, 7]) {
        const illegal = (mode === DYNAMIC ? frm : mode) > 4 ? 1n : 0n;
        for (const source of [mode, 'operand'] as const) {
          const [result] = harness.run('reserved', source, mode, frm, 0, new BigUint64Array(RECORD));
          expect(result, `mode ${mode}, frm ${frm}, as ${source}`).toBe(illegal);
        }
      }
    }
  });

  it.each([5, 6, 7])('says what QEMU refuses with %i in frm', (frm) => {
    const blocks = operations.map((operation) => ({ operation, frm, operands: new BigUint64Array(RECORD) }));
    const illegal = runOracle(oracle.program, blocks).map((results) => results[1] === ILLEGAL);
    expect(illegal).toEqual(operations.map((operation) => floatEffects[operation]?.hasRoundingMode));
  });

  it('says what raises flags', () => {
    const blocks = operations.map((operation) => ({
      operation,
      frm: 0,
      operands: operandsFor(operation, 500, SEED),
    }));
    const raises = runOracle(oracle.program, blocks).map((results) =>
      results.some((flags, index) => index % 2 === 1 && flags !== 0n),
    );
    expect(raises).toEqual(operations.map((operation) => floatEffects[operation]?.raisesFlags));
  });
});
