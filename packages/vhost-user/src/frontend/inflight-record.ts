import { fstatSync } from 'node:fs';
import type { FileDescriptor } from '@tsvmm/base';
import { type InflightDescription, payload } from '../protocol/messages.ts';
import { FrontendRequest } from '../protocol/requests.ts';
import type { VhostUserClient } from './client.ts';

/**
 * The file in which a back end notes the requests that it has taken and not given back ("Inflight I/O tracking"). The front end
 * keeps it while the back end is gone and never looks into it.
 */
export class InflightRecord implements Disposable {
  readonly #descriptor: FileDescriptor;
  readonly #description: InflightDescription;

  private constructor(descriptor: FileDescriptor, description: InflightDescription) {
    this.#descriptor = descriptor;
    this.#description = description;
  }

  /**
   * Has the back end make an empty record.
   * @returns undefined when it has nothing to note
   * @throws VhostUserError PROTOCOL when its answer makes no sense, and those of `VhostUserClient.ask`
   */
  static async ask(
    client: VhostUserClient,
    queueCount: number,
    queueSize: number,
  ): Promise<InflightRecord | undefined> {
    const wanted = payload.inflight({ size: 0, offset: 0, queueCount, queueSize });
    return await client.ask(FrontendRequest.GET_INFLIGHT_FD, wanted, (reader, descriptors) => {
      const { size, offset } = reader.inflight();
      const [descriptor, ...more] = descriptors;
      if (size === 0) return undefined;
      if (descriptor === undefined || more.length > 0) {
        throw reader.error(`a record of requests in flight came with ${descriptors.length} descriptors`);
      }
      const file = fstatSync(descriptor.number).size;
      if (offset + size > file) {
        throw reader.error(
          `a record of requests in flight ends at ${offset + size} of a file of ${file} bytes`,
        );
      }
      return new InflightRecord(descriptor.duplicate(), { size, offset, queueCount, queueSize });
    });
  }

  /** Gives the record to the back end, which does what is noted in it first. */
  async hand(client: VhostUserClient): Promise<void> {
    await client.tell(FrontendRequest.SET_INFLIGHT_FD, payload.inflight(this.#description), [
      this.#descriptor,
    ]);
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }
}
