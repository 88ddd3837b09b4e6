import { number, oneOf, optional, pciAddress, record, string } from '@tsvmm/keyvalue';
import { VHOST_USER_DEVICE_TYPES } from '@tsvmm/vhost-user';
import type { VhostUserConfiguration } from '@tsvmm/vmm';
import type { GivenOption } from '../parse.ts';
import { onlyDomain, read } from './values.ts';

/** --vhost-user */
export function vhostUserValue(given: GivenOption): VhostUserConfiguration {
  const { type, socket, ...rest } = read(
    given,
    record({
      type: oneOf(...VHOST_USER_DEVICE_TYPES),
      socket: string(),
      'max-queue-size': optional(number()),
      'pci-address': optional(pciAddress()),
    }),
  );
  const { 'max-queue-size': maxQueueSize, 'pci-address': address } = rest;
  return {
    type,
    socket,
    ...(maxQueueSize !== undefined && { maxQueueSize }),
    ...(address && { pciAddress: onlyDomain(given, address) }),
  };
}

/** --vhost-user-connect-timeout-ms */
export function connectTimeLimitValue(given: GivenOption): number {
  return read(given, number({ min: 0, max: 2 ** 31 - 1 }));
}
