import { SharedMutex } from '@tsvmm/struct';
import { type GuestMemory, GuestMemoryError } from '@tsvmm/vm-memory';
import type { InterruptLine } from '../../interrupt.ts';
import type { PciConfigurationSpace } from '../../pci/configuration-space.ts';
import type { UsbDevice } from '../device.ts';
import { Command, CommandRing, Completion, PORTS, SLOTS, Status, Trb, TrbType } from './constants.ts';
import type { Endpoint } from './endpoint.ts';
import { EventRing } from './event-ring.ts';
import { XhciInterrupt } from './interrupt.ts';
import { isEnabled } from './ports.ts';
import { resetRegisters } from './reset.ts';
import { Slots } from './slots.ts';
import { Request, type XhciState, xhciLayout } from './state.ts';
import { RingReader, type TransferRequestBlock, XhciFault } from './trb-ring.ts';

/** Most TRBs that are worked on before the thread looks after others. */
const WORK = 256;

/** What a controller works with. */
export interface XhciControllerOptions {
  /** Memory of `xhciLayout`. */
  readonly state: SharedArrayBuffer;
  readonly space: PciConfigurationSpace;
  readonly memory: GuestMemory;
  readonly line: InterruptLine;
  /** By the index of their port. */
  readonly devices: ReadonlyMap<number, UsbDevice>;
  /** The driver did what ends the controller until it is reset. */
  readonly onFault: (message: string) => void;
}

/**
 * The half of an xHCI controller that reads rings and speaks to devices (xHCI 1.2, section 4), on one thread, which calls
 * {@link control} when the other half has signalled.
 */
export class XhciController implements AsyncDisposable {
  readonly #options: XhciControllerOptions;
  readonly #state: XhciState;
  readonly #mutex: SharedMutex;
  readonly #events: EventRing;
  readonly #slots: Slots;
  readonly #interrupt: XhciInterrupt;
  #isRunning = false;
  /** Endpoints whose rings are to be looked at. */
  readonly #ready = new Set<Endpoint>();
  #isWorking = false;
  #continuation: NodeJS.Immediate | undefined;

  constructor(options: XhciControllerOptions) {
    const { state, space, memory, line, devices } = options;
    this.#options = options;
    this.#state = xhciLayout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#interrupt = new XhciInterrupt(this.#state, space, line);
    this.#events = new EventRing(this.#state, memory, this.#interrupt);
    this.#slots = new Slots({
      memory,
      events: this.#events,
      deviceContexts: () => this.#state.contextsHigh * 2 ** 32 + this.#state.contextsLow,
      slotsEnabled: () => this.#state.configure,
      deviceAt: (port) => (isEnabled(this.#state, port) ? devices.get(port) : undefined),
      speedAt: (port) => this.#state.attached[port] ?? 0,
      settle: (endpoint, action) => this.#settle(endpoint, action),
    });
  }

  /** Does what the driver has asked for, or so much of it that other devices of this thread do not wait for long. */
  control(): void {
    this.#exclusively(() => this.#work());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearImmediate(this.#continuation);
    this.#slots.reset();
    await Promise.all([...this.#options.devices.values()].map((device) => device[Symbol.asyncDispose]()));
  }

  /** A device may end the transfer of one endpoint while it is asked for that of another. */
  #settle(endpoint: Endpoint, action: () => void): void {
    this.#ready.add(endpoint);
    if (this.#isWorking) {
      action();
      return;
    }
    this.#exclusively(() => {
      action();
      this.#work();
    });
  }

  /** Registers do not change meanwhile: whoever accesses them waits, and nothing in here does. */
  #exclusively(action: () => void): void {
    this.#isWorking = true;
    this.#mutex.lock();
    try {
      action();
    } catch (error) {
      if (!(error instanceof XhciFault || error instanceof GuestMemoryError)) throw error;
      this.#fault(error.message);
    } finally {
      this.#mutex.unlock();
      this.#isWorking = false;
    }
  }

  #work(): void {
    const state = this.#state;
    const { requests } = state;
    state.requests = 0;
    if ((requests & Request.reset) !== 0) {
      this.#reset();
      return;
    }
    if ((requests & Request.newEventRing) !== 0) this.#events.start();
    this.#followRunBit();
    this.#resetDevices();
    if (!this.#isRunning) return;
    this.#events.flush();
    this.#tellOfPorts();
    if ((requests & Request.stopCommands) !== 0) this.#stopCommands();
    this.#hearDoorbells();
    const left = this.#runEndpoints(this.#runCommands(WORK));
    if (left === 0 && !this.#events.isFull) this.#continueLater();
  }

  #reset(): void {
    const state = this.#state;
    this.#isRunning = false;
    this.#ready.clear();
    this.#slots.reset();
    this.#events.reset();
    for (const device of this.#options.devices.values()) device.reset();
    resetRegisters(state);
    this.#interrupt.update();
  }

  /** The driver has set or cleared Run/Stop. */
  #followRunBit(): void {
    const state = this.#state;
    const runs = (state.command & Command.run) !== 0;
    if (runs === this.#isRunning) return;
    this.#isRunning = runs;
    if (runs) {
      state.status &= ~Status.halted;
      for (const endpoint of this.#slots.endpoints()) this.#ready.add(endpoint);
      return;
    }
    this.#halt();
  }

  /** Nothing is under way any more; what was stays in its ring. */
  #halt(): void {
    this.#isRunning = false;
    this.#ready.clear();
    for (const endpoint of this.#slots.endpoints()) endpoint.abandon();
    this.#state.commandRingLow &= ~CommandRing.running;
    this.#state.doorbells.fill(0);
    this.#state.status |= Status.halted;
  }

  #resetDevices(): void {
    const { devices } = this.#options;
    for (const port of bitsOf(this.#state.resetPorts)) devices.get(port)?.reset();
    this.#state.resetPorts = 0;
  }

  #tellOfPorts(): void {
    const ports = this.#state.changedPorts;
    this.#state.changedPorts = 0;
    for (const port of bitsOf(ports)) {
      this.#events.post({
        parameterLow: (port + 1) << 24,
        parameterHigh: 0,
        status: Completion.success << 24,
        control: TrbType.portStatusChangeEvent << Trb.typeShift,
      });
    }
  }

  #stopCommands(): void {
    const state = this.#state;
    if ((state.commandRingLow & CommandRing.running) === 0) return;
    state.commandRingLow &= ~CommandRing.running;
    const { commandRingLow, commandRingHigh } = state;
    this.#complete(
      commandRingHigh * 2 ** 32 + ((commandRingLow & ~0xf) >>> 0),
      Completion.commandRingStopped,
      0,
    );
  }

  #hearDoorbells(): void {
    const { doorbells } = this.#state;
    if (doorbells[0] !== 0) this.#state.commandRingLow |= CommandRing.running;
    for (let slot = 1; slot <= SLOTS; slot++) {
      for (const index of bitsOf(doorbells[slot] ?? 0)) {
        const endpoint = this.#slots.ring(slot, index);
        if (endpoint) this.#ready.add(endpoint);
      }
    }
    doorbells.fill(0);
  }

  /** @returns what is left of the budget; none when there may be more */
  #runCommands(budget: number): number {
    const state = this.#state;
    let left = budget;
    while (left > 0 && (state.commandRingLow & CommandRing.running) !== 0 && !this.#events.isFull) {
      const ring = new RingReader(this.#options.memory, {
        address: state.commandRingHigh * 2 ** 32 + ((state.commandRingLow & ~0xf) >>> 0),
        cycle: state.commandRingLow & CommandRing.cycle,
      });
      const trb = ring.take();
      if (!trb) break;
      left--;
      const { address, cycle } = ring.position;
      state.commandRingLow = ((address >>> 0) | cycle | CommandRing.running) >>> 0;
      state.commandRingHigh = Math.floor(address / 2 ** 32);
      const [completion, slot] = this.#execute(trb);
      this.#complete(trb.address, completion, slot);
    }
    return left;
  }

  #execute(trb: TransferRequestBlock): readonly [completion: number, slot: number] {
    const slots = this.#slots;
    const slot = trb.control >>> Trb.slotShift;
    const endpoint = (trb.control >>> Trb.endpointShift) & 0x1f;
    switch (trb.type) {
      case TrbType.noOpCommand:
        return [Completion.success, 0];
      case TrbType.enableSlot: {
        const id = slots.enable();
        return [id === 0 ? Completion.noSlotsAvailable : Completion.success, id];
      }
      case TrbType.disableSlot:
        return [slots.disable(slot), slot];
      case TrbType.addressDevice:
        return [slots.address(slot, trb), slot];
      case TrbType.configureEndpoint:
        return [slots.configure(slot, trb), slot];
      case TrbType.evaluateContext:
        return [slots.evaluate(slot, trb), slot];
      case TrbType.resetEndpoint:
        return [slots.resetEndpoint(slot, endpoint), slot];
      case TrbType.stopEndpoint:
        return [slots.stopEndpoint(slot, endpoint), slot];
      case TrbType.setDequeuePointer:
        return [slots.setDequeuePointer(slot, endpoint, trb), slot];
      case TrbType.resetDevice:
        return [slots.resetDevice(slot), slot];
      case TrbType.getPortBandwidth:
        return [slots.bandwidth(trb), 0];
      default:
        return [Completion.trbError, 0];
    }
  }

  #complete(address: number, completion: number, slot: number): void {
    this.#events.post({
      parameterLow: address >>> 0,
      parameterHigh: Math.floor(address / 2 ** 32),
      status: completion << 24,
      control: (TrbType.commandCompletionEvent << Trb.typeShift) | (slot << Trb.slotShift),
    });
  }

  /** @returns what is left of the budget; none when there may be more */
  #runEndpoints(budget: number): number {
    let left = budget;
    for (const endpoint of this.#ready) {
      if (left <= 0 || this.#events.isFull) break;
      this.#ready.delete(endpoint);
      left = endpoint.run(left);
      // It goes to the end of the line, so that one that never ends does not keep the others waiting.
      if (left <= 0 || this.#events.isFull) this.#ready.add(endpoint);
    }
    return Math.max(left, 0);
  }

  #continueLater(): void {
    this.#continuation ??= setImmediate(() => {
      this.#continuation = undefined;
      this.control();
    });
  }

  /** Host system error (section 4.10.2.6): the controller is halted until the driver resets it. */
  #fault(message: string): void {
    const state = this.#state;
    state.command &= ~Command.run;
    this.#halt();
    state.status |= Status.hostSystemError;
    this.#options.onFault(`the driver broke the rules of xHCI: ${message}`);
  }
}

function* bitsOf(word: number): Generator<number> {
  for (let bit = 0; bit < Math.max(PORTS, 32); bit++) if ((word & (1 << bit)) !== 0) yield bit;
}
