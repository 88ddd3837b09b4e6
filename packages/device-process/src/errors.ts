/** What kind of problem a {@link DeviceProcessError} is. */
export type DeviceProcessErrorCode =
  /** The device cannot be served: its image cannot be opened, for example. */
  | 'DEVICE_FAILED'
  /** The process ended without being asked to: it failed, was killed, or did what its policy does not allow. */
  | 'DIED'
  /** The process said something that no device says. */
  | 'PROTOCOL';

/** A device in a process of its own cannot go on. */
export class DeviceProcessError extends Error {
  override readonly name = 'DeviceProcessError';
  readonly code: DeviceProcessErrorCode;

  constructor(code: DeviceProcessErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
