import type { GuestMemory } from '@tsvmm/vm-memory';
import type { UsbDevice, UsbSetup } from '../device.ts';
import { Completion, Trb, TrbType } from './constants.ts';
import { EndpointState, writeEndpointState } from './contexts.ts';
import type { EventRing } from './event-ring.ts';
import { dataLength, TransferDescriptor } from './transfer-descriptor.ts';
import { type RingPosition, RingReader, type TransferRequestBlock } from './trb-ring.ts';

/** Most TRBs of one transfer: eight times what Linux puts into one, and a bound for what a hostile driver can. */
const MAX_TRBS = 2048;
const REQUEST_TYPE_IN = 0x80;

/** A transfer as it stands in a ring: its TRBs, by stage for control transfers. */
interface Gathered {
  readonly data: readonly TransferRequestBlock[];
  /** Setup and status stages, the latter with the Event Data TRB that may follow it. */
  readonly setup?: TransferRequestBlock;
  readonly status?: readonly TransferRequestBlock[];
  readonly count: number;
  /** Where the ring goes on. */
  readonly next: RingPosition;
}

/** What an endpoint works with. */
export interface EndpointWiring {
  readonly memory: GuestMemory;
  readonly events: EventRing;
  readonly device: UsbDevice;
  /** Does what is due when a device has ended a transfer after the call that began it, and goes on with the endpoint. */
  readonly settle: (endpoint: Endpoint, action: () => void) => void;
}

/** TRBs that are no transfer: the endpoint stops, and the driver is told at which one. */
class BadTransfer extends Error {
  readonly at: TransferRequestBlock;
  constructor(at: TransferRequestBlock) {
    super(`the TRB at 0x${at.address.toString(16)} makes no transfer`);
    this.at = at;
  }
}

/** An endpoint with its transfer ring (sections 4.8 and 4.9.3). One transfer is under way at a time. */
export class Endpoint {
  readonly #wiring: EndpointWiring;
  readonly #slot: number;
  /** Device context index. */
  readonly #index: number;
  /** Where the driver sees the endpoint's state. */
  readonly #context: number;
  #state: EndpointState = EndpointState.running;
  #position: RingPosition;
  #transfer: { readonly descriptor: TransferDescriptor; readonly trbs: Gathered } | undefined;
  /** Whether the device is being called: what ends meanwhile is gone on with by the caller. */
  #isStarting = false;

  constructor(wiring: EndpointWiring, slot: number, index: number, context: number, position: RingPosition) {
    this.#wiring = wiring;
    this.#slot = slot;
    this.#index = index;
    this.#context = context;
    this.#position = position;
    this.#show();
  }

  get state(): EndpointState {
    return this.#state;
  }

  /**
   * Starts what the driver has put into the ring, as long as the device ends it at once.
   * @param budget most TRBs to take
   * @returns how many of them are left; none when there may be more
   * @throws XhciFault, GuestMemoryError
   */
  run(budget: number): number {
    let left = budget;
    while (
      left > 0 &&
      this.#state === EndpointState.running &&
      !this.#transfer &&
      !this.#wiring.events.isFull
    ) {
      try {
        const gathered = this.#gather();
        if (!gathered) return left;
        left -= gathered.count;
        this.#start(gathered);
      } catch (error) {
        if (!(error instanceof BadTransfer)) throw error;
        this.#fail(error.at);
        return left;
      }
    }
    return this.#transfer ? Math.max(left, 1) : left;
  }

  /** A driver that stops the endpoint is told of the transfer that was under way. */
  stop(): void {
    const first = this.#transfer?.trbs.data[0] ?? this.#transfer?.trbs.setup;
    this.abandon();
    if (first) this.#post(first, Completion.stopped, dataLength(first));
    this.#change(EndpointState.stopped);
  }

  /** The driver has seen that the endpoint halted. */
  reset(): void {
    this.#change(EndpointState.stopped);
  }

  setPosition(position: RingPosition): void {
    this.#position = position;
    this.#change(EndpointState.stopped);
  }

  /** A doorbell starts what was stopped. */
  resume(): void {
    if (this.#state === EndpointState.stopped) this.#change(EndpointState.running);
  }

  disable(): void {
    this.abandon();
    this.#change(EndpointState.disabled);
  }

  /** Gives up what is under way; the driver is not told. */
  abandon(): void {
    if (!this.#transfer) return;
    this.#transfer.descriptor.abandon();
    this.#transfer = undefined;
    this.#wiring.device.cancel(this.#address);
  }

  /** As USB has it: the number, with bit 7 for those that send to the host; 0 for control. */
  get #address(): number {
    if (this.#index === 1) return 0;
    return (this.#index >> 1) | ((this.#index & 1) !== 0 ? 0x80 : 0);
  }

  /** @throws BadTransfer */
  #gather(): Gathered | undefined {
    const ring = new RingReader(this.#wiring.memory, this.#position);
    const first = ring.take();
    if (!first) return undefined;
    if (first.type === TrbType.noOp) return { data: [first], count: 1, next: ring.position };
    if (this.#index === 1) return gatherControl(ring, first);
    if (first.type !== TrbType.normal) throw new BadTransfer(first);
    const data = gatherChain(ring, first);
    return data && { data, count: data.length, next: ring.position };
  }

  #start(gathered: Gathered): void {
    const { memory, device } = this.#wiring;
    const { setup: setupBlock, data } = gathered;
    const setup = setupBlock && readSetup(setupBlock);
    const isIn = setup ? (setup.requestType & REQUEST_TYPE_IN) !== 0 : (this.#index & 1) !== 0;
    const onEnd = (status: 'success' | 'stall', length: number) => {
      if (this.#isStarting) this.#ended(gathered, status, length);
      else this.#wiring.settle(this, () => this.#ended(gathered, status, length));
    };
    const descriptor = new TransferDescriptor(memory, data, isIn, onEnd);
    this.#transfer = { descriptor, trbs: gathered };
    this.#isStarting = true;
    try {
      if (data[0]?.type === TrbType.noOp) descriptor.complete('success');
      else if (setup) device.control(setup, descriptor);
      else device.transfer(this.#address, descriptor);
    } finally {
      this.#isStarting = false;
    }
  }

  #ended(gathered: Gathered, status: 'success' | 'stall', length: number): void {
    this.#transfer = undefined;
    if (status === 'stall') {
      this.#stalled(gathered, length);
    } else {
      this.#position = gathered.next;
      this.#report(gathered, length);
    }
  }

  /** Events of a transfer that came to its end (section 4.11.3). */
  #report({ setup, data, status = [] }: Gathered, length: number): void {
    if (setup && (setup.control & Trb.interruptOnCompletion) !== 0) {
      this.#post(setup, Completion.success, 0);
    }
    this.#reportData(data, length);
    this.#reportData(status, 0);
  }

  /** A short packet ends a TD: its TRB, and the last one of the TD, may ask for an event (section 4.10.1.1). */
  #reportData(trbs: readonly TransferRequestBlock[], length: number): void {
    let left = length;
    /** Bytes since the last Event Data TRB. */
    let accumulated = 0;
    let completion: number = Completion.success;
    for (const trb of trbs) {
      const wantsEvent = (trb.control & Trb.interruptOnCompletion) !== 0;
      if (trb.type === TrbType.eventData) {
        if (wantsEvent) this.#post(trb, completion, accumulated);
        accumulated = 0;
        continue;
      }
      const expected = dataLength(trb);
      const moved = Math.min(left, expected);
      left -= moved;
      accumulated += moved;
      const isShortHere = moved < expected && completion === Completion.success;
      if (isShortHere) completion = Completion.shortPacket;
      const wantsShort = isShortHere && (trb.control & Trb.interruptOnShortPacket) !== 0;
      if (wantsEvent || wantsShort) this.#post(trb, completion, expected - moved);
    }
  }

  /** The driver is told at which TRB it was, whether or not that asks for events. */
  #stalled({ setup, data, status = [] }: Gathered, length: number): void {
    let left = length;
    let at = data.at(-1) ?? status[0] ?? setup;
    for (const trb of data) {
      if (left < dataLength(trb)) {
        at = trb;
        break;
      }
      left -= dataLength(trb);
    }
    // A control transfer that has moved all its data stalls where it ends.
    if (at && data.length > 0 && left >= dataLength(at)) at = status[0] ?? at;
    if (at) this.#post(at, Completion.stall, Math.max(0, dataLength(at) - left));
    this.#change(EndpointState.halted);
  }

  #fail(at: TransferRequestBlock): void {
    this.#post(at, Completion.trbError, dataLength(at));
    this.#change(EndpointState.error);
  }

  #post(trb: TransferRequestBlock, completion: number, length: number): void {
    const isEventData = trb.type === TrbType.eventData;
    const address = trb.address;
    this.#wiring.events.post({
      parameterLow: isEventData ? trb.parameterLow : address >>> 0,
      parameterHigh: isEventData ? trb.parameterHigh : Math.floor(address / 2 ** 32),
      status: (length & 0xff_ffff) | (completion << 24),
      control:
        (isEventData ? Trb.eventData : 0) |
        (TrbType.transferEvent << Trb.typeShift) |
        (this.#index << Trb.endpointShift) |
        (this.#slot << Trb.slotShift),
      isSilent: (trb.control & Trb.blockEventInterrupt) !== 0,
    });
  }

  #change(state: EndpointState): void {
    this.#state = state;
    this.#show();
  }

  #show(): void {
    writeEndpointState(this.#wiring.memory, this.#context, this.#state, this.#position);
  }
}

/** The TRBs that are chained to `first`; undefined when the driver has not put all of them there yet. */
function gatherChain(ring: RingReader, first: TransferRequestBlock): TransferRequestBlock[] | undefined {
  const trbs = [first];
  for (let last = first; (last.control & Trb.chain) !== 0; ) {
    const trb = ring.take();
    if (!trb) return undefined;
    const isData = trb.type === TrbType.normal || trb.type === TrbType.eventData;
    if (!isData || trbs.length >= MAX_TRBS) throw new BadTransfer(trb);
    trbs.push(trb);
    last = trb;
  }
  return trbs;
}

/** All stages of a control transfer (section 4.11.2.2), which begin together. */
function gatherControl(ring: RingReader, setup: TransferRequestBlock): Gathered | undefined {
  if (setup.type !== TrbType.setupStage || (setup.control & Trb.immediateData) === 0) {
    throw new BadTransfer(setup);
  }
  let next = ring.take();
  if (!next) return undefined;
  let data: TransferRequestBlock[] = [];
  if (next.type === TrbType.dataStage) {
    const isIn = (next.control & Trb.directionIn) !== 0;
    if (isIn !== ((readSetup(setup).requestType & REQUEST_TYPE_IN) !== 0)) throw new BadTransfer(next);
    const chain = gatherChain(ring, next);
    if (!chain) return undefined;
    data = chain;
    next = ring.take();
    if (!next) return undefined;
  }
  if (next.type !== TrbType.statusStage) throw new BadTransfer(next);
  const status = gatherChain(ring, next);
  return status && { setup, data, status, count: 1 + data.length + status.length, next: ring.position };
}

function readSetup({ parameterLow: low, parameterHigh: high }: TransferRequestBlock): UsbSetup {
  return {
    requestType: low & 0xff,
    request: (low >>> 8) & 0xff,
    value: low >>> 16,
    index: high & 0xffff,
    length: high >>> 16,
  };
}
