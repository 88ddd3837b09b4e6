import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type Executor, type ExecutorKind, openExecutor } from '@tsvmm/async';
import { EventFd, reasonOf, setThreadName, type Watcher } from '@tsvmm/base';
import { attachIntx } from '../attach.ts';
import { DeviceError } from '../errors.ts';
import { routingId } from '../pci/address.ts';
import { PciConfigurationSpace } from '../pci/configuration-space.ts';
import { Msix } from '../pci/msix.ts';
import type { XhciDescriptor } from '../usb/xhci/device.ts';
import { XhciHost } from '../usb/xhci/host.ts';
import { BackendHost } from '../virtio/backend-host.ts';
import type { DeviceCommand } from '../virtio/command.ts';
import { openBackend, type VirtioPciDescriptor } from '../virtio/device.ts';
import type { DeviceLifecycleOptions } from '../virtio/lifecycle.ts';
import { RemoteHost } from '../virtio/remote/remote-host.ts';
import { VirtioPciInterrupt } from '../virtio/transport/interrupt.ts';
import type { IoEnvironment, IoWorkerData, IoWorkerEvent, IoWorkerRequest } from './protocol.ts';

/**
 * The body of a thread that an {@link IoWorker} starts: opens the back ends and waits for their events on its event loop.
 *
 * @param attach makes the environment on this thread, from {@link IoWorkerOptions.environment}
 * @throws DeviceError when a back end cannot be opened, which the starting thread is told
 */
export async function serveDevices(
  attach: (environment: unknown) => IoEnvironment | Promise<IoEnvironment>,
): Promise<void> {
  if (parentPort === null) throw new Error('Only the thread of an IoWorker can serve its devices.');
  setThreadName('tsvmm-io');
  const { devices, usbControllers, environment } = workerData as IoWorkerData;
  const server = new DeviceServer(parentPort, await attach(environment));
  await server.open(devices, usbControllers);
}

/** The devices that this thread serves. */
class DeviceServer {
  readonly #port: MessagePort;
  readonly #environment: IoEnvironment;
  readonly #watchers: Watcher[] = [];
  /** One of a kind serves all devices of this thread. */
  readonly #executors = new Map<ExecutorKind | 'auto', Executor>();
  #hosts: readonly (BackendHost | RemoteHost)[] = [];
  #usb: readonly XhciHost[] = [];

  constructor(port: MessagePort, environment: IoEnvironment) {
    this.#port = port;
    this.#environment = environment;
  }

  async open(
    devices: readonly VirtioPciDescriptor[],
    usbControllers: readonly XhciDescriptor[],
  ): Promise<void> {
    this.#usb = usbControllers.map((controller) => this.#openUsb(controller));
    // Together: back ends in other processes may still be starting.
    this.#hosts = await Promise.all(devices.map((device) => this.#openDevice(device)));
    this.#port.on('message', (request: IoWorkerRequest) => {
      if (request.kind === 'stop') void this.#stop();
      else void this.#command(request.id, request.device, request.command);
    });
    this.#send({ kind: 'ready' });
  }

  #send(event: IoWorkerEvent): void {
    this.#port.postMessage(event);
  }

  #executor(kind: ExecutorKind | 'auto'): Executor {
    const known = this.#executors.get(kind);
    if (known) return known;
    const { executor: opened, reason } = openExecutor({ kind });
    this.#executors.set(kind, opened);
    this.#send({ kind: 'log', message: `disks do their I/O on ${reason}` });
    return opened;
  }

  async #openDevice(device: VirtioPciDescriptor): Promise<BackendHost | RemoteHost> {
    const { memory, interrupts, openRemote: open } = this.#environment;
    const { parts, backend: descriptor, name, kicks, calls } = device;
    const space = new PciConfigurationSpace(parts.space);
    const msix = new Msix(parts.msix, space, interrupts.msi, routingId(device.address));
    const line = attachIntx(device.intx, { interrupts });
    const lifecycle: DeviceLifecycleOptions = {
      name,
      state: parts.state,
      interrupt: new VirtioPciInterrupt(parts.state, space, msix, line),
      onBroken: (broken) => this.#send({ kind: 'broken', broken }),
    };
    if (descriptor.kind === 'vhost-user') {
      if (!open) throw new DeviceError('UNKNOWN_KIND', `Nothing here can reach the back end of ${name}.`);
      const onLog = (message: string) => this.#send({ kind: 'log', message });
      const host = await RemoteHost.open({ ...lifecycle, descriptor, open, kicks, calls, onLog });
      this.#watch(device.control, () => host.control());
      return host;
    }
    const backend = await openBackend(descriptor, { executor: (kind) => this.#executor(kind) });
    const host = new BackendHost({ ...lifecycle, memory, backend });
    // The life cycle first: a notification that comes with it is then served by the new queues.
    this.#watch(device.control, () => host.control());
    for (const [index, kick] of kicks.entries()) this.#watch(kick, () => host.kick(index));
    return host;
  }

  #openUsb(controller: XhciDescriptor): XhciHost {
    const { memory, interrupts } = this.#environment;
    const device = 'xhci';
    const host = new XhciHost(controller, {
      memory,
      line: attachIntx(controller.intx, { interrupts }),
      onFault: (reason) => {
        const message = `${device}: ${reason}`;
        this.#send({ kind: 'broken', broken: { device, cause: 'driver', code: undefined, message } });
      },
    });
    // What goes wrong while it is loaded is the end of this thread.
    this.#watch(controller.control, () => void host.control());
    return host;
  }

  /** @param event number of an eventfd */
  #watch(event: number, onReadable: () => void): void {
    this.#watchers.push(EventFd.fromDescriptor(event).onReadable(onReadable));
  }

  async #command(id: number, device: number, asked: DeviceCommand): Promise<void> {
    try {
      const host = this.#hosts[device];
      const backend = host instanceof BackendHost ? host.backend : undefined;
      if (backend?.command === undefined) throw new DeviceError('BAD_OPTION', 'It takes no commands.');
      this.#send({ kind: 'done', id, reply: await backend.command(asked) });
    } catch (error) {
      this.#send({ kind: 'refused', id, reason: reasonOf(error) });
    }
  }

  async #stop(): Promise<void> {
    this.#port.close();
    for (const watcher of this.#watchers) watcher[Symbol.dispose]();
    // All of them are closed, also when one fails; the first failure is then the thread's.
    const results = await Promise.allSettled([...this.#hosts, ...this.#usb].map((host) => host.close()));
    await Promise.all([...this.#executors.values()].map((opened) => opened[Symbol.asyncDispose]()));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}
