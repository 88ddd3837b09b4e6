import { checkIoEvent } from '../io-event.ts';
import type { IoEvent } from '../vm.ts';

/** KVM_IOEVENTFD_FLAG_* */
const DATA_MATCH = 1;
const PIO = 2;
const DEASSIGN = 4;

/** `struct kvm_ioeventfd`. @throws HypervisorError INVALID_ARGUMENT for an address or value that is not one */
export function ioEventStructure(event: IoEvent, remove: boolean): Uint8Array {
  checkIoEvent(event);
  const { space, address, length, match } = event;
  const view = new DataView(new ArrayBuffer(64));
  view.setBigUint64(0, BigInt(match ?? 0), true);
  view.setBigUint64(8, BigInt(address), true);
  view.setUint32(16, length, true);
  view.setInt32(20, event.event.descriptor.number, true);
  view.setUint32(
    24,
    (match === undefined ? 0 : DATA_MATCH) | (space === 'pio' ? PIO : 0) | (remove ? DEASSIGN : 0),
    true,
  );
  return new Uint8Array(view.buffer);
}
