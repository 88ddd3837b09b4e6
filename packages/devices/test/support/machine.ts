import {
  type BrokenDevice,
  describeBus,
  IoWorker,
  PciTopology,
  type VirtioPciDevice,
} from '../../src/index.ts';
import { ECAM, ECAM_LENGTH, Guest, WINDOW, WINDOW_LENGTH } from './guest.ts';
import { createSharedMachine } from './machine-memory.ts';

/** A machine with the devices on PCI from 00:01.0 on, and a guest to drive them. */
export function buildMachine(devices: readonly VirtioPciDevice[], intxSources: readonly number[] = [1, 2]) {
  const { memory, shared } = createSharedMachine();
  const topology = new PciTopology({ intxSources });
  for (const device of devices) topology.add(device);
  topology.assignBars({ start: WINDOW, size: WINDOW_LENGTH });
  const root = topology.descriptor();
  const bus = describeBus([
    { start: ECAM, length: ECAM_LENGTH, device: { kind: 'pci-config', mechanism: 'ecam', root } },
    { start: WINDOW, length: WINDOW_LENGTH, device: { kind: 'pci-window', root } },
    { start: 0xcf8, length: 8, device: { kind: 'pci-config', mechanism: 'port-io', root } },
  ]);
  return { memory, shared, topology, bus, guest: new Guest(bus, memory, shared) };
}

/** The same with an I/O thread. */
export async function startMachine(devices: readonly VirtioPciDevice[], intxSources?: readonly number[]) {
  const machine = buildMachine(devices, intxSources);
  const broken: BrokenDevice[] = [];
  const log: string[] = [];
  const stack = new AsyncDisposableStack();
  stack.use(machine.memory);
  stack.use(machine.topology);
  const worker = stack.use(
    await IoWorker.start({
      devices: machine.topology.virtioDevices,
      program: new URL('./io-worker.ts', import.meta.url),
      environment: machine.shared,
      onBroken: (event) => broken.push(event),
      onLog: (message) => log.push(message),
    }),
  );
  return { ...machine, worker, broken, log, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
