import { HypervisorError } from '../../errors.ts';
import type { KvmRegisters } from '../architecture.ts';
import { callStructure, KvmError, type NativeVcpu, type StructureCall } from '../native.ts';
import { MSRS, Msrs, msrIndex } from './msrs.ts';
import { readXsave } from './state.ts';

type Width = 1 | 2 | 4 | 8;

/** Where a register is in the structure of an ioctl. */
interface Field {
  readonly offset: number;
  readonly width: Width;
}

interface Group {
  read(vcpu: NativeVcpu): Uint8Array;
  readonly set: StructureCall;
  readonly fields: Readonly<Record<string, Field>>;
  /** Called when a field has changed. */
  readonly onChange?: (bytes: Uint8Array) => void;
}

/** Reads a structure that is always as long. */
function fixed(call: StructureCall, size: number): Group['read'] {
  return (vcpu) => {
    const bytes = new Uint8Array(size);
    callStructure(vcpu, call, bytes);
    return bytes;
  };
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
    read: fixed('KVM_GET_SREGS', 312),
    set: 'KVM_SET_SREGS',
    fields: {
      ...Object.assign({}, ...SEGMENTS.map((name, index) => segment(name, index * 24))),
      ...table('gdtr', 192),
      ...table('idtr', 208),
      ...sequence(['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer', 'apic_base'], 224, 8),
    },
  },
  {
    read: fixed('KVM_GET_REGS', 144),
    set: 'KVM_SET_REGS',
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
    // Not KVM_SET_FPU: where the host saves in compact form, that loses what was in its initial state before.
    read: readXsave,
    set: 'KVM_SET_XSAVE',
    fields: {
      fcw: { offset: 0, width: 2 },
      fsw: { offset: 2, width: 2 },
      ftw: { offset: 4, width: 1 },
      mxcsr: { offset: 24, width: 4 },
    },
    onChange: (bytes) => {
      // XSTATE_BV: x87 and SSE state are not the initial one (Intel SDM 1, section 13.4.2).
      bytes[512] = (bytes[512] ?? 0) | 3;
    },
  },
  {
    read: fixed('KVM_GET_XCRS', 392),
    set: 'KVM_SET_XCRS',
    fields: { xcr0: { offset: 16, width: 8 } },
  },
  {
    read: fixed('KVM_GET_DEBUGREGS', 128),
    set: 'KVM_SET_DEBUGREGS',
    fields: sequence(['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'], 0, 8),
  },
  {
    read: fixed('KVM_GET_LAPIC', 1024),
    set: 'KVM_SET_LAPIC',
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
  #view: DataView | undefined;
  #isChanged = false;

  constructor(group: Group, vcpu: NativeVcpu) {
    this.group = group;
    this.#vcpu = vcpu;
  }

  read({ offset, width }: Field): bigint {
    const view = this.#load();
    if (width === 8) return view.getBigUint64(offset, true);
    if (width === 4) return BigInt(view.getUint32(offset, true));
    return BigInt(width === 2 ? view.getUint16(offset, true) : view.getUint8(offset));
  }

  write({ offset, width }: Field, value: bigint): void {
    const view = this.#load();
    this.#isChanged = true;
    if (width === 8) view.setBigUint64(offset, value, true);
    else if (width === 4) view.setUint32(offset, Number(value), true);
    else if (width === 2) view.setUint16(offset, Number(value), true);
    else view.setUint8(offset, Number(value));
    this.group.onChange?.(new Uint8Array(view.buffer));
  }

  flush(): void {
    if (this.#isChanged) {
      callStructure(this.#vcpu, this.group.set, new Uint8Array(this.#load().buffer));
      this.#isChanged = false;
    }
  }

  invalidate(): void {
    this.#view = undefined;
    this.#isChanged = false;
  }

  #load(): DataView {
    this.#view ??= new DataView(this.group.read(this.#vcpu).buffer);
    return this.#view;
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
