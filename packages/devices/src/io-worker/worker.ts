// The thread behind IoWorker: attaches the back ends and waits for their events on its event loop.
import { parentPort, workerData } from 'node:worker_threads';
import { type Executor, type ExecutorKind, openExecutor } from '@tsvmm/async';
import { EventFd, reasonOf, setThreadName, type Watcher } from '@tsvmm/base';
import { attachIntx } from '../attach.ts';
import { DeviceError } from '../errors.ts';
import { routingId } from '../pci/address.ts';
import { PciConfigurationSpace } from '../pci/configuration-space.ts';
import { Msix } from '../pci/msix.ts';
import { BackendHost } from '../virtio/backend-host.ts';
import type { DeviceCommand } from '../virtio/command.ts';
import { openBackend, type VirtioPciDescriptor } from '../virtio/device.ts';
import type { DeviceLifecycleOptions } from '../virtio/lifecycle.ts';
import { RemoteHost } from '../virtio/remote/remote-host.ts';
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
// Together: back ends in other processes may still be starting.
const hosts = await Promise.all(devices.map((device) => startDevice(device, attached)));
port.on('message', (request: IoWorkerRequest) => {
  if (request.kind === 'stop') void stop();
  else void command(request.id, request.device, request.command);
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
  { memory, interrupts, openRemote }: IoEnvironment,
): Promise<BackendHost | RemoteHost> {
  const { parts, backend, name, kicks } = device;
  const space = new PciConfigurationSpace(parts.space);
  const msix = new Msix(parts.msix, space, interrupts.msi, routingId(device.address));
  const line = attachIntx(device.intx, { interrupts });
  const lifecycle: DeviceLifecycleOptions = {
    name,
    state: parts.state,
    interrupt: new VirtioPciInterrupt(parts.state, space, msix, line),
    onBroken: (broken) => send({ kind: 'broken', broken }),
  };
  if (backend.kind === 'vhost-user') {
    if (!openRemote) throw new DeviceError('UNKNOWN_KIND', `Nothing here can reach the back end of ${name}.`);
    const onLog = (message: string) => send({ kind: 'log', message });
    const host = await RemoteHost.open({ ...lifecycle, descriptor: backend, open: openRemote, kicks, onLog });
    watchers.push(EventFd.fromDescriptor(device.control).onReadable(() => host.control()));
    return host;
  }
  const host = new BackendHost({ ...lifecycle, memory, backend: await openBackend(backend, { executor }) });
  // The life cycle first: a notification that comes with it is then served by the new queues.
  watchers.push(EventFd.fromDescriptor(device.control).onReadable(() => host.control()));
  for (const [index, kick] of kicks.entries()) {
    watchers.push(EventFd.fromDescriptor(kick).onReadable(() => host.kick(index)));
  }
  return host;
}

async function command(id: number, device: number, asked: DeviceCommand): Promise<void> {
  try {
    const host = hosts[device];
    const backend = host instanceof BackendHost ? host.backend : undefined;
    if (backend?.command === undefined) throw new DeviceError('BAD_OPTION', 'It takes no commands.');
    send({ kind: 'done', id, reply: await backend.command(asked) });
  } catch (error) {
    send({ kind: 'refused', id, reason: reasonOf(error) });
  }
}

async function stop(): Promise<void> {
  port?.close();
  for (const watcher of watchers) watcher[Symbol.dispose]();
  // All of them are closed, also when one fails; the first failure is then the worker's.
  const results = await Promise.allSettled(hosts.map((host) => host.close()));
  await Promise.all([...executors.values()].map((opened) => opened[Symbol.asyncDispose]()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
