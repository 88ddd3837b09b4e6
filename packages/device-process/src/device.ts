import type { FileDescriptor } from '@tsvmm/base';
import type {
  ConsoleBackendOptions,
  DeviceDescription,
  LocalBackendDescriptor,
  PortOptions,
} from '@tsvmm/devices';

/** The back end of a device, as plain data: its files are opened by those who start the process. */
export type ProcessBackend =
  | Exclude<LocalBackendDescriptor, { readonly kind: 'console' | 'multiport-console' | 'input' }>
  /** What the guest writes, and reads, goes through the first of the device's descriptors: a stream socket. */
  | { readonly kind: 'console'; readonly hasInput: boolean; readonly options: ConsoleBackendOptions }
  /** The same for several ports: each has a socket, in their order. */
  | {
      readonly kind: 'multiport-console';
      readonly ports: readonly (PortOptions & { readonly hasInput: boolean })[];
    }
  /** Events come, and the guest's go, through such a socket. */
  | { readonly kind: 'input' };

/** A device that gets a process. */
export interface ProcessDevice extends Omit<DeviceDescription, 'backend'> {
  readonly backend: ProcessBackend;
  /** Handed to the process; they stay the caller's, too. */
  readonly descriptors?: readonly FileDescriptor[];
}
