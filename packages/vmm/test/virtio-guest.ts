import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildInitramfs, type Guest } from '@tsvmm/guest-image';
import { expect } from 'vitest';
import type { HypervisorConfiguration } from '../src/configuration/configuration.ts';
import { VirtualMachine } from '../src/virtual-machine.ts';
import { Shell } from './shell.ts';

const MIB = 2 ** 20;

/** Drivers of the devices here. The default guest has none for USB: to load them takes a while at every start. */
const MODULES = {
  modules: ['virtio_console', 'virtio_input', 'evdev', 'xhci_pci', 'usbhid', 'hid_generic'],
  optionalModules: ['virtio_pci', 'virtio_balloon'],
};

/** The bytes of host memory that a process has of files it shares, as guest memory is. */
async function residentSharedMemory(): Promise<number> {
  const status = await readFile('/proc/self/status', 'latin1');
  return Number(/^RssShmem:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** A program that has a socket for one to connect to. */
async function listen(path: string) {
  const server = createServer().listen(path);
  await once(server, 'listening');
  const connection = once(server, 'connection').then(([socket]) => socket as Socket);
  return {
    path,
    connection,
    [Symbol.asyncDispose]: async () => {
      (await connection).destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** struct virtio_input_event. */
function inputEvent(type: number, code: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(type, 0);
  bytes.writeUInt16LE(code, 2);
  bytes.writeInt32LE(value, 4);
  return bytes;
}

/** An input device as crosvm's files describe it: something that is touched. */
const PAD = {
  name: 'Pad',
  serial_name: 'pad-0',
  properties: { INPUT_PROP_DIRECT: 1 },
  events: [
    { event_type: 'EV_KEY', event_type_code: 1, supported_events: { BTN_TOUCH: 330 } },
    { event_type: 'EV_ABS', event_type_code: 3, supported_events: { ABS_X: 0 } },
  ],
  axis_info: [{ axis: 'ABS_X', axis_code: 0, min: 0, max: 1023 }],
};

/** Boots a guest, and works its devices by Linux's drivers on the one side and the machine's interface on the other. */
export async function workDevices(guest: Guest, hypervisor: HypervisorConfiguration): Promise<void> {
  await using temporary = await mkdtempDisposable(join(tmpdir(), 'tsvmm-virtio-'));
  const folder = temporary.path;
  const names = ['console.log', 'agent', 'agent-input', 'initrd'];
  const [log, agent, agentInput, initrd] = names.map((name) => join(folder, name));
  if (!log || !agent || !agentInput || !initrd) throw new Error('four names make four paths');
  const { busybox, modules: modulesDirectory } = guest;
  await writeFile(initrd, await buildInitramfs({ busybox, modulesDirectory, ...MODULES }));
  await writeFile(agentInput, 'from the host\n');
  await using keyboard = await listen(join(folder, 'keyboard.sock'));
  await using pad = await listen(join(folder, 'pad.sock'));
  const padFile = join(folder, 'pad.json');
  await writeFile(padFile, JSON.stringify(PAD));
  await using usbKeyboard = await listen(join(folder, 'usb-keyboard.sock'));
  await using vm = await VirtualMachine.create({
    hypervisor,
    kernel: guest.kernel,
    initrd,
    memory: { sizeMiB: 256, initialMiB: 224 },
    balloon: { pageReporting: true },
    inputs: [
      { kind: 'keyboard', path: keyboard.path },
      { kind: 'custom', path: pad.path, configPath: padFile },
    ],
    usb: { devices: [{ kind: 'keyboard', path: usbKeyboard.path }] },
    serials: [
      {
        ...{ hardware: 'virtio-console', num: 1, type: 'file', path: log, console: true, stdin: true },
        size: { columns: 100, rows: 30 },
        maxQueueSizes: [16, 64],
      },
      { hardware: 'virtio-console', num: 2, name: 'agent', type: 'file', path: agent, input: agentInput },
      {
        hardware: 'virtio-console',
        num: 3,
        name: 'login',
        type: 'file',
        path: join(folder, 'hvc1'),
        console: true,
      },
    ],
  });
  await vm.start();
  const shell = new Shell(vm, log);

  // ---- Consoles: one of its own, and two ports of another, of which one is a terminal
  const ports = await shell.run(
    'cat /sys/class/virtio-ports/*/name; ls /sys/class/virtio-ports /dev/hvc* | sort',
  );
  expect(ports).toMatch(/^agent$/m);
  expect(ports).toMatch(/^login$/m);
  // What came before somebody read was not lost.
  expect(await shell.run('head -n 1 /dev/vport1p0')).toMatch(/^from the host$/m);
  await shell.run('echo to the host > /dev/vport1p0; echo two > /dev/hvc1');
  expect(await shell.run('tty; stty size')).toMatch(/^\/dev\/hvc0\n30 100$/m);
  await vm.console?.resize?.({ columns: 132, rows: 43 });
  await shell.run('until [ "$(stty size)" = "43 132" ]; do :; done');

  // ---- Input: keys reach the guest's programs, and what they do with LEDs the host
  // Other devices than the machine's may be there, such as a button.
  await shell.run(
    'input=$(dirname $(grep -l Virtio /sys/class/input/event*/device/name)); event=/dev/input/$(basename $(dirname $input))',
  );
  const name = await shell.run('cat $input/name $input/uniq');
  expect(name).toMatch(/^tsvmm Virtio Keyboard 0\nvirtio-keyboard-0$/m);
  const socket = await keyboard.connection;
  // Open before the keys come; each event has 24 bytes there, of which the last 8 are the device's.
  await shell.run(
    'exec 3< $event; head -c 96 <&3 | hexdump -v -e \'8/1 "%02x" "\\n"\' > /tmp/keys & exec 3<&-',
  );
  const press = [inputEvent(1, 30, 1), inputEvent(0, 0, 0), inputEvent(1, 30, 0), inputEvent(0, 0, 0)];
  socket.write(Buffer.concat(press));
  const keys = await shell.run('wait; cat /tmp/keys');
  const seen = keys.split('\n').filter((line) => /^[0-9a-f]{16}$/.test(line));
  expect(seen.filter((_line, index) => index % 3 === 2)).toEqual(press.map((event) => event.toString('hex')));
  const zeroes = '\\0'.repeat(16);
  const said = once(socket, 'data');
  await shell.run(`printf '${zeroes}\\21\\0\\1\\0\\1\\0\\0\\0' > $event`);
  const [status] = await said;
  expect((status as Buffer).subarray(0, 8)).toEqual(inputEvent(0x11, 1, 1));

  const found = await shell.run(
    'pad=$(dirname $(grep -l "^Pad$" /sys/class/input/event*/device/name)); cat $pad/uniq $pad/capabilities/abs $pad/properties',
  );
  expect(found).toMatch(/^pad-0\n1\n2$/m);
  await shell.run(
    'exec 4< /dev/input/$(basename $(dirname $pad)); head -c 24 <&4 | hexdump -v -e \'8/1 "%02x" "\\n"\' > /tmp/moves & exec 4<&-',
  );
  const move = inputEvent(3, 0, 500);
  (await pad.connection).write(Buffer.concat([move, inputEvent(0, 0, 0)]));
  expect(await shell.run('wait; cat /tmp/moves')).toContain(move.toString('hex'));

  await workUsb(shell, await usbKeyboard.connection);

  // ---- Balloon
  const { balloon } = vm;
  if (!balloon) throw new Error('a machine has a balloon');
  // The 5th character from the left is feature bit 5, VIRTIO_BALLOON_F_REPORTING.
  expect(await shell.run('cut -c6 /sys/bus/virtio/drivers/virtio_balloon/virtio*/features')).toMatch(/^1$/m);
  // It holds what the guest was not to have at first.
  await balloon.set(32 * MIB, { wait: true });
  const small = await balloon.stats();
  expect(small.balloon).toBe(32 * MIB);
  // What the guest has touched, the host keeps; what goes into the balloon, it does not.
  const fill = 'dd if=/dev/zero of=/tmp/full bs=1M count=90 2>&1';
  expect(await shell.run(fill)).toContain('90+0 records out');
  const before = await residentSharedMemory();
  await shell.run('rm /tmp/full');
  await balloon.set(128 * MIB, { wait: true });
  const after = await residentSharedMemory();
  expect(before - after).toBeGreaterThan(64 * MIB);
  expect(after).toBeLessThan(128 * MIB);
  const large = await balloon.stats();
  expect(large.balloon).toBe(128 * MIB);
  expect((small.freeMemory ?? 0) - (large.freeMemory ?? 0)).toBeGreaterThan(60 * MIB);
  expect(large.totalMemory).toBeLessThan(256 * MIB);
  await balloon.set(0, { wait: true });
  expect((await balloon.stats()).freeMemory).toBeGreaterThan(96 * MIB);
  // Free pages that the driver reports go, too.
  expect(await shell.run(fill)).toContain('90+0 records out');
  const filled = await residentSharedMemory();
  await shell.run('rm /tmp/full');
  while ((await residentSharedMemory()) > filled - 64 * MIB) await balloon.stats();
  await expect(balloon.set(257 * MIB)).rejects.toMatchObject({ code: 'OUT_OF_RANGE' });

  await vm.stop();
  expect(await readFile(agent, 'latin1')).toBe('to the host\n');
  expect(await readFile(join(folder, 'hvc1'), 'latin1')).toMatch(/^two\r?$/m);
}

/** The controller with its root hubs, and a keyboard that one of them finds: control and interrupt transfers. */
async function workUsb(shell: Shell, keyboard: Socket): Promise<void> {
  const switchedOff = once(keyboard, 'data');
  await shell.run('modprobe -a xhci_pci usbhid hid_generic');
  // The driver's first word to a keyboard.
  expect((await switchedOff)[0]).toEqual(Buffer.of(0));
  await shell.run('until found=$(grep -l "^tsvmm Keyboard" /sys/class/input/event*/device/name); do :; done');
  await shell.run('input=$(dirname $found); event=/dev/input/$(basename $(dirname $input))');
  await shell.run('until echo $input/*/brightness | grep -q capslock; do :; done');
  const hubs = await shell.run(
    'cd /sys/bus/usb/devices; cat usb1/speed usb1/maxchild usb2/speed usb2/maxchild 1-1/product; cd',
  );
  expect(hubs).toMatch(/^480\n8\n5000\n8\nKeyboard$/m);
  // A press, and a release, are what the scan code was, the key, and the end of a report: 30 is KEY_A, usage 4.
  await shell.run(
    'exec 3< $event; head -c 144 <&3 | hexdump -v -e \'8/1 "%02x" "\\n"\' > /tmp/usb & exec 3<&-',
  );
  keyboard.write(Buffer.from('00000400000000000000000000000000', 'hex'));
  const lines = (await shell.run('wait; cat /tmp/usb')).split('\n');
  const events = lines
    .filter((line) => /^[0-9a-f]{16}$/.test(line))
    .filter((_line, index) => index % 3 === 2);
  const keys = events.filter((event) => event.startsWith('0100'));
  expect(keys).toEqual([1, 0].map((value) => inputEvent(1, 30, value).toString('hex')));
  const switchedOn = once(keyboard, 'data');
  await shell.run('echo 1 > $(echo $input/*::capslock)/brightness');
  expect((await switchedOn)[0]).toEqual(Buffer.of(2));
  const complaints = await shell.run('dmesg -r | grep "^<[0-4]>" | grep -i "usb [0-9]\\|xhci\\|hid" | wc -l');
  expect(complaints).toMatch(/^0$/m);
}
