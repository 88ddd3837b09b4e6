import { array, atomic, i32, struct, u8, u32, u64 } from '@tsvmm/struct';
import { PORTS, SLOTS } from './constants.ts';

/** What the register half asks of the controller: bits of `requests`. */
export const Request = {
  /** HCRST was set. */
  reset: 1 << 0,
  /** The command ring is to stop. */
  stopCommands: 1 << 1,
  /** There is a new event ring. */
  newEventRing: 1 << 2,
} as const;

/** Registers of a controller, and what its two halves tell each other; under its lock. */
export const xhciLayout = struct(
  {
    lock: atomic(i32),
    command: u32,
    status: u32,
    notifications: u32,
    /** CRCR: where the next command is, with its cycle state in bit 0 and whether it runs in bit 3. */
    commandRingLow: u32,
    commandRingHigh: u32,
    contextsLow: u32,
    contextsHigh: u32,
    configure: u32,
    management: u32,
    moderation: u32,
    eventSegments: u32,
    eventTableLow: u32,
    eventTableHigh: u32,
    eventDequeueLow: u32,
    eventDequeueHigh: u32,
    /** Where the next event goes, which is what the guest has to have read up to for there to be none. */
    eventEnqueue: u64,
    /** 1 while events wait for room in their ring. */
    eventsWait: u32,
    intxLevel: u32,
    /** Bits of {@link Request}. */
    requests: u32,
    /** Ports whose change has to be told, and those that were reset, a bit each. */
    changedPorts: u32,
    resetPorts: u32,
    /** Speed id of what is plugged in; 0 for nothing. */
    attached: array(u8, PORTS),
    ports: array(u32, PORTS),
    /** Targets of each slot's doorbell, a bit each; the first is the command ring's. */
    doorbells: array(u32, SLOTS + 1),
  },
  { name: 'xhci', version: 1 },
);

export type XhciState = ReturnType<typeof xhciLayout.attach>;
