/** The eXtensible Host Controller Interface for USB, revision 1.2: names and numbers as its sections 5 and 6 have them. */

/** Ports 1 to 8 are of USB 2.0, ports 9 to 16 of USB 3.0, as in crosvm. */
export const USB2_PORTS = 8;
export const PORTS = 16;
export const SLOTS = 16;
/** Device context indexes: 0 is the slot, 1 endpoint 0, then OUT and IN of each endpoint. */
export const CONTEXTS = 32;

/** Offsets in BAR 0. */
export const XHCI_BAR_LENGTH = 0x1_0000;
export const OPERATIONAL = 0x20;
export const DOORBELLS = 0x2000;
export const RUNTIME = 0x3000;
export const EXTENDED_CAPABILITIES = 0xc000;

/** Capability registers (section 5.3). */
export const Capability = {
  length: 0x00,
  hcs1: 0x04,
  hcs2: 0x08,
  hcs3: 0x0c,
  hcc1: 0x10,
  doorbells: 0x14,
  runtime: 0x18,
} as const;
/** Operational registers (section 5.4), from {@link OPERATIONAL} on. */
export const Operational = {
  command: 0x00,
  status: 0x04,
  pageSize: 0x08,
  notifications: 0x14,
  commandRing: 0x18,
  contexts: 0x30,
  configure: 0x38,
  ports: 0x400,
} as const;
/** A port's registers are PORTSC and three that do nothing here. */
export const PORT_REGISTERS_LENGTH = 0x10;
/** Registers of interrupter 0 (section 5.5.2), from {@link RUNTIME} on. */
export const Runtime = {
  management: 0x20,
  moderation: 0x24,
  segments: 0x28,
  table: 0x30,
  dequeue: 0x38,
} as const;

export const Command = {
  run: 1 << 0,
  reset: 1 << 1,
  interrupterEnable: 1 << 2,
  hostSystemErrorEnable: 1 << 3,
  wrapEventEnable: 1 << 10,
  u3Stop: 1 << 11,
} as const;
export const Status = {
  halted: 1 << 0,
  hostSystemError: 1 << 2,
  eventInterrupt: 1 << 3,
  portChange: 1 << 4,
  saveRestoreError: 1 << 10,
} as const;
export const CommandRing = { cycle: 1 << 0, stop: 1 << 1, abort: 1 << 2, running: 1 << 3 } as const;
export const Interrupter = { pending: 1 << 0, enable: 1 << 1 } as const;
/** Event handler busy, in ERDP. */
export const EVENT_HANDLER_BUSY = 1 << 3;

/** TRB types (table 6-91). */
export const TrbType = {
  normal: 1,
  setupStage: 2,
  dataStage: 3,
  statusStage: 4,
  isoch: 5,
  link: 6,
  eventData: 7,
  noOp: 8,
  enableSlot: 9,
  disableSlot: 10,
  addressDevice: 11,
  configureEndpoint: 12,
  evaluateContext: 13,
  resetEndpoint: 14,
  stopEndpoint: 15,
  setDequeuePointer: 16,
  resetDevice: 17,
  getPortBandwidth: 21,
  noOpCommand: 23,
  transferEvent: 32,
  commandCompletionEvent: 33,
  portStatusChangeEvent: 34,
  hostControllerEvent: 37,
} as const;

export const TRB_LENGTH = 16;
/** Bits of a TRB's control word. */
export const Trb = {
  cycle: 1 << 0,
  /** Of a link TRB: toggle cycle. */
  toggleCycle: 1 << 1,
  /** Of a transfer event: the parameter is that of an Event Data TRB. */
  eventData: 1 << 2,
  interruptOnShortPacket: 1 << 2,
  chain: 1 << 4,
  interruptOnCompletion: 1 << 5,
  immediateData: 1 << 6,
  blockEventInterrupt: 1 << 9,
  typeShift: 10,
  typeMask: 0x3f,
  /** Of Data and Status Stage TRBs: towards the host. */
  directionIn: 1 << 16,
  endpointShift: 16,
  slotShift: 24,
  /** Of Address Device: block SET_ADDRESS. Of Configure Endpoint: deconfigure. */
  blockSetAddress: 1 << 9,
  deconfigure: 1 << 9,
} as const;

/** Completion codes (table 6-90). */
export const Completion = {
  success: 1,
  usbTransactionError: 4,
  trbError: 5,
  stall: 6,
  noSlotsAvailable: 9,
  slotNotEnabled: 11,
  endpointNotEnabled: 12,
  shortPacket: 13,
  parameterError: 17,
  contextStateError: 19,
  eventRingFull: 21,
  commandRingStopped: 24,
  stopped: 26,
} as const;

/** Speeds in port registers and slot contexts: the default protocol speed ids (section 7.2.2.1.1). */
export const SpeedId = { full: 1, low: 2, high: 3, super: 4 } as const;
