import { array, atomic, bytes, i32, struct, u8, u16, u32, u64split } from '@tsvmm/struct';

/** Bytes of device-specific configuration that a device can have here. */
export const DEVICE_CONFIG_LENGTH = 256;

/** Longest virtqueue (virtio 1.3, section 2.7). */
export const MAX_QUEUE_SIZE = 32_768;

/** What the device's back end is doing; a word on which a vCPU can wait. */
export const Phase = {
  /** No back end is at work; the registers can be changed at will. */
  idle: 0,
  /** DRIVER_OK was written, the back end has still to take over the queues. */
  activating: 1,
  /** The back end serves the queues. */
  active: 2,
  /** The driver wrote 0 to the status; the back end has still to let go of the queues. */
  resetting: 3,
} as const;

/** A virtio device's registers, whatever its transport; the queues' follow. */
export const virtioLayout = struct(
  {
    lock: atomic(i32),
    phase: atomic(i32),
    queueCount: u16,
    queueSelect: u16,
    status: u8,
    configGeneration: u8,
    /** ISR status: bit 0 for a queue, bit 1 for the configuration. */
    isr: u8,
    /** The level last given to the INTx line. */
    intxLevel: u8,
    deviceFeatureSelect: u32,
    driverFeatureSelect: u32,
    deviceFeatures: array(u32, 2),
    driverFeatures: array(u32, 2),
    /** MSI-X vector of configuration changes. */
    configVector: u16,
    config: bytes(DEVICE_CONFIG_LENGTH),
  },
  { name: 'virtio-device', version: 1, align: 8 },
);

/** One virtqueue's registers and positions. */
export const virtqueueLayout = struct(
  {
    maxSize: u16,
    size: u16,
    vector: u16,
    enable: u16,
    /** Guest-physical address of the descriptor area. */
    descriptors: u64split,
    /** Guest-physical address of the driver area: the available ring. */
    driver: u64split,
    /** Guest-physical address of the device area: the used ring. */
    device: u64split,
    /** Index of the next available entry to take (see `PackedQueue` for its rings); the back end's. */
    nextAvailable: u16,
    /** Index of the next used entry to fill; the back end's. */
    nextUsed: u16,
    /** `nextUsed` when the driver was last interrupted or asked about. */
    signalledUsed: u16,
    /** 1 while the driver has this queue alone reset, until the back end has let go of it. */
    resetting: u16,
  },
  { name: 'virtqueue', version: 2 },
);

export type VirtioState = ReturnType<typeof virtioLayout.attach>;
export type VirtqueueState = ReturnType<typeof virtqueueLayout.attach>;

/** Makes the state of a device with queues of the given greatest sizes. */
export function createVirtioState(queueSizes: readonly number[]): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(virtioLayout.size + queueSizes.length * virtqueueLayout.size);
  const state = virtioLayout.attach(buffer);
  state.queueCount = queueSizes.length;
  queueSizes.forEach((size, index) => {
    attachQueueState(buffer, index).maxSize = size;
  });
  return buffer;
}

/** The state of queue `index`, which must be below the device's `queueCount`. */
export function attachQueueState(buffer: SharedArrayBuffer, index: number): VirtqueueState {
  return virtqueueLayout.attach(buffer, virtioLayout.size + index * virtqueueLayout.size);
}
