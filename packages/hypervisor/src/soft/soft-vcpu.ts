import type { MessagePort } from 'node:worker_threads';
import { EventFd } from '@tsvmm/base';
import {
  attachTranslation,
  Hart,
  type HartHost,
  HOT_THRESHOLD,
  type PhysicalAccess,
  type Fence as SoftFence,
} from '@tsvmm/softcpu';
import { GuestMemory, type GuestMemoryDescriptor } from '@tsvmm/vm-memory';
import { HypervisorError } from '../errors.ts';
import type { ExitHandler, Vcpu, VcpuStop } from '../vcpu.ts';
import { Deadlines } from './clock.ts';
import { HartStates } from './hart-states.ts';
import { IoEventTable } from './io-event-table.ts';
import { SoftInterrupts, type SoftMachineDescriptor } from './machine.ts';
import { SoftRegisters } from './registers.ts';
import { type FenceRange, HartState, Sbi, type SbiHart, type SbiMachine } from './sbi.ts';
import { TIMEBASE_FREQUENCY, timebase } from './timebase.ts';

/** What a vCPU thread needs, as plain data. */
export interface SoftVcpuBackEnd {
  readonly machine: SoftMachineDescriptor;
  readonly guestMemory: GuestMemoryDescriptor;
  readonly hartStates: SharedArrayBuffer;
  readonly deadlines: SharedArrayBuffer;
  readonly ioEvents: SharedArrayBuffer;
  /** One word a vCPU: not zero when {@link Vcpu.run} is to return. */
  readonly stopRequests: SharedArrayBuffer;
  /** Monotonic nanoseconds when `time` was 0. */
  readonly epoch: bigint;
  /** The hart's way to the translator thread: to be transferred. */
  readonly translator: MessagePort;
}

const PAGE_SIZE = 4096;
/** Of scounteren: cycle, time and instret. */
const COUNTERS = 7n;

/** A vCPU on a software hart, with the firmware (SBI) that the guest calls. */
export class SoftVcpu implements Vcpu, HartHost, SbiHart, SbiMachine {
  readonly id: number;
  readonly registers: SoftRegisters;
  readonly hartCount: number;
  readonly states: HartStates;
  readonly readTime: () => number;
  readonly #hart: Hart;
  readonly #interrupts: SoftInterrupts;
  readonly #guestMemory: GuestMemory;
  readonly #deadlines: Deadlines;
  readonly #ioEvents: IoEventTable;
  readonly #events = new Map<number, EventFd>();
  readonly #stopRequests: Int32Array;
  readonly #sbi: Sbi;
  readonly #translator: MessagePort;
  #handler: ExitHandler | undefined;
  #stop: VcpuStop | undefined;
  #disposed = false;

  constructor(id: number, backEnd: SoftVcpuBackEnd) {
    this.id = id;
    this.#interrupts = new SoftInterrupts(backEnd.machine);
    const { memory } = this.#interrupts;
    this.hartCount = backEnd.machine.vcpuCount;
    this.states = new HartStates(backEnd.hartStates);
    this.registers = new SoftRegisters(memory, id);
    this.readTime = timebase(backEnd.epoch);
    this.#guestMemory = GuestMemory.attach(backEnd.guestMemory);
    this.#deadlines = new Deadlines(backEnd.deadlines);
    this.#ioEvents = new IoEventTable(backEnd.ioEvents);
    this.#stopRequests = new Int32Array(backEnd.stopRequests);
    this.#sbi = new Sbi(this);
    this.#hart = new Hart(memory, id, this, { hotThreshold: HOT_THRESHOLD });
    this.#openCounters();
    attachTranslation(this.#hart, backEnd.translator);
    this.#translator = backEnd.translator;
  }

  run(handler: ExitHandler): VcpuStop {
    if (this.#disposed) {
      throw new HypervisorError('INVALID_STATE', `vCPU ${this.id} was disposed`);
    }
    this.#handler = handler;
    this.#stop = undefined;
    while (this.#waitUntilStarted()) {
      this.#hart.run();
      if (this.#stop !== undefined) {
        return this.#stop;
      }
    }
    return { reason: 'stopped', detail: `vCPU ${this.id} was asked to stop` };
  }

  stop(stop: VcpuStop): void {
    this.#stop = stop;
    this.#hart.requestStop();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#translator.close();
    for (const event of this.#events.values()) {
      event[Symbol.dispose]();
    }
    this.#guestMemory[Symbol.dispose]();
  }

  /** Firmware leaves the counters open to programs, and KVM does: Linux takes that for granted where it has no PMU. */
  #openCounters(): void {
    this.registers.set('scounteren', COUNTERS);
  }

  /** @returns false when {@link run} is to return */
  #waitUntilStarted(): boolean {
    for (;;) {
      const seen = this.states.events(this.id);
      if (Atomics.exchange(this.#stopRequests, this.id, 0) !== 0) {
        return false;
      }
      const start = this.states.takeStart(this.id);
      if (start !== undefined) {
        this.restart(start.address, start.opaqueLow, start.opaqueHigh);
      }
      if (this.states.get(this.id) === HartState.started) {
        return true;
      }
      this.states.waitForEvent(this.id, seen);
    }
  }

  // What the hart asks of its machine.

  mmioRead(access: PhysicalAccess): boolean {
    const offset = this.#interrupts.aplicOffset(access.address);
    if (offset >= 0) {
      access.low = access.size === 4 ? this.#interrupts.aplic.read(offset) : 0;
      access.high = 0;
    } else if (this.#interrupts.isImsic(access.address)) {
      access.low = 0;
      access.high = 0;
    } else {
      this.#handler?.mmioRead(access);
    }
    return true;
  }

  mmioWrite(access: PhysicalAccess): boolean {
    const { address, size, low } = access;
    const offset = this.#interrupts.aplicOffset(address);
    if (offset >= 0) {
      if (size === 4) {
        this.#interrupts.aplic.write(offset, low);
      }
    } else if (this.#interrupts.isImsic(address)) {
      if (size === 4) {
        this.#interrupts.writeImsic(address, low);
      }
    } else {
      const event = this.#ioEvents.find(address, size, low);
      if (event === undefined) {
        this.#handler?.mmioWrite(access);
      } else {
        this.#event(event.descriptor).signal();
      }
    }
    return true;
  }

  supervisorCall(): void {
    this.#sbi.call(this);
  }

  millisecondsUntil(deadline: number): number {
    return Math.max(0, ((deadline - this.readTime()) * 1000) / TIMEBASE_FREQUENCY);
  }

  timerChanged(deadline: number): void {
    this.#deadlines.set(this.id, deadline);
  }

  // What the firmware asks of the calling hart.

  registerLow(number: number): number {
    return this.#hart.registerLow(number);
  }

  registerHigh(number: number): number {
    return this.#hart.registerHigh(number);
  }

  setRegister(number: number, low: number, high: number): void {
    this.#hart.setRegisterWords(number, low, high);
  }

  setTimer(low: number, high: number): void {
    this.#hart.setTimer(low, high);
  }

  waitForInterrupt(): void {
    this.#hart.waitForInterrupt();
  }

  restart(pc: number, opaqueLow: number, opaqueHigh: number): void {
    this.#hart.reset(pc, this.id, 0);
    this.#hart.setRegisterWords(11, opaqueLow, opaqueHigh);
    this.#openCounters();
  }

  park(): void {
    this.states.set(this.id, HartState.stopped);
    this.#hart.requestStop();
  }

  // What the firmware asks of the machine.

  raiseSoftwareInterrupt(hart: number): void {
    Hart.sendSoftwareInterrupt(this.#interrupts.memory, hart);
  }

  remoteFence(harts: readonly number[], fence: FenceRange): void {
    this.#hart.remoteFence(harts, toSoftFence(fence));
  }

  shutdown(reason: 'shutdown' | 'reset' | 'crash', detail: string): void {
    this.stop({ reason, detail });
  }

  debugConsoleWrite(address: number, length: number): number | undefined {
    return this.isGuestMemory(address, length)
      ? (this.#handler?.debugConsoleWrite(address, length) ?? 0)
      : undefined;
  }

  debugConsoleWriteByte(byte: number): void {
    this.#handler?.debugConsoleWriteByte(byte);
  }

  isGuestMemory(address: number, length: number): boolean {
    return this.#guestMemory.contains(address, length);
  }

  #event(descriptor: number): EventFd {
    let event = this.#events.get(descriptor);
    if (event === undefined) {
      event = EventFd.fromDescriptor(descriptor);
      this.#events.set(descriptor, event);
    }
    return event;
  }
}

/** SBI gives start and size in bytes; everything when start and size are 0 or size is all ones (SBI 2.0, chapter 8). */
function toSoftFence(fence: FenceRange): SoftFence {
  if (fence.kind === 'fence.i') {
    return { kind: 'instruction' };
  }
  const size = fence.sizeHigh * 2 ** 32 + fence.sizeLow;
  if ((fence.startHigh === 0 && fence.startLow === 0 && size === 0) || fence.sizeHigh >= 0x1000) {
    return { kind: 'address-space', page: 0, pages: Number.POSITIVE_INFINITY };
  }
  // In pages an address of 64 bits is an exact number.
  const page = fence.startHigh * (2 ** 32 / PAGE_SIZE) + Math.floor(fence.startLow / PAGE_SIZE);
  return { kind: 'address-space', page, pages: Math.ceil(((fence.startLow % PAGE_SIZE) + size) / PAGE_SIZE) };
}
