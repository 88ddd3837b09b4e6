import { EventFd, UnixSocket } from '@tsvmm/base';
import { MemoryStorage, openDisk } from '@tsvmm/disk';
import { attachIntx } from '../../src/attach.ts';
import {
  attachQueueState,
  BackendHost,
  BalloonBackend,
  BlockBackend,
  type BusDescriptor,
  ByteRing,
  ConsoleBackend,
  type DeviceInterrupts,
  describeBus,
  InputBackend,
  Msix,
  MultiportConsoleBackend,
  PciConfigurationSpace,
  PciTopology,
  RngBackend,
  rngModel,
  routingId,
  type VirtioBackend,
  VirtioFeature,
  type VirtioPciDescriptor,
  VirtioPciDevice,
  type VirtqueueState,
} from '../../src/index.ts';
import { VirtioPciInterrupt } from '../../src/virtio/transport/interrupt.ts';
import { Phase, type VirtioState, virtioLayout } from '../../src/virtio/transport/state.ts';
import {
  DriverQueue,
  ECAM,
  ECAM_LENGTH,
  EVENT_IDX,
  Guest,
  VERSION_1,
  VirtioDriver,
  WINDOW,
  WINDOW_LENGTH,
} from '../../test/support/guest.ts';
import { createSharedMachine, type SharedMachine } from '../../test/support/machine-memory.ts';
import { CheckedLine } from '../checked-line.ts';
import { GatedStorage } from './gated-storage.ts';
import { permitQueues } from './permissions.ts';
import type { HostSide } from './profile.ts';
import { DISK_ID, DISK_SIZE, PORTS, PROFILES, type ProfileName } from './profiles.ts';
import type { WatchedMemory } from './watched-memory.ts';

/** The slots of the device that is driven, and of one beside it that keeps to the rules. */
export const DEVICE = 1;
export const WITNESS = 2;
/** Bytes of the streams from and to the host: few, so that they are full now and then. */
const STREAM = 1024;
const ANY_CLASS = { baseClass: 0xff, subclass: 0 };

/** A machine that a program drives: its bus, and who serves its devices. */
export interface FuzzedMachine extends AsyncDisposable {
  readonly bus: BusDescriptor;
  readonly interrupts: DeviceInterrupts;
  readonly shared: SharedMachine;
  readonly host: HostSide;
  /** Turns after which what has not come does not come. */
  readonly patience: number;
  /** The register that says what the device's back end is doing ({@link Phase}). */
  phase(): number;
  /** Serves what the guest has asked for, if that is this thread's to do. */
  serve(): void;
  /** Lets what is under way in the host go on for a while, and serves what comes of it. */
  turn(): Promise<void>;
  /** Nothing of the host waits for a turn any more. */
  hurry(): void;
  /** Rejects when the device beside the one that is driven does not do what it should. */
  checkWitness(): Promise<void>;
}

/** A machine whose devices are served by this thread, between the guest's steps: every run of a program is the same. */
export class LocalMachine implements FuzzedMachine {
  readonly bus: BusDescriptor;
  readonly interrupts: DeviceInterrupts;
  readonly shared: SharedMachine;
  readonly host: HostSide;
  readonly patience = 20_000;
  readonly #stack = new AsyncDisposableStack();
  readonly #served: readonly ServedDevice[];
  readonly #state: VirtioState;
  readonly #queues: readonly VirtqueueState[];
  readonly #witness: Witness;
  readonly #gate: GatedStorage | undefined;

  private constructor(
    name: ProfileName,
    watched: WatchedMemory,
    gate: GatedStorage,
    backend: VirtioBackend,
    host: HostSide,
  ) {
    this.#gate = gate;
    const topology = this.#stack.use(new PciTopology({ intxSources: [1, 2] }));
    topology.add(remote(name, PROFILES[name].model));
    topology.add(remote('witness', rngModel()));
    topology.assignBars({ start: WINDOW, size: WINDOW_LENGTH });
    const root = topology.descriptor();
    this.bus = describeBus([
      { start: ECAM, length: ECAM_LENGTH, device: { kind: 'pci-config', mechanism: 'ecam', root } },
      { start: WINDOW, length: WINDOW_LENGTH, device: { kind: 'pci-window', root } },
      { start: 0xcf8, length: 8, device: { kind: 'pci-config', mechanism: 'port-io', root } },
    ]);
    this.interrupts = new CheckedInterrupts();
    const own = createSharedMachine(WITNESS_MEMORY);
    this.#stack.use(own.memory);
    this.shared = own.shared;
    const [device, witness] = topology.virtioDevices;
    if (!device || !witness) throw new Error('the machine has no devices');
    const state = virtioLayout.attach(device.parts.state);
    this.#state = state;
    this.#queues = Array.from({ length: state.queueCount }, (_, index) =>
      attachQueueState(device.parts.state, index),
    );
    this.host = {
      ...host,
      command: async (command) => {
        await backend.command?.(command).catch(() => {});
      },
    };
    this.#served = [
      new ServedDevice(device, watched.memory, backend, this.interrupts),
      new ServedDevice(witness, own.memory, new RngBackend(), this.interrupts),
    ];
    for (const served of this.#served) this.#stack.use(served);
    this.#witness = new Witness(new Guest(this.bus, own.memory, own.shared, this.interrupts));
    this.serve();
  }

  static async open(name: ProfileName, watched: WatchedMemory): Promise<LocalMachine> {
    const { outputs, inputs } = PROFILES[name];
    const rings = (count: number) => Array.from({ length: count }, () => ByteRing.create(STREAM));
    const host: HostSide = { outputs: rings(outputs), inputs: rings(inputs), command: async () => {} };
    const gate = new GatedStorage(MemoryStorage.from(new Uint8Array(DISK_SIZE), 'disk'));
    const backend = await openBackend(name, host, gate);
    return new LocalMachine(name, watched, gate, backend, host);
  }

  phase(): number {
    return this.#state.phase.load();
  }

  /** Allows the device what its queues say. */
  permit(watched: WatchedMemory): void {
    const isPacked = ((this.#state.driverFeatures[1] ?? 0) & (1 << (VirtioFeature.ringPacked - 32))) !== 0;
    permitQueues(watched, this.#queues, isPacked);
  }

  serve(): void {
    for (const served of this.#served) served.serve();
  }

  async turn(): Promise<void> {
    this.#gate?.letThrough();
    await new Promise(setImmediate);
    this.serve();
  }

  hurry(): void {
    this.#gate?.open();
  }

  async checkWitness(): Promise<void> {
    this.#witness.ask();
    this.serve();
    if (!this.#witness.isAnswered()) throw new Error('the device beside it does not answer any more');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.hurry();
    await this.#stack.disposeAsync();
    // What waits for a stream is told that it has ended.
    for (const ring of [...this.host.outputs, ...this.host.inputs]) ring.close();
  }
}

/** Enough for the rings of a queue and what it is asked for. */
const WITNESS_MEMORY = 0x1_0000;

/** Whoever serves a device has its model: here nobody speaks at the other end of the socket. */
function remote(name: string, model: (typeof PROFILES)[ProfileName]['model']): VirtioPciDevice {
  const [socket, other] = UnixSocket.pair();
  other[Symbol.dispose]();
  return VirtioPciDevice.remote(name, model, ANY_CLASS, socket.descriptor);
}

async function openBackend(name: ProfileName, host: HostSide, gate: GatedStorage): Promise<VirtioBackend> {
  const [output, second] = host.outputs;
  switch (name) {
    case 'block':
      return new BlockBackend(
        await openDisk('disk', { writable: true, format: 'raw', openStorage: () => gate }),
        { id: DISK_ID },
      );
    case 'rng':
      return new RngBackend();
    case 'balloon':
      return new BalloonBackend();
    case 'console':
      if (output) return new ConsoleBackend(output, host.inputs[0]);
      break;
    case 'ports':
      if (output && second) {
        return new MultiportConsoleBackend(
          PORTS.map((port, index) => {
            return { ...port, output: index === 0 ? output : second, input: host.inputs[index] };
          }),
        );
      }
      break;
    case 'input':
      if (output && host.inputs[0]) return new InputBackend(host.inputs[0], output);
  }
  throw new Error(`${name} lacks streams`);
}

/** A back end on this thread, whose events are looked at when that is asked for. */
class ServedDevice implements AsyncDisposable {
  readonly #host: BackendHost;
  readonly #control: EventFd;
  readonly #kicks: readonly EventFd[];

  constructor(
    { name, parts, kicks, control, address, intx }: VirtioPciDescriptor,
    memory: WatchedMemory['memory'],
    backend: VirtioBackend,
    interrupts: DeviceInterrupts,
  ) {
    const space = new PciConfigurationSpace(parts.space);
    const msix = new Msix(parts.msix, space, interrupts.msi, routingId(address));
    this.#host = new BackendHost({
      name,
      state: parts.state,
      interrupt: new VirtioPciInterrupt(parts.state, space, msix, attachIntx(intx, { interrupts })),
      memory,
      backend,
      onBroken: ({ cause, message }) => {
        if (cause === 'backend') throw new Error(`a guest made the back end fail: ${message}`);
      },
    });
    this.#control = EventFd.fromDescriptor(control);
    this.#kicks = kicks.map((kick) => EventFd.fromDescriptor(kick));
  }

  serve(): void {
    if (this.#control.tryRead() > 0) this.#host.control();
    for (const [index, kick] of this.#kicks.entries()) if (kick.tryRead() > 0) this.#host.kick(index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host.close();
  }
}

/** Interrupt controllers that check what they are told. */
class CheckedInterrupts implements DeviceInterrupts {
  readonly msi = {
    send(addressLow: number, addressHigh: number, data: number, requesterId: number): void {
      for (const value of [addressLow, addressHigh, data]) {
        if (value !== value >>> 0) throw new Error(`an MSI has ${value} in it`);
      }
      if (requesterId !== DEVICE << 3 && requesterId !== WITNESS << 3) {
        throw new Error(`an MSI comes from ${requesterId}`);
      }
    },
  };

  readonly #lines = new Map<number, CheckedLine>();

  line(source: number): CheckedLine {
    const line = this.#lines.get(source) ?? new CheckedLine();
    this.#lines.set(source, line);
    return line;
  }
}

/** A driver of the other device, set up before the storm, that must not notice it. */
export class Witness {
  readonly #driver: VirtioDriver;
  readonly #queue: DriverQueue;
  readonly #buffer: number;

  /** @param memory where its rings go, if that matters */
  constructor(guest: Guest, memory?: number) {
    if (memory !== undefined) guest.allocateFrom(memory);
    this.#buffer = guest.allocate(16);
    this.#driver = new VirtioDriver(guest, WITNESS);
    this.#driver.negotiate([VERSION_1, EVENT_IDX]);
    const queue = this.#driver.setUpQueue(0, 8);
    if (!(queue instanceof DriverQueue)) throw new Error('a split queue was asked for');
    this.#queue = queue;
    this.#driver.status = 15;
  }

  ask(): void {
    this.#queue.add([{ address: this.#buffer, length: 16, write: true }]);
    this.#driver.kick(0);
  }

  isAnswered(): boolean {
    return this.#queue.take()?.length === 16;
  }
}

export { Phase };
