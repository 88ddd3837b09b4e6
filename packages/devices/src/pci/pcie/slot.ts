import { atomic, i32, SharedMutex, struct } from '@tsvmm/struct';
import type { InterruptLine } from '../../interrupt.ts';
import type { PciConfigurationSpace } from '../configuration-space.ts';
import type { Msi } from '../msi.ts';
import { PcieRegister } from './capability.ts';

/** Shared state of a slot beside its registers. */
export const pcieSlotLayout = struct(
  {
    lock: atomic(i32),
    /** Whether there was something to interrupt for when it was last looked at. */
    pending: i32,
    /** What the function has put on its INTx wire. */
    intxLevel: i32,
  },
  { name: 'pcie-slot', version: 1 },
);

/** Events: bits of Slot Status, and of Slot Control where it enables interrupts for them. */
const ATTENTION_BUTTON_PRESSED = 1 << 0;
const PRESENCE_DETECT_CHANGED = 1 << 3;
const COMMAND_COMPLETED = 1 << 4;
/** Power fault and retention latch are among them, which never happen here. */
const EVENTS = 0x1f;
/** Slot Control: interrupts for any of them. */
const HOT_PLUG_INTERRUPT_ENABLE = 1 << 5;
/** Slot Status: there is a card. */
export const PRESENCE_DETECT_STATE = 1 << 6;

/** What a slot interrupts with. */
export interface PcieSlotWiring {
  readonly msi: Msi;
  readonly line: InterruptLine;
}

/**
 * A slot for hot-plug (PCI Express Base 5.0, section 6.7), usable from any thread: by the register half of its port, and by
 * who puts cards in and takes them out.
 */
export class PcieSlot {
  readonly #space: PciConfigurationSpace;
  readonly #register: number;
  readonly #state;
  readonly #mutex: SharedMutex;
  readonly #wiring: PcieSlotWiring;

  /**
   * @param state memory of `pcieSlotLayout`
   * @param capability offset of the PCI Express capability
   */
  constructor(
    space: PciConfigurationSpace,
    state: SharedArrayBuffer,
    capability: number,
    wiring: PcieSlotWiring,
  ) {
    this.#space = space;
    this.#register = capability + PcieRegister.slotControl;
    this.#state = pcieSlotLayout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#wiring = wiring;
  }

  /** Whether there is a card, whose functions can be reached. */
  get hasCard(): boolean {
    return (this.#status & PRESENCE_DETECT_STATE) !== 0;
  }

  /** Puts the card in: the guest is told, and looks what it is. */
  insertCard(): void {
    if (!this.hasCard) this.#happen(PRESENCE_DETECT_CHANGED, 0, PRESENCE_DETECT_STATE);
  }

  /** Pulls the card out, without asking. */
  removeCard(): void {
    if (this.hasCard) this.#happen(PRESENCE_DETECT_CHANGED, PRESENCE_DETECT_STATE, 0);
  }

  /** Asks the guest to take the card into use, or out of it: it lets the power indicator blink, and five seconds to think better of it. */
  pressAttentionButton(): void {
    this.#happen(ATTENTION_BUTTON_PRESSED, 0, 0);
  }

  /** The guest wrote Slot Control, which is a command: it is done at once. */
  commandWritten(): void {
    this.#happen(COMMAND_COMPLETED, 0, 0);
  }

  /**
   * Makes the interrupt what the registers say; to be called after any of them changed. A message is sent when there comes
   * to be something to interrupt for, and not again until all of that was cleared (section 6.7.3.4).
   */
  updateInterrupt(): void {
    this.#mutex.lock();
    try {
      const { msi, line } = this.#wiring;
      const word = this.#space.readWord(this.#register);
      const isEnabled = (word & HOT_PLUG_INTERRUPT_ENABLE) !== 0;
      const isPending = isEnabled && (word & (word >>> 16) & EVENTS) !== 0;
      const wasPending = this.#state.pending !== 0;
      this.#state.pending = isPending ? 1 : 0;
      if (isPending && !wasPending) msi.signal();
      this.#space.setInterruptStatus(isPending && !msi.enabled);
      const level = isPending && !msi.enabled && !this.#space.interruptDisabled ? 1 : 0;
      if (level === this.#state.intxLevel) return;
      this.#state.intxLevel = level;
      line.set(level === 1);
    } finally {
      this.#mutex.unlock();
    }
  }

  get #status(): number {
    return this.#space.readWord(this.#register) >>> 16;
  }

  /** @param event sets this bit of Slot Status, after clearing and setting what else is given */
  #happen(event: number, clear: number, set: number): void {
    this.#space.changeBits(this.#register, clear << 16, (set | event) << 16);
    this.updateInterrupt();
  }
}
