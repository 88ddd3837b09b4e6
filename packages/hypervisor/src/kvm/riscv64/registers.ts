import { HypervisorError } from '../../errors.ts';
import type { KvmRegisters } from '../architecture.ts';
import { KvmError, type NativeVcpu } from '../native.ts';
import { RegisterSize, readRegister, registerList, registerSize, writeRegister } from '../one-register.ts';

/** KVM_REG_RISCV, and what kind of register of it; the number is in the lowest bits. */
const RISCV = 0x8000_0000_0000_0000n;
const Kind = {
  configuration: 0x0100_0000n,
  core: 0x0200_0000n,
  csr: 0x0300_0000n,
  timer: 0x0400_0000n,
  floatD: 0x0600_0000n,
  isaExtension: 0x0700_0000n,
  sbiExtension: 0x0800_0000n,
} as const;

function id(kind: bigint, index: number, size: bigint = RegisterSize.u64): bigint {
  return RISCV | size | kind | BigInt(index);
}

/** Members of `struct kvm_riscv_config`. */
export const Configuration = {
  cbomBlockSize: id(Kind.configuration, 1),
  cbozBlockSize: id(Kind.configuration, 5),
  satpMode: id(Kind.configuration, 6),
} as const;

/** Member `frequency` of `struct kvm_riscv_timer`: Hz of the `time` CSR. */
export const TIMER_FREQUENCY = id(Kind.timer, 0);

/** KVM_REG_RISCV_ISA_SINGLE: whether a hart has an extension. */
export const isaExtension = (number: number) => id(Kind.isaExtension, number);
/** KVM_REG_RISCV_SBI_SINGLE: whether it may call one. */
export const sbiExtension = (number: number) => id(Kind.sbiExtension, number);

/** CSRs by the manual's names, in the order of `struct kvm_riscv_csr`, `kvm_riscv_aia_csr` and `kvm_riscv_smstateen_csr`. */
const GENERAL_CSRS = [
  ...[
    'sstatus',
    'sie',
    'stvec',
    'sscratch',
    'sepc',
    'scause',
    'stval',
    'sip',
    'satp',
    'scounteren',
    'senvcfg',
  ],
];
const AIA_CSRS = ['siselect', 'iprio1', 'iprio2', 'sieh', 'siph', 'iprio1h', 'iprio2h'];
const AIA_SUBTYPE = 1 << 16;
const STATEEN_SUBTYPE = 2 << 16;

/**
 * Ids by name. `time` and `stimecmp` are KVM's timer, `privilege` is the mode that the hart is in (0 user, 1 supervisor).
 * x0 is no register: it is 0.
 */
const REGISTERS: ReadonlyMap<string, bigint> = new Map([
  ['pc', id(Kind.core, 0)],
  ...Array.from({ length: 31 }, (_, n): [string, bigint] => [`x${n + 1}`, id(Kind.core, n + 1)]),
  ['privilege', id(Kind.core, 32)],
  ...GENERAL_CSRS.map((name, n): [string, bigint] => [name, id(Kind.csr, n)]),
  ...AIA_CSRS.map((name, n): [string, bigint] => [name, id(Kind.csr, AIA_SUBTYPE | n)]),
  ['sstateen0', id(Kind.csr, STATEEN_SUBTYPE)],
  ['time', id(Kind.timer, 1)],
  ['stimecmp', id(Kind.timer, 2)],
  ...Array.from({ length: 32 }, (_, n): [string, bigint] => [`f${n}`, id(Kind.floatD, n)]),
  ['fcsr', id(Kind.floatD, 32, RegisterSize.u32)],
]);

/**
 * Registers of a riscv64 vCPU under the names of the RISC-V manuals: `pc`, `x0` to `x31`, `f0` to `f31`, `fcsr`, and the
 * CSRs of supervisor mode that KVM keeps.
 */
export class Riscv64Registers implements KvmRegisters {
  readonly #vcpu: NativeVcpu;

  constructor(vcpu: NativeVcpu) {
    this.#vcpu = vcpu;
  }

  get(name: string): bigint {
    return name === 'x0' ? 0n : this.#checked(name, (register) => readRegister(this.#vcpu, register));
  }

  set(name: string, value: bigint): void {
    const bits = registerSize(this.#find(name)) * 8;
    if (value !== BigInt.asUintN(bits, value)) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${value} is not an unsigned ${bits}-bit value for ${name}`,
      );
    }
    if (name !== 'x0') this.#checked(name, (register) => writeRegister(this.#vcpu, register, value));
  }

  names(): readonly string[] {
    const list = registerList(this.#vcpu);
    return ['x0', ...[...REGISTERS].filter(([, register]) => list.includes(register)).map(([name]) => name)];
  }

  /** What is set is written at once. */
  flush(): void {}

  invalidate(): void {}

  #find(name: string): bigint {
    const register = REGISTERS.get(name === 'x0' ? 'x1' : name);
    if (register === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `a riscv64 vCPU has no register ${JSON.stringify(name)}: names() lists those it has`,
      );
    }
    return register;
  }

  #checked<T>(name: string, action: (register: bigint) => T): T {
    const register = this.#find(name);
    try {
      return action(register);
    } catch (cause) {
      if (!(cause instanceof KvmError) || cause.code === 'INVALID_STATE') throw cause;
      throw new HypervisorError('INVALID_ARGUMENT', `${name} of this vCPU: ${cause.message}`, { cause });
    }
  }
}
