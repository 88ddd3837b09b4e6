import { SharedMutex } from '@tsvmm/struct';
import type { InterruptLine } from '../../interrupt.ts';
import type { PciConfigurationSpace } from '../../pci/configuration-space.ts';
import { MSIX_NO_VECTOR, type Msix } from '../../pci/msix.ts';
import { attachQueueState, type VirtioState, type VirtqueueState, virtioLayout } from './state.ts';

const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

/** How a back end tells the driver that something happened. */
export interface VirtioInterrupt {
  /** A buffer of queue `index` was used. */
  queue(index: number): void;
  /** The configuration, or the status' NEEDS_RESET bit, changed. */
  config(): void;
}

/** Interrupts of a virtio-pci function: MSI-X if the driver enabled it, else INTx with the ISR status register. */
export class VirtioPciInterrupt implements VirtioInterrupt {
  readonly #state: VirtioState;
  readonly #queues: readonly VirtqueueState[];
  readonly #mutex: SharedMutex;
  readonly #space: PciConfigurationSpace;
  readonly #msix: Msix;
  readonly #line: InterruptLine;

  constructor(state: SharedArrayBuffer, space: PciConfigurationSpace, msix: Msix, line: InterruptLine) {
    this.#state = virtioLayout.attach(state);
    this.#queues = Array.from({ length: this.#state.queueCount }, (_, index) =>
      attachQueueState(state, index),
    );
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#space = space;
    this.#msix = msix;
    this.#line = line;
  }

  queue(index: number): void {
    this.#raise(ISR_QUEUE, this.#queues[index]?.vector ?? MSIX_NO_VECTOR);
  }

  config(): void {
    this.#raise(ISR_CONFIG, this.#state.configVector);
  }

  /** Reads and clears the ISR status, which deasserts INTx. The caller holds the device's lock. */
  acknowledge(): number {
    const { isr } = this.#state;
    if (isr !== 0) {
      this.#state.isr = 0;
      this.updateLine();
    }
    return isr;
  }

  /** Makes the INTx line what the registers say. The caller holds the device's lock. */
  updateLine(): void {
    const pending = this.#state.isr !== 0;
    const level = pending && !this.#msix.enabled && !this.#space.interruptDisabled ? 1 : 0;
    this.#space.setInterruptStatus(pending && !this.#msix.enabled);
    if (level === this.#state.intxLevel) return;
    this.#state.intxLevel = level;
    this.#line.set(level === 1);
  }

  #raise(isr: number, vector: number): void {
    if (this.#msix.enabled) {
      this.#msix.signal(vector);
      return;
    }
    this.#mutex.lock();
    try {
      this.#state.isr |= isr;
      this.updateLine();
    } finally {
      this.#mutex.unlock();
    }
  }
}
