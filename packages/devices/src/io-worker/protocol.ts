import type { GuestMemory } from '@tsvmm/vm-memory';
import type { DeviceInterrupts } from '../environment.ts';
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

/** What the module that `IoWorkerOptions.environment` names exports. */
export interface IoEnvironmentModule {
  /** Makes the environment on the worker's thread, from the data that the main thread sent. */
  attachIoEnvironment(data: unknown): IoEnvironment | Promise<IoEnvironment>;
}

/** Data with which the worker starts. */
export interface IoWorkerData {
  readonly devices: readonly VirtioPciDescriptor[];
  readonly environment: { readonly module: string; readonly data: unknown };
}

/** What the main thread tells the worker. */
export type IoWorkerRequest =
  | { readonly kind: 'stop' }
  /** The disk at `device` is to have `size` bytes; answered by `resized` with the same `id`. */
  | { readonly kind: 'resize-disk'; readonly id: number; readonly device: number; readonly size: number };

/** What the worker tells the main thread. */
export type IoWorkerEvent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'log'; readonly message: string }
  /** `problem` says why it was not possible. */
  | { readonly kind: 'resized'; readonly id: number; readonly problem: string | undefined }
  | { readonly kind: 'broken'; readonly broken: BrokenDevice };
