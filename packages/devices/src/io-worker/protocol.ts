import type { GuestMemory } from '@tsvmm/vm-memory';
import type { DeviceInterrupts } from '../environment.ts';
import type { XhciDescriptor } from '../usb/xhci/device.ts';
import type { DeviceCommand, DeviceReply } from '../virtio/command.ts';
import type { VirtioPciDescriptor } from '../virtio/device.ts';
import type { BrokenDevice } from '../virtio/lifecycle.ts';
import type { OpenRemote } from '../virtio/remote/remote-backend.ts';

/** What a worker's back ends work with. */
export interface IoEnvironment {
  readonly memory: GuestMemory;
  readonly interrupts: DeviceInterrupts;
  /** Reaches back ends in other processes; without it there are none. */
  readonly openRemote?: OpenRemote;
}

/** Data with which the worker starts. */
export interface IoWorkerData {
  readonly devices: readonly VirtioPciDescriptor[];
  readonly usbControllers: readonly XhciDescriptor[];
  readonly environment: unknown;
}

/** What the main thread tells the worker. */
export type IoWorkerRequest =
  | { readonly kind: 'stop' }
  /** For the device of this index; answered by `done` or `refused` with the same `id`. */
  | {
      readonly kind: 'command';
      readonly id: number;
      readonly device: number;
      readonly command: DeviceCommand;
    };

/** What the worker tells the main thread. */
export type IoWorkerEvent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'log'; readonly message: string }
  | { readonly kind: 'done'; readonly id: number; readonly reply: DeviceReply }
  | { readonly kind: 'refused'; readonly id: number; readonly reason: string }
  | { readonly kind: 'broken'; readonly broken: BrokenDevice };
