// The thread behind IoWorker: attaches the back ends and waits for their events on its event loop.
import { parentPort, workerData } from 'node:worker_threads';
import { type Executor, type ExecutorKind, openExecutor } from '@tsvmm/async';
import { EventFd, setThreadName, type Watcher } from '@tsvmm/base';
import { attachIntx } from '../attach.ts';
import { DeviceError } from '../errors.ts';
import { routingId } from '../pci/address.ts';
import { PciConfigurationSpace } from '../pci/configuration-space.ts';
import { Msix } from '../pci/msix.ts';
import { BackendHost } from '../virtio/backend-host.ts';
import { BlockBackend } from '../virtio/block/block-backend.ts';
import { openBackend, type VirtioPciDescriptor } from '../virtio/device.ts';
import { VirtioPciInterrupt } from '../virtio/transport/interrupt.ts';
import type {
  IoEnvironment,
  IoEnvironmentModule,
  IoWorkerData,
  IoWorkerEvent,
  IoWorkerRequest,
} from './protocol.ts';

const port = parentPort;
if (!port) throw new Error('This module is the body of IoWorker: start that instead.');
const send = (event: IoWorkerEvent) => port.postMessage(event);

setThreadName('tsvmm-io');
const { devices, environment } = workerData as IoWorkerData;
const module = (await import(environment.module)) as IoEnvironmentModule;
const attached = await module.attachIoEnvironment(environment.data);
const watchers: Watcher[] = [];
const executors = new Map<ExecutorKind | 'auto', Executor>();
const hosts: BackendHost[] = [];
for (const device of devices) hosts.push(await startDevice(device, attached));
port.on('message', (request: IoWorkerRequest) => {
  if (request.kind === 'stop') void stop();
  else void resizeDisk(request.id, request.device, request.size);
});
send({ kind: 'ready' });

/** One executor of a kind serves all devices of this thread. */
function executor(kind: ExecutorKind | 'auto'): Executor {
  const known = executors.get(kind);
  if (known) return known;
  const { executor: opened, reason } = openExecutor({ kind });
  executors.set(kind, opened);
  send({ kind: 'log', message: `disks do their I/O on ${reason}` });
  return opened;
}

async function startDevice(
  device: VirtioPciDescriptor,
  { memory, interrupts }: IoEnvironment,
): Promise<BackendHost> {
  const { parts } = device;
  const space = new PciConfigurationSpace(parts.space);
  const msix = new Msix(parts.msix, space, interrupts.msi, routingId(device.address));
  const line = attachIntx(device.intx, { interrupts });
  const host = new BackendHost({
    name: device.name,
    state: parts.state,
    interrupt: new VirtioPciInterrupt(parts.state, space, msix, line),
    memory,
    backend: await openBackend(device.backend, { executor }),
    onBroken: (broken) => send({ kind: 'broken', broken }),
  });
  // The life cycle first: a notification that comes with it is then served by the new queues.
  watchers.push(EventFd.fromDescriptor(device.control).onReadable(() => host.control()));
  for (const [index, kick] of device.kicks.entries()) {
    watchers.push(EventFd.fromDescriptor(kick).onReadable(() => host.kick(index)));
  }
  return host;
}

async function resizeDisk(id: number, device: number, size: number): Promise<void> {
  let problem: string | undefined;
  try {
    const backend = hosts[device]?.backend;
    if (!(backend instanceof BlockBackend)) throw new DeviceError('BAD_OPTION', 'It is no disk.');
    await backend.resize(size);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  send({ kind: 'resized', id, problem });
}

async function stop(): Promise<void> {
  port?.close();
  for (const watcher of watchers) watcher[Symbol.dispose]();
  // All of them are closed, also when one fails; the first failure is then the worker's.
  const results = await Promise.allSettled(hosts.map((host) => host.close()));
  await Promise.all([...executors.values()].map((opened) => opened[Symbol.asyncDispose]()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
