import type { GuestMemory } from '@tsvmm/vm-memory';
import { MAX_EVENT_SEGMENTS } from './capabilities.ts';
import { Completion, TRB_LENGTH, Trb, TrbType } from './constants.ts';
import type { XhciInterrupt } from './interrupt.ts';
import type { XhciState } from './state.ts';
import { XhciFault } from './trb-ring.ts';

/** Sizes of a segment in TRBs (table 6-97), and bytes of its entry in the table. */
const MIN_SEGMENT = 16;
const MAX_SEGMENT = 4096;
const ENTRY_LENGTH = 16;

/** An event: the first three words of its TRB, and its control word without the cycle bit. */
export interface XhciEvent {
  readonly parameterLow: number;
  readonly parameterHigh: number;
  readonly status: number;
  readonly control: number;
  /** The driver does not want to be interrupted for it. */
  readonly isSilent?: boolean;
}

interface Place {
  readonly segment: number;
  readonly base: number;
  readonly size: number;
  readonly index: number;
}

/** Writes events to the ring of interrupter 0 (section 4.9.4), and keeps those for which it has no room. */
export class EventRing {
  readonly #state: XhciState;
  readonly #memory: GuestMemory;
  readonly #interrupt: XhciInterrupt;
  readonly #waiting: XhciEvent[] = [];
  /** Where the next event goes; undefined while there is no ring. */
  #place: Place | undefined;
  #cycle: number = Trb.cycle;

  constructor(state: XhciState, memory: GuestMemory, interrupt: XhciInterrupt) {
    this.#state = state;
    this.#memory = memory;
    this.#interrupt = interrupt;
  }

  /** Whether events wait for room: until then nothing should be done that makes more of them. */
  get isFull(): boolean {
    return this.#waiting.length > 0;
  }

  /** Forgets ring and events. */
  reset(): void {
    this.#place = undefined;
    this.#waiting.length = 0;
    this.#state.eventsWait = 0;
  }

  /**
   * Takes a ring that the driver has set up into use.
   * @throws XhciFault, GuestMemoryError
   */
  start(): void {
    this.#waiting.length = 0;
    this.#state.eventsWait = 0;
    this.#cycle = Trb.cycle;
    this.#place = this.#state.eventSegments === 0 ? undefined : this.#segment(0);
    this.#state.eventEnqueue = this.#place?.base ?? 0;
  }

  /** Adds an event, or keeps it until there is room. Without a ring there is nobody to tell it. */
  post(event: XhciEvent): void {
    if (this.#place === undefined) return;
    this.#waiting.push(event);
    this.flush();
  }

  /**
   * Writes events that waited. When there is one place left, it is for saying that the ring is full.
   * @throws XhciFault, GuestMemoryError
   */
  flush(): void {
    const state = this.#state;
    let isLoud = false;
    let written = 0;
    while (this.#place !== undefined && written < this.#waiting.length) {
      const next = this.#after(this.#place);
      const dequeue = state.eventDequeueHigh * 2 ** 32 + ((state.eventDequeueLow & ~0xf) >>> 0);
      if (addressOf(next) === dequeue) break;
      if (addressOf(this.#after(next)) === dequeue) {
        this.#write(this.#place, RING_FULL);
        isLoud = true;
        this.#advance(next);
        break;
      }
      const event = this.#waiting[written++];
      if (event === undefined) break;
      this.#write(this.#place, event);
      isLoud ||= event.isSilent !== true;
      this.#advance(next);
    }
    this.#waiting.splice(0, written);
    state.eventsWait = this.isFull ? 1 : 0;
    if (isLoud) this.#interrupt.raise();
  }

  #write(place: Place, { parameterLow, parameterHigh, status, control }: XhciEvent): void {
    const address = addressOf(place);
    this.#memory.writeUint64(address, parameterLow, parameterHigh);
    this.#memory.writeUint32(address + 8, status);
    this.#memory.storeUint32(address + 12, control | this.#cycle);
  }

  #advance(next: Place): void {
    if (next.segment === 0 && next.index === 0) this.#cycle ^= Trb.cycle;
    this.#place = next;
    this.#state.eventEnqueue = addressOf(next);
  }

  #after({ segment, base, size, index }: Place): Place {
    if (index + 1 < size) return { segment, base, size, index: index + 1 };
    return this.#segment(segment + 1 < this.#state.eventSegments ? segment + 1 : 0);
  }

  #segment(segment: number): Place {
    const { eventTableLow, eventTableHigh } = this.#state;
    if (this.#state.eventSegments > MAX_EVENT_SEGMENTS) {
      throw new XhciFault(`the event ring has more than ${MAX_EVENT_SEGMENTS} segments`);
    }
    const entry = eventTableHigh * 2 ** 32 + eventTableLow + segment * ENTRY_LENGTH;
    const base = this.#memory.readUint53(entry);
    const size = this.#memory.readUint16(entry + 8);
    if (size < MIN_SEGMENT || size > MAX_SEGMENT || base % 64 !== 0) {
      throw new XhciFault(
        `segment ${segment} of the event ring has ${size} events, at 0x${base.toString(16)}`,
      );
    }
    return { segment, base, size, index: 0 };
  }
}

const addressOf = ({ base, index }: Place): number => base + index * TRB_LENGTH;

const RING_FULL: XhciEvent = {
  parameterLow: 0,
  parameterHigh: 0,
  status: Completion.eventRingFull << 24,
  control: TrbType.hostControllerEvent << Trb.typeShift,
};
