import { type AtomicWaitCell, SharedMutex } from '@tsvmm/struct';
import type { BusAccess, BusDevice } from '../bus.ts';
import type { InterruptLine } from '../interrupt.ts';
import { ByteRing } from './byte-ring.ts';

/** What is equal in the descriptors of all UARTs: what another thread needs to attach the registers. */
export interface UartDescriptor {
  readonly state: SharedArrayBuffer;
  /** {@link ByteRing} of what the guest transmits. */
  readonly output: SharedArrayBuffer;
  /** {@link ByteRing} of what the guest receives; without one, nothing is ever received. */
  readonly input: SharedArrayBuffer | undefined;
}

/** What is equal in the states of all UARTs. */
export interface UartState {
  readonly lock: AtomicWaitCell;
  /** The level last given to the interrupt line. */
  lineLevel: number;
}

/**
 * What all UARTs have in common: registers behind a lock, an interrupt line that follows them, and rings for the bytes.
 * Bytes leave at once, so a transmitter is always empty; when nobody takes them from the output ring, the vCPU that
 * transmits waits. Received bytes stay in the input ring until the guest reads them: none is ever lost to an overrun.
 */
export abstract class Uart implements BusDevice {
  protected readonly output: ByteRing;
  protected readonly input: ByteRing | undefined;
  readonly #state: UartState;
  readonly #mutex: SharedMutex;
  readonly #line: InterruptLine;

  protected constructor(state: UartState, descriptor: UartDescriptor, line: InterruptLine) {
    this.output = new ByteRing(descriptor.output);
    this.input = descriptor.input && new ByteRing(descriptor.input);
    this.#state = state;
    this.#mutex = new SharedMutex(state.lock);
    this.#line = line;
  }

  abstract read(access: BusAccess): void;
  abstract write(access: BusAccess): void;

  /** Reads a register, with the lock held. */
  protected abstract load(register: number): number;

  /**
   * Writes a register, with the lock held.
   *
   * @returns false when nothing was written, because a byte has to wait for room in the output ring
   */
  protected abstract store(register: number, value: number): boolean;

  /** Whether an interrupt is pending that is enabled; called with the lock held. */
  protected abstract interrupts(): boolean;

  /** To be called when bytes have been put into the input ring: raises the interrupt that announces them. */
  inputArrived(): void {
    this.#mutex.lock();
    try {
      this.#updateLine();
    } finally {
      this.#mutex.unlock();
    }
  }

  protected readRegister(register: number): number {
    this.#mutex.lock();
    try {
      const value = this.load(register);
      this.#updateLine();
      return value;
    } finally {
      this.#mutex.unlock();
    }
  }

  protected writeRegister(register: number, value: number): void {
    // Waiting for room happens without the lock, so that the other vCPUs can still use the port.
    while (!this.#storeOrFindFull(register, value)) this.output.waitForRoom();
  }

  #storeOrFindFull(register: number, value: number): boolean {
    this.#mutex.lock();
    try {
      if (!this.store(register, value)) return false;
      this.#updateLine();
      return true;
    } finally {
      this.#mutex.unlock();
    }
  }

  #updateLine(): void {
    const level = this.interrupts() ? 1 : 0;
    if (level === this.#state.lineLevel) return;
    this.#state.lineLevel = level;
    this.#line.set(level === 1);
  }
}
