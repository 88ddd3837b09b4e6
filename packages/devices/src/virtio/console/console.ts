import { struct, u8, u16, u32 } from '@tsvmm/struct';
import { DeviceError } from '../../errors.ts';
import type { ByteRing } from '../../serial/byte-ring.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import type { DeviceCommand } from '../command.ts';
import { VirtioDeviceId } from '../constants.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';
import { ConsolePort } from './port.ts';

/** Feature bit (virtio 1.3, section 5.3.3). */
const F_SIZE = 0;

const RECEIVE_QUEUE = 0;
const TRANSMIT_QUEUE = 1;
const QUEUE_SIZE = 256;
/** struct virtio_console_config: cols, rows, max_nr_ports, emerg_wr. */
const CONFIG_LENGTH = 12;

/** What a console remembers beside its queues. */
const stateLayout = struct(
  { hasOutput: u8, columns: u16, rows: u16, transmitted: u32 },
  { name: 'virtio-console-state', version: 1 },
);

/** What the guest sees of a console. */
export interface ConsoleOptions {
  /** Size of the terminal in characters; without it, the guest is told none. */
  readonly size?: ConsoleSize;
  /** Most entries of the queues for input and for output, powers of two up to 32768; 256 unless given. */
  readonly queueSizes?: readonly [receive: number, transmit: number];
}

/** Size of a terminal in characters. */
export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

/** The transport's view of a virtio console with one port. */
export function consoleModel({ size, queueSizes }: ConsoleOptions): VirtioDeviceModel {
  const config = new DataView(new ArrayBuffer(CONFIG_LENGTH));
  if (size) setSize(config, size);
  return {
    deviceId: VirtioDeviceId.console,
    features: size ? [F_SIZE] : [],
    queueSizes: queueSizes ?? [QUEUE_SIZE, QUEUE_SIZE],
    config: new Uint8Array(config.buffer),
  };
}

function setSize(config: DataView, { columns, rows }: ConsoleSize): void {
  config.setUint16(0, columns, true);
  config.setUint16(2, rows, true);
}

/** What a console does beside what its guest sees. */
export interface ConsoleBackendOptions {
  /**
   * Whether input waits for the driver's first output. Linux gives its receive buffers away before it has set up the port,
   * and discards what arrives until then; a console that the kernel writes to has output as soon as that is done.
   */
  readonly inputAfterOutput?: boolean;
}

/** Serves a console that has one port. */
export class ConsoleBackend implements VirtioBackend {
  readonly #port: ConsolePort;
  #context: BackendContext | undefined;
  readonly #inputAfterOutput: boolean;
  /** The driver has sent something since it took the device over. */
  #hasOutput = false;
  /** What the terminal's size has become. */
  #size: ConsoleSize | undefined;

  constructor(output: ByteRing, input?: ByteRing, options: ConsoleBackendOptions = {}) {
    // If another driver has come when one of these is called, its queue waits for the same.
    this.#port = new ConsolePort(output, input, {
      wakeReceive: () => this.#context?.wake(RECEIVE_QUEUE),
      wakeTransmit: () => this.#context?.wake(TRANSMIT_QUEUE),
    });
    this.#inputAfterOutput = options.inputAfterOutput ?? false;
  }

  activate(context: BackendContext): void {
    this.#context = context;
    this.#tellSize();
  }

  reset(queue?: Virtqueue): undefined {
    if (!queue) {
      this.#context = undefined;
      this.#hasOutput = false;
    }
    if (!queue || queue.index === TRANSMIT_QUEUE) this.#port.resetTransmit();
  }

  drain(): undefined {}

  handle(queue: Virtqueue): boolean {
    if (queue.index === RECEIVE_QUEUE) {
      return (!this.#inputAfterOutput || this.#hasOutput) && this.#port.receive(queue);
    }
    if (!this.#port.transmit(queue)) return false;
    if (!this.#hasOutput) {
      this.#hasOutput = true;
      if (this.#inputAfterOutput) this.#context?.wake(RECEIVE_QUEUE);
    }
    return true;
  }

  /** @throws DeviceError BAD_OPTION for what is no console's command */
  async command(command: DeviceCommand): Promise<undefined> {
    if (command.kind !== 'resize-console') {
      throw new DeviceError('BAD_OPTION', `a console has no ${command.kind}`);
    }
    this.#size = command.size;
    this.#tellSize();
  }

  saveState(): Uint8Array {
    const state = new ArrayBuffer(stateLayout.size);
    const fields = stateLayout.attach(state);
    fields.hasOutput = this.#hasOutput ? 1 : 0;
    fields.transmitted = this.#port.transmitted;
    fields.columns = this.#size?.columns ?? 0;
    fields.rows = this.#size?.rows ?? 0;
    return stateLayout.snapshot(state);
  }

  loadState(saved: Uint8Array): void {
    const state = new ArrayBuffer(stateLayout.size);
    stateLayout.restore(saved, state);
    const { hasOutput, transmitted, columns, rows } = stateLayout.attach(state);
    this.#hasOutput = hasOutput === 1;
    this.#port.transmitted = transmitted;
    this.#size = columns > 0 && rows > 0 ? { columns, rows } : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #tellSize(): void {
    const size = this.#size;
    if (size !== undefined) this.#context?.changeConfig((config) => setSize(config, size));
  }
}
