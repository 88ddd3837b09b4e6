import { SharedMutex } from '@tsvmm/struct';
import type { BusAccess } from '../../bus.ts';
import type { Signal } from '../../environment.ts';
import type { InterruptLine } from '../../interrupt.ts';
import { PciConfigurationSpace } from '../../pci/configuration-space.ts';
import type { PciFunction } from '../../pci/function.ts';
import { readCapability, readExtendedCapability } from './capabilities.ts';
import {
  Command,
  CommandRing,
  DOORBELLS,
  EVENT_HANDLER_BUSY,
  EXTENDED_CAPABILITIES,
  Interrupter,
  OPERATIONAL,
  Operational,
  PORT_REGISTERS_LENGTH,
  PORTS,
  RUNTIME,
  Runtime,
  SLOTS,
  Status,
} from './constants.ts';
import { XhciInterrupt } from './interrupt.ts';
import { writePort } from './ports.ts';
import { Request, type XhciState, xhciLayout } from './state.ts';

const COMMAND_WRITABLE =
  Command.run |
  Command.interrupterEnable |
  Command.hostSystemErrorEnable |
  Command.wrapEventEnable |
  Command.u3Stop;
const STATUS_CLEARED =
  Status.hostSystemError | Status.eventInterrupt | Status.portChange | Status.saveRestoreError;
const PAGE_SIZE_4096 = 1;
const SLOTS_ENABLED = 0xff;
/** All slots' contexts are in a page or less, and begin at a multiple of 64 bytes. */
const POINTER = 0xffff_ffc0;
const TABLE_SIZE = 0xffff;
const DEQUEUE = 0xffff_fff0;
const DEQUEUE_SEGMENT = 7;
/** Doorbell target, and a stream's id, which has to be 0. */
const DOORBELL_VALUE = 0xffff_001f;

/** What the registers of a controller call. */
export interface XhciWiring {
  readonly line: InterruptLine;
  /** Wakes the controller's other half. */
  readonly control: Signal;
}

/**
 * The register half of an xHCI controller (xHCI 1.2, section 5): what takes no time happens here, under the lock; rings,
 * contexts and devices are the controller's, on another thread.
 */
export class XhciFunction implements PciFunction {
  readonly space: PciConfigurationSpace;
  readonly #state: XhciState;
  readonly #mutex: SharedMutex;
  readonly #interrupt: XhciInterrupt;
  readonly #control: Signal;

  constructor(space: SharedArrayBuffer, state: SharedArrayBuffer, { line, control }: XhciWiring) {
    this.space = new PciConfigurationSpace(space);
    this.#state = xhciLayout.attach(state);
    this.#mutex = new SharedMutex(this.#state.lock);
    this.#interrupt = new XhciInterrupt(this.#state, this.space, line);
    this.#control = control;
  }

  readBar(_bar: number, access: BusAccess): void {
    const { offset, size } = access;
    this.#mutex.lock();
    try {
      access.low = this.#read(offset & ~3) >>> ((offset & 3) * 8);
      if (size === 8) access.high = this.#read((offset & ~3) + 4);
    } finally {
      this.#mutex.unlock();
    }
  }

  /** Registers are written whole: as words of 32 bits, or two of them. What else comes does nothing. */
  writeBar(_bar: number, access: BusAccess): void {
    const { offset, size, low, high } = access;
    if (size < 4 || (offset & 3) !== 0) return;
    let hasWork: boolean;
    this.#mutex.lock();
    try {
      hasWork = this.#write(offset, low);
      if (size === 8) hasWork = this.#write(offset + 4, high) || hasWork;
    } finally {
      this.#mutex.unlock();
    }
    if (hasWork) this.#control.signal();
  }

  afterConfigWrite(): void {
    this.#mutex.lock();
    try {
      this.#interrupt.update();
    } finally {
      this.#mutex.unlock();
    }
  }

  #read(offset: number): number {
    if (offset < OPERATIONAL) return readCapability(offset);
    if (offset < DOORBELLS) return this.#readOperational(offset - OPERATIONAL);
    if (offset >= EXTENDED_CAPABILITIES) return readExtendedCapability(offset - EXTENDED_CAPABILITIES);
    if (offset >= RUNTIME) return this.#readRuntime(offset - RUNTIME);
    // Doorbells.
    return 0;
  }

  #readOperational(offset: number): number {
    const state = this.#state;
    switch (offset) {
      case Operational.command:
        return state.command;
      case Operational.status:
        return state.status;
      case Operational.pageSize:
        return PAGE_SIZE_4096;
      case Operational.notifications:
        return state.notifications;
      case Operational.commandRing:
        // Only whether it runs can be read.
        return state.commandRingLow & CommandRing.running;
      case Operational.contexts:
        return state.contextsLow;
      case Operational.contexts + 4:
        return state.contextsHigh;
      case Operational.configure:
        return state.configure;
      default: {
        const [port, register] = portRegister(offset);
        return register === 0 ? (state.ports[port] ?? 0) : 0;
      }
    }
  }

  #readRuntime(offset: number): number {
    const state = this.#state;
    switch (offset) {
      case Runtime.management:
        return state.management;
      case Runtime.moderation:
        return state.moderation;
      case Runtime.segments:
        return state.eventSegments;
      case Runtime.table:
        return state.eventTableLow;
      case Runtime.table + 4:
        return state.eventTableHigh;
      case Runtime.dequeue:
        return state.eventDequeueLow;
      case Runtime.dequeue + 4:
        return state.eventDequeueHigh;
      default:
        // The microframe index among them, which is that of a bus without frames.
        return 0;
    }
  }

  /** @returns whether the controller has something to do */
  #write(offset: number, value: number): boolean {
    if (offset >= RUNTIME)
      return offset < EXTENDED_CAPABILITIES && this.#writeRuntime(offset - RUNTIME, value);
    if (offset >= DOORBELLS) return this.#ringDoorbell((offset - DOORBELLS) >>> 2, value);
    return offset >= OPERATIONAL && this.#writeOperational(offset - OPERATIONAL, value);
  }

  #writeOperational(offset: number, value: number): boolean {
    const state = this.#state;
    switch (offset) {
      case Operational.command:
        return this.#writeCommand(value);
      case Operational.status:
        state.status &= ~(value & STATUS_CLEARED);
        return false;
      case Operational.notifications:
        state.notifications = value & 0xffff;
        return false;
      case Operational.commandRing:
        return this.#writeCommandRing(value);
      case Operational.commandRing + 4:
        if ((state.commandRingLow & CommandRing.running) === 0) state.commandRingHigh = value;
        return false;
      case Operational.contexts:
        state.contextsLow = value & POINTER;
        return false;
      case Operational.contexts + 4:
        state.contextsHigh = value;
        return false;
      case Operational.configure:
        state.configure = value & SLOTS_ENABLED;
        return false;
      default: {
        const [port, register] = portRegister(offset);
        return register === 0 && writePort(state, port, value);
      }
    }
  }

  #writeCommand(value: number): boolean {
    const state = this.#state;
    const before = state.command;
    // It is cleared when the reset is over, and until then nothing else can be written.
    if ((before & Command.reset) !== 0) return false;
    if ((value & Command.reset) !== 0) {
      state.command = Command.reset;
      state.requests |= Request.reset;
      return true;
    }
    state.command = value & COMMAND_WRITABLE;
    this.#interrupt.update();
    return ((before ^ value) & Command.run) !== 0;
  }

  #writeCommandRing(value: number): boolean {
    const state = this.#state;
    if ((state.commandRingLow & CommandRing.running) === 0) {
      state.commandRingLow = value & (POINTER | CommandRing.cycle);
      return false;
    }
    if ((value & (CommandRing.stop | CommandRing.abort)) === 0) return false;
    state.requests |= Request.stopCommands;
    return true;
  }

  #writeRuntime(offset: number, value: number): boolean {
    const state = this.#state;
    switch (offset) {
      case Runtime.management:
        if ((value & Interrupter.pending) !== 0) state.management &= ~Interrupter.pending;
        state.management = (state.management & ~Interrupter.enable) | (value & Interrupter.enable);
        this.#interrupt.update();
        return false;
      case Runtime.moderation:
        state.moderation = value;
        return false;
      case Runtime.segments:
        state.eventSegments = value & TABLE_SIZE;
        return false;
      case Runtime.table:
        state.eventTableLow = value & POINTER;
        return false;
      case Runtime.table + 4:
        // The low half is written first, or with it (section 5.1).
        state.eventTableHigh = value;
        state.requests |= Request.newEventRing;
        return true;
      case Runtime.dequeue:
        return this.#writeEventDequeue(value);
      case Runtime.dequeue + 4:
        state.eventDequeueHigh = value;
        this.#interrupt.handled();
        return state.eventsWait !== 0;
      default:
        return false;
    }
  }

  #writeEventDequeue(value: number): boolean {
    const state = this.#state;
    const busy = (value & EVENT_HANDLER_BUSY) !== 0 ? 0 : state.eventDequeueLow & EVENT_HANDLER_BUSY;
    state.eventDequeueLow = (value & (DEQUEUE | DEQUEUE_SEGMENT)) | busy;
    this.#interrupt.handled();
    return state.eventsWait !== 0;
  }

  #ringDoorbell(slot: number, value: number): boolean {
    const state = this.#state;
    const target = value & DOORBELL_VALUE;
    // No streams: a doorbell with one is for nobody. A halted controller does not hear (section 4.7).
    if (slot > SLOTS || target > 31 || (state.command & Command.run) === 0) return false;
    if (slot === 0 ? target !== 0 : target === 0) return false;
    state.doorbells[slot] = (state.doorbells[slot] ?? 0) | (1 << target);
    return true;
  }
}

/** The port's index and the offset among its registers; beyond the last port, one of the latter that is not there. */
function portRegister(offset: number): readonly [port: number, register: number] {
  const port = Math.floor((offset - Operational.ports) / PORT_REGISTERS_LENGTH);
  if (port < 0 || port >= PORTS) return [0, -1];
  return [port, (offset - Operational.ports) % PORT_REGISTERS_LENGTH];
}
