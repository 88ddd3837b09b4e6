import type { FeatureSet } from '../constants.ts';

/** How to reach a back end in another process; plain data. */
export interface RemoteDescriptor {
  readonly kind: 'vhost-user';
  /**
   * File descriptor of the connected stream socket at whose other end the back end is. It stays its owner's, who keeps it open
   * until the device is attached; the thread that serves the device works with a duplicate.
   */
  readonly socket: number;
  /**
   * Path of the socket at which the back end can be found again after it has gone. Without one, a back end that goes is
   * gone for good, and the device with it.
   */
  readonly path: string | undefined;
  /** Bytes of the device-specific configuration that this kind of device has. */
  readonly configLength: number;
}

/** A queue that a back end in another process is to serve: where it is, and how it and the driver tell each other. */
export interface RemoteQueue {
  readonly index: number;
  /** Entries. */
  readonly size: number;
  /** Guest-physical addresses of the descriptor table, the available ring and the used ring (virtio 1.3, section 2.7). */
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  /** Index of the available entry to begin with. */
  readonly nextAvailable: number;
  /** File descriptor of the eventfd that the driver's notifications signal: the back end itself waits for it. */
  readonly kick: number;
  /** File descriptor of the eventfd that the back end signals when the driver is to be interrupted. */
  readonly call: number;
}

/** What a back end in another process has to say unasked; called on the thread that serves the device. */
export interface RemoteEvents {
  /** The device-specific configuration has become `config`. */
  configChanged(config: Uint8Array): void;
  /** The back end has gone, or cannot be used: it serves nothing any more. */
  failed(error: unknown): void;
  /** Worth knowing, for people. */
  log(message: string): void;
}

/** The hold on a back end in another process. Calls come one at a time: each after the one before it has resolved. */
export interface RemoteBackend extends AsyncDisposable {
  /** The driver is ready: the back end serves these queues from now on, and those that follow by {@link startQueue}. */
  activate(features: FeatureSet, queues: readonly RemoteQueue[]): Promise<void>;
  /** Adds a queue that the driver has enabled while the device runs. */
  startQueue(queue: RemoteQueue): Promise<void>;
  /** Resolves when the back end does not touch the queue any more. */
  stopQueue(index: number): Promise<void>;
  /** The driver has written these bytes to the device-specific configuration. */
  writeConfig(offset: number, bytes: Uint8Array): Promise<void>;
  /** Resolves when the back end does not touch guest memory any more. It never rejects: a back end that has gone does not. */
  reset(): Promise<void>;
}

/** Connects to a back end, on the thread that is to serve its device. Rejects when it cannot be used for it. */
export type OpenRemote = (descriptor: RemoteDescriptor, device: RemoteDevice) => Promise<RemoteBackend>;

/** What a back end in another process is told of the device it belongs to. */
export interface RemoteDevice {
  /** For messages. */
  readonly name: string;
  /** What the guest is offered; a back end that offers less cannot be used. */
  readonly features: FeatureSet;
  /** The greatest size of each queue. */
  readonly queueSizes: readonly number[];
  /** As the guest sees it now. */
  readonly config: Uint8Array;
  readonly events: RemoteEvents;
}
