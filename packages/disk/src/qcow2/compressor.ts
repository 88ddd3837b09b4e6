import {
  constants,
  createDeflateRaw,
  createZstdCompress,
  type DeflateRaw,
  type ZstdCompress,
} from 'node:zlib';
import type { CompressionType } from './header.ts';

/** QEMU reads clusters with a window of 4 KiB. */
const WINDOW_BITS = 12;
/** As many as Node's thread pool has threads, unless it was told otherwise. */
const MAX_STREAMS = 4;
/** What a stream lets its results lie in, one behind the other; larger clusters get more. */
const CHUNK_LENGTH = 256 * 1024;

/**
 * Compresses clusters on the thread pool, several at once. The streams that do it are kept: what a codec sets up before
 * it begins takes longer than a cluster.
 */
export class ClusterCompressor implements Disposable {
  readonly #type: CompressionType;
  readonly #clusterSize: number;
  readonly #idle: ClusterStream[] = [];
  readonly #waiting: ((stream: ClusterStream) => void)[] = [];
  #count = 0;

  constructor(type: CompressionType, clusterSize: number) {
    this.#type = type;
    this.#clusterSize = clusterSize;
  }

  /** @param cluster not to be changed meanwhile. @returns undefined when it does not become smaller */
  async compress(cluster: Uint8Array): Promise<Uint8Array | undefined> {
    const stream = this.#idle.pop() ?? this.#newStream() ?? (await this.#nextIdle());
    try {
      const out = await stream.compress(cluster);
      return out.length < cluster.length ? out : undefined;
    } finally {
      const next = this.#waiting.shift();
      if (next) next(stream);
      else this.#idle.push(stream);
    }
  }

  /** Gives the streams' memory back. Nothing may be under way. */
  [Symbol.dispose](): void {
    for (const stream of this.#idle.splice(0)) stream[Symbol.dispose]();
    this.#count = 0;
  }

  #newStream(): ClusterStream | undefined {
    if (this.#count === MAX_STREAMS) return undefined;
    this.#count++;
    return new ClusterStream(this.#type, this.#clusterSize);
  }

  #nextIdle(): Promise<ClusterStream> {
    const { promise, resolve } = Promise.withResolvers<ClusterStream>();
    this.#waiting.push(resolve);
    return promise;
  }
}

/** One codec, for one cluster at a time. Every cluster is a stream of its own, which ends with it. */
class ClusterStream implements Disposable {
  readonly #stream: ZstdCompress | DeflateRaw;
  /** What zlib wants before the next stream. */
  readonly #reset: () => void;
  #parts: Buffer[] = [];

  constructor(type: CompressionType, clusterSize: number) {
    const chunkSize = Math.max(CHUNK_LENGTH, clusterSize + 1024);
    if (type === 'zstd') {
      this.#stream = createZstdCompress({ chunkSize, flush: constants.ZSTD_e_end });
      this.#reset = () => undefined;
    } else {
      const stream = createDeflateRaw({ chunkSize, flush: constants.Z_FINISH, windowBits: WINDOW_BITS });
      this.#stream = stream;
      this.#reset = () => stream.reset();
    }
    this.#stream.on('data', (part: Buffer) => this.#parts.push(part));
    // Whoever wrote is told by its callback.
    this.#stream.on('error', () => undefined);
  }

  async compress(bytes: Uint8Array): Promise<Uint8Array> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(bytes, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    this.#reset();
    const parts = this.#parts;
    this.#parts = [];
    const [first] = parts;
    return parts.length === 1 && first ? first : Buffer.concat(parts);
  }

  [Symbol.dispose](): void {
    this.#stream.destroy();
  }
}
