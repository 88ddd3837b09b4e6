// The thread behind IoWorker: attaches the back ends and waits for their events on its event loop.
import { parentPort, workerData } from 'node:worker_threads';
import { EventFd, setThreadName, type Watcher } from '@tsvmm/base';
import { attachIntx } from '../attach.ts';
import { routingId } from '../pci/address.ts';
import { PciConfigurationSpace } from '../pci/configuration-space.ts';
import { Msix } from '../pci/msix.ts';
import { BackendHost } from '../virtio/backend-host.ts';
import { openBackend, type VirtioPciDescriptor } from '../virtio/device.ts';
import { VirtioPciInterrupt } from '../virtio/transport/interrupt.ts';
import type { IoEnvironment, IoEnvironmentModule, IoWorkerData, IoWorkerEvent } from './protocol.ts';

const port = parentPort;
if (!port) throw new Error('This module is the body of IoWorker: start that instead.');
const send = (event: IoWorkerEvent) => port.postMessage(event);

setThreadName('tsvmm-io');
const { devices, environment } = workerData as IoWorkerData;
const module = (await import(environment.module)) as IoEnvironmentModule;
const attached = await module.attachIoEnvironment(environment.data);
const watchers: Watcher[] = [];
const hosts = devices.map((device) => startDevice(device, attached));
port.once('message', () => void stop());
send({ kind: 'ready' });

function startDevice(device: VirtioPciDescriptor, { memory, interrupts }: IoEnvironment): BackendHost {
  const { parts } = device;
  const space = new PciConfigurationSpace(parts.space);
  const msix = new Msix(parts.msix, space, interrupts.msi, routingId(device.address));
  const line = attachIntx(device.intx, { interrupts });
  const host = new BackendHost({
    name: device.name,
    state: parts.state,
    interrupt: new VirtioPciInterrupt(parts.state, space, msix, line),
    memory,
    backend: openBackend(device.backend),
    onBroken: (broken) => send({ kind: 'broken', broken }),
  });
  // The life cycle first: a notification that comes with it is then served by the new queues.
  watchers.push(EventFd.fromDescriptor(device.control).onReadable(() => host.control()));
  for (const [index, kick] of device.kicks.entries()) {
    watchers.push(EventFd.fromDescriptor(kick).onReadable(() => host.kick(index)));
  }
  return host;
}

async function stop(): Promise<void> {
  for (const watcher of watchers) watcher[Symbol.dispose]();
  // All of them are closed, also when one fails; the first failure is then the worker's.
  const results = await Promise.allSettled(hosts.map((host) => host.close()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  send({ kind: 'stopped' });
}
