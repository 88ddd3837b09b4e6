import { atomic, i32, SharedMutex, struct } from '@tsvmm/struct';

/** Delivers message-signalled interrupts: the write a PCI function makes to the interrupt controller's address. */
export interface MsiSender {
  /**
   * Callable from any thread.
   * @param addressLow bits 31…0 of the message address
   * @param addressHigh bits 63…32 of the message address
   * @param data the message data, 32 bits
   * @param requesterId bus, device and function of the sender in 16 bits, as PCI puts them: some controllers look the
   * interrupt up by it
   */
  send(addressLow: number, addressHigh: number, data: number, requesterId: number): void;
}

/** Has eventfds send messages without this process; callable from any thread. */
export interface MsiEvents {
  /**
   * From now on each signal of an eventfd sends this message instead of waking who waits for it.
   * @returns false where that is not possible: signals then wake who waits
   */
  connect(event: number, addressLow: number, addressHigh: number, data: number, requesterId: number): boolean;
  /** Signals wake who waits for the eventfd. */
  disconnect(event: number): void;
}

/** One level-triggered input of the interrupt controller. */
export interface InterruptLine {
  /** Asserts or deasserts the line; callable from any thread. */
  set(level: boolean): void;
}

/** A line that leads nowhere: for devices that the guest polls. */
export const UNCONNECTED_LINE: InterruptLine = { set() {} };

/** Shared state of a {@link WiredOrLine}. */
const wiredOrLayout = struct(
  { lock: atomic(i32), assertions: atomic(i32) },
  { name: 'wired-or-line', version: 1 },
);

/** Makes the shared state of a line that several devices drive. */
export function createWiredOrState(): SharedArrayBuffer {
  return new SharedArrayBuffer(wiredOrLayout.size);
}

/** INTx of a function: the input of the interrupt controller, and the state of the wire it shares with others. */
export interface IntxDescriptor {
  readonly source: number;
  readonly wire: SharedArrayBuffer;
}

/**
 * Several sources on one line, as on a PCI INTx pin: asserted while at least one of them asserts it. Every source
 * calls `set` only when its own level changes.
 */
export class WiredOrLine implements InterruptLine {
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;

  constructor(state: SharedArrayBuffer, line: InterruptLine) {
    this.#state = wiredOrLayout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#line = line;
  }

  set(level: boolean): void {
    // The line changes under the lock, so that the last change of the count is also the last one of the line.
    this.#mutex.lock();
    try {
      const before = this.#state.assertions.add(level ? 1 : -1);
      if (level ? before === 0 : before === 1) this.#line.set(level);
    } finally {
      this.#mutex.unlock();
    }
  }
}
