import type { Riscv64Platform } from '../../platform.ts';
import { KvmError, type NativeVcpu } from '../native.ts';
import { tryReadRegister, writeRegister } from '../one-register.ts';
import { Configuration, isaExtension, sbiExtension, TIMER_FREQUENCY } from './registers.ts';

/** Extensions in the order of KVM_RISCV_ISA_EXT_*, by the names that device trees have for them. */
const ISA_EXTENSIONS: readonly string[] = [
  ...[
    'a',
    'c',
    'd',
    'f',
    'h',
    'i',
    'm',
    'svpbmt',
    'sstc',
    'svinval',
    'zihintpause',
    'zicbom',
    'zicboz',
    'zbb',
  ],
  ...[
    'ssaia',
    'v',
    'svnapot',
    'zba',
    'zbs',
    'zicntr',
    'zicsr',
    'zifencei',
    'zihpm',
    'smstateen',
    'zicond',
    'zbc',
  ],
  ...[
    'zbkb',
    'zbkc',
    'zbkx',
    'zknd',
    'zkne',
    'zknh',
    'zkr',
    'zksed',
    'zksh',
    'zkt',
    'zvbb',
    'zvbc',
    'zvkb',
    'zvkg',
  ],
  ...[
    'zvkned',
    'zvknha',
    'zvknhb',
    'zvksed',
    'zvksh',
    'zvkt',
    'zfh',
    'zfhmin',
    'zihintntl',
    'zvfh',
    'zvfhmin',
  ],
  ...[
    'zfa',
    'ztso',
    'zacas',
    'sscofpmf',
    'zimop',
    'zca',
    'zcb',
    'zcd',
    'zcf',
    'zcmop',
    'zawrs',
    'smnpm',
    'ssnpm',
  ],
  ...['svade', 'svadu', 'svvptc', 'zabha', 'ziccrse', 'zaamo', 'zalrsc'],
];
/** Single letters are listed in this order (unprivileged manual, 36.9), and before all others. */
const CANONICAL = 'imafdqcbkjtpvh';
/** Seeds of entropy come from exits, and guests have virtio's: one source is enough. */
const WITHHELD = ['zkr'];

/** KVM_RISCV_SBI_EXT_DBCN: calls to it leave the vCPU. */
const SBI_DEBUG_CONSOLE = 9;
/** KVM_RISCV_SBI_EXT_V01, its predecessor, whose console would leave the vCPU too. */
const SBI_LEGACY = 0;

/** Values of `satp.MODE` (privileged manual, 12.1.11). */
const MMU_TYPES: Readonly<Record<number, Riscv64Platform['mmuType']>> = { 8: 'sv39', 9: 'sv48', 10: 'sv57' };

/** Chooses what a hart has: all that the host virtualizes, but for what this program does not serve. */
export function configureHart(vcpu: NativeVcpu): void {
  for (const name of WITHHELD) tryDisable(vcpu, isaExtension(ISA_EXTENSIONS.indexOf(name)));
  tryDisable(vcpu, sbiExtension(SBI_LEGACY));
  const debugConsole = sbiExtension(SBI_DEBUG_CONSOLE);
  // Kernels before 6.8 do not have it: then guests find no debug console.
  if (tryReadRegister(vcpu, debugConsole) === 0n) writeRegister(vcpu, debugConsole, 1n);
}

/** What the harts of a machine are like. */
export function hartPlatform(vcpu: NativeVcpu): Omit<Riscv64Platform, 'architecture'> {
  const has = (name: string, index: number) =>
    name !== '' && tryReadRegister(vcpu, isaExtension(index)) === 1n;
  const isaExtensions = ISA_EXTENSIONS.filter(has).toSorted(canonically);
  const cbomBlockSize =
    isaExtensions.includes('zicbom') && tryReadRegister(vcpu, Configuration.cbomBlockSize);
  const cbozBlockSize =
    isaExtensions.includes('zicboz') && tryReadRegister(vcpu, Configuration.cbozBlockSize);
  return {
    timebaseFrequency: Number(tryReadRegister(vcpu, TIMER_FREQUENCY) ?? 0n),
    isaExtensions,
    mmuType: MMU_TYPES[Number(tryReadRegister(vcpu, Configuration.satpMode))] ?? 'sv39',
    ...(cbomBlockSize && { cbomBlockSize: Number(cbomBlockSize) }),
    ...(cbozBlockSize && { cbozBlockSize: Number(cbozBlockSize) }),
  };
}

function canonically(a: string, b: string): number {
  if (a.length === 1 && b.length === 1) return CANONICAL.indexOf(a) - CANONICAL.indexOf(b);
  if (a.length === 1 || b.length === 1) return a.length === 1 ? -1 : 1;
  return a < b ? -1 : 1;
}

function tryDisable(vcpu: NativeVcpu, register: bigint): void {
  if (tryReadRegister(vcpu, register) !== 1n) return;
  try {
    writeRegister(vcpu, register, 0n);
  } catch (error) {
    // Some cannot be taken away from a hart.
    if (!(error instanceof KvmError) || error.code !== 'INVALID_ARGUMENT') throw error;
  }
}
