import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnixSocket } from '@tsvmm/base';
import { ByteRing as LinkedRing } from '@tsvmm/devices';
import type { FuzzedMachine } from '../../devices/fuzz/guest/machine.ts';
import { DEVICE, WITNESS, Witness } from '../../devices/fuzz/guest/machine.ts';
import type { HostSide } from '../../devices/fuzz/guest/profile.ts';
import { DISK_ID, DISK_SIZE, PORTS, PROFILES, type ProfileName } from '../../devices/fuzz/guest/profiles.ts';
import {
  type BusDescriptor,
  ByteRing,
  type DeviceInterrupts,
  describeBus,
  IoWorker,
  PciTopology,
  rngModel,
  UNCONNECTED_LINE,
  VirtioPciDevice,
} from '../../devices/src/index.ts';
import { virtioLayout } from '../../devices/src/virtio/transport/state.ts';
import { ECAM, ECAM_LENGTH, Guest, WINDOW, WINDOW_LENGTH } from '../../devices/test/support/guest.ts';
import { createSharedMachine, RAM, type SharedMachine } from '../../devices/test/support/machine-memory.ts';
import { DeviceProcess, type ProcessDevice, RingLink } from '../src/index.ts';

/** Where the driver of the device beside it has its rings: behind what programs use. */
const WITNESS_MEMORY = RAM + 0xab_c000;
/** Resident memory that no device's process may need: kibibytes. */
const MAX_RESIDENT = 400 * 1024;
const ANY_CLASS = { baseClass: 0xff, subclass: 0 };

/** A machine whose devices are in jailed processes, as `tsvmm run` has them. It serves any number of programs. */
export class ProcessMachine implements FuzzedMachine {
  readonly bus: BusDescriptor;
  readonly interrupts: DeviceInterrupts = { msi: { send() {} }, line: () => UNCONNECTED_LINE };
  readonly shared: SharedMachine;
  readonly memory;
  readonly host: HostSide;
  readonly patience = Number.POSITIVE_INFINITY;
  readonly #stack: AsyncDisposableStack;
  readonly #state;
  readonly #witness: Witness;
  readonly #processes: readonly DeviceProcess[];
  readonly #failures: Error[];

  private constructor(
    stack: AsyncDisposableStack,
    topology: PciTopology,
    machine: ReturnType<typeof createSharedMachine>,
    parts: { host: HostSide; bus: BusDescriptor; processes: readonly DeviceProcess[]; failures: Error[] },
  ) {
    this.#stack = stack;
    this.bus = parts.bus;
    this.host = parts.host;
    this.#processes = parts.processes;
    this.#failures = parts.failures;
    this.memory = machine.memory;
    this.shared = machine.shared;
    const [device] = topology.virtioDevices;
    if (!device) throw new Error('the machine has no device');
    this.#state = virtioLayout.attach(device.parts.state);
    this.#witness = new Witness(
      new Guest(this.bus, this.memory, this.shared, this.interrupts),
      WITNESS_MEMORY,
    );
  }

  static async start(name: ProfileName): Promise<ProcessMachine> {
    const stack = new AsyncDisposableStack();
    const failures: Error[] = [];
    const machine = createSharedMachine();
    stack.use(machine.memory);
    const topology = stack.use(new PciTopology({ intxSources: [1, 2] }));
    const { device, host } = describe(name, stack);
    const witness: ProcessDevice = { name: 'witness', model: rngModel(), backend: { kind: 'rng' } };
    const processes: DeviceProcess[] = [];
    for (const described of [device, witness]) {
      const process = await DeviceProcess.start(described, { onFailure: (error) => failures.push(error) });
      stack.use(process);
      processes.push(process);
      const [ours, theirs] = UnixSocket.pair();
      topology.add(VirtioPciDevice.remote(described.name, described.model, ANY_CLASS, ours.descriptor));
      process.connect(theirs);
    }
    topology.assignBars({ start: WINDOW, size: WINDOW_LENGTH });
    const root = topology.descriptor();
    const bus = describeBus([
      { start: ECAM, length: ECAM_LENGTH, device: { kind: 'pci-config', mechanism: 'ecam', root } },
      { start: WINDOW, length: WINDOW_LENGTH, device: { kind: 'pci-window', root } },
    ]);
    stack.use(
      await IoWorker.start({
        devices: topology.virtioDevices,
        program: new URL('./io-worker.ts', import.meta.url),
        environment: machine.memory.descriptor(),
        onFailure: (error) => failures.push(error),
      }),
    );
    const [process] = processes;
    const commanded: HostSide = {
      ...host,
      command: async (command) => {
        await process?.command(command).catch(() => {});
      },
    };
    return new ProcessMachine(stack, topology, machine, { host: commanded, bus, processes, failures });
  }

  phase(): number {
    return this.#state.phase.load();
  }

  /** Another process does. */
  serve(): void {}

  async turn(): Promise<void> {
    await new Promise(setImmediate);
    const [failure] = this.#failures;
    if (failure) throw failure;
  }

  hurry(): void {}

  /** Rejects also when a process has died, or has become too large. */
  async checkWitness(): Promise<void> {
    this.#witness.ask();
    while (!this.#witness.isAnswered()) await this.turn();
    for (const { pid, name } of this.#processes) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const resident = Number(/^VmRSS:\s*(\d+)/m.exec(status)?.[1]);
      if (resident > MAX_RESIDENT) throw new Error(`the process of ${name} has ${resident} KiB`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The device of a profile for a process, and what the host has of it. */
function describe(name: ProfileName, stack: AsyncDisposableStack): { device: ProcessDevice; host: HostSide } {
  const profile = PROFILES[name];
  const host: HostSide = {
    outputs: Array.from({ length: profile.outputs }, () => ByteRing.create(1024)),
    inputs: Array.from({ length: profile.inputs }, () => ByteRing.create(1024)),
    command: async () => {},
  };
  // A stream has an output, and mostly an input; the process has the other end of its socket.
  const descriptors = host.outputs.map((output, index) => {
    const [ours, theirs] = UnixSocket.pair();
    stack.use(theirs);
    const input = host.inputs[index];
    stack.use(
      new RingLink(ours, { from: input && new LinkedRing(input.state), to: new LinkedRing(output.state) }),
    );
    return theirs.descriptor;
  });
  const device = { name, model: profile.model, backend: backendOf(name, stack), descriptors };
  return { device, host };
}

function backendOf(name: ProfileName, stack: AsyncDisposableStack): ProcessDevice['backend'] {
  switch (name) {
    case 'block':
      return { kind: 'block', disk: { path: diskImage(stack), format: 'raw' }, options: { id: DISK_ID } };
    case 'console':
      return { kind: 'console', hasInput: true, options: {} };
    case 'ports':
      return { kind: 'multiport-console', ports: PORTS.map((port) => ({ ...port, hasInput: true })) };
    case 'input':
      return { kind: 'input' };
    case 'rng':
    case 'balloon':
      return { kind: name };
  }
}

function diskImage(stack: AsyncDisposableStack): string {
  const folder = mkdtempSync(join(tmpdir(), 'tsvmm-fuzz-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'disk.img');
  writeFileSync(path, '');
  truncateSync(path, DISK_SIZE);
  return path;
}

export { DEVICE, WITNESS };
