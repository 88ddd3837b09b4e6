import { HypervisorError } from '../../errors.ts';
import type { KvmState } from '../architecture.ts';
import { type Attribute, command, readAttribute, writeAttribute } from '../device-attributes.ts';
import { partOf } from '../saved-state.ts';
import { type Gic, GicControl, GicGroup, PRIVATE_INTERRUPTS } from './gic.ts';

/** Offsets of registers that distributors and redistributors have alike (IHI 0069, 12.9 and 12.11). */
const Offset = {
  group: 0x80,
  enable: 0x100,
  pending: 0x200,
  active: 0x300,
  priority: 0x400,
  configuration: 0xc00,
} as const;

/** Of distributors. */
const GICD_CTLR = 0;
const GICD_IIDR = 8;
const GICD_STATUSR = 0x10;
const GICD_ITARGETSR = 0x800;
const GICD_SPENDSGIR = 0xf20;
const GICD_IROUTER = 0x6000;
/** Of redistributors: the first frame, with the tables before GICR_CTLR makes use of them; where the second begins. */
const REDISTRIBUTOR_REGISTERS = [0x70, 0x74, 0x78, 0x7c, 0x0, 0x10, 0x14];
const SGI_FRAME = 0x1_0000;

/** CPU interfaces of version 3: encodings of ICC_* (op0, op1, CRn, CRm, op2). */
const icc = (crm: number, op2: number, crn = 12) => (3 << 14) | (crn << 7) | (crm << 3) | op2;
const ICC_SRE = icc(12, 5);
const ICC_CTLR = icc(12, 4);
const ICC_REGISTERS = [icc(6, 0, 4), icc(8, 3), icc(12, 3), icc(12, 6), icc(12, 7)];
const ICC_AP0R = [4, 5, 6, 7].map((op2) => icc(8, op2));
const ICC_AP1R = [0, 1, 2, 3].map((op2) => icc(9, op2));
/** ICC_CTLR_EL1.PRIbits: bits of a priority, less 1. */
const PRIORITY_BITS_SHIFT = 8n;

/** CPU interfaces of version 2: GICC_CTLR, PMR, BPR, ABPR, APR0 to APR3. */
const GICC_REGISTERS = [0x0, 0x4, 0x8, 0x1c, 0xd0, 0xd4, 0xd8, 0xdc];

/** Of an ITS: GITS_CBASER before the others, GITS_CTLR, which starts it, last (Linux, arm-vgic-its.rst). */
const GITS_CTLR = 0n;
const GITS_IIDR = 4n;
const GITS_REGISTERS = [0x80n, 0x88n, 0x90n, ...Array.from({ length: 8 }, (_, n) => BigInt(0x100 + 8 * n))];

/** Registers of 32 bits that have `bits` for each of the interrupts `first` to `last - 1`. */
function perInterrupt(offset: number, bits: number, first: number, last: number): number[] {
  const perWord = 32 / bits;
  return Array.from({ length: (last - first) / perWord }, (_, n) => offset + 4 * (first / perWord + n));
}

function interruptRegisters(first: number, last: number): number[] {
  return [
    ...perInterrupt(Offset.group, 1, first, last),
    ...perInterrupt(Offset.configuration, 2, first, last),
    ...perInterrupt(Offset.priority, 8, first, last),
    ...perInterrupt(Offset.enable, 1, first, last),
    ...perInterrupt(Offset.pending, 1, first, last),
    ...perInterrupt(Offset.active, 1, first, last),
  ];
}

function attribute(group: number, upper: bigint, register: number, size: 4 | 8 = 4): Attribute {
  return { group, attribute: (upper << 32n) | BigInt(register), size };
}

/** An affinity as attributes have it: Aff3 to Aff0 in 32 bits. */
function affinityBits(affinity: number): bigint {
  const value = BigInt(affinity);
  return ((value >> 8n) & 0xff00_0000n) | (value & 0xff_ffffn);
}

/**
 * Everything of a version 3 controller, in the order in which it is written: the revision first, then what enables the
 * distributor, because KVM forwards only those pending interrupts that it is told of while that is on.
 */
function v3Attributes(sources: number, affinities: readonly number[], apRegisters: number): Attribute[] {
  const last = PRIVATE_INTERRUPTS + sources;
  const shared = (register: number, size: 4 | 8 = 4) => attribute(GicGroup.distributor, 0n, register, size);
  return [
    shared(GICD_IIDR),
    shared(GICD_CTLR),
    shared(GICD_STATUSR),
    ...affinities.flatMap((affinity) => {
      const cpu = affinityBits(affinity);
      return [
        ...REDISTRIBUTOR_REGISTERS.map((register) => attribute(GicGroup.redistributor, cpu, register)),
        ...interruptRegisters(0, PRIVATE_INTERRUPTS).map((register) =>
          attribute(GicGroup.redistributor, cpu, SGI_FRAME + register),
        ),
        // VGIC_LEVEL_INFO_LINE_LEVEL, of the private interrupts.
        attribute(GicGroup.level, cpu, 0),
      ];
    }),
    // Where interrupts go, before any is pending. GICD_IROUTER<n> is read and written in halves.
    ...Array.from({ length: 2 * sources }, (_, n) => shared(GICD_IROUTER + 8 * PRIVATE_INTERRUPTS + 4 * n)),
    ...interruptRegisters(PRIVATE_INTERRUPTS, last).map((register) => shared(register)),
    ...Array.from({ length: sources / 32 }, (_, n) =>
      attribute(GicGroup.level, 0n, PRIVATE_INTERRUPTS + 32 * n),
    ),
    ...affinities.flatMap((affinity) => {
      const registers = [
        ICC_SRE,
        ICC_CTLR,
        ...ICC_REGISTERS,
        ...ICC_AP0R.slice(0, apRegisters),
        ...ICC_AP1R.slice(0, apRegisters),
      ];
      return registers.map((register) =>
        attribute(GicGroup.cpuInterfaceV3, affinityBits(affinity), register, 8),
      );
    }),
  ];
}

function v2Attributes(sources: number, vcpuCount: number): Attribute[] {
  const last = PRIVATE_INTERRUPTS + sources;
  const cpus = Array.from({ length: vcpuCount }, (_, id) => BigInt(id));
  const shared = (register: number) => attribute(GicGroup.distributor, 0n, register);
  return [
    shared(GICD_IIDR),
    shared(GICD_CTLR),
    ...cpus.flatMap((cpu) =>
      [...interruptRegisters(0, PRIVATE_INTERRUPTS), ...perInterrupt(GICD_SPENDSGIR, 8, 0, 16)].map(
        (register) => attribute(GicGroup.distributor, cpu, register),
      ),
    ),
    ...perInterrupt(GICD_ITARGETSR, 8, PRIVATE_INTERRUPTS, last).map(shared),
    ...interruptRegisters(PRIVATE_INTERRUPTS, last).map(shared),
    ...cpus.flatMap((cpu) =>
      GICC_REGISTERS.map((register) => attribute(GicGroup.cpuInterfaceV2, cpu, register)),
    ),
  ];
}

function attributesOf(gic: Gic, sources: number, affinities: readonly number[]): Attribute[] {
  if (gic.version === 2) return v2Attributes(sources, affinities.length);
  // The number of active-priorities registers follows from that of priority bits (IHI 0069, 12.2.1).
  const control = readAttribute(
    gic.device,
    attribute(GicGroup.cpuInterfaceV3, affinityBits(affinities[0] ?? 0), ICC_CTLR, 8),
  );
  const priorityBits = Number((control >> PRIORITY_BITS_SHIFT) & 7n) + 1;
  return v3Attributes(sources, affinities, priorityBits < 6 ? 1 : 2 ** (priorityBits - 5));
}

const itsAttributes: readonly Attribute[] = [GITS_IIDR, ...GITS_REGISTERS].map((register) => ({
  group: GicGroup.its,
  attribute: register,
  size: 8,
}));
const itsControl: Attribute = { group: GicGroup.its, attribute: GITS_CTLR, size: 8 };

/** Reads a controller whose vCPUs do not run; an ITS writes its tables to guest memory. */
export function saveGic(gic: Gic, sources: number, affinities: readonly number[]): KvmState {
  const { device, its } = gic;
  if (its !== undefined) {
    command(its, GicGroup.control, GicControl.itsSaveTables);
    command(device, GicGroup.control, GicControl.savePendingTables);
  }
  const values = attributesOf(gic, sources, affinities).map((entry) => readAttribute(device, entry));
  const state: Record<string, Uint8Array> = { gic: packed(values) };
  if (its !== undefined) {
    state.its = packed([...itsAttributes, itsControl].map((entry) => readAttribute(its, entry)));
  }
  return state;
}

/** Writes it to a new controller of the same kind. Guest memory must be as it was: tables of an ITS are in it. */
export function restoreGic(gic: Gic, sources: number, affinities: readonly number[], state: KvmState): void {
  const { device, its } = gic;
  writeAll(device, attributesOf(gic, sources, affinities), partOf(state, 'gic'), 'gic');
  if (its === undefined) return;
  const saved = partOf(state, 'its', 8 * (itsAttributes.length + 1));
  writeAll(its, itsAttributes, saved.subarray(0, 8 * itsAttributes.length), 'its');
  command(its, GicGroup.control, GicControl.itsRestoreTables);
  writeAll(its, [itsControl], saved.subarray(8 * itsAttributes.length), 'its');
}

function packed(values: readonly bigint[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values).buffer);
}

function writeAll(
  device: Gic['device'],
  attributes: readonly Attribute[],
  saved: Uint8Array,
  name: string,
): void {
  if (saved.length !== 8 * attributes.length) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `the saved ${name} has ${saved.length / 8} registers, and this machine's has ${attributes.length}: restore it ` +
        'into a machine with the same interrupt controller and vCPUs',
    );
  }
  const view = new DataView(saved.buffer, saved.byteOffset);
  for (const [index, entry] of attributes.entries()) {
    writeAttribute(device, entry, view.getBigUint64(8 * index, true));
  }
}
