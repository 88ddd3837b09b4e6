import { EventFd, type FileDescriptor, MemFd, type UnixSocket } from '@tsvmm/base';
import {
  attachQueueState,
  createVirtioState,
  type FeatureSet,
  featureSet,
  hasFeature,
  loadDeviceState,
  PackedQueue,
  SplitQueue,
  saveDeviceState,
  type VirtioBackend,
  type VirtioDeviceModel,
  VirtioFeature,
  type VirtqueueState,
} from '@tsvmm/devices';
import type { VhostUserError } from '../errors.ts';
import { featureBits, featureSetOf, missingFeatures } from '../protocol/features.ts';
import { NO_DESCRIPTOR, type PayloadReader, payload, type VringAddress } from '../protocol/messages.ts';
import { packedBase, packedPositions } from '../protocol/packed-base.ts';
import { FrontendRequest, PROTOCOL_FEATURES_BIT, ProtocolFeature } from '../protocol/requests.ts';
import { Conversation, type Reply } from './conversation.ts';
import { FrontendChannel } from './frontend-channel.ts';
import { InOrderQueue } from './in-order-queue.ts';
import { createInflightFile, type InflightQueueRecord, InflightRecord } from './inflight-record.ts';
import { MemoryTable } from './memory-table.ts';
import { Ring, type ServedQueue } from './ring.ts';
import { StateKeeper } from './state-keeper.ts';
import { TrackedQueue } from './tracked-queue.ts';

/** Protocol features that every device here has. */
const PROTOCOL_FEATURES = [
  ProtocolFeature.MQ,
  ProtocolFeature.REPLY_ACK,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.INFLIGHT_SHMFD,
  ProtocolFeature.RESET_DEVICE,
  ProtocolFeature.STATUS,
  ProtocolFeature.DEVICE_STATE,
];

/** Of the number that comes with a ring's eventfd: the ring. */
const RING_INDEX_MASK = 0xff;

const CONFIG_LENGTH = 256;

/** Flag of a ring's address: the guest's writes to the used ring are to be logged. */
const LOG_USED_RING = 1;

/** What a {@link VhostUserDevice} serves, and whom it tells. */
export interface VhostUserDeviceOptions {
  /** For messages: `virtio-blk /images/root.img`. */
  readonly name: string;
  readonly model: VirtioDeviceModel;
  /** Stays the caller's: a front end that comes again finds it as it was. */
  readonly backend: VirtioBackend;
  /**
   * What {@link createInflightFile} made for the model, where it cannot be made any more when the front end asks. It stays the
   * caller's.
   */
  readonly inflightFile?: MemFd;
  /** The driver broke the virtio protocol, or the back end failed: a ring is not served any more. */
  readonly onBroken: (error: unknown) => void;
  /** The front end has gone; with an error when it broke the protocol. */
  readonly onEnd: (error: VhostUserError | undefined) => void;
}

/** What there is for each ring, whether it is started or not. */
interface RingSlot {
  readonly ring: Ring;
  readonly state: VirtqueueState;
  /** Where it was when it stopped, or is to be taken up, in the form of the protocol. */
  base: number;
  /** Undefined until the front end has said where it is. */
  address: VringAddress | undefined;
  kick: FileDescriptor | undefined;
}

/**
 * The back end of a vhost-user connection: serves the rings of one front end (QEMU, another VMM, ours) with the same back end
 * that serves virtio devices in this process. Disposing ends the connection and leaves the back end.
 */
export class VhostUserDevice implements Disposable {
  readonly #options: VhostUserDeviceOptions;
  readonly #conversation: Conversation;
  readonly #slots: readonly RingSlot[];
  readonly #offered: FeatureSet;
  readonly #offeredProtocol: FeatureSet;
  #features: FeatureSet = { low: 0, high: 0 };
  #protocolFeatures: FeatureSet = { low: 0, high: 0 };
  #table: MemoryTable | undefined;
  #isActive = false;
  #status = 0;
  /** What the front end keeps for the case that this process dies; undefined if it does not. */
  #inflight: InflightRecord | undefined;
  /** Where the front end is told something unasked, if it listens. */
  #frontend: FrontendChannel | undefined;
  /** Configuration space; the back end may change it. */
  readonly #config = new Uint8Array(CONFIG_LENGTH);
  readonly #state: StateKeeper;
  #isDisposed = false;
  /** Requests of a front end before this one are under way. */
  #awaitsPredecessor = false;

  /** Takes the socket over. */
  constructor(socket: UnixSocket, options: VhostUserDeviceOptions) {
    this.#options = options;
    const { model, backend, onBroken } = options;
    const state = createVirtioState(model.queueSizes);
    this.#slots = model.queueSizes.map((_, index) => ({
      ring: new Ring(index, backend, onBroken),
      state: attachQueueState(state, index),
      base: 0,
      address: undefined,
      kick: undefined,
    }));
    this.#offered = featureSet([
      ...model.features,
      PROTOCOL_FEATURES_BIT,
      VirtioFeature.indirectDesc,
      VirtioFeature.eventIdx,
      VirtioFeature.version1,
      // A queue that is reset is stopped and started again.
      VirtioFeature.ringReset,
    ]);
    this.#config.set(model.config);
    const stateful = { deviceId: model.deviceId, config: this.#config, backend };
    this.#state = new StateKeeper({
      isStopped: () => this.#slots.every(({ ring }) => !ring.isStarted),
      save: () => saveDeviceState(stateful),
      load: (state) => loadDeviceState(state, stateful),
    });
    this.#holdUntilDrained();
    // Front ends of devices that have no configuration warn of this.
    const config = model.config.length > 0 ? [ProtocolFeature.CONFIG] : [];
    this.#offeredProtocol = featureSet([...PROTOCOL_FEATURES, ...config]);
    this.#conversation = new Conversation(socket, {
      handle: (...request) => this.#handle(...request),
      acknowledges: () => hasFeature(this.#protocolFeatures, ProtocolFeature.REPLY_ACK),
      onEnd: (error) => this.#end(error),
    });
  }

  /** Serves what is in the rings, and resolves when it has ended. */
  async settle(): Promise<void> {
    for (const { ring } of this.#slots) ring.serve();
    await this.#options.backend.drain();
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#conversation[Symbol.dispose]();
    // What is under way goes on and is given back to nobody: the next front end has it done again, when it has ended.
    void this.#reset();
    for (const { ring } of this.#slots) ring[Symbol.dispose]();
    this.#frontend?.[Symbol.dispose]();
    this.#state[Symbol.dispose]();
  }

  #end(error: VhostUserError | undefined): void {
    this[Symbol.dispose]();
    this.#options.onEnd(error);
  }

  /** What a front end before this one left under way must have ended when the first of its requests is done again. */
  #holdUntilDrained(): void {
    const drained = this.#options.backend.drain();
    if (drained === undefined) return;
    this.#awaitsPredecessor = true;
    for (const { ring } of this.#slots) ring.hold(true);
    void drained.then(() => {
      this.#awaitsPredecessor = false;
      for (const { ring } of this.#slots) ring.hold(false);
    });
  }

  #release(ring: Ring): void {
    if (!this.#awaitsPredecessor) ring.hold(false);
  }

  /**
   * Does what the front end asks.
   * @returns the payload of the reply, for those requests that have one; a promise when something has to end first
   */
  #handle(
    request: number,
    reader: PayloadReader,
    descriptors: readonly FileDescriptor[],
  ): Reply | undefined | Promise<Reply | undefined> {
    switch (request) {
      case FrontendRequest.GET_FEATURES:
        return payload.u64(featureBits(this.#offered));
      case FrontendRequest.SET_FEATURES:
        this.#features = this.#accepted(reader, this.#offered, 'features');
        return undefined;
      case FrontendRequest.GET_PROTOCOL_FEATURES:
        return payload.u64(featureBits(this.#offeredProtocol));
      case FrontendRequest.SET_PROTOCOL_FEATURES:
        this.#protocolFeatures = this.#accepted(reader, this.#offeredProtocol, 'protocol features');
        return undefined;
      case FrontendRequest.SET_OWNER:
        return undefined;
      case FrontendRequest.RESET_OWNER:
      case FrontendRequest.RESET_DEVICE:
        return this.#reset();
      case FrontendRequest.GET_QUEUE_NUM:
        return payload.u64(BigInt(this.#slots.length));
      case FrontendRequest.SET_MEM_TABLE:
        return this.#setMemory(reader, descriptors);
      case FrontendRequest.SET_VRING_NUM: {
        const slot = this.#slot(reader.u32(), reader);
        slot.state.size = reader.u32();
        return undefined;
      }
      case FrontendRequest.SET_VRING_ADDR: {
        const address = reader.vringAddress();
        if ((address.flags & LOG_USED_RING) !== 0) throw reader.error('writes to rings are not logged here');
        this.#slot(address.index, reader).address = address;
        return undefined;
      }
      case FrontendRequest.SET_VRING_BASE:
        this.#slot(reader.u32(), reader).base = reader.u32();
        return undefined;
      case FrontendRequest.GET_VRING_BASE: {
        const slot = this.#slot(reader.u32(), reader);
        const base = () => {
          slot.base = this.#baseOf(slot);
          stop(slot);
          return payload.vringState(slot.ring.index, slot.base);
        };
        // What the driver has asked for until now, even if its kick is not seen yet.
        slot.ring.serve();
        slot.ring.hold(true);
        const drained = slot.ring.drain();
        if (drained === undefined) return base();
        return drained.then(base);
      }
      case FrontendRequest.SET_VRING_KICK:
        this.#setKick(reader, descriptors);
        return undefined;
      case FrontendRequest.SET_VRING_CALL: {
        const { slot, descriptor } = this.#ringDescriptor(reader, descriptors);
        slot.ring.setCall(descriptor?.duplicate());
        return undefined;
      }
      case FrontendRequest.SET_VRING_ERR:
        // A broken ring ends the connection's service of it; there is nothing more to tell.
        this.#ringDescriptor(reader, descriptors);
        return undefined;
      case FrontendRequest.SET_VRING_ENABLE: {
        const { ring } = this.#slot(reader.u32(), reader);
        ring.enable(reader.u32() === 1);
        return undefined;
      }
      case FrontendRequest.GET_CONFIG:
        return this.#readConfig(reader);
      case FrontendRequest.SET_CONFIG:
        this.#writeConfig(reader);
        return undefined;
      case FrontendRequest.SET_BACKEND_REQ_FD:
        this.#frontend?.[Symbol.dispose]();
        this.#frontend = new FrontendChannel(oneOf(descriptors, reader).duplicate());
        return undefined;
      case FrontendRequest.GET_INFLIGHT_FD: {
        const { queueCount, queueSize } = reader.inflight();
        const { model, inflightFile: prepared } = this.#options;
        const file = prepared ? new MemFd(prepared.descriptor.duplicate()) : createInflightFile(model);
        const description = InflightRecord.describe(file, queueCount, queueSize);
        // Without room there is no record, which is said by its length.
        const none = { size: 0, offset: 0, queueCount, queueSize };
        return { bytes: payload.inflight(description ?? none), file };
      }
      case FrontendRequest.SET_INFLIGHT_FD:
        this.#inflight = InflightRecord.map(reader.inflight(), oneOf(descriptors, reader));
        return undefined;
      case FrontendRequest.SET_DEVICE_STATE_FD:
        return this.#state.begin(reader, oneOf(descriptors, reader));
      case FrontendRequest.CHECK_DEVICE_STATE:
        return this.#state.check(reader);
      case FrontendRequest.GET_STATUS:
        return payload.u64(BigInt(this.#status));
      case FrontendRequest.SET_STATUS:
        this.#status = Number(reader.u64() & 0xffn);
        return this.#status === 0 ? this.#reset() : undefined;
      default:
        throw reader.error('a device here does not know this request');
    }
  }

  #accepted(reader: PayloadReader, offered: FeatureSet, what: string): FeatureSet {
    const accepted = featureSetOf(reader.u64());
    const surplus = featureBits(missingFeatures(accepted, offered));
    if (surplus !== 0n) throw reader.error(`${what} 0x${surplus.toString(16)} were not offered`);
    return accepted;
  }

  #setMemory(reader: PayloadReader, descriptors: readonly FileDescriptor[]): Promise<undefined> | undefined {
    const count = reader.u32();
    reader.u32();
    if (count === 0 || count !== descriptors.length) {
      throw reader.error(`${count} memory regions came with ${descriptors.length} descriptors`);
    }
    const regions = Array.from({ length: count }, () => reader.region());
    this.#table = new MemoryTable(regions, descriptors);
    // What is served already goes on in the new memory, when what is under way in the old one has ended.
    const started = this.#slots.filter(({ ring }) => ring.isStarted);
    const goOn = () => {
      for (const slot of started) {
        this.#start(slot, reader);
        this.#release(slot.ring);
      }
    };
    for (const { ring } of started) ring.hold(true);
    const drained = started.map(({ ring }) => ring.drain()).filter((pending) => pending !== undefined);
    if (drained.length === 0) {
      goOn();
      return undefined;
    }
    return Promise.all(drained).then(() => {
      if (!this.#isDisposed) goOn();
      return undefined;
    });
  }

  #setKick(reader: PayloadReader, descriptors: readonly FileDescriptor[]): void {
    const { slot, descriptor } = this.#ringDescriptor(reader, descriptors);
    if (descriptor === undefined) throw reader.error('a ring without a kick would have to be polled');
    slot.kick?.[Symbol.dispose]();
    slot.kick = descriptor.duplicate();
    this.#start(slot, reader);
    this.#release(slot.ring);
    // Without protocol features rings are enabled from the start.
    if (!hasFeature(this.#features, PROTOCOL_FEATURES_BIT)) slot.ring.enable(true);
  }

  #start(slot: RingSlot, reader: PayloadReader): void {
    const { address, state, kick } = slot;
    const table = this.#table;
    if (address === undefined || kick === undefined || table === undefined) {
      throw reader.error(`ring ${slot.ring.index} starts before its address or the memory is known`);
    }
    if (!this.#isActive) {
      this.#isActive = true;
      this.#options.backend.activate({
        features: this.#features,
        memory: table.memory,
        wake: (index) => this.#slots[index]?.ring.serve(),
        announce: ({ index }) => this.#slots[index]?.ring.announce(),
        config: () => new DataView(this.#config.slice().buffer),
        changeConfig: (change) => {
          change(new DataView(this.#config.buffer));
          // Without a channel to tell it by, the front end learns of it when it asks.
          this.#frontend?.configChanged();
        },
      });
    }
    slot.base = this.#baseOf(slot);
    place(state.descriptors, table.guestAddress(address.descriptors));
    place(state.driver, table.guestAddress(address.available));
    const used = table.guestAddress(address.used);
    place(state.device, used);
    const options = {
      eventIdx: hasFeature(this.#features, VirtioFeature.eventIdx),
      indirect: hasFeature(this.#features, VirtioFeature.indirectDesc),
    };
    const { ring } = slot;
    let queue: ServedQueue;
    if (this.#isPacked) {
      const positions = packedPositions(slot.base, state.size);
      if (positions === undefined) throw reader.error(`ring ${ring.index} starts beyond its end`);
      Object.assign(state, positions);
      queue = new InOrderQueue(new PackedQueue(ring.index, state, table.memory, options));
    } else {
      // The front end knows how far requests were taken; how far they were given back is in the ring itself.
      state.nextAvailable = slot.base;
      state.nextUsed = table.memory.readUint16(used + 2);
      const record = this.#inflightOf(slot, reader);
      const again = record?.resume(state.nextUsed) ?? [];
      // Those in the record are the only ones that were taken and not given back.
      if (record) state.nextAvailable = (state.nextUsed + again.length) & 0xffff;
      const split = new SplitQueue(ring.index, state, table.memory, options);
      queue = record ? new TrackedQueue(split, record, again) : new InOrderQueue(split);
    }
    state.signalledUsed = state.nextUsed;
    ring.start(queue, new EventFd(kick.duplicate()));
  }

  #inflightOf({ ring, state }: RingSlot, reader: PayloadReader): InflightQueueRecord | undefined {
    if (this.#inflight === undefined) return undefined;
    const record = this.#inflight.queue(ring.index);
    if (record !== undefined && record.size >= state.size) return record;
    throw reader.error(`the record of requests in flight has no room for ring ${ring.index}`);
  }

  get #isPacked(): boolean {
    return hasFeature(this.#features, VirtioFeature.ringPacked);
  }

  #baseOf({ ring, state, base }: RingSlot): number {
    if (!ring.isStarted) return base;
    return this.#isPacked ? packedBase(state.nextAvailable, state.nextUsed, state.size) : state.nextAvailable;
  }

  /** The driver wrote to the configuration; where it may not, that is nothing. */
  #writeConfig(reader: PayloadReader): void {
    const offset = reader.u32();
    reader.u32();
    reader.u32();
    const bytes = reader.rest();
    if (offset + bytes.length > CONFIG_LENGTH) {
      throw reader.error(`${bytes.length} bytes at ${offset} are not in a configuration of ${CONFIG_LENGTH}`);
    }
    const { start, end } = this.#options.model.writableConfig ?? { start: 0, end: 0 };
    const [from, to] = [Math.max(start, offset), Math.min(end, offset + bytes.length)];
    if (from >= to) return;
    this.#config.set(bytes.subarray(from - offset, to - offset), from);
    this.#options.backend.configWritten?.();
  }

  #readConfig(reader: PayloadReader): Uint8Array {
    const offset = reader.u32();
    const size = reader.u32();
    const flags = reader.u32();
    if (offset + size > CONFIG_LENGTH || reader.rest().length !== size) {
      throw reader.error(`${size} bytes at ${offset} are not in a configuration space of ${CONFIG_LENGTH}`);
    }
    return payload.config(offset, flags, this.#config.subarray(offset, offset + size));
  }

  #slot(index: number, reader: PayloadReader): RingSlot {
    const slot = this.#slots[index];
    if (slot === undefined) throw reader.error(`there is no ring ${index}`);
    return slot;
  }

  #ringDescriptor(reader: PayloadReader, descriptors: readonly FileDescriptor[]) {
    const value = Number(reader.u64() & 0xffffffffn);
    const slot = this.#slot(value & RING_INDEX_MASK, reader);
    const [descriptor] = descriptors;
    if (((value & NO_DESCRIPTOR) === 0) !== (descriptor !== undefined)) {
      throw reader.error('a descriptor is missing, or came although it was said that there is none');
    }
    return { slot, descriptor };
  }

  /** Undefined when nothing is under way any more. */
  #reset(): Promise<undefined> | undefined {
    for (const slot of this.#slots) {
      stop(slot);
      slot.ring.enable(false);
    }
    const letGo = this.#isActive ? this.#options.backend.reset() : undefined;
    this.#isActive = false;
    this.#inflight = undefined;
    return letGo?.then(() => undefined);
  }
}

/** The descriptor that a request needs one of. */
function oneOf(descriptors: readonly FileDescriptor[], reader: PayloadReader): FileDescriptor {
  const [descriptor, ...more] = descriptors;
  if (descriptor !== undefined && more.length === 0) return descriptor;
  throw reader.error(`${descriptors.length} descriptors came instead of one`);
}

function stop(slot: RingSlot): void {
  slot.ring.stop();
  slot.kick?.[Symbol.dispose]();
  slot.kick = undefined;
}

function place(field: { lo: number; hi: number }, address: number): void {
  field.lo = address % 2 ** 32;
  field.hi = Math.floor(address / 2 ** 32);
}
