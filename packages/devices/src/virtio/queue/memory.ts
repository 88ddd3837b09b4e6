/** Guest memory as virtqueues use it: one array of bytes, in which guest-physical ranges have a place. */
export interface QueueMemory {
  /** All of the guest's memory; 64-bit positions stay exact numbers. */
  readonly bytes: Uint8Array;
  /**
   * Position in `bytes` of the guest-physical range [address, address + length).
   * @returns -1 when any of it is not memory
   */
  find(address: number, length: number): number;
}
