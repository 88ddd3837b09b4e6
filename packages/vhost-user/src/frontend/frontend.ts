import { setTimeout as sleep } from 'node:timers/promises';
import { BorrowedDescriptor, EventFd, FileDescriptor, SystemError, UnixSocket } from '@tsvmm/base';
import {
  type FeatureSet,
  featureSet,
  hasFeature,
  type RemoteBackend,
  type RemoteDescriptor,
  type RemoteDevice,
  type RemoteQueue,
  VirtioFeature,
  VirtioStatus,
} from '@tsvmm/devices';
import type { GuestMemory } from '@tsvmm/vm-memory';
import { VhostUserError } from '../errors.ts';
import { featureBits, missingFeatures } from '../protocol/features.ts';
import { payload } from '../protocol/messages.ts';
import { packedBase, packedPositions } from '../protocol/packed-base.ts';
import { FrontendRequest, PROTOCOL_FEATURES_BIT, ProtocolFeature } from '../protocol/requests.ts';
import { BackendChannel } from './backend-channel.ts';
import { VhostUserClient } from './client.ts';
import { loadState, type SuspendedDevice, saveState } from './device-state.ts';
import { InflightRecord } from './inflight-record.ts';
import { Relay } from './relay.ts';

/** Milliseconds before the first attempt to reach a back end that has gone, and the longest between two. */
const FIRST_DELAY_MS = 10;
const LONGEST_DELAY_MS = 1000;

const RUNNING =
  VirtioStatus.acknowledge | VirtioStatus.driver | VirtioStatus.featuresOk | VirtioStatus.driverOk;

/** How a {@link VhostUserFrontend} is made. */
export interface VhostUserFrontendOptions {
  /** Milliseconds that the back end may take for an answer; 30,000 unless given. */
  readonly timeLimit?: number;
}

/** What the driver has set up, as long as it has not reset the device. */
interface Activation {
  readonly features: FeatureSet;
  readonly queues: Map<number, RemoteQueue>;
  /** What the back end has taken and not given back; undefined where it keeps no record. */
  inflight: InflightRecord | undefined;
  /** What knows that instead, if the back end can come back; undefined where requests go straight to it. */
  relay: Relay | undefined;
}

/**
 * The front end of a device whose back end is another process: tells it of the guest's memory and queues, and does so again
 * when it has died and come back, so that no request is lost. Data does not pass here.
 *
 * A back end that breaks the protocol, does not answer in time, or goes without a path at which it could come back, is reported
 * as `RemoteEvents.failed`; the calls that were under way resolve, as there is nothing left to wait for.
 */
export class VhostUserFrontend implements RemoteBackend {
  readonly #descriptor: RemoteDescriptor;
  readonly #device: RemoteDevice;
  readonly #memory: GuestMemory;
  readonly #options: VhostUserFrontendOptions;
  readonly #closing = new AbortController();
  /** Undefined while the back end is gone. */
  #client: VhostUserClient | undefined;
  #channel: BackendChannel | undefined;
  #activation: Activation | undefined;
  #config: Uint8Array;
  /** Set while the back end is gone and may come back. */
  #reconnecting: Promise<void> | undefined;
  #isConfigStale = false;
  /** Conversations with the back end take place one after the other: this is the end of the last. */
  #conversation: Promise<void> = Promise.resolve();

  private constructor(
    descriptor: RemoteDescriptor,
    device: RemoteDevice,
    memory: GuestMemory,
    options: VhostUserFrontendOptions,
  ) {
    this.#descriptor = descriptor;
    this.#device = device;
    this.#memory = memory;
    this.#options = options;
    this.#config = device.config.slice(0, descriptor.configLength);
  }

  /**
   * Takes up the connection that the descriptor has.
   *
   * @param memory has to be backed by a file
   * @throws VhostUserError, also UNSUPPORTED when the back end offers less than the guest was told
   */
  static async open(
    descriptor: RemoteDescriptor,
    device: RemoteDevice,
    memory: GuestMemory,
    options: VhostUserFrontendOptions = {},
  ): Promise<VhostUserFrontend> {
    if (memory.fd === undefined) {
      throw new VhostUserError(
        'UNSUPPORTED',
        "the guest's memory is not in a file, and cannot be shared with another process",
      );
    }
    const frontend = new VhostUserFrontend(descriptor, device, memory, options);
    await frontend.#connect(new UnixSocket(FileDescriptor.duplicateOf(descriptor.socket)));
    return frontend;
  }

  async activate(features: FeatureSet, queues: readonly RemoteQueue[]): Promise<void> {
    const activation: Activation = {
      features,
      queues: new Map(queues.map((queue) => [queue.index, queue])),
      inflight: undefined,
      relay: undefined,
    };
    this.#activation = activation;
    await this.#converse((client) => this.#start(client, activation));
  }

  async startQueue(queue: RemoteQueue): Promise<void> {
    this.#activation?.queues.set(queue.index, queue);
    await this.#converse(async (client) => {
      await this.#startQueue(client, queue);
      await client.settle();
    });
  }

  async stopQueue(index: number): Promise<void> {
    this.#activation?.queues.delete(index);
    await this.#converse(async (client) => void (await stopQueue(client, index)));
    this.#activation?.relay?.stop(index);
  }

  /**
   * Stops the device, whose driver and memory stay as they are, for another back end to go on with: one that {@link restore} and
   * then {@link activate} are called of, with queues that begin where these stopped.
   * @throws VhostUserError UNSUPPORTED when the back end has no DEVICE_STATE, DISCONNECTED when it has gone
   */
  async suspend(): Promise<SuspendedDevice> {
    const nextAvailable = new Map<number, number>();
    let state: Uint8Array | undefined;
    await this.#converse(async (client) => {
      for (const [index, { size }] of this.#activation?.queues ?? []) {
        const base = await stopQueue(client, index);
        const position = this.#isPacked ? packedPositions(base, size)?.nextAvailable : base;
        if (position === undefined)
          throw new VhostUserError('PROTOCOL', `queue ${index} stopped beyond its end`);
        nextAvailable.set(index, position);
      }
      state = await saveState(client);
    });
    if (state === undefined) throw this.#gone();
    return { state, nextAvailable };
  }

  /**
   * Gives the back end the state of the device that it goes on with, before the driver's queues.
   * @throws VhostUserError UNSUPPORTED, REFUSED when it is the state of another device, DISCONNECTED
   */
  async restore(state: Uint8Array): Promise<void> {
    let isDone = false;
    await this.#converse(async (client) => {
      await loadState(client, state);
      isDone = true;
    });
    if (!isDone) throw this.#gone();
  }

  async writeConfig(offset: number, bytes: Uint8Array): Promise<void> {
    this.#config.set(bytes, offset);
    await this.#converse((client) =>
      client.tell(FrontendRequest.SET_CONFIG, payload.config(offset, 0, bytes)),
    );
  }

  async reset(): Promise<void> {
    const activation = this.#activation;
    this.#activation = undefined;
    try {
      // A back end that has gone for good has stopped already.
      const isThere = this.#client !== undefined || this.#reconnecting !== undefined;
      if (activation && isThere) await this.#converse((client) => this.#stop(client, activation));
    } catch (error) {
      this.#device.events.failed(error);
    }
    activation?.inflight?.[Symbol.dispose]();
    activation?.relay?.[Symbol.dispose]();
  }

  /** Has the back end finish what it has taken, and ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#reconnecting;
    await this.reset();
    this.#disconnect();
  }

  /**
   * Talks to the back end when nobody else does. Without a back end, and when that goes meanwhile, this resolves: it is told
   * all that matters when it has come back.
   */
  async #converse(talk: (client: VhostUserClient) => Promise<void>): Promise<void> {
    const before = this.#conversation;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#conversation = promise;
    await before;
    const client = this.#client;
    try {
      if (client) await talk(client);
      else if (!this.#reconnecting) throw this.#gone();
    } catch (error) {
      // The end of the connection is reported elsewhere.
      if (client?.isEnded !== true) throw error;
    } finally {
      resolve();
    }
  }

  /** Makes a connected socket the connection to the back end. */
  async #connect(socket: UnixSocket): Promise<void> {
    const { name, features, queueSizes } = this.#device;
    const { signal } = this.#closing;
    let isReady = false;
    const client = new VhostUserClient(socket, {
      name,
      ...this.#options,
      onEnd: (error) => isReady && this.#lost(error),
    });
    const abort = () => client[Symbol.dispose]();
    signal.addEventListener('abort', abort);
    try {
      const missing = featureBits(missingFeatures(features, await client.handshake()));
      if (missing !== 0n) {
        throw this.#unsupported(`offers less than the guest was told: 0x${missing.toString(16)} is missing`);
      }
      const count = await client.queueCount();
      if (count !== undefined && count < queueSizes.length) {
        throw this.#unsupported(`has ${count} queues, and the guest was told of ${queueSizes.length}`);
      }
      await client.tell(FrontendRequest.SET_OWNER);
      if (client.has(ProtocolFeature.BACKEND_REQ)) {
        this.#channel = await BackendChannel.open(client, () => void this.#refreshConfig());
      }
    } catch (error) {
      client[Symbol.dispose]();
      this.#disconnect();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
    isReady = true;
    this.#client = client;
  }

  #disconnect(): void {
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
    this.#channel?.[Symbol.dispose]();
    this.#channel = undefined;
  }

  /** The connection has ended. */
  #lost(error: VhostUserError): void {
    const { path } = this.#descriptor;
    const { events } = this.#device;
    this.#disconnect();
    if (this.#closing.signal.aborted) return;
    if (path === undefined || error.code !== 'DISCONNECTED') {
      events.failed(error);
      return;
    }
    events.log(`the back end has gone; waiting for it at ${path}`);
    this.#reconnecting = this.#reconnect(path);
  }

  /** The back end cannot be used any more, although the connection is there. */
  #fail(error: VhostUserError): void {
    this.#disconnect();
    this.#device.events.failed(error);
  }

  /** Waits until the back end is there again, and has it go on. */
  async #reconnect(path: string): Promise<void> {
    const { signal } = this.#closing;
    for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LONGEST_DELAY_MS)) {
      try {
        await sleep(delay, undefined, { signal });
        await this.#connect(UnixSocket.connect(path, 'stream', 0));
        break;
      } catch (error) {
        if (signal.aborted) return;
        // It is not back yet, or has gone again.
        if (error instanceof SystemError) continue;
        if (error instanceof VhostUserError && error.code === 'DISCONNECTED') continue;
        this.#reconnecting = undefined;
        this.#device.events.failed(error);
        return;
      }
    }
    this.#reconnecting = undefined;
    this.#device.events.log('the back end is back');
    try {
      await this.#converse((client) => this.#resume(client));
    } catch (error) {
      this.#device.events.failed(error);
    }
    await this.#refreshConfig();
  }

  /** Has a back end that came back go on where the one before it stopped. */
  async #resume(client: VhostUserClient): Promise<void> {
    const activation = this.#activation;
    if (!activation) return;
    for (const queue of activation.queues.values()) {
      // How far requests were taken, the one before took along; how far they were given back is in the ring itself.
      const nextAvailable = this.#memory.loadUint16(queue.device + 2);
      activation.queues.set(queue.index, { ...queue, nextAvailable });
    }
    await this.#start(client, activation);
    for (const { kick, call } of activation.queues.values()) {
      // The one before may have taken notifications with it, and requests that it gave back without saying so.
      EventFd.fromDescriptor(kick).signal();
      EventFd.fromDescriptor(call).signal();
    }
  }

  /** "Starting and stopping": the driver has set the device up. */
  async #start(client: VhostUserClient, activation: Activation): Promise<void> {
    const { features, queues } = activation;
    const { low, high } = features;
    const bit = featureSet(client.hasProtocolFeatures ? [PROTOCOL_FEATURES_BIT] : []);
    const accepted = featureBits({ low: low | bit.low, high });
    await client.tell(FrontendRequest.SET_FEATURES, payload.u64(accepted));
    if (client.has(ProtocolFeature.INFLIGHT_SHMFD)) {
      const { queueSizes } = this.#device;
      activation.inflight ??= await InflightRecord.ask(client, queueSizes.length, Math.max(...queueSizes));
      await activation.inflight?.hand(client);
    }
    if (this.#mustRelay(client, features)) {
      const { queueSizes } = this.#device;
      const onBroken = (error: VhostUserError) => this.#fail(error);
      activation.relay = new Relay({ memory: this.#memory, queueSizes, onBroken }, activation.relay);
    }
    await this.#shareMemory(client, activation.relay);
    for (const queue of queues.values()) await this.#startQueue(client, queue);
    if (client.has(ProtocolFeature.STATUS)) {
      await client.tell(FrontendRequest.SET_STATUS, payload.u64(BigInt(RUNNING)));
    }
    await client.settle();
  }

  /**
   * A back end that can come back and keeps no record of what it has taken may serve requests in any order: somebody else has
   * to know which it had.
   */
  #mustRelay(client: VhostUserClient, features: FeatureSet): boolean {
    const isDirect =
      client.has(ProtocolFeature.INFLIGHT_SHMFD) ||
      hasFeature(features, VirtioFeature.eventIdx) ||
      hasFeature(features, VirtioFeature.ringPacked);
    return this.#descriptor.path !== undefined && !isDirect;
  }

  async #shareMemory(client: VhostUserClient, relay: Relay | undefined): Promise<void> {
    const { fd, regions } = this.#memory;
    // The front end's addresses, by which rings are named, are the guest's.
    const table = regions.map(({ base, size, fileOffset }) => ({
      guestAddress: base,
      size,
      userAddress: BigInt(base),
      fileOffset,
    }));
    const file = new BorrowedDescriptor(fd ?? -1);
    const files = regions.map(() => file);
    await client.tell(
      FrontendRequest.SET_MEM_TABLE,
      payload.memoryTable(relay ? [...table, relay.region] : table),
      relay ? [...files, relay.file.descriptor] : files,
    );
  }

  async #startQueue(client: VhostUserClient, queue: RemoteQueue): Promise<void> {
    const told = this.#activation?.relay?.start(queue) ?? queue;
    const { index, size, descriptors, driver, device, nextAvailable, kick, call } = told;
    await client.tell(FrontendRequest.SET_VRING_NUM, payload.vringState(index, size));
    // A packed ring that starts has given back all that it took.
    const base = this.#isPacked ? packedBase(nextAvailable, nextAvailable, size) : nextAvailable;
    await client.tell(FrontendRequest.SET_VRING_BASE, payload.vringState(index, base));
    await client.tell(
      FrontendRequest.SET_VRING_ADDR,
      payload.vringAddress({
        index,
        flags: 0,
        descriptors: BigInt(descriptors),
        used: BigInt(device),
        available: BigInt(driver),
      }),
    );
    const which = payload.u64(BigInt(index));
    await client.tell(FrontendRequest.SET_VRING_CALL, which, [new BorrowedDescriptor(call)]);
    await client.tell(FrontendRequest.SET_VRING_KICK, which, [new BorrowedDescriptor(kick)]);
    // Without protocol features, rings are enabled from the start.
    if (client.hasProtocolFeatures) {
      await client.tell(FrontendRequest.SET_VRING_ENABLE, payload.vringState(index, 1));
    }
  }

  get #isPacked(): boolean {
    const features = this.#activation?.features;
    return features !== undefined && hasFeature(features, VirtioFeature.ringPacked);
  }

  async #stop(client: VhostUserClient, { queues }: Activation): Promise<void> {
    for (const index of queues.keys()) await stopQueue(client, index);
    if (client.has(ProtocolFeature.STATUS)) {
      await client.tell(FrontendRequest.SET_STATUS, payload.u64(0n));
    } else if (client.has(ProtocolFeature.RESET_DEVICE)) {
      await client.tell(FrontendRequest.RESET_DEVICE);
    }
    await client.settle();
  }

  /** Asks for the configuration anew, and tells the guest if it has changed. */
  async #refreshConfig(): Promise<void> {
    const { configLength } = this.#descriptor;
    // A refresh that has still to begin will see what is new.
    if (configLength === 0 || this.#isConfigStale) return;
    this.#isConfigStale = true;
    try {
      await this.#converse(async (client) => {
        this.#isConfigStale = false;
        const config = await client.config(configLength);
        if (Buffer.compare(config, this.#config) === 0) return;
        this.#config = config;
        this.#device.events.configChanged(config);
      });
    } catch (error) {
      this.#device.events.failed(error);
    } finally {
      this.#isConfigStale = false;
    }
  }

  #gone(): VhostUserError {
    return new VhostUserError('DISCONNECTED', `the back end of ${this.#device.name} has gone`);
  }

  #unsupported(what: string): VhostUserError {
    return new VhostUserError('UNSUPPORTED', `the back end of ${this.#device.name} ${what}`);
  }
}

/**
 * Resolves when what the back end has taken from the queue is done, and it takes nothing more.
 * @returns its position, in the form of the protocol
 */
async function stopQueue(client: VhostUserClient, index: number): Promise<number> {
  return await client.ask(FrontendRequest.GET_VRING_BASE, payload.vringState(index, 0), (reader) => {
    const stopped = reader.u32();
    if (stopped !== index) throw reader.error(`queue ${stopped} stopped instead of ${index}`);
    return reader.u32();
  });
}
