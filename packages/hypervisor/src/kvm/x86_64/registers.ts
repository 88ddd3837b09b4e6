import { HypervisorError } from '../../errors.ts';
import type { KvmRegisters } from '../architecture.ts';
import { callStructure, KvmError, type NativeVcpu, type StructureCall } from '../native.ts';
import { MSRS, Msrs, msrIndex } from './msrs.ts';

type Width = 1 | 2 | 4 | 8;

/** Where a register is in the structure of an ioctl. */
interface Field {
  readonly offset: number;
  readonly width: Width;
}

interface Group {
  readonly get: StructureCall;
  readonly set: StructureCall;
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
}

function sequence(names: readonly string[], offset: number, width: Width): Record<string, Field> {
  return Object.fromEntries(names.map((name, index) => [name, { offset: offset + index * width, width }]));
}

/** `struct kvm_segment` */
function segment(name: string, offset: number): Record<string, Field> {
  return {
    [`${name}.base`]: { offset, width: 8 },
    [`${name}.limit`]: { offset: offset + 8, width: 4 },
    [name]: { offset: offset + 12, width: 2 },
    ...sequence(
      ['type', 'present', 'dpl', 'db', 's', 'l', 'g', 'avl', 'unusable'].map((field) => `${name}.${field}`),
      offset + 14,
      1,
    ),
  };
}

/** `struct kvm_dtable` */
function table(name: string, offset: number): Record<string, Field> {
  return { [`${name}.base`]: { offset, width: 8 }, [`${name}.limit`]: { offset: offset + 8, width: 2 } };
}

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'];

/** In the order in which they are written: what the later ones mean depends on the earlier ones. */
const GROUPS: readonly Group[] = [
  {
    get: 'KVM_GET_SREGS',
    set: 'KVM_SET_SREGS',
    size: 312,
    fields: {
      ...Object.assign({}, ...SEGMENTS.map((name, index) => segment(name, index * 24))),
      ...table('gdtr', 192),
      ...table('idtr', 208),
      ...sequence(['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apic_base'], 224, 8),
    },
  },
  {
    get: 'KVM_GET_REGS',
    set: 'KVM_SET_REGS',
    size: 144,
    fields: sequence(
      [
        ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13'],
        ...['r14', 'r15', 'rip', 'rflags'],
      ],
      0,
      8,
    ),
  },
  {
    get: 'KVM_GET_FPU',
    set: 'KVM_SET_FPU',
    size: 416,
    fields: {
      fcw: { offset: 128, width: 2 },
      fsw: { offset: 130, width: 2 },
      ftw: { offset: 132, width: 1 },
      mxcsr: { offset: 408, width: 4 },
    },
  },
  {
    get: 'KVM_GET_XCRS',
    set: 'KVM_SET_XCRS',
    size: 392,
    fields: { xcr0: { offset: 16, width: 8 } },
  },
  {
    get: 'KVM_GET_DEBUGREGS',
    set: 'KVM_SET_DEBUGREGS',
    size: 128,
    fields: sequence(['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'], 0, 8),
  },
  {
    get: 'KVM_GET_LAPIC',
    set: 'KVM_SET_LAPIC',
    size: 1024,
    // Offsets of the local APIC's registers (Intel SDM 3A, table 11-1).
    fields: {
      'apic.id': { offset: 0x20, width: 4 },
      'apic.version': { offset: 0x30, width: 4 },
      'apic.tpr': { offset: 0x80, width: 4 },
      'apic.svr': { offset: 0xf0, width: 4 },
      'apic.lvt_timer': { offset: 0x320, width: 4 },
      'apic.lvt_lint0': { offset: 0x350, width: 4 },
      'apic.lvt_lint1': { offset: 0x360, width: 4 },
      'apic.lvt_error': { offset: 0x370, width: 4 },
    },
  },
];

/** The structure of a group, as the vCPU has it or is to have it. */
class LoadedGroup {
  readonly group: Group;
  readonly #vcpu: NativeVcpu;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #isLoaded = false;
  #isChanged = false;

  constructor(group: Group, vcpu: NativeVcpu) {
    this.group = group;
    this.#vcpu = vcpu;
    this.#bytes = new Uint8Array(group.size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  read({ offset, width }: Field): bigint {
    this.#load();
    if (width === 8) return this.#view.getBigUint64(offset, true);
    if (width === 4) return BigInt(this.#view.getUint32(offset, true));
    return BigInt(width === 2 ? this.#view.getUint16(offset, true) : this.#view.getUint8(offset));
  }

  write({ offset, width }: Field, value: bigint): void {
    this.#load();
    this.#isChanged = true;
    if (width === 8) this.#view.setBigUint64(offset, value, true);
    else if (width === 4) this.#view.setUint32(offset, Number(value), true);
    else if (width === 2) this.#view.setUint16(offset, Number(value), true);
    else this.#view.setUint8(offset, Number(value));
  }

  flush(): void {
    if (this.#isChanged) {
      callStructure(this.#vcpu, this.group.set, this.#bytes);
      this.#isChanged = false;
    }
  }

  invalidate(): void {
    this.#isLoaded = false;
    this.#isChanged = false;
  }

  #load(): void {
    if (!this.#isLoaded) {
      callStructure(this.#vcpu, this.group.get, this.#bytes);
      this.#isLoaded = true;
    }
  }
}

/**
 * Registers of an x86_64 vCPU under the names of the Intel manual: `rax`, `rip`, `cr0`, `cs` with `cs.base`, `cs.limit`
 * and the descriptor's fields, `gdtr.base`, `efer`, `xcr0`, `dr7`, `mxcsr`, `apic.svr`, `IA32_PAT`, and any other
 * model-specific register as `msr:0x10`.
 */
export class X86Registers implements KvmRegisters {
  readonly #groups: readonly LoadedGroup[];
  readonly #fields = new Map<string, { readonly group: LoadedGroup; readonly field: Field }>();
  readonly #msrs: Msrs;

  constructor(vcpu: NativeVcpu) {
    this.#groups = GROUPS.map((group) => new LoadedGroup(group, vcpu));
    for (const group of this.#groups) {
      for (const [name, field] of Object.entries(group.group.fields)) {
        this.#fields.set(name, { group, field });
      }
    }
    this.#msrs = new Msrs(vcpu);
  }

  get(name: string): bigint {
    const found = this.#fields.get(name);
    return found === undefined ? this.#msrs.read(this.#msrIndex(name)) : found.group.read(found.field);
  }

  set(name: string, value: bigint): void {
    const found = this.#fields.get(name);
    const width = found?.field.width ?? 8;
    if (value !== BigInt.asUintN(width * 8, value)) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `${value} is not an unsigned ${width * 8}-bit value for ${name}`,
      );
    }
    if (found === undefined) this.#msrs.write(this.#msrIndex(name), value);
    else found.group.write(found.field, value);
  }

  names(): readonly string[] {
    const msrs = Object.entries(MSRS).filter(([, index]) => this.#msrs.has(index));
    return [...this.#fields.keys(), ...msrs.map(([name]) => name)];
  }

  flush(): void {
    try {
      for (const group of this.#groups) group.flush();
      this.#msrs.flush();
    } catch (cause) {
      if (!(cause instanceof KvmError) || cause.code !== 'INVALID_ARGUMENT') throw cause;
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `the registers that were set do not make a state that the CPU can be in: ${cause.message}`,
        { cause },
      );
    }
  }

  invalidate(): void {
    for (const group of this.#groups) group.invalidate();
    this.#msrs.invalidate();
  }

  #msrIndex(name: string): number {
    const index = msrIndex(name);
    if (index === undefined) {
      throw new HypervisorError(
        'INVALID_ARGUMENT',
        `an x86_64 vCPU has no register ${JSON.stringify(name)}: names() lists those it has`,
      );
    }
    return index;
  }
}
