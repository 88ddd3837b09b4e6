import { VirtioFeature } from '../../src/index.ts';
import { queueArea } from './layout.ts';
import type { DeviceProfile } from './profile.ts';
import { encode, Op, type Step, step } from './program.ts';

const PACKED = VirtioFeature.ringPacked;
const ALL = (1n << 64n) - 1n;
const without = (...bits: readonly number[]) => bits.reduce((set, bit) => set & ~(1n << BigInt(bit)), ALL);

/** Negotiation, all queues, and DRIVER_OK. */
function start({ model }: DeviceProfile, features: bigint, size: number): Step[] {
  return [
    step(Op.negotiate, { d: features }),
    ...model.queueSizes.slice(0, 8).map((most, queue) => {
      return step(Op.setUpQueue, { a: queue, b: Math.min(size, most) });
    }),
    step(Op.driverOk),
  ];
}

/** All kinds of valid requests, in one of the ways in which they can be sent. */
function requests(profile: DeviceProfile, flags: number): Step[] {
  return profile.requests.flatMap((_, kind) => [
    step(Op.request, { b: kind, c: 0, d: 1n, e: 0, f: flags }),
    step(Op.request, { b: kind, c: 5, d: 3n, e: 3, f: flags }),
    step(Op.host, { a: kind, c: 40 }),
    step(Op.turn, { a: 2 }),
  ]);
}

const INDIRECT = 1 << 8;

/** Programs that break no rule, or one each: what mutations begin with. */
export function seedPrograms(profile: DeviceProfile): Uint8Array[] {
  const area = queueArea(0);
  const buffer = { d: 0x8002_0000n, c: 512 };
  const programs: Step[][] = [
    [...start(profile, without(PACKED), 256), ...requests(profile, 0)],
    [...start(profile, without(PACKED, VirtioFeature.eventIdx), 16), ...requests(profile, INDIRECT)],
    [...start(profile, ALL, 16), ...requests(profile, 0), step(Op.reset), step(Op.turn)],
    [...start(profile, ALL, 8), ...requests(profile, INDIRECT), step(Op.resetQueue, { a: 0 })],
    // Vectors, masked and not, with requests between.
    [
      ...start(profile, without(PACKED), 32),
      step(Op.msix, { a: 1, b: 0x8000, c: 5, d: 0x2800_0000n }),
      ...requests(profile, 0),
      step(Op.msix, { a: 1, b: 0xc000, c: 5, d: 0x2800_0000n, e: 1 }),
      ...requests(profile, 0),
      step(Op.msix, { a: 1, b: 0x8000, c: 6, d: 0x2800_0000n }),
    ],
    // Chains by hand: loops, tables in tables, what lies outside of memory.
    [
      ...start(profile, without(PACKED), 16),
      step(Op.descriptor, { a: 0, b: 0, ...buffer, e: 1, f: 1 }),
      step(Op.descriptor, { a: 0, b: 1, ...buffer, e: 2, f: 0 }),
      step(Op.publish, { a: 0, b: 0, c: 1 }),
      step(Op.kick, { a: 0 }),
      step(Op.descriptor, { a: 0, b: 2, d: BigInt(area.table), c: 64, e: 4 }),
      step(Op.tableEntry, { a: 0, b: 0, ...buffer, e: 3, f: 1 }),
      step(Op.tableEntry, { a: 0, b: 1, d: 0x8003_fff0n, c: 64, e: 2 }),
      step(Op.publish, { a: 0, b: 2, c: 1 }),
      step(Op.kick, { a: 0 }),
      step(Op.reset),
      step(Op.turn),
      ...start(profile, without(PACKED), 16),
      step(Op.suppress, { a: 0, b: 3, c: 1 }),
      step(Op.publish, { a: 0, b: 0, c: 500 }),
      step(Op.kick, { a: 0 }),
    ],
    // Queues that are reset, moved and enabled again while others go on; resets in the midst of requests.
    [
      ...start(profile, without(PACKED), 16),
      ...requests(profile, 0).filter(({ op }) => op === Op.request),
      step(Op.resetQueue, { a: 0 }),
      step(Op.turn),
      step(Op.setUpQueue, { a: 0, b: 8, d: 0x0010_0010_0010n }),
      ...requests(profile, 0).filter(({ op }) => op === Op.request),
      step(Op.reset),
      ...start(profile, ALL, 16),
      step(Op.request, { f: 6 }),
      step(Op.reset),
    ],
    // Registers in all widths, the BAR elsewhere, the window in configuration space.
    [
      ...Array.from({ length: 22 }, (_, field) =>
        step(Op.writeCommon, { a: 1, b: field, c: 1, e: field % 3 }),
      ),
      ...Array.from({ length: 16 }, (_, at) => step(Op.readBar, { a: at, b: 4 * at })),
      step(Op.readBar, { a: 2, b: 0x1000 }),
      step(Op.readBar, { a: 3, b: 0x2000 }),
      step(Op.writeBar, { a: 1, b: 0x2000, c: 0x0101 }),
      step(Op.moveBar, { b: 6, c: 0x4010_0000 }),
      step(Op.readBar, { a: 2, b: 0x14 }),
      step(Op.moveBar, { b: 6, c: 0x4000_8000 }),
      step(Op.moveBar, { b: 0, c: 0xffff_ffff }),
      step(Op.window, { a: 5, c: 0x14, e: 1, f: 0 }),
      step(Op.window, { a: 4, c: 0x10, e: 4 }),
      step(Op.writePci, { a: 2, b: 0x10, c: 0xffff_ffff }),
      step(Op.readPci, { a: 2, b: 0x10 }),
      step(Op.poke, { a: 3, c: 1, d: 0x8000_0000n, f: 1 }),
    ],
  ];
  return programs.map(encode);
}
