import {
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UnixSocket } from '@tsvmm/base';
import { ByteRing, consoleModel, describeBlockDevice } from '@tsvmm/devices';
import { createDisk } from '@tsvmm/disk';
import { afterAll, describe, expect, test } from 'vitest';
import { DeviceProcess, type DeviceProcessError, type ProcessDevice, RingLink } from '../src/index.ts';
import { ask, GET_CONFIG, GET_FEATURES, RNG, request } from './support.ts';

const folder = mkdtempDisposableSync(join(tmpdir(), 'device-process-'));
afterAll(() => folder[Symbol.dispose]());

function image(name: string, size = 2 ** 20): string {
  const path = join(folder.path, name);
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

function fields(pid: number): ReadonlyMap<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

/** What a process has open, each once; pipes without their numbers. */
function openFiles(pid: number): string[] {
  const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return [...new Set(files.map((file) => file.replace(/^pipe:.*/, 'pipe')))];
}

function consoleDevice(port: UnixSocket): ProcessDevice {
  return {
    name: 'virtio-console',
    model: consoleModel({}),
    backend: { kind: 'console', hasInput: true, options: {} },
    descriptors: [port.descriptor],
  };
}

describe('the process of a device', () => {
  test('has of the host what it was given, and nothing else', async () => {
    const path = image('private.img');
    const [ours, port] = UnixSocket.pair();
    using _ours = ours;
    using _port = port;
    const devices: readonly ProcessDevice[] = [await describeBlockDevice({ path }), RNG, consoleDevice(port)];
    for (const device of devices) {
      await using process = await DeviceProcess.start(device);
      const status = fields(process.pid);
      expect([status.get('CapEff'), status.get('NoNewPrivs'), status.get('Seccomp')]).toEqual([
        expect.stringMatching(/^0+$/),
        '1',
        '2',
      ]);
      for (const namespace of ['user', 'mnt', 'pid', 'net', 'ipc', 'uts']) {
        const link = (pid: string) => readlinkSync(`/proc/${pid}/ns/${namespace}`);
        expect(link(String(process.pid))).not.toBe(link('self'));
      }
      expect(readdirSync(`/proc/${process.pid}/root`)).toEqual([]);
      const files = openFiles(process.pid).filter((file) => !file.startsWith('anon_inode:'));
      const sockets = files.filter((file) => file.startsWith('socket:'));
      // The link, and for a console its port.
      expect(sockets).toHaveLength(device.descriptors === undefined ? 1 : 2);
      const image = device.backend.kind === 'block' ? [path] : [];
      expect(files.filter((file) => !sockets.includes(file)).toSorted()).toEqual([
        '/dev/null',
        '/memfd:vhost-user-inflight (deleted)',
        ...image,
        'pipe',
      ]);
    }
  });

  test('serves a disk whose image refers to another, past the page cache', async () => {
    image('base.img', 3 * 2 ** 20);
    const path = join(folder.path, 'overlay.qcow2');
    await using overlay = await createDisk(path, {
      format: 'qcow2',
      backing: { file: 'base.img', format: 'raw' },
    });
    await overlay[Symbol.asyncDispose]();
    await using process = await DeviceProcess.start(await describeBlockDevice({ path, direct: true }));
    const [ours, theirs] = UnixSocket.pair();
    using socket = ours;
    process.connect(theirs);
    expect((await ask(socket, request(GET_FEATURES))).getUint32(12, true) & (1 << 30)).not.toBe(0);
    // GET_CONFIG: the capacity comes first, in sectors.
    expect((await ask(socket, request(GET_CONFIG, 0, 8, 0, 0, 0))).getUint32(24, true)).toBe(3 * 2048);
    expect(openFiles(process.pid)).toContain(join(folder.path, 'base.img'));
  });

  test('holds the lock on its image, until it ends', async () => {
    const path = image('locked.img');
    const device = await describeBlockDevice({ path });
    const process = await DeviceProcess.start(device);
    await expect(DeviceProcess.start(device)).rejects.toMatchObject({
      code: 'DEVICE_FAILED',
      message: expect.stringContaining(`${path} is being used by process ${process.pid}`),
    });
    await process[Symbol.asyncDispose]();
    await using _again = await DeviceProcess.start(device);
  });

  test('is a plain child process when nothing is to be confined', async () => {
    await using process = await DeviceProcess.start(RNG, { sandbox: false });
    expect(readlinkSync(`/proc/${process.pid}/ns/user`)).toBe(readlinkSync('/proc/self/ns/user'));
    expect(fields(process.pid).get('Seccomp')).toBe('0');
  });

  test('has the root directory that it is given', async () => {
    await using process = await DeviceProcess.start(RNG, { sandbox: { root: folder.path } });
    image('inside');
    expect(readdirSync(`/proc/${process.pid}/root`)).toContain('inside');
  });

  test('that is killed is missed, with the signal', async () => {
    const failure = Promise.withResolvers<DeviceProcessError>();
    await using device = await DeviceProcess.start(RNG, { onFailure: failure.resolve });
    process.kill(device.pid, 'SIGKILL');
    expect(await failure.promise).toMatchObject({
      code: 'DIED',
      message: 'the process of virtio-rng was killed by SIGKILL',
    });
  });
});

describe('a policy of the user', () => {
  const policies = join(folder.path, 'rng_device.policy');
  // Every device is told of its front end by recvmsg.
  const connect = async (options: { readonly logFailures?: boolean }) => {
    writeFileSync(policies, '@include common.policy\nrecvmsg: kill\n');
    const said = Promise.withResolvers<string>();
    const device = await DeviceProcess.start(RNG, {
      sandbox: { policyDirectory: folder.path, ...options },
      onBlockedCall: said.resolve,
      onFailure: (error) => said.resolve(error.message),
    });
    await using _device = device;
    const [ours, theirs] = UnixSocket.pair();
    using _ours = ours;
    device.connect(theirs);
    return await said.promise;
  };

  test('takes the place of ours, and what it forbids ends the device', async () => {
    await expect(connect({})).rejects.toThrow(
      'the process of virtio-rng was killed by SIGKILL: it made the system call recvmsg(',
    );
  });

  test('can be tried out first', async () => {
    expect(await connect({ logFailures: true })).toBe(
      'virtio-rng made the system call recvmsg, which its policy does not allow',
    );
  });
});

test('bytes go between rings of two processes, all of them and in order', async () => {
  const [ours, theirs] = UnixSocket.pair();
  // Smaller than what is sent: each side waits for the other.
  const [from, to] = [ByteRing.create(4096), ByteRing.create(16)];
  using sender = new RingLink(ours, { from, to: undefined });
  using receiver = new RingLink(theirs, { from: undefined, to });
  const sent = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7) % 251));
  const writing = (async () => {
    for (let rest: Uint8Array = sent; rest.length > 0; ) {
      rest = rest.subarray(from.write(rest));
      if (rest.length > 0) await from.roomAvailable();
    }
    from.close();
  })();
  const received: Buffer[] = [];
  while (!to.closed || to.available > 0) {
    const bytes = to.peek();
    received.push(Buffer.from(bytes));
    to.consume(bytes.length);
    if (bytes.length === 0) await to.dataAvailable();
  }
  await Promise.all([writing, sender.sent, receiver.received]);
  expect(Buffer.concat(received).equals(sent)).toBe(true);
});
