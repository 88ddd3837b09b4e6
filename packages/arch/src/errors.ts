export type MachineErrorCode =
  /** The kernel command line is too long or has characters the boot protocol does not allow. */
  | 'COMMAND_LINE'
  /** An address range has no room left. */
  | 'NO_ADDRESS_SPACE'
  /** Kernel, initrd and tables do not fit into guest memory. */
  | 'MEMORY_TOO_SMALL'
  /** Two parts of the machine claim the same addresses. */
  | 'OVERLAP'
  /** An image changed, or broke off, while it was read. */
  | 'IMAGE_READ'
  /** This board does not have what was asked for. */
  | 'UNSUPPORTED';

/** A machine cannot be laid out as asked; the message says what to change. */
export class MachineError extends Error {
  override readonly name = 'MachineError';
  readonly code: MachineErrorCode;

  constructor(code: MachineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
