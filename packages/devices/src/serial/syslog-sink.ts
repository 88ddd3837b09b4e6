import { SystemError } from '@tsvmm/base';
import { DeviceError } from '../errors.ts';
import { DatagramConnection } from './datagram.ts';
import type { SerialSink } from './sinks.ts';

/** RFC 3164, section 4.1.1: facility 1, user-level messages, with severity 6, informational. */
const PRIORITY = 1 * 8 + 6;
/** RFC 3164, section 4.1: bytes of the longest packet. */
const PACKET_LENGTH = 1024;
/** RFC 3164, section 4.1.2. */
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** RFC 3164, section 4.1.3: at most 32 characters, which nothing takes for the end of the tag. */
const TAG = /^[A-Za-z0-9._-]{1,32}$/;

const [TAB, LINE_FEED, CARRIAGE_RETURN, SPACE, QUESTION_MARK, DELETE] = [9, 10, 13, 32, 63, 127];

/** Options of a {@link SyslogSink}. */
export interface SyslogSinkOptions {
  /** What lines are marked with: 1 to 32 letters, digits, dots, hyphens and underscores; default `tsvmm`. */
  readonly tag?: string;
  /** Where the host's system log receives; default `/dev/log`. */
  readonly socket?: string;
}

/**
 * `type=syslog`: the host's system log, a message a line, in the form of RFC 3164 that syslog(3) has for this host:
 * `<14>Oct 11 22:14:15 tag[pid]: text`. Empty lines are left out, control characters become question marks, and lines
 * that are longer than a packet go on in the next. What has no line feed yet is held, up to that length.
 */
export class SyslogSink implements SerialSink {
  readonly name: string;
  readonly #socket: string;
  readonly #tag: string;
  #connection: DatagramConnection;
  /** The header, always of the same length, and the line as far as it is known. */
  readonly #packet = Buffer.alloc(PACKET_LENGTH);
  readonly #start: number;
  #end: number;

  private constructor(socket: string, tag: string, connection: DatagramConnection) {
    this.name = `the system log at ${socket}`;
    this.#socket = socket;
    this.#tag = tag;
    this.#connection = connection;
    this.#start = this.#stamp();
    this.#end = this.#start;
  }

  /** @throws DeviceError BACKEND_FAILED when there is no system log, BAD_OPTION for a tag that cannot be one */
  static open(options: SyslogSinkOptions = {}): SyslogSink {
    const { tag = 'tsvmm', socket = '/dev/log' } = options;
    if (!TAG.test(tag)) {
      throw new DeviceError(
        'BAD_OPTION',
        `A tag of the system log is 1 to 32 letters, digits, dots, hyphens and underscores, not ${JSON.stringify(tag)}.`,
      );
    }
    try {
      return new SyslogSink(socket, tag, new DatagramConnection(socket));
    } catch (cause) {
      throw new DeviceError(
        'BACKEND_FAILED',
        `No system log receives at ${socket}: start one (such as rsyslogd or systemd-journald), or use type=file.`,
        { cause },
      );
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; ) {
      const found = bytes.indexOf(LINE_FEED, start);
      const end = found < 0 ? bytes.length : found;
      while (start < end) {
        if (this.#end === PACKET_LENGTH) await this.#sendFull(bytes[start] ?? 0);
        const count = Math.min(end - start, PACKET_LENGTH - this.#end);
        this.#packet.set(bytes.subarray(start, start + count), this.#end);
        this.#end += count;
        start += count;
      }
      if (found < 0) return;
      await this.#sendLine();
      start = end + 1;
    }
  }

  /** Sends what has no line feed, then closes the connection. A log that has gone misses it. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#sendLine();
    } catch {
      // Whoever writes has been told; here nothing is left to do about it.
    } finally {
      this.#connection[Symbol.dispose]();
    }
  }

  async #sendLine(): Promise<void> {
    const end = this.#packet[this.#end - 1] === CARRIAGE_RETURN ? this.#end - 1 : this.#end;
    this.#end = this.#start;
    await this.#send(Math.max(end, this.#start));
  }

  /** Sends the full packet, but for the beginning of a UTF-8 character that goes on with the byte `next`. */
  async #sendFull(next: number): Promise<void> {
    let cut = PACKET_LENGTH;
    if (continues(next)) {
      while (cut > PACKET_LENGTH - 3 && continues(this.#packet[cut - 1] ?? 0)) cut--;
      // Without a first byte this is no UTF-8, and any place will do.
      cut = (this.#packet[cut - 1] ?? 0) >= 0xc0 ? cut - 1 : PACKET_LENGTH;
    }
    this.#end = this.#start;
    await this.#send(cut);
    this.#packet.copy(this.#packet, this.#start, cut);
    this.#end = this.#start + PACKET_LENGTH - cut;
  }

  /** Sends the packet as far as `end`, unless that is the header alone. */
  async #send(end: number): Promise<void> {
    if (end === this.#start) return;
    this.#stamp();
    for (let i = this.#start; i < end; i++) {
      const byte = this.#packet[i] ?? 0;
      if ((byte < SPACE && byte !== TAB) || byte === DELETE) this.#packet[i] = QUESTION_MARK;
    }
    const packet = this.#packet.subarray(0, end);
    try {
      await this.#connection.send(packet);
    } catch (error) {
      if (!(error instanceof SystemError) || !/^E(CONNREFUSED|NOTCONN)$/.test(error.code)) throw error;
      // A log that is started anew makes a new socket: like syslog(3), look for it once.
      const next = new DatagramConnection(this.#socket);
      this.#connection[Symbol.dispose]();
      this.#connection = next;
      await next.send(packet);
    }
  }

  /** Writes the header for now, in local time. @returns its length */
  #stamp(): number {
    const now = new Date();
    const day = `${now.getDate()}`.padStart(2, ' ');
    const time = [now.getHours(), now.getMinutes(), now.getSeconds()]
      .map((number) => `${number}`.padStart(2, '0'))
      .join(':');
    return this.#packet.write(
      `<${PRIORITY}>${MONTHS[now.getMonth()]} ${day} ${time} ${this.#tag}[${process.pid}]: `,
      'latin1',
    );
  }
}

/** Whether a byte is a further one of a UTF-8 character. */
function continues(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
