/** Speeds of USB 2.0 and 3.x devices. */
export type UsbSpeed = 'low' | 'full' | 'high' | 'super';

/** A control transfer's eight bytes of SETUP (USB 2.0, section 9.3). */
export interface UsbSetup {
  /** bmRequestType: direction in bit 7, type in bits 6…5, recipient in bits 4…0. */
  readonly requestType: number;
  readonly request: number;
  readonly value: number;
  readonly index: number;
  /** Most bytes of the data stage. */
  readonly length: number;
}

/**
 * Data on its way between host and device, in the guest's memory. Once it has ended, by {@link complete} or because the
 * host gave it up, nothing reaches that memory any more.
 */
export interface UsbTransfer {
  /** Bytes that the host sends, or has room for. */
  readonly length: number;
  /** Fills `target` with what the host sends, from byte `offset` on. @returns how many bytes there were */
  read(target: Uint8Array, offset?: number): number;
  /** Gives the host `source`, from byte `offset` on, as far as there is room. @returns how many bytes there was room for */
  write(source: Uint8Array, offset?: number): number;
  /**
   * Ends the transfer.
   * @param status `stall`: the device does not do that, and on other endpoints than 0 nothing more until the host has
   * cleared the halt
   * @param length bytes that were moved; all unless given
   */
  complete(status: 'success' | 'stall', length?: number): void;
}

/**
 * What is plugged into a port: a back end for a host controller. It is called on one thread, and may end transfers at
 * once or later. A host gives it one transfer at a time for each endpoint.
 */
export interface UsbDevice extends AsyncDisposable {
  readonly speed: UsbSpeed;
  /** The port was reset: the device has neither configuration nor transfers. */
  reset(): void;
  /**
   * A control transfer of endpoint 0. What is about the bus itself does not come here: the controller gives addresses.
   * @param transfer its data stage, in the direction that `setup.requestType` says
   */
  control(setup: UsbSetup, transfer: UsbTransfer): void;
  /**
   * A bulk or interrupt transfer.
   * @param endpoint number, with bit 7 for those that send to the host
   */
  transfer(endpoint: number, transfer: UsbTransfer): void;
  /** The host gave up the transfer of an endpoint (0 for control) that the device has not ended. */
  cancel(endpoint: number): void;
}
