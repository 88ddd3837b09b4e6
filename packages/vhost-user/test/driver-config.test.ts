import { UnixSocket } from '@tsvmm/base';
import { BalloonBackend, balloonModel } from '@tsvmm/devices';
import { expect, test } from 'vitest';
import { VhostUserDevice, VhostUserFrontend } from '../src/index.ts';
import { DriverMemory, DriverQueue, FEATURES, ObservedDevice } from './support/driver.ts';

test('what the driver writes to the configuration reaches the back end, where it may write', async () => {
  const errors: unknown[] = [];
  const backend = new BalloonBackend();
  const model = balloonModel();
  const [ours, theirs] = UnixSocket.pair();
  using _ours = ours;
  using _device = new VhostUserDevice(theirs, {
    name: 'virtio-balloon',
    model,
    backend,
    onBroken: (error) => errors.push(error),
    onEnd: (error) => error && errors.push(error),
  });
  using driver = new DriverMemory();
  const device = new ObservedDevice(3, Uint8Array.from(model.config));
  await using frontend = await VhostUserFrontend.open(
    {
      kind: 'vhost-user',
      socket: ours.descriptor.number,
      path: undefined,
      configLength: model.config.length,
    },
    device,
    driver.memory,
  );
  using queue = new DriverQueue(driver, 0);
  await frontend.activate(FEATURES, [queue.queue]);

  // The balloon is to hold three pages: num_pages comes first, then what the driver says that it holds.
  const adjusted = backend.command({ kind: 'set-balloon', size: 3 * 4096, wait: true });
  let config = await device.configChange();
  while (config?.[0] !== 3) config = await device.configChange();
  // Only the second field is the driver's.
  await frontend.writeConfig(0, Uint8Array.of(9, 0, 0, 0, 3, 0, 0, 0));
  await adjusted;
  await backend.command({ kind: 'set-balloon', size: 5 * 4096, wait: false });
  while (config?.[0] !== 5) config = await device.configChange();
  expect([...(config ?? [])]).toEqual([5, 0, 0, 0, 3, 0, 0, 0]);
  expect([...errors, ...device.failures]).toEqual([]);
});
