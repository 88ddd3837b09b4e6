import type { KvmState } from '../architecture.ts';
import type { NativeVcpu } from '../native.ts';
import { registerList, restoreRegisters, saveRegisters } from '../one-register.ts';
import { partOf, restorePart, type StatePart, savePart } from '../saved-state.ts';

const POWER: StatePart = { get: 'KVM_GET_MP_STATE', set: 'KVM_SET_MP_STATE', size: 4 };

/** Reads a vCPU that does not run: every register that KVM lists, and whether the hart is started. */
export function saveVcpu(vcpu: NativeVcpu): KvmState {
  return { registers: saveRegisters(vcpu, registerList(vcpu)), power: savePart(vcpu, POWER) };
}

/** Writes it to a vCPU of the same kind of host. */
export function restoreVcpu(vcpu: NativeVcpu, state: KvmState): void {
  restoreRegisters(vcpu, partOf(state, 'registers'));
  restorePart(vcpu, 'power', POWER, state);
}
