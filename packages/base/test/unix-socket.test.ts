import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, describe, expect, it } from 'vitest';
import {
  EventFd,
  FileDescriptor,
  MemFd,
  map,
  pipe,
  readAvailable,
  UnixListener,
  UnixSocket,
  waitReadable,
  writeFully,
} from '../src/index.ts';
import { codeOf, openDescriptors } from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'tsvmm-base-'));
afterAll(() => rmSync(directory, { recursive: true }));

const text = (string: string) => new TextEncoder().encode(string);

describe.each(['stream', 'seqpacket'] as const)('a %s socket', (type) => {
  it('exchanges bytes and descriptors with another program', async () => {
    const path = join(directory, `python-${type}`);
    using listener = UnixListener.listen(path, { type });
    // Receives a memory, writes to it, and sends back both ends of a pipe.
    const program = `
import array, mmap, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.${type === 'stream' ? 'SOCK_STREAM' : 'SOCK_SEQPACKET'})
s.connect(sys.argv[1])
data, fds, flags, _ = socket.recv_fds(s, 100, 4)
m = mmap.mmap(fds[0], 0)
m[0:5] = b'hello'
r, w = os.pipe()
os.write(w, b'through the pipe')
socket.send_fds(s, [data.upper()], [r, w])
s.recv(1)
`;
    const child = spawn('python3', ['-c', program, path], { stdio: 'inherit' });
    using socket = listener.accept();
    if (!socket) throw new Error('nobody connected');
    expect(socket.peer.pid).toBe(child.pid);
    expect(socket.peer.uid).toBe(process.getuid?.());
    using memory = MemFd.create({ name: 'sent', size: 4096 });
    socket.sendMessage(text('ping'), [memory.descriptor]);
    const buffer = new Uint8Array(100);
    const message = socket.receiveMessage(buffer, 4);
    expect(message?.length).toBe(4);
    expect(Buffer.from(buffer.subarray(0, 4)).toString()).toBe('PING');
    expect(Buffer.from(map(memory.descriptor.number, 0, 5)).toString()).toBe('hello');
    const [reader, writer] = message?.descriptors ?? [];
    if (!reader || !writer) throw new Error('two descriptors were sent');
    expect(readAvailable(reader.number, buffer)).toBe(16);
    for (const { number } of [reader, writer, socket.descriptor]) {
      const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1] ?? '';
      expect(Number.parseInt(flags, 8) & 0o2000000, 'close on exec').not.toBe(0);
    }
    reader[Symbol.dispose]();
    writer[Symbol.dispose]();
    socket.shutdown('send');
    await once(child, 'exit');
    expect(socket.receiveMessage(buffer)?.length).toBe(0);
  });

  it('closes the descriptors of a message that has too many of them', () => {
    const [near, far] = UnixSocket.pair(type);
    using event = EventFd.create();
    const buffer = new Uint8Array(10);
    const before = openDescriptors().length;
    for (const accepted of [0, 1, 2, 4]) {
      near.sendMessage(text('x'), [
        event.descriptor,
        event.descriptor,
        event.descriptor,
        event.descriptor,
        event.descriptor,
      ]);
      expect(codeOf(() => far.receiveMessage(buffer, accepted))).toBe('EMSGSIZE');
      expect(openDescriptors().length).toBe(before);
    }
    near.sendMessage(text('y'));
    expect(far.receiveMessage(buffer)).toEqual({ length: 1, descriptors: [] });
    near[Symbol.dispose]();
    far[Symbol.dispose]();
  });

  it('passes as many descriptors as the kernel lets travel together', () => {
    const [near, far] = UnixSocket.pair(type);
    using event = EventFd.create();
    near.sendMessage(
      text('x'),
      Array.from({ length: 253 }, () => event.descriptor),
    );
    const message = far.receiveMessage(new Uint8Array(1), 253);
    expect(message?.descriptors.length).toBe(253);
    event.signal(7);
    const last = message?.descriptors.at(-1);
    expect(last && EventFd.fromDescriptor(last.number).tryRead()).toBe(7);
    for (const descriptor of message?.descriptors ?? []) descriptor[Symbol.dispose]();
    expect(
      codeOf(() =>
        near.sendMessage(
          text('x'),
          Array.from({ length: 254 }, () => event.descriptor),
        ),
      ),
    ).toBe('EINVAL');
    near[Symbol.dispose]();
    far[Symbol.dispose]();
  });

  it('tells what cannot be sent or received', () => {
    const [near, far] = UnixSocket.pair(type);
    const buffer = new Uint8Array(1);
    expect(near.tryReceiveMessage(buffer)).toBeUndefined();
    expect(near.receiveMessage(buffer, 0, 2)).toBeUndefined();
    expect(codeOf(() => near.receiveMessage(new Uint8Array(0)))).toBe('EINVAL');
    expect(codeOf(() => near.receiveMessage(buffer, 254))).toBe('EINVAL');
    expect(codeOf(() => near.sendMessage(buffer, [new FileDescriptor(1_000_000)]))).toBe('EBADF');
    using event = EventFd.create();
    expect(codeOf(() => near.sendMessage(new Uint8Array(0), [event.descriptor]))).toBe('EINVAL');
    far[Symbol.dispose]();
    expect(codeOf(() => near.sendMessage(buffer))).toBe('EPIPE');
    near[Symbol.dispose]();
    expect(codeOf(() => near.sendMessage(buffer))).toBe('EBADF');
  });

  it('sends what fits, and times out when nobody reads', () => {
    const [near, far] = UnixSocket.pair(type);
    const bytes = new Uint8Array(1 << 14);
    let sent = 0;
    for (let count = 0; count >= 0; count = near.trySendMessage(bytes)) sent += count;
    expect(sent).toBeGreaterThan(0);
    expect(codeOf(() => near.sendMessage(bytes, [], 2))).toBe('ETIMEDOUT');
    expect(codeOf(() => near.sendMessage(bytes, [], 0))).toBe('ETIMEDOUT');
    near[Symbol.dispose]();
    far[Symbol.dispose]();
  });
});

describe('a dgram socket', () => {
  it('exchanges messages and descriptors with another program', async () => {
    const [here, there] = [join(directory, 'dgram-here'), join(directory, 'dgram-there')];
    // Says that it is there, returns each message in capitals, and hands out the reading end of a pipe.
    const program = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[2])
s.sendto(b'ready', sys.argv[1])
r, w = os.pipe()
os.write(w, b'through the pipe')
while data := s.recv(100):
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [r]))
    s.sendmsg([data.upper()], [rights], 0, sys.argv[1])
`;
    using receiver = UnixSocket.bind(here);
    expect(codeOf(() => UnixSocket.bind(here))).toBe('EADDRINUSE');
    const child = spawn('python3', ['-c', program, here, there], { stdio: 'inherit' });
    const buffer = new Uint8Array(100);
    const receive = () => {
      const message = receiver.receiveMessage(buffer, 1, 10_000);
      const [descriptor] = message?.descriptors ?? [];
      const bytes = Buffer.from(buffer.subarray(0, message?.length)).toString();
      if (descriptor === undefined) return bytes;
      const length = readAvailable(descriptor.number, buffer);
      descriptor[Symbol.dispose]();
      return `${bytes}, ${length}`;
    };
    expect(receive()).toBe('ready');
    using sender = UnixSocket.connect(there, 'dgram');
    sender.sendMessage(text('one'));
    expect(sender.trySendMessage(text('and two'))).toBe(7);
    expect(receive()).toBe('ONE, 16');
    expect(receive()).toBe('AND TWO, -1');
    expect(receiver.tryReceiveMessage(buffer)).toBeUndefined();
    sender.sendMessage(new Uint8Array(0));
    await once(child, 'exit');
    expect(codeOf(() => sender.sendMessage(text('gone')))).toBe('ECONNREFUSED');
    expect(codeOf(() => sender.sendMessage(text('gone')))).toBe('ENOTCONN');
    expect(codeOf(() => UnixSocket.connect(there, 'dgram'))).toBe('ECONNREFUSED');
    expect(codeOf(() => UnixSocket.connect(here))).toBe('EPROTOTYPE');
    receiver[Symbol.dispose]();
    expect(existsSync(here)).toBe(false);
    receiver[Symbol.dispose]();
  });

  it('takes no more than the receiver has room for, and says when there is some', async () => {
    const name = `\0tsvmm-dgram-${process.pid}`;
    const receiver = UnixSocket.bind(name);
    using sender = UnixSocket.connect(name, 'dgram');
    const fill = () => {
      let count = 0;
      while (sender.trySendMessage(text('x')) === 1) count++;
      return count;
    };
    const writable = () =>
      new Promise<void>((resolve) => {
        const watcher = sender.onWritable(() => {
          watcher[Symbol.dispose]();
          resolve();
        });
      });
    expect(fill()).toBeGreaterThan(0);
    expect(codeOf(() => sender.sendMessage(text('x'), [], 2))).toBe('ETIMEDOUT');
    const room = writable();
    const buffer = new Uint8Array(1);
    while (receiver.tryReceiveMessage(buffer) !== undefined);
    await room;
    expect(fill()).toBeGreaterThan(0);
    const gone = writable();
    receiver[Symbol.dispose]();
    await gone;
    expect(codeOf(() => sender.sendMessage(text('x')))).toBe('ECONNREFUSED');
  });

  it('keeps messages whole, or says that they cannot be', () => {
    const [near, far] = UnixSocket.pair('dgram');
    using _near = near;
    using _far = far;
    const buffer = new Uint8Array(4);
    near.sendMessage(text('abcde'));
    near.sendMessage(new Uint8Array(0));
    near.sendMessage(text('fghi'));
    expect(codeOf(() => far.receiveMessage(buffer))).toBe('EMSGSIZE');
    expect(far.receiveMessage(buffer)?.length).toBe(0);
    expect(far.receiveMessage(buffer)?.length).toBe(4);
    expect(codeOf(() => near.trySendMessage(new Uint8Array(1 << 24)))).toBe('EMSGSIZE');
    // What TypeScript would refuse leaves no file behind.
    const path = join(directory, 'dgram-listener');
    expect(codeOf(() => UnixListener.listen(path, { type: 'dgram' as 'stream' }))).toBe('EINVAL');
    expect(existsSync(path)).toBe(false);
  });
});

describe('UnixSocket', () => {
  it('keeps the boundaries of seqpackets, and refuses those that do not fit', () => {
    const [near, far] = UnixSocket.pair('seqpacket');
    using event = EventFd.create();
    const buffer = new Uint8Array(4);
    const before = openDescriptors().length;
    near.sendMessage(text('a'));
    near.sendMessage(text('bcdef'), [event.descriptor]);
    near.sendMessage(text('ghij'));
    expect(far.receiveMessage(buffer, 1)?.length).toBe(1);
    expect(codeOf(() => far.receiveMessage(buffer, 1))).toBe('EMSGSIZE');
    expect(openDescriptors().length).toBe(before);
    expect(far.receiveMessage(buffer, 1)?.length).toBe(4);
    near[Symbol.dispose]();
    far[Symbol.dispose]();
  });

  it('sends more than any buffer holds to a thread that reads slowly', async () => {
    const [near, far] = UnixSocket.pair();
    const worker = new Worker(new URL('draining-worker.ts', import.meta.url), {
      workerData: far.descriptor.release(),
    });
    const bytes = new Uint8Array(3_000_001).map((_, index) => index * 7);
    using event = EventFd.create();
    near.sendMessage(bytes, [event.descriptor]);
    near.shutdown('send');
    const [answer] = await once(worker, 'message');
    expect(answer).toEqual({
      length: bytes.length,
      sum: bytes.reduce((sum, byte) => sum + byte, 0),
      descriptors: 1,
    });
    near[Symbol.dispose]();
  });

  it('is accepted and read on the event loop', async () => {
    const path = join(directory, 'loop');
    const listener = UnixListener.listen(path);
    const { promise, resolve } = Promise.withResolvers<string>();
    using _ = listener.onConnection((socket) => {
      const buffer = new Uint8Array(20);
      const watcher = socket.onReadable(() => {
        const message = socket.tryReceiveMessage(buffer);
        watcher[Symbol.dispose]();
        socket[Symbol.dispose]();
        resolve(Buffer.from(buffer.subarray(0, message?.length)).toString());
      });
    });
    expect(codeOf(() => UnixListener.listen(path))).toBe('EADDRINUSE');
    using client = UnixSocket.connect(path);
    client.sendMessage(text('over the loop'));
    expect(await promise).toBe('over the loop');
    listener[Symbol.dispose]();
    expect(existsSync(path)).toBe(false);
    listener[Symbol.dispose]();
    expect(codeOf(() => UnixSocket.connect(path))).toBe('ENOENT');
  });

  it('takes the place of a dead socket when asked to, and of nothing else', () => {
    const socket = join(directory, 'dead.sock');
    const dead = UnixListener.listen(socket);
    expect(codeOf(() => UnixListener.listen(socket, { replaceDead: true }))).toBe('EADDRINUSE');
    // What is left of a process that was killed: the file without anybody behind it.
    dead.descriptor[Symbol.dispose]();
    expect(codeOf(() => UnixListener.listen(socket))).toBe('EADDRINUSE');
    using _alive = UnixListener.listen(socket, { replaceDead: true });
    using _connection = UnixSocket.connect(socket);
    const file = join(directory, 'file');
    writeFileSync(file, 'precious');
    expect(codeOf(() => UnixListener.listen(file, { replaceDead: true }))).toBe('EADDRINUSE');
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });

  it('finds abstract names, and nobody in time', () => {
    const name = `\0tsvmm-test-${process.pid}`;
    using listener = UnixListener.listen(name, { backlog: 0 });
    expect(listener.tryAccept()).toBeUndefined();
    expect(listener.accept(2)).toBeUndefined();
    using _first = UnixSocket.connect(name);
    expect(codeOf(() => UnixSocket.connect(name, 'stream', 5))).toMatch(/ETIMEDOUT|EAGAIN/);
    using accepted = listener.tryAccept();
    expect(accepted).toBeInstanceOf(UnixSocket);
    expect(codeOf(() => UnixSocket.connect(name, 'seqpacket'))).toMatch(/EPROTOTYPE|ECONNREFUSED/);
  });

  it('refuses paths that the kernel would cut short', () => {
    for (const path of ['', 'x'.repeat(108), `a\0b`, `\0${'x'.repeat(108)}`]) {
      expect(
        codeOf(() => UnixListener.listen(path)),
        path,
      ).toBe('EINVAL');
      expect(
        codeOf(() => UnixSocket.connect(path)),
        path,
      ).toBe('EINVAL');
      expect(
        codeOf(() => UnixSocket.bind(path)),
        path,
      ).toBe('EINVAL');
    }
  });
});

describe('byte streams', () => {
  it('wait for readers, and end', async () => {
    const { reader, writer } = pipe();
    const worker = new Worker(new URL('writing-worker.ts', import.meta.url), {
      workerData: writer.release(),
    });
    const buffer = new Uint8Array(100_000);
    let length = 0;
    for (;;) {
      expect(waitReadable(reader.number)).toBe(true);
      const count = readAvailable(reader.number, buffer);
      if (count === 0) break;
      length += count;
    }
    expect(length).toBe(1_000_000);
    reader[Symbol.dispose]();
    await once(worker, 'exit');
  });

  it('say when there is nothing, nobody or no room', () => {
    const { reader, writer } = pipe();
    const bytes = new Uint8Array(10);
    expect(readAvailable(reader.number, bytes)).toBe(-1);
    expect(waitReadable(reader.number, 1)).toBe(false);
    expect(codeOf(() => writeFully(writer.number, bytes, 5, 6))).toBe('EINVAL');
    expect(codeOf(() => readAvailable(reader.number, bytes, 11, 0))).toBe('EINVAL');
    reader[Symbol.dispose]();
    expect(codeOf(() => writeFully(writer.number, bytes))).toBe('EPIPE');
    expect(codeOf(() => reader.number)).toBe('EBADF');
    writer[Symbol.dispose]();
  });
});
