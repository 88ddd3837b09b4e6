import type { GuestMemory } from '@tsvmm/vm-memory';
import type { UsbDevice } from '../device.ts';
import { CONTEXTS, Completion, PORTS, SLOTS, Trb } from './constants.ts';
import {
  CONTEXT_LENGTH,
  copyContext,
  EndpointState,
  EndpointType,
  readEndpoint,
  readInputControl,
  readSlotPath,
  SlotState,
  writeSlotState,
} from './contexts.ts';
import { Endpoint, type EndpointWiring } from './endpoint.ts';
import type { EventRing } from './event-ring.ts';
import { parameterOf, type TransferRequestBlock } from './trb-ring.ts';

/** What slots are made for. */
export interface SlotsWiring {
  readonly memory: GuestMemory;
  readonly events: EventRing;
  /** Device context base address array, and how many slots the driver uses, as the registers have them now. */
  readonly deviceContexts: () => number;
  readonly slotsEnabled: () => number;
  /** The device at a port that is enabled. */
  readonly deviceAt: (port: number) => UsbDevice | undefined;
  /** Speed id of what a port has, for its bandwidth. */
  readonly speedAt: (port: number) => number;
  readonly settle: EndpointWiring['settle'];
}

/** A device slot (section 4.5). */
interface Slot {
  state: SlotState;
  /** The driver's device context; 0 before there is one. */
  context: number;
  /** Index of the root hub's port; -1 before it is known. */
  port: number;
  device: UsbDevice | undefined;
  /** By device context index. */
  readonly endpoints: Map<number, Endpoint>;
}

const SLOT_CONTEXT = 1 << 0;
const ENDPOINT_0 = 1 << 1;
/** Where contexts are behind the input control context, and in a device context. */
const inputContext = (input: number, index: number): number => input + CONTEXT_LENGTH * (index + 1);
const outputContext = (context: number, index: number): number => context + CONTEXT_LENGTH * index;
/** Bandwidth that is free, percent: a port has one device. */
const FREE_BANDWIDTH = 90;

/** Device slots with their endpoints: each command answers with a completion code (section 4.6). */
export class Slots {
  readonly #wiring: SlotsWiring;
  /** By slot id. */
  readonly #slots = new Map<number, Slot>();

  constructor(wiring: SlotsWiring) {
    this.#wiring = wiring;
  }

  /** Gives up everything without telling the driver, whose memory is left as it is. */
  reset(): void {
    for (const endpoint of this.endpoints()) endpoint.abandon();
    this.#slots.clear();
  }

  *endpoints(): Generator<Endpoint> {
    for (const { endpoints } of this.#slots.values()) yield* endpoints.values();
  }

  /** The endpoint behind a doorbell, ready to go. */
  ring(id: number, index: number): Endpoint | undefined {
    const endpoint = this.#slots.get(id)?.endpoints.get(index);
    endpoint?.resume();
    return endpoint;
  }

  /** @returns the slot's id; 0 when there is none left */
  enable(): number {
    const count = Math.min(SLOTS, this.#wiring.slotsEnabled());
    for (let id = 1; id <= count; id++) {
      if (this.#slots.has(id)) continue;
      const slot = {
        state: SlotState.enabled,
        context: 0,
        port: -1,
        device: undefined,
        endpoints: new Map(),
      };
      this.#slots.set(id, slot);
      return id;
    }
    return 0;
  }

  disable(id: number): number {
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    this.#disableEndpoints(slot, () => true);
    this.#slots.delete(id);
    return Completion.success;
  }

  /** Address Device: also makes endpoint 0. The address is the slot's id, which the device is not told. */
  address(id: number, trb: TransferRequestBlock): number {
    const { memory, deviceAt } = this.#wiring;
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    const isBlocked = (trb.control & Trb.blockSetAddress) !== 0;
    const isReady = slot.state === SlotState.enabled || (slot.state === SlotState.default && !isBlocked);
    if (!isReady) return Completion.contextStateError;
    const input = inputOf(trb);
    const { drop, add } = readInputControl(memory, input);
    if (drop !== 0 || (add & (SLOT_CONTEXT | ENDPOINT_0)) !== (SLOT_CONTEXT | ENDPOINT_0)) {
      return Completion.parameterError;
    }
    const { port, route } = readSlotPath(memory, inputContext(input, 0));
    const request = readEndpoint(memory, inputContext(input, 1));
    if (port < 1 || port > PORTS || route !== 0 || request.type !== EndpointType.control) {
      return Completion.parameterError;
    }
    const device = deviceAt(port - 1);
    const isTaken = [...this.#slots.values()].some((other) => other !== slot && other.port === port - 1);
    if (!device || isTaken) return Completion.usbTransactionError;
    const context = memory.readUint53(this.#wiring.deviceContexts() + 8 * id);
    this.#disableEndpoints(slot, () => true);
    Object.assign(slot, { context, port: port - 1, device });
    copyContext(memory, context, inputContext(input, 0));
    copyContext(memory, outputContext(context, 1), inputContext(input, 1));
    this.#addEndpoint(id, slot, 1, device);
    this.#setState(id, slot, isBlocked ? SlotState.default : SlotState.addressed);
    return Completion.success;
  }

  configure(id: number, trb: TransferRequestBlock): number {
    const { memory } = this.#wiring;
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    const { device } = slot;
    if (!device || slot.state < SlotState.addressed) return Completion.contextStateError;
    if ((trb.control & Trb.deconfigure) !== 0) {
      this.#disableEndpoints(slot, (index) => index > 1);
      this.#setState(id, slot, SlotState.addressed);
      return Completion.success;
    }
    const input = inputOf(trb);
    const { drop, add } = readInputControl(memory, input);
    if (((drop | add) & ENDPOINT_0) !== 0 || (drop & SLOT_CONTEXT) !== 0) return Completion.parameterError;
    const added = endpointsIn(add);
    for (const index of added) {
      const isNew = !slot.endpoints.has(index) || (drop & (1 << index)) !== 0;
      if (!isNew || !this.#canBe(index, inputContext(input, index))) return Completion.parameterError;
    }
    this.#disableEndpoints(slot, (index) => (drop & (1 << index)) !== 0);
    if ((add & SLOT_CONTEXT) !== 0) copyContext(memory, slot.context, inputContext(input, 0));
    for (const index of added) {
      copyContext(memory, outputContext(slot.context, index), inputContext(input, index));
      this.#addEndpoint(id, slot, index, device);
    }
    this.#setState(id, slot, slot.endpoints.size > 1 ? SlotState.configured : SlotState.addressed);
    return Completion.success;
  }

  /** The driver has learned endpoint 0's packet size, or how long a device takes to wake: nothing here depends on them. */
  evaluate(id: number, trb: TransferRequestBlock): number {
    const { memory } = this.#wiring;
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    if (slot.state < SlotState.default) return Completion.contextStateError;
    const input = inputOf(trb);
    const { drop, add } = readInputControl(memory, input);
    if (drop !== 0 || (add & ~(SLOT_CONTEXT | ENDPOINT_0)) !== 0) return Completion.parameterError;
    if ((add & SLOT_CONTEXT) !== 0) {
      // Interrupter target in the upper ten bits, maximum exit latency in the lower half of the word before it.
      const from = inputContext(input, 0);
      memory.writeUint16(slot.context + 4, memory.readUint16(from + 4));
      memory.writeUint32(slot.context + 8, memory.readUint32(from + 8));
    }
    if ((add & ENDPOINT_0) !== 0) {
      const packetSize = memory.readUint16(inputContext(input, 1) + 6);
      memory.writeUint16(outputContext(slot.context, 1) + 6, packetSize);
    }
    return Completion.success;
  }

  /** Reset Device: the device is where a reset of its port leaves it. */
  resetDevice(id: number): number {
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    if (slot.state < SlotState.addressed) return Completion.contextStateError;
    this.#disableEndpoints(slot, (index) => index > 1);
    this.#setState(id, slot, SlotState.default);
    return Completion.success;
  }

  stopEndpoint(id: number, index: number): number {
    return this.#withEndpoint(id, index, [EndpointState.running], (endpoint) => endpoint.stop());
  }

  resetEndpoint(id: number, index: number): number {
    return this.#withEndpoint(id, index, [EndpointState.halted], (endpoint) => endpoint.reset());
  }

  setDequeuePointer(id: number, index: number, trb: TransferRequestBlock): number {
    // A stream's id, or its type.
    if (trb.status >>> 16 !== 0 || (trb.parameterLow & 0xe) !== 0) return Completion.trbError;
    const position = {
      address: trb.parameterHigh * 2 ** 32 + ((trb.parameterLow & ~0xf) >>> 0),
      cycle: trb.parameterLow & 1,
    };
    const states = [EndpointState.stopped, EndpointState.error];
    return this.#withEndpoint(id, index, states, (endpoint) => endpoint.setPosition(position));
  }

  /** Get Port Bandwidth: a byte for each port from 1 on, after one that is reserved. */
  bandwidth(trb: TransferRequestBlock): number {
    const speed = (trb.control >>> 16) & 0xf;
    const context = inputOf(trb);
    const free = Uint8Array.from({ length: PORTS + 1 }, (_, port) =>
      port > 0 && this.#wiring.speedAt(port - 1) === speed ? FREE_BANDWIDTH : 0,
    );
    this.#wiring.memory.copyIn(context, free);
    return Completion.success;
  }

  #withEndpoint(
    id: number,
    index: number,
    states: readonly EndpointState[],
    action: (endpoint: Endpoint) => void,
  ): number {
    const slot = this.#slots.get(id);
    if (!slot) return Completion.slotNotEnabled;
    const endpoint = slot.endpoints.get(index);
    if (!endpoint) return Completion.endpointNotEnabled;
    if (!states.includes(endpoint.state)) return Completion.contextStateError;
    action(endpoint);
    return Completion.success;
  }

  /** Bulk and interrupt endpoints in their direction; there are neither streams nor isochronous transfers. */
  #canBe(index: number, context: number): boolean {
    const { type, hasStreams, maxPacketSize } = readEndpoint(this.#wiring.memory, context);
    const isIn = (index & 1) !== 0;
    const types: readonly number[] = isIn
      ? [EndpointType.bulkIn, EndpointType.interruptIn]
      : [EndpointType.bulkOut, EndpointType.interruptOut];
    return types.includes(type) && !hasStreams && maxPacketSize > 0;
  }

  #addEndpoint(id: number, slot: Slot, index: number, device: UsbDevice): void {
    const { memory, events, settle } = this.#wiring;
    const wiring: EndpointWiring = { memory, events, device, settle };
    const context = outputContext(slot.context, index);
    const { position } = readEndpoint(memory, context);
    slot.endpoints.set(index, new Endpoint(wiring, id, index, context, position));
  }

  #disableEndpoints(slot: Slot, isMeant: (index: number) => boolean): void {
    for (const [index, endpoint] of slot.endpoints) {
      if (!isMeant(index)) continue;
      endpoint.disable();
      slot.endpoints.delete(index);
    }
  }

  #setState(id: number, slot: Slot, state: SlotState): void {
    slot.state = state;
    writeSlotState(this.#wiring.memory, slot.context, state, state >= SlotState.addressed ? id : 0);
  }
}

/** The input context, or whatever else a command's parameter points to. */
function inputOf(trb: TransferRequestBlock): number {
  const address = parameterOf(trb);
  return address - (address % 16);
}

/** Device context indexes of the endpoints that have a bit set, but endpoint 0. */
function endpointsIn(flags: number): number[] {
  return Array.from({ length: CONTEXTS }, (_, index) => index).filter(
    (index) => index > 1 && (flags & (1 << index)) !== 0,
  );
}
