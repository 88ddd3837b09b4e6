import { BALLOON_PAGE, type BalloonStats, type DeviceCommand, type DeviceReply } from '@tsvmm/devices';
import { ConfigurationError } from './configuration/error.ts';

/** How a {@link Balloon} is adjusted. */
export interface BalloonAdjustment {
  /** Wait until the balloon has that size, which a guest that needs its memory never lets come; default false. */
  readonly wait?: boolean;
}

/** The machine's memory balloon: what it holds is not the guest's to use, and takes no memory of the host. */
export class Balloon {
  readonly #ramSize: number;
  readonly #command: (command: DeviceCommand) => Promise<DeviceReply>;

  /** @param ramSize bytes the guest has */
  constructor(ramSize: number, command: (command: DeviceCommand) => Promise<DeviceReply>) {
    this.#ramSize = ramSize;
    this.#command = command;
  }

  /**
   * Asks the guest to give memory to the balloon, or to take some back, until the balloon holds `bytes`. A guest that has
   * no driver for it yet is asked when it has. Without memory to spare, the guest may take some back at any time.
   *
   * @param bytes rounded down to pages of 4096, at most the guest's memory
   * @throws ConfigurationError OUT_OF_RANGE
   * @throws VirtualMachineError INVALID_STATE when the machine does not run
   * @throws DeviceError BACKEND_FAILED when it waits and another size is asked for meanwhile, or the guest ends
   */
  async set(bytes: number, { wait = false }: BalloonAdjustment = {}): Promise<void> {
    if (!(bytes >= 0 && bytes <= this.#ramSize)) {
      throw new ConfigurationError(
        'OUT_OF_RANGE',
        'balloon',
        `the balloon holds from 0 to ${this.#ramSize} bytes, the memory of the guest; ${bytes} are not possible`,
      );
    }
    const size = Math.floor(bytes / BALLOON_PAGE) * BALLOON_PAGE;
    await this.#command({ kind: 'set-balloon', size, wait });
  }

  /**
   * Asks the guest about its memory, and waits for the answer.
   *
   * @throws VirtualMachineError INVALID_STATE when the machine does not run
   * @throws DeviceError BACKEND_FAILED when the guest has no driver for the balloon, or ends meanwhile
   */
  async stats(): Promise<BalloonStats> {
    const stats = await this.#command({ kind: 'balloon-stats' });
    if (stats === undefined) throw new TypeError('a balloon answers this command with statistics');
    return stats;
  }
}
