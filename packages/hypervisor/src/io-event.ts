import { HypervisorError } from './errors.ts';
import type { IoEvent } from './vm.ts';

/** @throws HypervisorError INVALID_ARGUMENT for an address or value that is not one */
export function checkIoEvent({ space, address, length, match }: IoEvent): void {
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
}
