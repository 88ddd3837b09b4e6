import { deserialize, serialize } from 'node:v8';

/** Bytes of a message's length, before it. */
const HEADER = 4;

/** A message as it crosses between host and L1: its length, then what structured cloning makes of it. */
export function encodeMessage(message: unknown): Buffer {
  const body = serialize(message);
  const frame = Buffer.alloc(HEADER + body.length);
  frame.writeUInt32LE(body.length);
  frame.set(body, HEADER);
  return frame;
}

/** Puts the messages of a stream together again. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #length = 0;

  /** Takes the next bytes of the stream, and gives the messages that are complete with them. */
  push(chunk: Buffer): unknown[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const messages: unknown[] = [];
    while (this.#length >= HEADER) {
      const size = HEADER + this.#contiguous(HEADER).readUInt32LE();
      if (this.#length < size) break;
      const all = this.#contiguous(size);
      messages.push(deserialize(all.subarray(HEADER, size)));
      this.#chunks = [all.subarray(size)];
      this.#length -= size;
    }
    return messages;
  }

  /** The first chunk, after it was made to have at least so many bytes: large messages are put together once. */
  #contiguous(bytes: number): Buffer {
    const [first = Buffer.alloc(0)] = this.#chunks;
    if (first.length >= bytes) return first;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
