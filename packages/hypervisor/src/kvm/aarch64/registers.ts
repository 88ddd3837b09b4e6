import { HypervisorError } from '../../errors.ts';
import type { KvmRegisters } from '../architecture.ts';
import type { NativeVcpu } from '../native.ts';
import { KvmError } from '../native.ts';
import {
  fill,
  RegisterSize,
  readBytes,
  registerList,
  registerSize,
  toBigInt,
  writeBytes,
} from '../one-register.ts';
import { systemRegisterEncoding, systemRegisterName } from './system-registers.ts';

/** KVM_REG_ARM64, and what kind of register of it. */
const ARM64 = 0x6000_0000_0000_0000n;
const CORE = 0x10n << 16n;
const SYSTEM = 0x13n << 16n;
const SVE = 0x15n << 16n;
const KIND = 0x0fff_0000n;

/** Offsets in `struct kvm_regs`; an id counts in words of 32 bits. */
const CoreOffset = {
  x: 0,
  spEl0: 248,
  pc: 256,
  pstate: 264,
  spEl1: 272,
  elrEl1: 280,
  spsr: 288,
  v: 336,
  fpsr: 848,
  fpcr: 852,
} as const;

/** KVM_REG_ARM64_SVE_ZREG(n, 0): 2048 bits, of which the lowest 128 are v`n`. */
const SVE_Z_SIZE = 0x0080_0000_0000_0000n;
const SVE_Z = ARM64 | SVE_Z_SIZE | SVE;

/** The mode that PSTATE.M says (Arm ARM, C5.2.19): exception level, and whether it uses its own stack pointer. */
const PSTATE_SP = 1n;
const PSTATE_EL = 0xcn;
const EL2 = 0x8n;

function core(offset: number, size: bigint = RegisterSize.u64): bigint {
  return ARM64 | size | CORE | BigInt(offset / 4);
}

/** Id of a system register: op0, op1, CRn, CRm and op2 in 16 bits, as in MRS and MSR instructions. */
export function systemRegister(encoding: number): bigint {
  return ARM64 | RegisterSize.u64 | SYSTEM | BigInt(encoding);
}

/** Ids of the registers that are not system registers. SPSR_abt and the like are AArch32's. */
const CORE_REGISTERS: ReadonlyMap<string, bigint> = new Map([
  ...Array.from({ length: 31 }, (_, n): [string, bigint] => [`x${n}`, core(CoreOffset.x + 8 * n)]),
  ['sp_el0', core(CoreOffset.spEl0)],
  ['pc', core(CoreOffset.pc)],
  ['pstate', core(CoreOffset.pstate)],
  ['sp_el1', core(CoreOffset.spEl1)],
  ['elr_el1', core(CoreOffset.elrEl1)],
  ['spsr_el1', core(CoreOffset.spsr)],
  ['fpsr', core(CoreOffset.fpsr, RegisterSize.u32)],
  ['fpcr', core(CoreOffset.fpcr, RegisterSize.u32)],
]);

const VECTORS: ReadonlyMap<string, number> = new Map(Array.from({ length: 32 }, (_, n) => [`v${n}`, n]));

/**
 * Registers of an aarch64 vCPU under the names of the Arm manual, in lower case: `x0` to `x30`, `sp_el0`, `sp_el1`, `sp`
 * for the one in use, `pc`, `pstate`, `v0` to `v31` of 128 bits, `fpsr`, `fpcr`, `sctlr_el1` and the other system registers;
 * those without a name here as `s3_0_c15_c2_1`.
 */
export class Aarch64Registers implements KvmRegisters {
  readonly #vcpu: NativeVcpu;
  #ids: ReadonlyMap<string, bigint> | undefined;

  constructor(vcpu: NativeVcpu) {
    this.#vcpu = vcpu;
  }

  get(name: string): bigint {
    const { id, bits } = this.#find(name);
    return BigInt.asUintN(bits, toBigInt(this.#read(name, id)));
  }

  set(name: string, value: bigint): void {
    const { id, bits } = this.#find(name);
    if (value !== BigInt.asUintN(bits, value)) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${value} is not an unsigned ${bits}-bit value for ${name}`,
      );
    }
    const size = registerSize(id);
    // What is above the bits that the name stands for stays.
    const bytes = size * 8 === bits ? new Uint8Array(size) : this.#read(name, id);
    fill(bytes.subarray(0, bits / 8), value);
    try {
      writeBytes(this.#vcpu, id, bytes);
    } catch (cause) {
      if (!(cause instanceof KvmError) || cause.code === 'INVALID_STATE') throw cause;
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${name} cannot be set to 0x${value.toString(16)} on this vCPU: ${cause.message}`,
        { cause },
      );
    }
  }

  names(): readonly string[] {
    return ['sp', ...this.#known().keys()];
  }

  /** What is set is written at once. */
  flush(): void {}

  invalidate(): void {}

  #find(name: string): { readonly id: bigint; readonly bits: number } {
    const id = name === 'sp' ? this.#stackPointer() : (this.#known().get(name) ?? unnamed(name));
    if (id === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `an aarch64 vCPU has no register ${JSON.stringify(name)}: names() lists those it has`,
      );
    }
    return { id, bits: VECTORS.has(name) ? 128 : registerSize(id) * 8 };
  }

  /** Names and ids of what this vCPU has; it has them from its initialization on. */
  #known(): ReadonlyMap<string, bigint> {
    if (this.#ids === undefined) {
      const list = registerList(this.#vcpu);
      const hasSve = list.includes(SVE_Z);
      const vectors = [...VECTORS].map(([name, n]): [string, bigint] => [
        name,
        hasSve ? SVE_Z | BigInt(n << 5) : core(CoreOffset.v + 16 * n, RegisterSize.u128),
      ]);
      const system = [...list]
        .filter((id) => (id & KIND) === SYSTEM)
        .map((id): [string, bigint] => [systemRegisterName(Number(id & 0xffffn)), id]);
      this.#ids = new Map([...CORE_REGISTERS, ...vectors, ...system]);
    }
    return this.#ids;
  }

  #stackPointer(): bigint | undefined {
    const mode = this.get('pstate');
    if ((mode & PSTATE_SP) === 0n) return core(CoreOffset.spEl0);
    return (mode & PSTATE_EL) === EL2 ? this.#known().get('sp_el2') : core(CoreOffset.spEl1);
  }

  #read(name: string, id: bigint): Uint8Array {
    try {
      return readBytes(this.#vcpu, id);
    } catch (cause) {
      if (!(cause instanceof KvmError) || cause.code === 'INVALID_STATE') throw cause;
      throw new HypervisorError('INVALID_ARGUMENT', `this vCPU has no register ${name}`, { cause });
    }
  }
}

/** Registers that KVM does not list may be there nevertheless. */
function unnamed(name: string): bigint | undefined {
  const encoding = systemRegisterEncoding(name);
  return encoding === undefined ? undefined : systemRegister(encoding);
}
