import {
  Capability,
  DOORBELLS,
  EXTENDED_CAPABILITIES,
  OPERATIONAL,
  PORTS,
  RUNTIME,
  SLOTS,
  USB2_PORTS,
} from './constants.ts';

const VERSION_1_10 = 0x0110;
const INTERRUPTERS = 1;
/** Most segments of the event ring, as a power of two. */
const EVENT_SEGMENTS_LOG2 = 8;
export const MAX_EVENT_SEGMENTS = 2 ** EVENT_SEGMENTS_LOG2;
/** 64-bit addresses; Event Data TRBs are looked for to the end of a TD. */
const ADDRESSES_64_BIT = 1 << 0;
const PARSE_ALL_EVENT_DATA = 1 << 8;

/** Reads the word at `offset` of the capability registers. */
export function readCapability(offset: number): number {
  switch (offset) {
    case Capability.length:
      return OPERATIONAL | (VERSION_1_10 << 16);
    case Capability.hcs1:
      return SLOTS | (INTERRUPTERS << 8) | (PORTS << 24);
    case Capability.hcs2:
      return EVENT_SEGMENTS_LOG2 << 4;
    case Capability.hcc1:
      return ADDRESSES_64_BIT | PARSE_ALL_EVENT_DATA | ((EXTENDED_CAPABILITIES / 4) << 16);
    case Capability.doorbells:
      return DOORBELLS;
    case Capability.runtime:
      return RUNTIME;
    default:
      return 0;
  }
}

/** Supported Protocol capabilities (section 7.2): revision, "USB ", and the ports by number and count. */
const SUPPORTED_PROTOCOL = 0x02;
const NAME = 0x2042_5355;
const PROTOCOL_LENGTH = 0x20;
const PROTOCOLS = [
  { revision: 0x0200, first: 1, count: USB2_PORTS },
  { revision: 0x0300, first: USB2_PORTS + 1, count: PORTS - USB2_PORTS },
] as const;

/** Reads the word at `offset` of the extended capabilities. */
export function readExtendedCapability(offset: number): number {
  const index = Math.floor(offset / PROTOCOL_LENGTH);
  const protocol = PROTOCOLS[index];
  if (protocol === undefined) return 0;
  const isLast = index === PROTOCOLS.length - 1;
  switch (offset % PROTOCOL_LENGTH) {
    case 0x00:
      return SUPPORTED_PROTOCOL | ((isLast ? 0 : PROTOCOL_LENGTH / 4) << 8) | (protocol.revision << 16);
    case 0x04:
      return NAME;
    case 0x08:
      return protocol.first | (protocol.count << 8);
    default:
      // Slot type 0.
      return 0;
  }
}
