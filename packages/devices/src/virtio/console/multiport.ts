import { array, struct, u8, u16, u32 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import type { ByteRing } from '../../serial/byte-ring.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import { VirtioDeviceId } from '../constants.ts';
import { VirtqueueError } from '../queue/errors.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';
import { ConsolePort } from './port.ts';

/** Feature bit (virtio 1.3, section 5.3.3). */
const F_MULTIPORT = 1;

/** The queues (section 5.3.2): port 0's are 0 and 1, those for control follow, then those of the other ports. */
const CONTROL_RECEIVE = 2;
const CONTROL_TRANSMIT = 3;
const QUEUE_SIZE = 256;
const MAX_PORTS = 31;
const MAX_NAME_BYTES = 255;

/** Events of control messages (section 5.3.6.2). */
const Event = { deviceReady: 0, portAdd: 1, portReady: 3, consolePort: 4, portOpen: 6, portName: 7 } as const;

/** struct virtio_console_config and virtio_console_control. */
const config = struct(
  { cols: u16, rows: u16, maxNrPorts: u32, emergWr: u32 },
  { name: 'virtio_console_config' },
);
const control = struct({ id: u32, event: u16, value: u16 }, { name: 'virtio_console_control' });

/** Those that the driver gets, in the order in which it has to. */
const DUE_EVENTS = [Event.portAdd, Event.consolePort, Event.portName, Event.portOpen];

/** What a console with several ports remembers beside its queues. */
const portState = struct(
  { isOpen: u8, /** A bit for each event. */ due: u16, transmitted: u32 },
  { name: 'virtio-console-port-state' },
);
const stateLayout = struct(
  { ports: array(portState, MAX_PORTS) },
  { name: 'virtio-console-ports-state', version: 1 },
);

/** What the guest sees of a port. */
export interface PortOptions {
  /** What programs in the guest know it by: Linux has it as `name` of a port in `/sys/class/virtio-ports`. */
  readonly name: string;
  /** Whether it is a terminal (`/dev/hvc0`), instead of a device of its own (`/dev/vport0p1`). */
  readonly console: boolean;
}

/**
 * The transport's view of a virtio console with several ports, numbered in their order.
 * @throws DeviceError BAD_OPTION
 */
export function multiportConsoleModel(ports: readonly PortOptions[]): VirtioDeviceModel {
  if (ports.length < 1 || ports.length > MAX_PORTS) {
    throw new DeviceError('BAD_OPTION', `A console has from 1 to ${MAX_PORTS} ports, not ${ports.length}.`);
  }
  for (const { name } of ports) {
    if (name === '' || Buffer.byteLength(name) > MAX_NAME_BYTES || name.includes('\0')) {
      throw new DeviceError('BAD_OPTION', `A port's name has from 1 to ${MAX_NAME_BYTES} bytes: ${name}`);
    }
  }
  const bytes = new Uint8Array(config.size);
  config.attach(bytes.buffer).maxNrPorts = ports.length;
  return {
    deviceId: VirtioDeviceId.console,
    features: [F_MULTIPORT],
    queueSizes: new Array<number>(2 * ports.length + 2).fill(QUEUE_SIZE),
    config: bytes,
  };
}

/** A port, and the rings behind it. */
export interface PortStreams extends PortOptions {
  readonly output: ByteRing;
  readonly input: ByteRing | undefined;
}

interface Port {
  readonly options: PortOptions;
  readonly stream: ConsolePort;
  /** Control messages that the driver is still to get, in their order: each at most once, however often it asks. */
  readonly due: Set<number>;
  /** Somebody in the guest reads: what comes before that, Linux discards. */
  isOpen: boolean;
}

/** Serves a console with several ports. */
export class MultiportConsoleBackend implements VirtioBackend {
  readonly #ports: readonly Port[];
  #context: BackendContext | undefined;

  constructor(ports: readonly PortStreams[]) {
    this.#ports = ports.map(({ output, input, ...options }, id) => {
      const receive = receiveQueue(id);
      const stream = new ConsolePort(output, input, {
        wakeReceive: () => this.#context?.wake(receive),
        wakeTransmit: () => this.#context?.wake(receive + 1),
      });
      return { options, stream, due: new Set(), isOpen: false };
    });
  }

  activate(context: BackendContext): void {
    this.#context = context;
  }

  reset(queue?: Virtqueue): undefined {
    for (const [id, port] of this.#ports.entries()) {
      if (!queue || queue.index === receiveQueue(id) + 1) port.stream.resetTransmit();
      if (queue) continue;
      port.due.clear();
      port.isOpen = false;
    }
    if (!queue) this.#context = undefined;
  }

  drain(): undefined {}

  handle(queue: Virtqueue): boolean {
    const { index } = queue;
    if (index === CONTROL_RECEIVE) return this.#sendControl(queue);
    if (index === CONTROL_TRANSMIT) return this.#takeControl(queue);
    const port = this.#ports[index < CONTROL_RECEIVE ? 0 : (index >> 1) - 1];
    if (port === undefined) throw new RangeError(`A console has no queue ${index}.`);
    if ((index & 1) !== 0) return port.stream.transmit(queue);
    return port.isOpen && port.stream.receive(queue);
  }

  saveState(): Uint8Array {
    const state = new ArrayBuffer(stateLayout.size);
    const { ports } = stateLayout.attach(state);
    for (const [id, { stream, due, isOpen }] of this.#ports.entries()) {
      const saved = ports[id];
      if (saved === undefined) continue;
      saved.isOpen = isOpen ? 1 : 0;
      saved.transmitted = stream.transmitted;
      for (const event of due) saved.due |= 1 << event;
    }
    return stateLayout.snapshot(state);
  }

  loadState(bytes: Uint8Array): void {
    const state = new ArrayBuffer(stateLayout.size);
    stateLayout.restore(bytes, state);
    const { ports } = stateLayout.attach(state);
    for (const [id, port] of this.#ports.entries()) {
      const saved = ports[id];
      if (saved === undefined) continue;
      port.isOpen = saved.isOpen === 1;
      port.stream.transmitted = saved.transmitted;
      port.due.clear();
      for (const event of DUE_EVENTS) if ((saved.due & (1 << event)) !== 0) port.due.add(event);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Fills one of the driver's buffers with the next message, if there is one. */
  #sendControl(queue: Virtqueue): boolean {
    const id = this.#ports.findIndex(({ due }) => due.size > 0);
    const port = this.#ports[id];
    if (port === undefined) return false;
    const [event = 0] = port.due;
    const name = event === Event.portName ? Buffer.from(port.options.name) : Buffer.alloc(0);
    const message = new Uint8Array(control.size + name.length);
    const fields = control.attach(message.buffer);
    fields.id = id;
    fields.event = event;
    fields.value = 1;
    message.set(name, control.size);
    if (queue.writable.byteLength < message.length) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: no room for a control message`);
    }
    port.due.delete(event);
    queue.push(queue.head, queue.writable.scatter(message));
    return true;
  }

  #takeControl(queue: Virtqueue): boolean {
    const message = new Uint8Array(control.size);
    if (!queue.readable.takeFirst(message)) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: not all of a control message`);
    }
    const { id, event, value } = control.attach(message.buffer);
    queue.push(queue.head, 0);
    if (event === Event.deviceReady) {
      if (value !== 1) return true;
      for (const { due } of this.#ports) due.add(Event.portAdd);
      this.#context?.wake(CONTROL_RECEIVE);
      return true;
    }
    const port = this.#ports[id];
    if (port === undefined) {
      throw new VirtqueueError('BAD_REQUEST', `queue ${queue.index}: a message about port ${id}`);
    }
    if (event === Event.portReady && value === 1) {
      if (port.options.console) port.due.add(Event.consolePort);
      port.due.add(Event.portName);
      port.due.add(Event.portOpen);
      this.#context?.wake(CONTROL_RECEIVE);
    } else if (event === Event.portOpen) {
      port.isOpen = value === 1;
      if (port.isOpen) this.#context?.wake(receiveQueue(id));
    }
    return true;
  }
}

/** The receive queue of a port; its transmit queue is the next. */
function receiveQueue(port: number): number {
  return port === 0 ? 0 : 2 * port + 2;
}
