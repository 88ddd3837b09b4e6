import type { ByteRing } from '../../serial/byte-ring.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import { VirtioDeviceId } from '../constants.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import type { VirtioDeviceModel } from '../transport/registers.ts';

/** Feature bit (virtio 1.3, section 5.3.3). */
const F_SIZE = 0;

const RECEIVE_QUEUE = 0;
const TRANSMIT_QUEUE = 1;
const QUEUE_SIZE = 256;
/** struct virtio_console_config: cols, rows, max_nr_ports, emerg_wr. */
const CONFIG_LENGTH = 12;

/** What the guest sees of a console. */
export interface ConsoleOptions {
  /** Size of the terminal in characters; without it, the guest is told none. */
  readonly size?: { readonly columns: number; readonly rows: number };
}

/** The transport's view of a virtio console with one port. */
export function consoleModel({ size }: ConsoleOptions): VirtioDeviceModel {
  const config = new DataView(new ArrayBuffer(CONFIG_LENGTH));
  if (size) {
    config.setUint16(0, size.columns, true);
    config.setUint16(2, size.rows, true);
  }
  return {
    deviceId: VirtioDeviceId.console,
    features: size ? [F_SIZE] : [],
    queueSizes: [QUEUE_SIZE, QUEUE_SIZE],
    config: new Uint8Array(config.buffer),
  };
}

/** What a console does beside what its guest sees. */
export interface ConsoleBackendOptions {
  /**
   * Whether input waits for the driver's first output. Linux gives its receive buffers away before it has set up the port,
   * and discards what arrives until then; a console that the kernel writes to has output as soon as that is done.
   */
  readonly inputAfterOutput?: boolean;
}

/** Moves bytes between the port's queues and its rings; whichever side is slow makes the other one wait. */
export class ConsoleBackend implements VirtioBackend {
  readonly #input: ByteRing | undefined;
  readonly #output: ByteRing;
  #context: BackendContext | undefined;
  /** Bytes of the transmit request at hand that are in the output ring already. */
  #transmitted = 0;
  #waitsForInput = false;
  readonly #inputAfterOutput: boolean;
  /** The driver has sent something since it took the device over. */
  #hasOutput = false;

  constructor(output: ByteRing, input?: ByteRing, options: ConsoleBackendOptions = {}) {
    this.#output = output;
    this.#input = input;
    this.#inputAfterOutput = options.inputAfterOutput ?? false;
  }

  activate(context: BackendContext): void {
    this.#context = context;
  }

  reset(queue?: Virtqueue): undefined {
    if (!queue) {
      this.#context = undefined;
      this.#hasOutput = false;
    }
    if (!queue || queue.index === TRANSMIT_QUEUE) this.#transmitted = 0;
  }

  drain(): undefined {}

  handle(queue: Virtqueue): boolean {
    return queue.index === TRANSMIT_QUEUE ? this.#transmit(queue) : this.#receive(queue);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #transmit(queue: Virtqueue): boolean {
    const { readable } = queue;
    let skip = this.#transmitted;
    for (let index = 0; index < readable.count; index++) {
      let bytes = readable.bytes(index);
      if (skip >= bytes.length) {
        skip -= bytes.length;
        continue;
      }
      bytes = bytes.subarray(skip);
      skip = 0;
      const written = this.#output.write(bytes);
      this.#transmitted += written;
      if (written < bytes.length) {
        this.#wakeWhen(this.#output.roomAvailable(), TRANSMIT_QUEUE);
        return false;
      }
    }
    this.#transmitted = 0;
    queue.push(queue.head, 0);
    if (!this.#hasOutput) {
      this.#hasOutput = true;
      if (this.#inputAfterOutput) this.#context?.wake(RECEIVE_QUEUE);
    }
    return true;
  }

  #receive(queue: Virtqueue): boolean {
    const input = this.#input;
    if (this.#inputAfterOutput && !this.#hasOutput) return false;
    if (!input || input.available === 0) {
      if (input && !input.closed && !this.#waitsForInput) {
        this.#waitsForInput = true;
        this.#wakeWhen(
          input.dataAvailable().finally(() => {
            this.#waitsForInput = false;
          }),
          RECEIVE_QUEUE,
        );
      }
      return false;
    }
    const written = queue.writable.scatter(input.peek());
    input.consume(written);
    queue.push(queue.head, written);
    return true;
  }

  /** Goes on with a queue after `event`; if another driver has come meanwhile, its queue waits for the same. */
  #wakeWhen(event: Promise<void>, queue: number): void {
    void event.then(() => this.#context?.wake(queue));
  }
}
