/**
 * Nanoseconds an operation takes on the hardware's path and on the exact one, in a loop over independent operands, the
 * loop itself taken off: `pnpm exec node packages/softcpu/bench/float.ts [operation…]`.
 */
import { floatSemantics } from '../src/riscv64/semantics/float.ts';
import { Harness, type ModeSource } from '../test/float/harness.ts';
import { Random } from '../test/float/operands.ts';
import { RECORD } from '../test/float/oracle.ts';

const RECORDS = 2048;
const REPETITIONS = 200;
const ROUNDS = 7;
const DYNAMIC = 7;

const BASELINE = 'fmv_x_d';

/** Operands of moderate size, so that nothing overflows; integers for conversions from integers. */
function moderate(operation: string): BigUint64Array {
  const random = new Random(7);
  const doubles = new Float64Array(RECORDS * RECORD);
  const words = new BigUint64Array(doubles.buffer);
  for (let i = 0; i < doubles.length; i++) {
    const value = 1 + random.below(1 << 30) / 3;
    if (/^fcvt_._[lw]u?$/.test(operation)) {
      words[i] = BigInt(Math.trunc(value));
    } else if (/_s$/.test(operation)) {
      words[i] = (0xffff_ffffn << 32n) | BigInt(new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0);
    } else {
      doubles[i] = value;
    }
  }
  return words;
}

function nanoseconds(harness: Harness, operation: string, source: ModeSource, flags: number): number {
  const operands = moderate(operation);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    let elapsed = 0;
    for (let i = 0; i < REPETITIONS; i++) {
      // Results overwrite operands.
      harness.run(operation, source, DYNAMIC, 0, flags, operands.subarray(0, RECORD));
      harness.load(operands);
      const start = process.hrtime.bigint();
      harness.repeat(operation, source, DYNAMIC, operands.length);
      elapsed += Number(process.hrtime.bigint() - start);
    }
    times.push(elapsed / REPETITIONS / RECORDS);
  }
  return Math.min(...times);
}

const chosen = process.argv.slice(2);
const operations = chosen.length > 0 ? chosen : Object.keys(floatSemantics);
const harness = new Harness(floatSemantics, [0, DYNAMIC, 'operand']);
const loop = nanoseconds(harness, BASELINE, 0, 1);
console.log(
  `loop: ${loop.toFixed(2)} ns; rounding mode known | dynamic | operand (interpreter) | inexact not accumulated`,
);
for (const operation of operations) {
  const cells = [
    nanoseconds(harness, operation, 0, 1),
    nanoseconds(harness, operation, DYNAMIC, 1),
    nanoseconds(harness, operation, 'operand', 1),
    nanoseconds(harness, operation, 0, 0),
  ].map((time) => (time - loop).toFixed(2).padStart(8));
  console.log(operation.padEnd(10), ...cells);
}
