import { INTERESTING, type Random } from '../../../../tools/fuzz/mutate.ts';

/** What a guest can do to a device, a step at a time. The numbers are those of the committed corpus: only append. */
export const Op = {
  /** Lets the event loop turn `a` times, and what the host does meanwhile go on. */
  turn: 0,
  /** Configuration space: offset `b`, width `a`, value `c` and, for 8 bytes, `f`. */
  writePci: 1,
  readPci: 2,
  /** The device's BAR: offset `b`, width `a`, value `c` and `f`. */
  writeBar: 3,
  readBar: 4,
  /** A field of the common configuration: which `b`, value `c` and `f`; queue `e` selected first when `a` is odd. */
  writeCommon: 5,
  /** ACKNOWLEDGE to FEATURES_OK: of the features that are offered, `d`; when `a` is odd, `d` as it is. */
  negotiate: 6,
  /** Queue `a` with `b` entries, its three areas moved by the low, middle and high 16 bits of `d`, and enabled. */
  setUpQueue: 7,
  driverOk: 8,
  reset: 9,
  resetQueue: 10,
  /** Entry `b` of the descriptors of queue `a`: address `d`, length `c`, flags `e`, next or id `f`. */
  descriptor: 11,
  /** The same in the table that indirect descriptors of the queue's valid requests use. */
  tableEntry: 12,
  /** Makes descriptor `b` of queue `a` available and moves the index by `c`; a packed ring's flags change by `e`. */
  publish: 13,
  /** Notifies queue `a`, with the value `b`. */
  kick: 14,
  /** A valid request of kind `b` with the parameters `c`, `d`, `e` to queue `a`; `f` says what is wrong with it. */
  request: 15,
  /** Writes `c`, and for 8 bytes `f`, at the guest-physical address `d` in the width `a`. */
  poke: 16,
  /** The host does something: input comes, output is taken, a command is given. */
  host: 17,
  /** What the driver of queue `a` wants of interrupts: word `b`, flags `c`. */
  suppress: 18,
  /** Vector `a` sends `c` to the address `d`, control `e`; `b` is written to Message Control. */
  msix: 19,
  /** Moves the BAR to `c` and writes `b` to the command register. */
  moveBar: 20,
  /** VIRTIO_PCI_CAP_PCI_CFG: offset `c`, length `e`, BAR `b`; writes `f` when `a` is odd, else reads. */
  window: 21,
} as const;
export type OpCode = (typeof Op)[keyof typeof Op];

const OPS = Object.values(Op);

/** One step, whose fields mean what its operation says: widths 8, 16, 32, 64, 32 and 32 bits. */
export interface Step {
  readonly op: OpCode;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: bigint;
  readonly e: number;
  readonly f: number;
}

/** Bytes of a step in a program. */
export const STEP_LENGTH = 24;

/** Most steps of a program; the rest is left out. */
const MAX_STEPS = 400;

const OP = 0;
const A = 1;
const B = 2;
const C = 4;
const D = 8;
const E = 16;
const F = 20;

/** Makes a step of what matters of it. */
export function step(op: OpCode, fields: Partial<Omit<Step, 'op'>> = {}): Step {
  return { op, a: 0, b: 0, c: 0, d: 0n, e: 0, f: 0, ...fields };
}

export function encode(steps: readonly Step[]): Uint8Array {
  const bytes = new Uint8Array(STEP_LENGTH * steps.length);
  const view = new DataView(bytes.buffer);
  for (const [index, { op, a, b, c, d, e, f }] of steps.entries()) {
    const at = STEP_LENGTH * index;
    view.setUint8(at + OP, op);
    view.setUint8(at + A, a);
    view.setUint16(at + B, b, true);
    view.setUint32(at + C, c, true);
    view.setBigUint64(at + D, d, true);
    view.setUint32(at + E, e, true);
    view.setUint32(at + F, f, true);
  }
  return bytes;
}

/** Every program of bytes is one of steps. */
export function decode(bytes: Uint8Array): Step[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.min(Math.floor(bytes.length / STEP_LENGTH), MAX_STEPS);
  return Array.from({ length: count }, (_, index) => {
    const at = STEP_LENGTH * index;
    return {
      // The remainder is in the list.
      op: OPS[view.getUint8(at + OP) % OPS.length] ?? Op.turn,
      a: view.getUint8(at + A),
      b: view.getUint16(at + B, true),
      c: view.getUint32(at + C, true),
      d: view.getBigUint64(at + D, true),
      e: view.getUint32(at + E, true),
      f: view.getUint32(at + F, true),
    };
  });
}

/** A line for each step. */
export function describeProgram(bytes: Uint8Array): string {
  const names = new Map<number, string>(Object.entries(Op).map(([name, op]) => [op, name]));
  const line = ({ op, a, b, c, d, e, f }: Step) => {
    const numbers = [a, b, c, d, e, f].map((value) => `0x${value.toString(16)}`);
    return `${(names.get(op) ?? '').padEnd(12)} ${numbers.join(' ')}`;
  };
  return decode(bytes).map(line).join('\n');
}

/** Field, and its width in bytes. */
const FIELDS = [
  [OP, 1],
  [A, 1],
  [B, 2],
  [C, 4],
  [D, 8],
  [E, 4],
  [F, 4],
] as const;

/**
 * A program like `input`: steps are changed, left out, repeated, put elsewhere or taken from `other`.
 * @param places numbers that mean something to the device: addresses, offsets
 */
export function mutateProgram(
  input: Uint8Array,
  other: Uint8Array,
  random: Random,
  places: readonly bigint[],
): Uint8Array {
  const steps = split(input);
  const others = split(other);
  const times = 1 + random.below(random.below(2) === 0 ? 3 : 12);
  for (let i = 0; i < times; i++) change(steps, others, random, places);
  return new Uint8Array(Buffer.concat(steps.slice(0, MAX_STEPS)));
}

function split(program: Uint8Array): Uint8Array[] {
  const count = Math.floor(program.length / STEP_LENGTH);
  return Array.from({ length: count }, (_, index) =>
    program.slice(STEP_LENGTH * index, STEP_LENGTH * (index + 1)),
  );
}

function change(
  steps: Uint8Array[],
  others: readonly Uint8Array[],
  random: Random,
  places: readonly bigint[],
) {
  const at = random.below(steps.length);
  const current = steps[at];
  if (current === undefined) {
    steps.push(...others);
    return;
  }
  switch (random.below(12)) {
    case 0:
      steps.splice(at, 1 + random.below(3));
      break;
    case 1:
      // The same again, once or many times.
      for (let times = random.pick([1, 1, 2, 20]); times > 0; times--) steps.splice(at, 0, current.slice());
      break;
    case 2: {
      const [moved] = steps.splice(at, 1);
      if (moved) steps.splice(random.below(steps.length + 1), 0, moved);
      break;
    }
    case 3:
    case 4: {
      const from = random.below(others.length);
      steps.splice(at, 0, ...others.slice(from, from + 1 + random.below(8)).map((part) => part.slice()));
      break;
    }
    case 5: {
      const made = new Uint8Array(STEP_LENGTH);
      for (const field of FIELDS) setField(made, field, random, places);
      steps.splice(at, 0, made);
      break;
    }
    default:
      setField(current, random.pick(FIELDS), random, places);
  }
}

function setField(
  bytes: Uint8Array,
  [at, width]: (typeof FIELDS)[number],
  random: Random,
  places: readonly bigint[],
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const before =
    width === 8 ? view.getBigUint64(at, true) : BigInt(width === 4 ? view.getUint32(at, true) : 0);
  const value = [
    () => before + BigInt(random.pick([1, -1, 4, -4, 16, 4096])),
    () => before ^ (1n << BigInt(random.below(8 * width))),
    () => BigInt(random.below(random.pick([2, 4, 16, 64, 256]))),
    () => BigInt(random.below(random.pick([256, 4096, 65_536]))),
    () => random.pick(INTERESTING),
    () => random.pick(places),
    () => random.pick(places) + BigInt(random.below(4096)),
  ][random.below(7)]?.();
  const bits = BigInt.asUintN(8 * width, value ?? 0n);
  if (width === 8) view.setBigUint64(at, bits, true);
  else if (width === 4) view.setUint32(at, Number(bits), true);
  else if (width === 2) view.setUint16(at, Number(bits), true);
  else view.setUint8(at, Number(bits));
}
