import type { GicOptions } from '../interrupt-controllers.ts';
import type { Aarch64Platform } from '../platform.ts';
import {
  assemble,
  branch,
  hvc,
  isb,
  ldr,
  mov,
  movRegister,
  mrs,
  msr,
  SystemRegister,
  str,
  wfi,
} from './aarch64-assembler.ts';
import type { ConformanceMachine, MachineSetup } from './machine.ts';
import type { Code, Expected, ExpectedMessage, Payloads } from './payloads.ts';

export const RAM = 0x8000_0000;
const RAM_SIZE = 16 * 2 ** 20;
/** Nothing is here: loads and stores leave the vCPU. */
export const DEVICE = 0x1000_0000;

const DISTRIBUTOR = 0x3fff_0000;
/** Redistributors of two vCPUs, below the distributor. */
const REDISTRIBUTORS = DISTRIBUTOR - 2 * 0x2_0000;
const CPU_INTERFACE = 0x3ffd_0000;
const ITS = 0x4000_0000;

const gic: GicOptions = {
  distributorAddress: DISTRIBUTOR,
  redistributorAddress: REDISTRIBUTORS,
  cpuInterfaceAddress: CPU_INTERFACE,
  sources: 64,
};

/** A machine with wired interrupts only. */
export const WIRED: MachineSetup = {
  options: { architecture: 'aarch64', ram: [{ guestAddress: RAM, size: RAM_SIZE }], gic },
  codeAddress: RAM,
  registers: { pc: BigInt(RAM) },
};
/** One that has messages too. */
const WITH_ITS: MachineSetup = {
  ...WIRED,
  options: { ...WIRED.options, gic: { ...gic, itsAddress: ITS } },
};

/** PSCI functions (Arm DEN 0022, 5.1). */
export const Psci = { cpuOn: 0xc400_0003, systemOff: 0x8400_0008, systemReset: 0x8400_0009 } as const;

const FIRST_SPI = 32;
const FIRST_PPI = 16;
/** Bits of a redistributor's second frame. */
const SGI_FRAME = 0x1_0000;
/** Registers of distributors and of redistributors' second frames (IHI 0069, 12.9). */
const Register = { control: 0, group: 0x80, enable: 0x100, target: 0x800, configuration: 0xc00 } as const;
/** GICD_CTLR: both groups; affinity routing, which version 2 ignores. */
const ENABLE_ALL = 0x13;

/** What an interrupt translation service finds in memory; tables of 64 KiB. */
const Table = { commands: 0x40_0000, devices: 0x41_0000, collections: 0x42_0000, events: 0x43_0000 } as const;
const LPI_CONFIGURATION = RAM + 0x44_0000;
const LPI_PENDING = RAM + 0x45_0000;
const DEVICE_ID = 0x18;
const EVENT = 3;
const LPI = 8195;
const VALID = 1n << 63n;

export function platformOf({ vm }: ConformanceMachine): Aarch64Platform {
  if (vm.platform.architecture !== 'aarch64') throw new Error('not an aarch64 machine');
  return vm.platform;
}

export function psci(call: number, ...args: readonly number[]): Code {
  return [...args.flatMap((value, index) => mov(1 + index, value)), ...mov(0, call), hvc];
}

export function store(address: number, value: number | bigint, size: 1 | 2 | 4 | 8): Code {
  return [...mov(9, address), ...mov(10, value), str(10, 9, 0, size)];
}

/** Lets every interrupt of group 1 through to vCPU 0. */
function enableInterface(machine: ConformanceMachine): Code {
  const distributor = store(DISTRIBUTOR + Register.control, ENABLE_ALL, 4);
  if (platformOf(machine).gicVersion === 2) {
    // GICC_PMR, GICC_CTLR with both groups, of which the first is acknowledged with the second (AckCtl).
    return [...distributor, ...store(CPU_INTERFACE + 4, 0xff, 4), ...store(CPU_INTERFACE, 7, 4)];
  }
  return [
    ...distributor,
    ...mov(9, 1),
    msr(SystemRegister.iccSreEl1, 9),
    isb,
    msr(SystemRegister.iccIgrpen1El1, 9),
    ...mov(9, 0xff),
    msr(SystemRegister.iccPmrEl1, 9),
    isb,
  ];
}

/** Enables a shared interrupt for vCPU 0. */
export function enableLine(machine: ConformanceMachine, source: number, trigger: 'edge' | 'level'): Expected {
  const id = FIRST_SPI + source;
  const word = Math.floor(id / 32) * 4;
  const bit = 2 ** (id % 32);
  const enable = [
    ...enableInterface(machine),
    ...store(DISTRIBUTOR + Register.group + word, bit, 4),
    ...store(
      DISTRIBUTOR + Register.configuration + Math.floor(id / 16) * 4,
      (trigger === 'edge' ? 2 : 0) * 4 ** (id % 16),
      4,
    ),
    ...(platformOf(machine).gicVersion === 2 ? store(DISTRIBUTOR + Register.target + id, 1, 1) : []),
    ...store(DISTRIBUTOR + Register.enable + word, bit, 4),
  ];
  return { enable, told: BigInt(id) };
}

/** Enables a private interrupt of vCPU 0. */
export function enablePrivateLine(machine: ConformanceMachine, source: number): Expected {
  const id = FIRST_PPI + source;
  const frame = platformOf(machine).gicVersion === 2 ? DISTRIBUTOR : REDISTRIBUTORS + SGI_FRAME;
  const enable = [
    ...enableInterface(machine),
    ...store(frame + Register.group, 2 ** id, 4),
    ...store(frame + Register.enable, 2 ** id, 4),
  ];
  return { enable, told: BigInt(id) };
}

/** Maps an event of a device to an LPI of vCPU 0 (IHI 0069, 5.3), by commands that wait in memory. */
function enableMessage(machine: ConformanceMachine): ExpectedMessage | undefined {
  if (!platformOf(machine).hasIts) return undefined;
  const device = BigInt(DEVICE_ID) << 32n;
  const commands = [
    // MAPD: an interrupt translation table for events of 5 bits.
    [0x08n | device, 4n, VALID | BigInt(RAM + Table.events), 0n],
    // MAPC: collection 0 is vCPU 0's.
    [0x09n, 0n, VALID, 0n],
    // MAPTI, INV
    [0x0an | device, BigInt(EVENT) | (BigInt(LPI) << 32n), 0n, 0n],
    [0x0cn | device, BigInt(EVENT), 0n, 0n],
  ].flat();
  machine.load(new Uint8Array(BigUint64Array.from(commands).buffer), RAM + Table.commands);
  // Priority 0xa0, enabled.
  machine.load(Uint8Array.of(0xa1), LPI_CONFIGURATION + LPI - 8192);
  const table = (offset: number) => VALID | BigInt(RAM + offset);
  const enable = [
    ...enableInterface(machine),
    // GICR_PROPBASER with 14 bits of INTID, GICR_PENDBASER, GICR_CTLR.EnableLPIs.
    ...store(REDISTRIBUTORS + 0x70, BigInt(LPI_CONFIGURATION) | 13n, 8),
    ...store(REDISTRIBUTORS + 0x78, BigInt(LPI_PENDING), 8),
    ...store(REDISTRIBUTORS, 1, 4),
    // GITS_BASER0 and 1: one page of 64 KiB; GITS_CBASER: of 4 KiB.
    ...store(ITS + 0x100, table(Table.devices) | 0x200n, 8),
    ...store(ITS + 0x108, table(Table.collections) | 0x200n, 8),
    ...store(ITS + 0x80, table(Table.commands), 8),
    ...store(ITS, 1, 4),
    ...store(ITS + 0x88, commands.length * 8, 8),
  ];
  const message = { addressLow: ITS + 0x1_0040, addressHigh: 0, data: EVENT, deviceId: DEVICE_ID };
  return { enable, told: BigInt(LPI), message };
}

/** With interrupts masked, as a vCPU starts: WFI ends nevertheless. */
function waitAndTell(machine: ConformanceMachine, address: number): Code {
  const tell = [...mov(9, address), str(11, 9, 0, 4)];
  if (platformOf(machine).gicVersion === 2) {
    return [wfi, ...mov(12, CPU_INTERFACE), ldr(11, 12, 0xc, 4), ...tell, str(11, 12, 0x10, 4)];
  }
  return [wfi, mrs(11, SystemRegister.iccIar1El1), ...tell, msr(SystemRegister.iccEoir1El1, 11), isb];
}

function payloads(setup: MachineSetup): Payloads {
  return {
    setup,
    device: DEVICE,
    freeAddress: 0x2000_0000,
    programCounter: 'pc',
    untouched: 'x28',
    sources: [3, 40],
    missingSources: [-1, 64, 0.5],
    assemble,
    store,
    loadAndTell: (from, size, to) => [...mov(9, from), ldr(11, 9, 0, size), ...mov(9, to), str(11, 9, 0, 8)],
    spin: [branch(0)],
    idle: [wfi, branch(-4)],
    powerOff: psci(Psci.systemOff),
    waitAndTell,
    message: enableMessage,
    line: (machine, source) => enableLine(machine, source, 'edge'),
    startSecond: (machine, address, argument) =>
      psci(Psci.cpuOn, platformOf(machine).affinities[1] ?? 0, address, argument),
    tellArgument: (address) => [movRegister(11, 0), ...mov(9, address), str(11, 9, 0, 8)],
  };
}

export const WIRED_PAYLOADS = payloads(WIRED);
export const PAYLOADS = payloads(WITH_ITS);
