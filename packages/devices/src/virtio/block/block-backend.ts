import type { Executor } from '@tsvmm/async';
import type { Disk } from '@tsvmm/disk';
import { DeviceError } from '../../errors.ts';
import type { BackendContext, VirtioBackend } from '../backend.ts';
import type { DeviceCommand } from '../command.ts';
import { Inflight } from '../inflight.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import { BlockRequest, RequestStatus, RequestType } from './block-request.ts';
import { BLOCK_ID_LENGTH, type BlockOptions, setCapacity } from './model.ts';

/**
 * Serves block requests from a disk of any format, any number at a time, straight between it and guest memory. Their
 * results go to the driver as they come.
 */
export class BlockBackend implements VirtioBackend {
  readonly look?: () => void;
  readonly #disk: Disk;
  readonly #sparse: boolean;
  readonly #id = new Uint8Array(BLOCK_ID_LENGTH);
  readonly #idle: BlockRequest[] = [];
  readonly #inflight = new Inflight<BlockRequest>();
  #context: BackendContext | undefined;

  /**
   * Takes over `disk`.
   * @param executor what the disk's I/O runs on, if its results can be looked for
   */
  constructor(
    disk: Disk,
    options: Omit<BlockOptions, 'size' | 'readOnly'> = {},
    executor?: Pick<Executor, 'look'>,
  ) {
    this.#disk = disk;
    if (executor) this.look = () => void executor.look();
    this.#sparse = options.sparse ?? true;
    new TextEncoder().encodeInto(options.id ?? '', this.#id);
  }

  activate(context: BackendContext): void {
    this.#context = context;
  }

  reset(queue?: Virtqueue): Promise<void> | undefined {
    if (!queue) this.#context = undefined;
    return this.#inflight.reset(queue);
  }

  drain(queue?: Virtqueue): Promise<void> | undefined {
    return this.#inflight.drain(queue);
  }

  handle(queue: Virtqueue): boolean {
    const request = this.#idle.pop() ?? new BlockRequest();
    const { size, readOnly } = this.#disk;
    const refusal = request.take(queue, { size, readOnly, sparse: this.#sparse });
    if (refusal === undefined) {
      this.#inflight.add(request);
      void this.#serve(request);
    } else {
      request.finish(refusal);
      this.#idle.push(request);
    }
    return true;
  }

  /** @throws DiskError of {@link resize}, DeviceError BAD_OPTION for what is no disk's command */
  async command(command: DeviceCommand): Promise<undefined> {
    if (command.kind !== 'resize-disk') throw new DeviceError('BAD_OPTION', `a disk has no ${command.kind}`);
    await this.resize(command.size);
  }

  /**
   * Changes the disk's size and tells the driver.
   * @throws DiskError READ_ONLY, UNSUPPORTED when the format or device has a fixed size
   */
  async resize(size: number): Promise<void> {
    await this.#disk.resize(size);
    this.#context?.changeConfig((config) => setCapacity(config, size));
  }

  /** Waits for the requests under way, writes what is cached to stable storage and closes the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using _disk = this.#disk;
    await this.#inflight.drain();
  }

  async #serve(request: BlockRequest): Promise<void> {
    let status: number = RequestStatus.ok;
    try {
      await this.#execute(request);
    } catch {
      // The disk's error is the guest's to see; its driver reports it with the sector.
      status = RequestStatus.ioError;
    }
    const queue = request.finish(status);
    // One that was reset is not used again: somebody waits for its end.
    if (queue) {
      this.#context?.announce(queue);
      this.#idle.push(request);
    }
    this.#inflight.end(request);
  }

  #execute(request: BlockRequest): Promise<void> {
    const { data, position, type } = request;
    switch (type) {
      case RequestType.in:
        return this.#disk.read(position, data);
      case RequestType.out:
        return this.#disk.write(position, data);
      case RequestType.getId:
        return this.#tellId(request);
      case RequestType.flush:
        return this.#disk.flush();
      default:
        return this.#changeRanges(request);
    }
  }

  async #tellId({ data }: BlockRequest): Promise<void> {
    if (data.scatter(this.#id) < BLOCK_ID_LENGTH) throw new RangeError('There is no room for a disk id.');
  }

  async #changeRanges({ type, ranges, mayUnmap, rangeCount }: BlockRequest): Promise<void> {
    for (let i = 0; i < rangeCount; i++) {
      const position = ranges[2 * i] ?? 0;
      const length = ranges[2 * i + 1] ?? 0;
      if (length === 0) continue;
      if (type === RequestType.discard) await this.#disk.discard(position, length);
      else await this.#disk.writeZeroes(position, length, { mayUnmap: mayUnmap[i] === 1 });
    }
  }
}
