import { setTimeout as sleep } from 'node:timers/promises';
import { FileDescriptor, reasonOf, SystemError, UnixSocket } from '@tsvmm/base';
import {
  type FeatureSet,
  hasFeature,
  type PciClass,
  type VirtioDeviceModel,
  VirtioFeature,
} from '@tsvmm/devices';
import { VhostUserError } from '../errors.ts';
import { ProtocolFeature } from '../protocol/requests.ts';
import { VhostUserClient } from './client.ts';
import { DEVICE_TYPES, type DeviceType } from './device-types.ts';

/** A device that a back end in another process can be. */
export type VhostUserDeviceType = keyof typeof DEVICE_TYPES;

/** The names of {@link VhostUserDeviceType}. */
export const VHOST_USER_DEVICE_TYPES = Object.keys(DEVICE_TYPES) as readonly VhostUserDeviceType[];

/** A back end to connect to. */
export interface VhostUserBackendOptions {
  readonly type: VhostUserDeviceType;
  /** Path of the back end's socket; `/proc/self/fd/N` is a connected socket that was inherited, which is taken over. */
  readonly socket: string;
  /** Most entries of a queue that the guest is offered, a power of two; 256 unless given. */
  readonly maxQueueSize?: number;
  /** Milliseconds to wait for a back end that is not there yet; 0 unless given. */
  readonly connectTimeLimit?: number;
  /** Milliseconds that the back end may take for an answer; 30,000 unless given. */
  readonly timeLimit?: number;
}

/** What `VirtioPciDevice.remote` makes a device of. Whoever has it closes the socket. */
export interface VhostUserDescription {
  /** For messages. */
  readonly name: string;
  readonly model: VirtioDeviceModel;
  readonly pciClass: PciClass;
  readonly socket: FileDescriptor;
  /** Where a back end that has gone can be found again; undefined for a socket that was inherited. */
  readonly path: string | undefined;
}

const QUEUE_SIZE = 256;
/** Most queues, as there is one MSI-X vector for each and one for the configuration. */
const MAX_QUEUE_COUNT = 255;

/** Milliseconds between two attempts to connect. */
const RETRY_MS = 10;

/** Feature bits that say how rings work, and that the front end passes on: all that it need not take part in. */
const RING_FEATURES = [
  VirtioFeature.indirectDesc,
  VirtioFeature.eventIdx,
  VirtioFeature.version1,
  VirtioFeature.ringReset,
];

/** Feature bits that a kind of device defines for itself (virtio 1.3, section 2.2). */
const DEVICE_FEATURES = [...range(0, 24), ...range(50, 64)];

/**
 * Connects to a back end and asks what the guest is to see of its device.
 *
 * @throws VhostUserError DISCONNECTED when there is nobody, UNSUPPORTED, PROTOCOL, TIMEOUT
 */
export async function describeVhostUserDevice(
  options: VhostUserBackendOptions,
): Promise<VhostUserDescription> {
  const { type, socket: path, maxQueueSize = QUEUE_SIZE, connectTimeLimit = 0, timeLimit } = options;
  const name = `vhost-user ${type} ${path}`;
  const inherited = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1];
  const socket =
    inherited === undefined
      ? await connect(name, path, connectTimeLimit)
      : new UnixSocket(new FileDescriptor(Number(inherited)));
  const client = new VhostUserClient(socket, { name, ...(timeLimit !== undefined && { timeLimit }) });
  try {
    const deviceType: DeviceType = DEVICE_TYPES[type];
    const features = await client.handshake();
    const queueCount = (await client.queueCount()) ?? deviceType.queueCount;
    if (queueCount < 1 || queueCount > MAX_QUEUE_COUNT) {
      throw new VhostUserError('UNSUPPORTED', `the back end of ${name} has ${queueCount} queues`);
    }
    // Rings that are passed on from here are without it: see `Relay`.
    const isRelayed = inherited === undefined && !client.has(ProtocolFeature.INFLIGHT_SHMFD);
    const writableConfig = deviceType.writableConfig?.(features);
    const config = await client.config(deviceType.configLength(features));
    return {
      name,
      model: {
        deviceId: deviceType.deviceId,
        features: those(DEVICE_FEATURES, features),
        ringFeatures: those(RING_FEATURES, features).filter(
          (bit) => !(isRelayed && bit === VirtioFeature.eventIdx),
        ),
        queueSizes: new Array<number>(queueCount).fill(maxQueueSize),
        config,
        ...(writableConfig && { writableConfig }),
      },
      pciClass: deviceType.pciClass,
      socket: client.release().descriptor,
      path: inherited === undefined ? path : undefined,
    };
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
}

/** Connects to who listens at `path`, and waits for one that does not yet. */
async function connect(name: string, path: string, timeLimit: number): Promise<UnixSocket> {
  const deadline = performance.now() + timeLimit;
  for (;;) {
    try {
      return UnixSocket.connect(path, 'stream', 0);
    } catch (cause) {
      const isAbsent = cause instanceof SystemError && ['ENOENT', 'ECONNREFUSED'].includes(cause.code);
      if (!isAbsent || performance.now() >= deadline) {
        const reason = reasonOf(cause);
        throw new VhostUserError('DISCONNECTED', `${name}: start the back end first: ${reason}`, { cause });
      }
    }
    await sleep(RETRY_MS);
  }
}

function those(bits: readonly number[], features: FeatureSet): number[] {
  return bits.filter((bit) => hasFeature(features, bit));
}

function range(from: number, end: number): number[] {
  return Array.from({ length: end - from }, (_, index) => from + index);
}
