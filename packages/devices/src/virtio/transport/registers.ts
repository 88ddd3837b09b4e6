import { SharedMutex } from '@tsvmm/struct';
import type { BusAccess } from '../../bus.ts';
import { MSIX_NO_VECTOR } from '../../pci/msix.ts';
import { featureSet, VirtioFeature, VirtioStatus } from '../constants.ts';
import {
  attachQueueState,
  createVirtioState,
  DEVICE_CONFIG_LENGTH,
  MAX_QUEUE_SIZE,
  Phase,
  type VirtioState,
  type VirtqueueState,
  virtioLayout,
} from './state.ts';

/** Bytes of the common configuration structure up to and with queue_reset. */
export const COMMON_CONFIG_LENGTH = 0x3c;

/** Field offsets of struct virtio_pci_common_cfg (virtio 1.3, section 4.1.4.3). */
const Field = {
  deviceFeatureSelect: 0x00,
  deviceFeature: 0x04,
  driverFeatureSelect: 0x08,
  driverFeature: 0x0c,
  configMsixVector: 0x10,
  deviceStatus: 0x14,
  queueSelect: 0x16,
  queueSize: 0x18,
  queueMsixVector: 0x1a,
  queueEnable: 0x1c,
  queueDesc: 0x20,
  queueDriver: 0x28,
  queueDevice: 0x30,
  /** queue_notify_data is below it; VIRTIO_F_NOTIF_CONFIG_DATA is not offered. */
  queueReset: 0x3a,
} as const;

/** Width of each field that can be written, in bytes. */
const WIDTHS: Readonly<Record<number, number>> = {
  [Field.deviceFeatureSelect]: 4,
  [Field.driverFeatureSelect]: 4,
  [Field.driverFeature]: 4,
  [Field.configMsixVector]: 2,
  [Field.deviceStatus]: 1,
  [Field.queueSelect]: 2,
  [Field.queueSize]: 2,
  [Field.queueMsixVector]: 2,
  [Field.queueEnable]: 2,
  [Field.queueReset]: 2,
};

/** Reads in the place of a queue that does not exist. */
const NO_QUEUE: Readonly<Pick<VirtqueueState, 'maxSize' | 'size' | 'vector' | 'enable' | 'resetting'>> = {
  maxSize: 0,
  size: 0,
  vector: MSIX_NO_VECTOR,
  enable: 0,
  resetting: 0,
};

/** What every device that is served here offers. */
const RING_FEATURES = [
  VirtioFeature.indirectDesc,
  VirtioFeature.eventIdx,
  VirtioFeature.version1,
  VirtioFeature.ringReset,
];

/** What a device brings to its transport. */
export interface VirtioDeviceModel {
  /** Device id (virtio 1.3, section 5). */
  readonly deviceId: number;
  /** Feature bits beyond {@link ringFeatures}. */
  readonly features: readonly number[];
  /** Those of VERSION_1, EVENT_IDX, INDIRECT_DESC and RING_RESET that are offered; all unless given. */
  readonly ringFeatures?: readonly number[];
  /** The greatest size of each queue, powers of two. */
  readonly queueSizes: readonly number[];
  /** Device-specific configuration, at most 256 bytes. */
  readonly config: Uint8Array;
  /** What of the configuration the driver can write; nothing unless given. */
  readonly writableConfig?: ConfigRange;
  /** What the configuration shows by what the driver writes to its first two bytes: input devices' is made of these. */
  readonly configPages?: readonly ConfigPage[];
}

/** A page of struct virtio_input_config (section 5.8.4). */
export interface ConfigPage {
  /** The driver's two bytes. */
  readonly select: number;
  readonly subselect: number;
  /** At most 128 bytes, whose number the third byte says, and which begin at the ninth. */
  readonly data: Uint8Array;
}

/** How a driver's writes change the device-specific configuration. */
export type ConfigWrites = Pick<VirtioDeviceModel, 'writableConfig' | 'configPages'>;

/** A page by the first two bytes as one number. */
interface SelectedPage {
  readonly selection: number;
  readonly data: Uint8Array;
}

const PAGE_SIZE_FIELD = 2;
const PAGE_DATA = 8;
const PAGE_DATA_LENGTH = 128;

/** Bytes of the device-specific configuration, from `start` up to but not including `end`. */
export interface ConfigRange {
  readonly start: number;
  readonly end: number;
}

/** Makes the shared state of a device that nobody has driven yet. */
export function createDeviceState(model: VirtioDeviceModel): SharedArrayBuffer {
  for (const size of model.queueSizes) {
    if (!Number.isInteger(Math.log2(size)) || size > MAX_QUEUE_SIZE) {
      throw new RangeError(`A queue's size is a power of two up to ${MAX_QUEUE_SIZE}, not ${size}.`);
    }
  }
  const buffer = createVirtioState(model.queueSizes);
  const state = virtioLayout.attach(buffer);
  const { low, high } = featureSet([...model.features, ...(model.ringFeatures ?? RING_FEATURES)]);
  state.deviceFeatures.set([low, high]);
  state.config.set(model.config);
  const queues = model.queueSizes.map((_, index) => attachQueueState(buffer, index));
  resetRegisters(state, queues);
  return buffer;
}

/** Puts the registers into the state after a reset (section 4.1.4.3.1); phase, features and configuration stay. */
export function resetRegisters(state: VirtioState, queues: readonly VirtqueueState[]): void {
  state.queueSelect = 0;
  state.status = 0;
  state.deviceFeatureSelect = 0;
  state.driverFeatureSelect = 0;
  state.driverFeatures.fill(0);
  state.configVector = MSIX_NO_VECTOR;
  for (const queue of queues) resetQueue(queue);
}

/** Puts one queue's registers into the state after a reset. */
export function resetQueue(queue: VirtqueueState): void {
  queue.size = queue.maxSize;
  queue.vector = MSIX_NO_VECTOR;
  queue.enable = 0;
  for (const address of [queue.descriptors, queue.driver, queue.device]) address.lo = address.hi = 0;
  queue.nextAvailable = 0;
  queue.nextUsed = 0;
  queue.signalledUsed = 0;
  queue.resetting = 0;
}

/**
 * Marks a device whose back end has died, so that no vCPU waits for it any more: its status says NEEDS_RESET, but no
 * reset will revive it.
 */
export function abandonDevice(buffer: SharedArrayBuffer): void {
  const state = virtioLayout.attach(buffer);
  state.status |= VirtioStatus.needsReset;
  state.phase.store(Phase.idle);
  state.phase.notify();
}

/** What the registers need from the transport that shows them. */
export interface TransportHooks {
  /** MSI-X vectors there are. */
  readonly vectors: number;
  /** The back end has to look at the phase. */
  signalControl(): void;
  /** The driver has chosen vectors for its queues, or has come so far that it should have. Called with the lock held. */
  vectorsChanged(): void;
  /** The registers were reset: interrupts that were pending are not any more. Called with the lock held. */
  resetInterrupts(): void;
}

/**
 * The common and device-specific configuration of a virtio device, on the thread of a vCPU that accesses it: feature
 * negotiation, queue set-up and the status register with its rules (section 3.1).
 */
export class VirtioRegisters {
  readonly state: VirtioState;
  readonly mutex: SharedMutex;
  readonly #queues: readonly VirtqueueState[];
  readonly #hooks: TransportHooks;
  readonly #config: DataView;
  readonly #writableConfig: ConfigRange | undefined;
  readonly #configPages: readonly SelectedPage[] | undefined;

  constructor(buffer: SharedArrayBuffer, hooks: TransportHooks, writes: ConfigWrites = {}) {
    this.state = virtioLayout.attach(buffer);
    this.mutex = new SharedMutex(this.state.lock);
    this.#queues = Array.from({ length: this.state.queueCount }, (_, index) =>
      attachQueueState(buffer, index),
    );
    this.#hooks = hooks;
    this.#writableConfig = writes.writableConfig;
    this.#configPages = writes.configPages?.map(({ select, subselect, data }) => {
      return { selection: select | (subselect << 8), data };
    });
    const { config } = this.state;
    this.#config = new DataView(config.buffer, config.byteOffset, config.byteLength);
  }

  /** Reads at `offset` of the common configuration, in any width that does not cross 8 aligned bytes. */
  readCommon(offset: number, access: BusAccess): void {
    this.mutex.lock();
    try {
      const shift = (offset & 3) * 8;
      access.low = this.#readWord(offset & ~3) >>> shift;
      access.high = access.size === 8 ? this.#readWord((offset & ~3) + 4) : 0;
    } finally {
      this.mutex.unlock();
    }
  }

  /** Writes one field of the common configuration; a write that is not a field's width does nothing. */
  writeCommon(offset: number, access: BusAccess): void {
    const isReset = offset === Field.deviceStatus && access.size === 1 && access.low === 0;
    // A driver that does not wait for its reset to end, as it should (section 2.4.2), is made to.
    if (!isReset) this.#waitForReset();
    this.mutex.lock();
    try {
      if (offset >= Field.queueDesc && offset < Field.queueDevice + 8) this.#writeAddress(offset, access);
      else if (WIDTHS[offset] === access.size) this.#writeField(offset, access.low);
    } finally {
      this.mutex.unlock();
    }
  }

  /** Reads the device-specific configuration; zero beyond its end. */
  readConfig(offset: number, access: BusAccess): void {
    access.low = access.high = 0;
    if (offset + access.size > DEVICE_CONFIG_LENGTH) return;
    this.mutex.lock();
    try {
      if (access.size === 1) access.low = this.#config.getUint8(offset);
      else if (access.size === 2) access.low = this.#config.getUint16(offset, true);
      else access.low = this.#config.getUint32(offset, true);
      if (access.size === 8) access.high = this.#config.getUint32(offset + 4, true);
    } finally {
      this.mutex.unlock();
    }
  }

  /** Writes to the device-specific configuration, if all of it is for the driver to write, and tells the back end. */
  writeConfig(offset: number, access: BusAccess): void {
    const writable = this.#writableConfig;
    if (writable === undefined || offset < writable.start || offset + access.size > writable.end) return;
    this.mutex.lock();
    try {
      if (access.size === 1) this.#config.setUint8(offset, access.low);
      else if (access.size === 2) this.#config.setUint16(offset, access.low, true);
      else this.#config.setUint32(offset, access.low, true);
      if (access.size === 8) this.#config.setUint32(offset + 4, access.high, true);
      if (this.#configPages !== undefined) this.#showPage(this.#configPages);
    } finally {
      this.mutex.unlock();
    }
    if (this.state.phase.load() === Phase.active) this.#hooks.signalControl();
  }

  /** Shows what the driver has selected, or nothing. */
  #showPage(pages: readonly SelectedPage[]): void {
    const selection = this.#config.getUint16(0, true);
    const page = pages.find((candidate) => candidate.selection === selection);
    const { config } = this.state;
    config.fill(0, PAGE_DATA, PAGE_DATA + PAGE_DATA_LENGTH);
    config[PAGE_SIZE_FIELD] = page?.data.length ?? 0;
    if (page !== undefined) config.set(page.data, PAGE_DATA);
  }

  #readWord(offset: number): number {
    const { state } = this;
    const queue = this.#queues[state.queueSelect];
    const { size, vector, enable, resetting } = queue ?? NO_QUEUE;
    switch (offset) {
      case Field.deviceFeatureSelect:
        return state.deviceFeatureSelect;
      case Field.deviceFeature:
        return state.deviceFeatures[state.deviceFeatureSelect] ?? 0;
      case Field.driverFeatureSelect:
        return state.driverFeatureSelect;
      case Field.driverFeature:
        return state.driverFeatures[state.driverFeatureSelect] ?? 0;
      case Field.configMsixVector:
        return state.configVector | (state.queueCount << 16);
      case Field.deviceStatus:
        return state.status | (state.configGeneration << 8) | (state.queueSelect << 16);
      case Field.queueSize:
        return size | (vector << 16);
      case Field.queueEnable:
        // queue_notify_off: every queue has a doorbell of its own.
        return enable | ((queue ? state.queueSelect : 0) << 16);
      case Field.queueDesc:
        return queue?.descriptors.lo ?? 0;
      case Field.queueDesc + 4:
        return queue?.descriptors.hi ?? 0;
      case Field.queueDriver:
        return queue?.driver.lo ?? 0;
      case Field.queueDriver + 4:
        return queue?.driver.hi ?? 0;
      case Field.queueDevice:
        return queue?.device.lo ?? 0;
      case Field.queueDevice + 4:
        return queue?.device.hi ?? 0;
      case Field.queueReset - 2:
        return resetting << 16;
      default:
        return 0;
    }
  }

  #writeField(offset: number, value: number): void {
    const { state } = this;
    const queue = this.#queues[state.queueSelect];
    switch (offset) {
      case Field.deviceFeatureSelect:
        state.deviceFeatureSelect = value;
        break;
      case Field.driverFeatureSelect:
        state.driverFeatureSelect = value;
        break;
      case Field.driverFeature:
        if ((state.status & VirtioStatus.featuresOk) === 0 && state.driverFeatureSelect < 2) {
          state.driverFeatures[state.driverFeatureSelect] = value;
        }
        break;
      case Field.configMsixVector:
        state.configVector = this.#vector(value);
        break;
      case Field.deviceStatus:
        if (value === 0) this.#reset();
        else this.#advance(value);
        break;
      case Field.queueSelect:
        state.queueSelect = value;
        break;
      case Field.queueMsixVector:
        if (queue) queue.vector = this.#vector(value);
        this.#hooks.vectorsChanged();
        break;
      case Field.queueSize:
        if (queue && queue.enable === 0) queue.size = value;
        break;
      case Field.queueEnable:
        // Zero does nothing: only a reset disables a queue.
        if (queue && value === 1 && queue.resetting === 0) this.#enable(queue);
        break;
      case Field.queueReset:
        if (queue && value === 1) this.#resetQueue(queue);
        break;
    }
  }

  #enable(queue: VirtqueueState): void {
    queue.enable = 1;
    // While the device runs, that is a queue which had been reset.
    if (this.state.phase.load() === Phase.active) this.#hooks.signalControl();
  }

  /** VIRTIO_F_RING_RESET (section 2.6.1): at once if no back end is at work, else when it has let go of the queue. */
  #resetQueue(queue: VirtqueueState): void {
    const driverFeatures = this.state.driverFeatures[1] ?? 0;
    const isNegotiated = (driverFeatures & (1 << (VirtioFeature.ringReset - 32))) !== 0;
    if (!isNegotiated || queue.enable === 0) return;
    if (this.state.phase.load() === Phase.idle) {
      resetQueue(queue);
    } else {
      queue.resetting = 1;
      this.#hooks.signalControl();
    }
  }

  /** A vector that does not exist is refused by reading back as none (section 4.1.5.1.2.1). */
  #vector(value: number): number {
    return value < this.#hooks.vectors ? value : MSIX_NO_VECTOR;
  }

  /** Writes half of a queue address, or all of it with 8 bytes. */
  #writeAddress(offset: number, access: BusAccess): void {
    const queue = this.#queues[this.state.queueSelect];
    if (queue?.enable !== 0 || (offset & 3) !== 0 || access.size < 4) return;
    const field = offset & ~7;
    const address =
      field === Field.queueDesc
        ? queue.descriptors
        : field === Field.queueDriver
          ? queue.driver
          : queue.device;
    if ((offset & 4) !== 0) address.hi = access.low;
    else address.lo = access.low;
    if (access.size === 8 && (offset & 4) === 0) address.hi = access.high;
  }

  /** Sets status bits; only a reset clears them. */
  #advance(value: number): void {
    const { state } = this;
    const before = state.status;
    let after = before | value;
    if ((after & ~before & VirtioStatus.featuresOk) !== 0 && !this.#areFeaturesAcceptable()) {
      after &= ~VirtioStatus.featuresOk;
    }
    // A modern device does not start for a driver that skipped the negotiation.
    if ((after & VirtioStatus.featuresOk) === 0) after &= ~VirtioStatus.driverOk;
    state.status = after;
    // A back end that has let go after a reset took the vectors along.
    this.#hooks.vectorsChanged();
    if ((after & ~before & VirtioStatus.driverOk) !== 0) {
      state.phase.store(Phase.activating);
      this.#hooks.signalControl();
    }
  }

  #areFeaturesAcceptable(): boolean {
    const { deviceFeatures, driverFeatures } = this.state;
    const offered = (word: number) => ((driverFeatures[word] ?? 0) & ~(deviceFeatures[word] ?? 0)) === 0;
    const isModern = ((driverFeatures[1] ?? 0) & (1 << (VirtioFeature.version1 - 32))) !== 0;
    return isModern && offered(0) && offered(1);
  }

  /** Resets at once if no back end is at work; else the status stays what it is until the back end has let go. */
  #reset(): void {
    const phase = this.state.phase.load();
    if (phase === Phase.idle) {
      resetRegisters(this.state, this.#queues);
      this.#hooks.resetInterrupts();
    } else if (phase !== Phase.resetting) {
      this.state.phase.store(Phase.resetting);
      this.#hooks.signalControl();
    }
  }

  #waitForReset(): void {
    while (this.state.phase.load() === Phase.resetting) this.state.phase.wait(Phase.resetting);
  }
}
