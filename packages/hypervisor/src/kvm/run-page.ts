/** Byte offsets in `struct kvm_run` (<linux/kvm.h>), which a vCPU shares with the kernel. */
export const RunPage = {
  requestInterruptWindow: 0,
  exitReason: 8,
  readyForInterruptInjection: 12,
  /** The union of what the exits say begins here. */
  exit: 32,

  ioDirection: 32,
  ioCount: 36,
  ioDataOffset: 40,

  mmioAddress: 32,
  mmioData: 40,
  mmioLength: 48,
  mmioIsWrite: 52,

  hardwareEntryFailureReason: 32,
  internalSuberror: 32,
  internalDataCount: 36,
  internalData: 40,
  ioapicEoiVector: 32,
  systemEventType: 32,
  systemEventDataCount: 36,
  systemEventData: 40,
  armNoSyndromeAddress: 40,
  sbiExtension: 32,
  sbiFunction: 40,
  sbiArguments: 48,
  sbiResult: 96,
} as const;

/** KVM_EXIT_* */
export const Exit = {
  io: 2,
  debug: 4,
  hlt: 5,
  mmio: 6,
  irqWindowOpen: 7,
  shutdown: 8,
  failEntry: 9,
  intr: 10,
  internalError: 17,
  systemEvent: 24,
  ioapicEoi: 26,
  armNoSyndrome: 28,
  riscvSbi: 35,
  memoryFault: 39,
} as const;

/** KVM_SYSTEM_EVENT_* */
export const SystemEvent = { shutdown: 1, reset: 2, crash: 3 } as const;

export const IO_OUT = 1;
