import type { InterruptLine } from '../../interrupt.ts';
import type { PciConfigurationSpace } from '../../pci/configuration-space.ts';
import { Command, EVENT_HANDLER_BUSY, Interrupter, Status } from './constants.ts';
import type { XhciState } from './state.ts';

/** Interrupter 0, seen from any thread. All calls are under the controller's lock. */
export class XhciInterrupt {
  readonly #state: XhciState;
  readonly #space: PciConfigurationSpace;
  readonly #line: InterruptLine;

  constructor(state: XhciState, space: PciConfigurationSpace, line: InterruptLine) {
    this.#state = state;
    this.#space = space;
    this.#line = line;
  }

  /**
   * There are events in the ring that the guest is to be told of. While its handler is busy it looks itself. Interrupts
   * are not moderated: a handler that is busy holds them back as well.
   */
  raise(): void {
    const state = this.#state;
    if ((state.eventDequeueLow & EVENT_HANDLER_BUSY) !== 0) return;
    state.eventDequeueLow |= EVENT_HANDLER_BUSY;
    state.management |= Interrupter.pending;
    state.status |= Status.eventInterrupt;
    this.update();
  }

  /** The guest wrote ERDP: it is told again if it has not come to the end of the ring. */
  handled(): void {
    const { eventDequeueLow, eventDequeueHigh, eventEnqueue } = this.#state;
    const dequeue = eventDequeueHigh * 2 ** 32 + ((eventDequeueLow & ~0xf) >>> 0);
    if ((eventDequeueLow & EVENT_HANDLER_BUSY) === 0 && dequeue !== eventEnqueue && eventEnqueue !== 0) {
      this.raise();
    }
  }

  /** Makes INTx what the registers say. */
  update(): void {
    const { command, management } = this.#state;
    const wanted = Interrupter.pending | Interrupter.enable;
    const isPending = (management & wanted) === wanted && (command & Command.interrupterEnable) !== 0;
    this.#space.setInterruptStatus(isPending);
    const level = isPending && !this.#space.interruptDisabled ? 1 : 0;
    if (level === this.#state.intxLevel) return;
    this.#state.intxLevel = level;
    this.#line.set(level === 1);
  }
}
