// A driver for xHCI, written from the specification (xHCI 1.2, section 4.2 and after): registers by their offsets, rings in
// guest memory. The controller runs on the same thread, whenever a register says so.
import { GuestMemory } from '@tsvmm/vm-memory';
import {
  type AccessSize,
  PciConfigurationSpace,
  type UsbDevice,
  type UsbDeviceDescriptor,
  XhciController,
  XhciDevice,
} from '../../src/index.ts';
import { XhciFunction } from '../../src/usb/xhci/registers.ts';
import { RAM } from './machine-memory.ts';
import { recordingLine, registersOf } from './registers.ts';

export const RAM_SIZE = 4 * 2 ** 20;
const OPERATIONAL = 0x20;
const DOORBELLS = 0x2000;
const INTERRUPTER = 0x3020;
const RING_TRBS = 16;
const EVENT_TRBS = 32;

export const type = (value: number) => value << 10;
export const CYCLE = 1;
export const CHAIN = 1 << 4;
export const IOC = 1 << 5;
export const ISP = 1 << 2;
export const IDT = 1 << 6;

/** An event as its fields have it. */
export interface DriverEvent {
  readonly type: number;
  readonly parameter: number;
  readonly completion: number;
  readonly length: number;
  readonly slot: number;
  readonly endpoint: number;
  readonly control: number;
}

/** The producer's side of a ring with a link back to its start. */
export class DriverRing {
  readonly base: number;
  readonly #memory: GuestMemory;
  readonly #size: number;
  #index = 0;
  #cycle = 1;

  constructor(memory: GuestMemory, base: number, size = RING_TRBS) {
    this.#memory = memory;
    this.base = base;
    this.#size = size;
  }

  /** Where the next TRB goes, with its cycle state in bit 0. */
  get dequeue(): number {
    return this.next + this.#cycle;
  }

  /** Where the next TRB goes. */
  get next(): number {
    return this.base + 16 * this.#index;
  }

  /** Puts a TRB into the ring. @returns its address */
  put(parameter: Parameters<typeof writeTrb>[2], status: number, control: number): number {
    const address = this.next;
    writeTrb(this.#memory, address, parameter, status, control | this.#cycle);
    this.#index++;
    if (this.#index === this.#size - 1) {
      // The link is part of a TD that goes on behind it.
      const link = type(6) | 2 | (control & CHAIN) | this.#cycle;
      writeTrb(this.#memory, this.base + 16 * this.#index, this.base, 0, link);
      this.#index = 0;
      this.#cycle ^= 1;
    }
    return address;
  }
}

export function writeTrb(
  memory: GuestMemory,
  address: number,
  parameter: number | readonly [low: number, high: number],
  status: number,
  control: number,
): void {
  if (typeof parameter === 'number') memory.writeUint53(address, parameter);
  else memory.writeUint64(address, ...parameter);
  memory.writeUint32(address + 8, status);
  memory.storeUint32(address + 12, control);
}

/** A controller with devices at its ports, and a driver for it. */
export class XhciDriver implements Disposable {
  readonly memory = GuestMemory.create({ regions: [{ base: RAM, size: RAM_SIZE }] });
  readonly line = recordingLine();
  readonly faults: string[] = [];
  readonly controller: XhciController;
  readonly #device: XhciDevice;
  readonly #registers;
  #free = RAM + 0x1000;
  readonly contexts = this.allocate(17 * 8);
  commands = new DriverRing(this.memory, this.allocate(16 * RING_TRBS));
  readonly #table = this.allocate(16);
  readonly #events = this.allocate(16 * EVENT_TRBS);
  #eventIndex = 0;
  #eventCycle = 1;

  /** @param devices by port number, from 1 on; their speed has to be that of the port */
  constructor(
    devices: Readonly<Record<number, UsbDevice>> = {},
    plugged: readonly UsbDeviceDescriptor[] = [],
  ) {
    this.#device = new XhciDevice(plugged);
    const { space, state } = this.#device.descriptor({ bus: 0, device: 1, function: 0 });
    const byPort = new Map(Object.entries(devices).map(([port, device]) => [Number(port) - 1, device]));
    const controller = new XhciController({
      state,
      space: new PciConfigurationSpace(space),
      memory: this.memory,
      line: this.line,
      devices: byPort,
      onFault: (message) => this.faults.push(message),
    });
    this.controller = controller;
    const fn = new XhciFunction(space, state, {
      line: this.line,
      control: { signal: () => controller.control() },
    });
    this.#registers = registersOf({
      read: (access) => fn.readBar(0, access),
      write: (access) => fn.writeBar(0, access),
    });
  }

  read(offset: number, size: AccessSize = 4): number {
    const value = this.#registers.read(offset, size) >>> 0;
    return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value;
  }
  write(offset: number, value: number, size: AccessSize = 4): void {
    this.#registers.write(offset, value, size);
  }
  get command(): number {
    return this.read(OPERATIONAL);
  }
  set command(value: number) {
    this.write(OPERATIONAL, value);
  }
  get status(): number {
    return this.read(OPERATIONAL + 4);
  }
  /** PORTSC of a port, by its number from 1 on. */
  port(number: number): number {
    return this.read(OPERATIONAL + 0x400 + 16 * (number - 1));
  }
  setPort(number: number, value: number): void {
    this.write(OPERATIONAL + 0x400 + 16 * (number - 1), value);
  }
  interrupter(offset: number): number {
    return this.read(INTERRUPTER + offset);
  }

  /** Memory nobody uses, at a multiple of 64. */
  allocate(length: number): number {
    const address = this.#free;
    this.#free += Math.ceil(length / 64) * 64;
    return address;
  }

  /** Sets everything up and runs, with interrupts. @param eventTrbs places in the event ring, up to 32 */
  start(eventTrbs = EVENT_TRBS): this {
    this.write(OPERATIONAL + 0x38, 16);
    this.write(OPERATIONAL + 0x30, this.contexts);
    this.write(OPERATIONAL + 0x34, 0);
    this.write(OPERATIONAL + 0x18, this.commands.dequeue);
    this.write(OPERATIONAL + 0x1c, 0);
    this.memory.fill(this.#events, 16 * EVENT_TRBS, 0);
    this.memory.writeUint53(this.#table, this.#events);
    this.memory.writeUint32(this.#table + 8, eventTrbs);
    this.write(INTERRUPTER + 0x08, 1);
    this.write(INTERRUPTER + 0x18, this.#events);
    this.write(INTERRUPTER + 0x1c, 0);
    this.write(INTERRUPTER + 0x10, this.#table);
    this.write(INTERRUPTER + 0x14, 0);
    this.write(INTERRUPTER, 2);
    this.command = 0b101;
    return this;
  }

  ring(slot: number, target = 0): void {
    this.write(DOORBELLS + 4 * slot, target);
  }

  /** Takes the events that are there. @param limit how many of them at most */
  events(limit = Number.POSITIVE_INFINITY): DriverEvent[] {
    const found: DriverEvent[] = [];
    const size = this.memory.readUint32(this.#table + 8);
    while (found.length < limit) {
      const at = this.#events + 16 * this.#eventIndex;
      const control = this.memory.loadUint32(at + 12);
      if ((control & 1) !== this.#eventCycle) break;
      const status = this.memory.readUint32(at + 8);
      found.push({
        type: (control >>> 10) & 0x3f,
        parameter: this.memory.readUint53(at),
        completion: status >>> 24,
        length: status & 0xff_ffff,
        slot: control >>> 24,
        endpoint: (control >>> 16) & 0x1f,
        control,
      });
      this.#eventIndex++;
      if (this.#eventIndex === size) {
        this.#eventIndex = 0;
        this.#eventCycle ^= 1;
      }
    }
    return found;
  }

  /** Says how far events were read, as an interrupt handler does at its end. */
  handled(): void {
    this.write(INTERRUPTER, 3);
    this.write(INTERRUPTER + 0x18, this.#events + 16 * this.#eventIndex + 8);
    this.write(INTERRUPTER + 0x1c, 0);
  }

  /** Takes all events, and says so. */
  take(): DriverEvent[] {
    const found = this.events();
    this.handled();
    return found;
  }

  /** Gives a command and waits, which is not for long. */
  run(
    commandType: number,
    options: { parameter?: number; slot?: number; endpoint?: number; flags?: number } = {},
  ) {
    const { parameter = 0, slot = 0, endpoint = 0, flags = 0 } = options;
    const control = type(commandType) | flags | (slot << 24) | (endpoint << 16);
    const address = this.commands.put(parameter, 0, control);
    this.ring(0);
    const done = this.take().find((event) => event.type === 33 && event.parameter === address);
    if (!done) throw new Error(`no completion of command ${commandType}`);
    return { completion: done.completion, slot: done.slot };
  }

  /** Resets a port and makes a slot of what is there, up to its address. @returns the slot with its endpoint 0 */
  addressDevice(port: number, packetSize = 64) {
    this.setPort(port, (1 << 4) | (1 << 9));
    this.setPort(port, 0x7f << 17);
    this.take();
    const { slot } = this.run(9);
    const context = this.allocate(0x400);
    this.memory.writeUint53(this.contexts + 8 * slot, context);
    const control = new DriverRing(this.memory, this.allocate(16 * RING_TRBS));
    const input = this.allocate(0x420);
    const fill = () => {
      this.memory.fill(input, 0x420, 0);
      this.memory.writeUint32(input + 0x20, (1 << 27) | (((this.port(port) >>> 10) & 0xf) << 20));
      this.memory.writeUint32(input + 0x24, port << 16);
    };
    fill();
    this.memory.writeUint32(input + 4, 0b11);
    this.memory.writeUint32(input + 0x44, (4 << 3) | (3 << 1) | (packetSize << 16));
    this.memory.writeUint53(input + 0x48, control.dequeue);
    const { completion } = this.run(11, { slot, parameter: input });
    return { slot, context, control, input, fill, completion };
  }

  /** Configures an endpoint by its device context index. @returns its ring */
  configure(
    { slot, input, fill }: ReturnType<XhciDriver['addressDevice']>,
    index: number,
    endpointType: number,
    packetSize = 512,
  ) {
    const ring = new DriverRing(this.memory, this.allocate(16 * RING_TRBS));
    fill();
    this.memory.writeUint32(input + 4, (1 << index) | 1);
    const at = input + 0x20 * (index + 1);
    this.memory.writeUint32(at + 4, (endpointType << 3) | (3 << 1) | (packetSize << 16));
    this.memory.writeUint53(at + 8, ring.dequeue);
    return { ring, completion: this.run(12, { slot, parameter: input }).completion };
  }

  /** A control transfer's stages. @returns where they are, and its data */
  putControl(control: DriverRing, setup: readonly number[], length: number, data?: Uint8Array) {
    const bytes = Uint8Array.from(setup);
    const low = new DataView(bytes.buffer).getUint32(0, true);
    const high = (length << 16) | ((setup[5] ?? 0) << 8) | (setup[4] ?? 0);
    const isIn = ((setup[0] ?? 0) & 0x80) !== 0;
    const buffer = this.allocate(Math.max(length, 1));
    if (data) this.memory.copyIn(buffer, data);
    const first = control.put([low, high], 8, type(2) | IDT | ((length > 0 ? (isIn ? 3 : 2) : 0) << 16));
    const stage = length > 0 ? control.put(buffer, length, type(3) | ISP | (isIn ? 1 << 16 : 0)) : 0;
    const status = control.put(0, 0, type(4) | IOC | (isIn && length > 0 ? 0 : 1 << 16));
    return { setup: first, data: stage, status, buffer };
  }

  bytes(address: number, length: number): Uint8Array {
    return Uint8Array.from(this.memory.bytes(address, length));
  }

  /** The state of an endpoint as its context shows it. */
  endpointState({ context }: { readonly context: number }, index: number): number {
    return this.memory.readUint32(context + 0x20 * index) & 7;
  }

  [Symbol.dispose](): void {
    void this.controller[Symbol.asyncDispose]();
    this.#device[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}
