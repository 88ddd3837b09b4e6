import { HypervisorError } from '../../errors.ts';
import { callStructure, KvmError, type NativeSystem, type NativeVcpu } from '../native.ts';

function numbered(prefix: string, names: readonly (string | number)[], first: number, step = 1) {
  return Object.fromEntries(names.map((name, index) => [`${prefix}${name}`, first + index * step]));
}

/** Model-specific registers by the names of the Intel manual (SDM 4, table 2-2). */
export const MSRS: Readonly<Record<string, number>> = {
  IA32_TSC: 0x10,
  IA32_TSC_ADJUST: 0x3b,
  IA32_MTRRCAP: 0xfe,
  IA32_SYSENTER_CS: 0x174,
  IA32_SYSENTER_ESP: 0x175,
  IA32_SYSENTER_EIP: 0x176,
  IA32_MISC_ENABLE: 0x1a0,
  ...numbered('IA32_MTRR_PHYSBASE', [0, 1, 2, 3, 4, 5, 6, 7], 0x200, 2),
  ...numbered('IA32_MTRR_PHYSMASK', [0, 1, 2, 3, 4, 5, 6, 7], 0x201, 2),
  IA32_PAT: 0x277,
  IA32_MTRR_DEF_TYPE: 0x2ff,
  IA32_TSC_DEADLINE: 0x6e0,
  IA32_STAR: 0xc000_0081,
  IA32_LSTAR: 0xc000_0082,
  IA32_CSTAR: 0xc000_0083,
  IA32_FMASK: 0xc000_0084,
  IA32_KERNEL_GS_BASE: 0xc000_0102,
  IA32_TSC_AUX: 0xc000_0103,
};

/** The register's number, for a name of {@link MSRS} or `msr:` and a number. */
export function msrIndex(name: string): number | undefined {
  const index = MSRS[name];
  if (index !== undefined) return index;
  const match = /^msr:(0x[0-9a-f]{1,8})$/i.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** Words of `struct kvm_msrs` with one entry. */
const COUNT = 0;
const INDEX = 2;

/** A vCPU's model-specific registers; what is set is kept until {@link flush}. */
export class Msrs {
  readonly #vcpu: NativeVcpu;
  readonly #words = new Uint32Array(6);
  readonly #bytes = new Uint8Array(this.#words.buffer);
  readonly #view = new DataView(this.#words.buffer);
  readonly #changed = new Map<number, bigint>();

  constructor(vcpu: NativeVcpu) {
    this.#vcpu = vcpu;
  }

  has(index: number): boolean {
    return this.#changed.has(index) || this.#transfer('KVM_GET_MSRS', index);
  }

  read(index: number): bigint {
    const changed = this.#changed.get(index);
    if (changed !== undefined) return changed;
    if (!this.#transfer('KVM_GET_MSRS', index)) throw refused(index, 'read');
    return this.#view.getBigUint64(16, true);
  }

  write(index: number, value: bigint): void {
    this.#changed.set(index, value);
  }

  flush(): void {
    for (const [index, value] of this.#changed) {
      this.#view.setBigUint64(16, value, true);
      if (!this.#transfer('KVM_SET_MSRS', index)) throw refused(index, `set to 0x${value.toString(16)}`);
    }
    this.#changed.clear();
  }

  invalidate(): void {
    this.#changed.clear();
  }

  /** @returns whether KVM did it: it returns how many entries it took */
  #transfer(call: 'KVM_GET_MSRS' | 'KVM_SET_MSRS', index: number): boolean {
    this.#words[COUNT] = 1;
    this.#words[INDEX] = index;
    return callStructure(this.#vcpu, call, this.#bytes) === 1;
  }
}

function refused(index: number, what: string): HypervisorError {
  return new HypervisorError(
    'INVALID_ARGUMENT',
    `model-specific register 0x${index.toString(16)} cannot be ${what} on this host`,
  );
}

/** Numbers of the registers that KVM keeps for a vCPU, and that its state therefore consists of. */
export function savedMsrs(system: NativeSystem): Uint32Array {
  for (let count = 256; ; count *= 2) {
    const words = new Uint32Array(1 + count);
    words[0] = count;
    try {
      callStructure(system, 'KVM_GET_MSR_INDEX_LIST', new Uint8Array(words.buffer));
      return words.subarray(1, 1 + (words[0] ?? 0));
    } catch (error) {
      if (!(error instanceof KvmError) || error.errno !== 'E2BIG' || count > 65536) throw error;
    }
  }
}
