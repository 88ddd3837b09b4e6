/** Which rule the driver broke. */
export type VirtqueueErrorCode =
  /** A queue's size is not from 1 to its greatest, or of a split ring no power of two. */
  | 'BAD_QUEUE_SIZE'
  /** A ring is misaligned or not in memory. */
  | 'BAD_QUEUE_ADDRESS'
  /** More is available, or has been taken and not given back, than the queue has room for. */
  | 'BAD_AVAILABLE_INDEX'
  /** A descriptor index is not below the size of its table. */
  | 'BAD_DESCRIPTOR_INDEX'
  /** A buffer is empty or not in memory. */
  | 'BAD_BUFFER'
  /** The chain is longer than the queue, which means that it loops. */
  | 'DESCRIPTOR_LOOP'
  /** An indirect table was used without negotiation, has a bad length, or is inside another one. */
  | 'BAD_INDIRECT'
  /** A device-readable buffer follows a device-writable one. */
  | 'READABLE_AFTER_WRITABLE'
  /** The buffers are not what the device's requests are made of. */
  | 'BAD_REQUEST';

/** The driver broke the virtio protocol. The device stops until its driver resets it; nothing else is affected. */
export class VirtqueueError extends Error {
  override readonly name = 'VirtqueueError';
  readonly code: VirtqueueErrorCode;

  constructor(code: VirtqueueErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
