import type { KvmState } from '../architecture.ts';
import type { NativeVcpu } from '../native.ts';
import { registerList, restoreRegisters, saveRegisters } from '../one-register.ts';
import { partOf, restorePart, type StatePart, savePart } from '../saved-state.ts';

const POWER: StatePart = { get: 'KVM_GET_MP_STATE', set: 'KVM_SET_MP_STATE', size: 4 };
const EVENTS: StatePart = { get: 'KVM_GET_VCPU_EVENTS', set: 'KVM_SET_VCPU_EVENTS', size: 64 };

/** Reads a vCPU that does not run: every register that KVM lists, whether it is on, and its pending exceptions. */
export function saveVcpu(vcpu: NativeVcpu): KvmState {
  return {
    registers: saveRegisters(vcpu, registerList(vcpu)),
    power: savePart(vcpu, POWER),
    events: savePart(vcpu, EVENTS),
  };
}

/** Writes it to a vCPU with the same features. */
export function restoreVcpu(vcpu: NativeVcpu, state: KvmState): void {
  restoreRegisters(vcpu, partOf(state, 'registers'));
  restorePart(vcpu, 'power', POWER, state);
  restorePart(vcpu, 'events', EVENTS, state);
}
