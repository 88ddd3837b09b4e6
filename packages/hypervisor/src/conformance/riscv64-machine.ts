import type { MachineSetup } from './machine.ts';
import type { Code, Expected, ExpectedMessage, Payloads } from './payloads.ts';
import {
  addi,
  assemble,
  Csr,
  csrrs,
  csrrw,
  jump,
  lbu,
  ld,
  lhu,
  loadImmediate,
  lwu,
  Register,
  sb,
  sbiCall,
  sd,
  sh,
  slli,
  sw,
  wfi,
} from './riscv64-assembler.ts';

export const RAM = 0x8000_0000;
const RAM_SIZE = 16 * 2 ** 20;
/** Nothing is here: loads and stores leave the vCPU. */
export const DEVICE = 0x1000_0000;
const IMSIC = 0x0800_0000;
const APLIC = 0x4000;

export const SETUP: MachineSetup = {
  options: {
    architecture: 'riscv64',
    ram: [{ guestAddress: RAM, size: RAM_SIZE }],
    aia: { imsicAddress: IMSIC, imsicIdentities: 255, aplicAddress: APLIC, aplicSources: 8 },
  },
  codeAddress: RAM,
  registers: { pc: BigInt(RAM) },
};

export const Sbi = { systemReset: 0x5352_5354, hartState: 0x48_534d, debugConsole: 0x4442_434e } as const;

const { zero, a0, a1, t0, t1 } = Register;
const STORES = { 1: sb, 2: sh, 4: sw, 8: sd } as const;
const LOADS = { 1: lbu, 2: lhu, 4: lwu, 8: ld } as const;

/** Indirect registers of an interrupt file (AIA 1.0, section 3.8). */
const EIDELIVERY = 0x70;
const EIE0 = 0xc0;
const SUPERVISOR_EXTERNAL = 9;

/** Registers of the APLIC (AIA 1.0, table 4.1). */
const SOURCECFG = APLIC;
const SETIENUM = APLIC + 0x1edc;
const TARGET = APLIC + 0x3000;
const RISING_EDGE = 4;
const DOMAIN_ENABLE = 0x100;

export function store(address: number, value: number, size: 1 | 2 | 4 | 8): Code {
  return [...loadImmediate(t0, address), ...loadImmediate(t1, value), STORES[size](t1, t0, 0)];
}

/** Enables one identity of the calling hart's interrupt file, and external interrupts in sie. */
function enableIdentity(identity: number): Expected {
  const select = (register: number) => [addi(t1, zero, register), csrrw(zero, Csr.siselect, t1)];
  const setBit = (csr: number, bit: number) => [addi(t1, zero, 1), slli(t1, t1, bit), csrrs(zero, csr, t1)];
  const enable = [
    ...select(EIDELIVERY),
    ...setBit(Csr.sireg, 0),
    ...select(EIE0),
    ...setBit(Csr.sireg, identity),
    ...setBit(Csr.sie, SUPERVISOR_EXTERNAL),
  ];
  // stopei: the identity in bits 26:16, and as priority in 10:0.
  return { enable, told: BigInt((identity << 16) | identity) };
}

function enableLine(source: number): Expected {
  const identity = 16 + source;
  const { enable, told } = enableIdentity(identity);
  const route = [
    ...store(SOURCECFG + 4 * source, RISING_EDGE, 4),
    ...store(TARGET + 4 * source, identity, 4),
    ...store(SETIENUM, source, 4),
    ...store(APLIC, DOMAIN_ENABLE, 4),
  ];
  return { enable: [...enable, ...route], told };
}

function enableMessage(): ExpectedMessage {
  return { ...enableIdentity(7), message: { addressLow: IMSIC, addressHigh: 0, data: 7 } };
}

export const PAYLOADS: Payloads = {
  setup: SETUP,
  device: DEVICE,
  freeAddress: 0x2000_0000,
  programCounter: 'pc',
  untouched: 'x28',
  sources: [3, 5],
  missingSources: [0, 9, 1.5],
  assemble,
  store,
  loadAndTell: (from, size, to) => [
    ...loadImmediate(t0, from),
    LOADS[size](a0, t0, 0),
    ...loadImmediate(t0, to),
    sd(a0, t0, 0),
  ],
  spin: [jump(0)],
  idle: [wfi(), jump(-4)],
  powerOff: sbiCall(Sbi.systemReset, 0, 0, 0),
  waitAndTell: (_machine, address) => [
    wfi(),
    csrrw(a0, Csr.stopei, zero),
    ...loadImmediate(t0, address),
    sw(a0, t0, 0),
  ],
  message: enableMessage,
  line: (_machine, source) => enableLine(source),
  startSecond: (_machine, address, argument) => sbiCall(Sbi.hartState, 0, 1, address, argument),
  tellArgument: (address) => [...loadImmediate(t0, address), sd(a1, t0, 0)],
};
