import type { GuestMemory } from '@tsvmm/vm-memory';
import type { RingPosition } from './trb-ring.ts';

/** Bytes of a slot or endpoint context, and of the input control context (sections 6.2.2, 6.2.3, 6.2.5.1). */
export const CONTEXT_LENGTH = 32;

export const SlotState = { enabled: 0, default: 1, addressed: 2, configured: 3 } as const;
export type SlotState = (typeof SlotState)[keyof typeof SlotState];
export const EndpointState = { disabled: 0, running: 1, halted: 2, stopped: 3, error: 4 } as const;
export type EndpointState = (typeof EndpointState)[keyof typeof EndpointState];

/** Types of endpoints (table 6-9). */
export const EndpointType = { bulkOut: 2, interruptOut: 3, control: 4, bulkIn: 6, interruptIn: 7 } as const;

const SLOT_STATE_SHIFT = 27;
const DEVICE_ADDRESS = 0xff;
const MAX_STREAMS = 0x1f << 10;

/** What an endpoint context of the driver's asks for. */
export interface EndpointRequest {
  readonly type: number;
  readonly hasStreams: boolean;
  readonly maxPacketSize: number;
  readonly position: RingPosition;
}

/** Reads an endpoint context. */
export function readEndpoint(memory: GuestMemory, address: number): EndpointRequest {
  const word = memory.readUint32(address + 4);
  const low = memory.readUint32(address + 8);
  return {
    type: (word >>> 3) & 7,
    hasStreams: (memory.readUint32(address) & MAX_STREAMS) !== 0,
    maxPacketSize: word >>> 16,
    position: {
      address: memory.readUint32(address + 12) * 2 ** 32 + ((low & ~0xf) >>> 0),
      cycle: low & 1,
    },
  };
}

/** Shows the driver the state of an endpoint, and where its ring is read next. */
export function writeEndpointState(
  memory: GuestMemory,
  address: number,
  state: EndpointState,
  { address: dequeue, cycle }: RingPosition,
): void {
  memory.writeUint32(address, (memory.readUint32(address) & ~7) | state);
  memory.writeUint64(address + 8, (dequeue >>> 0) | cycle, Math.floor(dequeue / 2 ** 32));
}

/** Shows the driver the state of a slot, and the address of its device. */
export function writeSlotState(
  memory: GuestMemory,
  address: number,
  state: SlotState,
  deviceAddress: number,
): void {
  memory.writeUint32(address + 12, ((state << SLOT_STATE_SHIFT) | (deviceAddress & DEVICE_ADDRESS)) >>> 0);
}

/** Copies a context from one place to another. */
export function copyContext(memory: GuestMemory, to: number, from: number): void {
  memory.copyWithin(to, from, CONTEXT_LENGTH);
}

/** The input control context: which contexts go, and which come. */
export function readInputControl(memory: GuestMemory, address: number): { drop: number; add: number } {
  return { drop: memory.readUint32(address), add: memory.readUint32(address + 4) };
}

/** Of a slot context: the root hub port, from 1 on, and the route through hubs, of which there are none. */
export function readSlotPath(memory: GuestMemory, address: number): { port: number; route: number } {
  return {
    port: (memory.readUint32(address + 4) >>> 16) & 0xff,
    route: memory.readUint32(address) & 0xf_ffff,
  };
}
