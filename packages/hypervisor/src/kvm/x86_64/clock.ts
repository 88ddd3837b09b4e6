import type { KvmState } from '../architecture.ts';
import type { NativeVm } from '../native.ts';
import { partOf, restorePart, type StatePart, savePart } from '../saved-state.ts';

/** The clock that KVM shows to guests. */
const CLOCK: StatePart = { get: 'KVM_GET_CLOCK', set: 'KVM_SET_CLOCK', size: 48 };
/** `flags` of `struct kvm_clock_data`: of what KVM_GET_CLOCK says, only the clock itself can be set. */
const FLAGS = 8;

export function saveClock(vm: NativeVm): Uint8Array {
  return savePart(vm, CLOCK);
}

export function restoreClock(vm: NativeVm, state: KvmState): void {
  const clock = partOf(state, 'clock', CLOCK.size).slice();
  new DataView(clock.buffer).setUint32(FLAGS, 0, true);
  restorePart(vm, 'clock', CLOCK, { clock });
}
