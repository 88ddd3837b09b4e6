import type { PciAddress } from '@tsvmm/devices';
import { VHOST_USER_DEVICE_TYPES, type VhostUserDeviceType } from '@tsvmm/vhost-user';
import { checkPath } from './checks.ts';
import type { VirtualMachineConfiguration } from './configuration.ts';
import { ConfigurationError } from './error.ts';

/** A virtio device whose back end is another program. */
export interface VhostUserConfiguration {
  readonly type: VhostUserDeviceType;
  /** Path of the back end's socket; `/proc/self/fd/N` is a connected socket that was inherited. */
  readonly socket: string;
  /** Most entries of a queue that the guest is offered, a power of two up to 32768; default 256. */
  readonly maxQueueSize?: number;
  /** The device's place on PCI bus 0; default the first that is free. */
  readonly pciAddress?: PciAddress;
}

/** The same with nothing left open. */
export interface ResolvedVhostUser {
  readonly type: VhostUserDeviceType;
  readonly socket: string;
  readonly maxQueueSize: number | undefined;
  readonly pciAddress: PciAddress | undefined;
}

const MAX_QUEUE_SIZE = 32_768;

/**
 * Checks what a configuration says of back ends in other programs.
 *
 * @throws ConfigurationError
 */
export function resolveVhostUser(configuration: VirtualMachineConfiguration): readonly ResolvedVhostUser[] {
  return (configuration.vhostUser ?? []).map(({ type, socket, maxQueueSize, pciAddress }, index) => {
    if (!VHOST_USER_DEVICE_TYPES.includes(type)) {
      const types = VHOST_USER_DEVICE_TYPES.join(', ');
      throw invalid('INVALID_VALUE', `a vhost-user device is one of ${types}, not ${type}`, index);
    }
    checkPath('vhostUser', socket, "a vhost-user device needs the path of its back end's socket", index);
    if (maxQueueSize !== undefined && !isQueueSize(maxQueueSize)) {
      const limits = `a power of two from 2 to ${MAX_QUEUE_SIZE}`;
      throw invalid('OUT_OF_RANGE', `the size of a queue is ${limits}, not ${maxQueueSize}`, index);
    }
    return { type, socket, maxQueueSize, pciAddress };
  });
}

function isQueueSize(size: number): boolean {
  return size >= 2 && size <= MAX_QUEUE_SIZE && Number.isInteger(Math.log2(size));
}

function invalid(code: 'INVALID_VALUE' | 'OUT_OF_RANGE', message: string, index: number): ConfigurationError {
  return new ConfigurationError(code, 'vhostUser', message, { index });
}
