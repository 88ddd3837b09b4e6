import { HypervisorError } from '../errors.ts';
import type { IoEvent } from '../vm.ts';

/** KVM_IOEVENTFD_FLAG_* */
const DATA_MATCH = 1;
const PIO = 2;
const DEASSIGN = 4;

/** `struct kvm_ioeventfd`. @throws HypervisorError INVALID_ARGUMENT for an address or value that is not one */
export function ioEventStructure(event: IoEvent, remove: boolean): Uint8Array {
  const { space, address, length, match } = event;
  const limit = space === 'pio' ? 0xffff : Number.MAX_SAFE_INTEGER;
  if (!Number.isInteger(address) || address < 0 || address > limit) {
    throw new HypervisorError('INVALID_ARGUMENT', `${address} is not an address of ${space} space`);
  }
  if (match !== undefined && (!Number.isSafeInteger(match) || match < 0 || length === 0)) {
    throw new HypervisorError(
      'INVALID_ARGUMENT',
      `an I/O event for the value ${match} needs a length, and the value must be an unsigned integer`,
    );
  }
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
