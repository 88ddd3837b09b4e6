import { HypervisorError } from '../../errors.ts';
import type { KvmState } from '../architecture.ts';
import { callNumber, callStructure, KvmError, type NativeVcpu } from '../native.ts';
import { partOf, restorePart, type StatePart, savePart } from '../saved-state.ts';

/**
 * The structures that make up a vCPU, in the order in which they must be written: XCR0 says what the XSAVE area means, the
 * local APIC needs `apic_base`, and pending events come after everything that could clear them.
 */
const PARTS: Readonly<Record<string, StatePart>> = {
  mpState: { get: 'KVM_GET_MP_STATE', set: 'KVM_SET_MP_STATE', size: 4 },
  registers: { get: 'KVM_GET_REGS', set: 'KVM_SET_REGS', size: 144 },
  specialRegisters: { get: 'KVM_GET_SREGS', set: 'KVM_SET_SREGS', size: 312 },
  extendedControl: { get: 'KVM_GET_XCRS', set: 'KVM_SET_XCRS', size: 392 },
  debugRegisters: { get: 'KVM_GET_DEBUGREGS', set: 'KVM_SET_DEBUGREGS', size: 128 },
  localApic: { get: 'KVM_GET_LAPIC', set: 'KVM_SET_LAPIC', size: 1024 },
  events: { get: 'KVM_GET_VCPU_EVENTS', set: 'KVM_SET_VCPU_EVENTS', size: 64 },
};

/** `struct kvm_xsave` has this many bytes at least, more when the host has registers that it grows for. */
const XSAVE_SIZE = 4096;
const XSAVE_LIMIT = 65536;

/**
 * Reads a vCPU that does not run.
 *
 * @param msrs the numbers of the model-specific registers to save
 */
export function saveVcpu(vcpu: NativeVcpu, msrs: Uint32Array): KvmState {
  const state: Record<string, Uint8Array> = {};
  for (const [name, part] of Object.entries(PARTS)) state[name] = savePart(vcpu, part);
  state.xsave = readXsave(vcpu);
  state.nested = readNested(vcpu);
  state.tscFrequency = new Uint8Array(Uint32Array.of(callNumber(vcpu, 'KVM_GET_TSC_KHZ')).buffer);
  state.msrs = readMsrs(vcpu, msrs);
  return state;
}

/** Writes it to a vCPU of a machine like the one it came from. */
export function restoreVcpu(vcpu: NativeVcpu, state: KvmState): void {
  restoreTscFrequency(vcpu, partOf(state, 'tscFrequency', 4));
  for (const [name, part] of Object.entries(PARTS)) {
    if (name === 'localApic') {
      // MSRs first: the deadline timer lives in the APIC and is armed by one.
      writeMsrs(vcpu, partOf(state, 'msrs'));
      // What it means depends on them and on EFER, and events may be of the nested guest.
      writeNested(vcpu, partOf(state, 'nested'));
    }
    restorePart(vcpu, name, part, state);
    if (name === 'extendedControl') callStructure(vcpu, 'KVM_SET_XSAVE', partOf(state, 'xsave'));
  }
}

/** The vCPU's XSAVE area. The add-on knows how long that is on this host, and refuses what is shorter. */
export function readXsave(vcpu: NativeVcpu): Uint8Array {
  for (let size = XSAVE_SIZE; ; size *= 2) {
    const bytes = new Uint8Array(size);
    try {
      callStructure(vcpu, 'KVM_GET_XSAVE2', bytes);
      return bytes;
    } catch (error) {
      if (!(error instanceof KvmError) || error.code !== 'INVALID_ARGUMENT' || size >= XSAVE_LIMIT)
        throw error;
    }
  }
}

/** `struct kvm_nested_state`: its header, of which the second word is the length of the whole. */
const NESTED_HEADER = 128;
const NESTED_LENGTH = 4;
const NESTED_LIMIT = 65536;

/** Where a guest that is a hypervisor is with its own guest; nothing where KVM does not know of such guests. */
function readNested(vcpu: NativeVcpu): Uint8Array {
  for (let size = 16384; ; size *= 2) {
    const view = new DataView(new ArrayBuffer(size));
    view.setUint32(NESTED_LENGTH, size, true);
    try {
      callStructure(vcpu, 'KVM_GET_NESTED_STATE', new Uint8Array(view.buffer));
      return new Uint8Array(view.buffer.slice(0, view.getUint32(NESTED_LENGTH, true)));
    } catch (error) {
      if (!(error instanceof KvmError)) throw error;
      if (error.errno === 'EINVAL' || error.errno === 'ENOTTY') return new Uint8Array();
      if (error.errno !== 'E2BIG' || size >= NESTED_LIMIT) throw error;
    }
  }
}

function writeNested(vcpu: NativeVcpu, saved: Uint8Array): void {
  if (saved.length === 0) return;
  const bytes = saved.slice();
  if (bytes.length < NESTED_HEADER) {
    throw new HypervisorError('INVALID_ARGUMENT', `the saved nested state has only ${bytes.length} bytes`);
  }
  new DataView(bytes.buffer).setUint32(NESTED_LENGTH, bytes.length, true);
  callStructure(vcpu, 'KVM_SET_NESTED_STATE', bytes);
}

/** Hosts whose clock runs at another speed can only follow with a CPU that scales the counter. */
function restoreTscFrequency(vcpu: NativeVcpu, saved: Uint8Array): void {
  const wanted = new DataView(saved.buffer, saved.byteOffset).getUint32(0, true);
  const own = callNumber(vcpu, 'KVM_GET_TSC_KHZ');
  if (wanted === own) return;
  try {
    callNumber(vcpu, 'KVM_SET_TSC_KHZ', wanted);
  } catch (cause) {
    if (!(cause instanceof KvmError) || cause.code === 'INVALID_STATE') throw cause;
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `the vCPU was saved with a time stamp counter of ${wanted} kHz, and this host, of ${own} kHz, cannot scale it`,
      { cause },
    );
  }
}

/** `struct kvm_msrs` of those that the vCPU has. KVM stops at the first that it does not know: one at a time. */
function readMsrs(vcpu: NativeVcpu, indices: Uint32Array): Uint8Array {
  const entries: Uint8Array[] = [];
  for (const index of indices) {
    const words = Uint32Array.of(1, 0, index, 0, 0, 0);
    const bytes = new Uint8Array(words.buffer);
    if (callStructure(vcpu, 'KVM_GET_MSRS', bytes) === 1) {
      entries.push(bytes.subarray(8));
    }
  }
  const result = new Uint8Array(8 + entries.length * 16);
  new DataView(result.buffer).setUint32(0, entries.length, true);
  for (const [index, entry] of entries.entries()) result.set(entry, 8 + index * 16);
  return result;
}

function writeMsrs(vcpu: NativeVcpu, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength < 8 ? -1 : view.getUint32(0, true);
  const done = count < 0 ? -1 : callStructure(vcpu, 'KVM_SET_MSRS', bytes);
  if (done !== count || count < 0) {
    const index = done < 0 ? 0 : view.getUint32(8 + done * 16, true);
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `this host does not accept the saved model-specific register 0x${index.toString(16)}`,
    );
  }
}
