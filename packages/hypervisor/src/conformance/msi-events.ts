import assert from 'node:assert/strict';
import { EventFd } from '@tsvmm/base';
import { attachInterrupts } from '../attach.ts';
import type { InterruptTarget, Vm } from '../vm.ts';

export const MSI_EVENTS_CASE =
  'an eventfd sends the MSI that any thread has connected it to, until it is disconnected';
/** How many messages {@link checkMsiEvents} has the guest get. */
export const MSI_EVENTS = 3;

/** @param arrived resolves when the guest has got the next message, and rejects if it gets something else */
export async function checkMsiEvents(
  vm: Vm,
  { addressLow, addressHigh, data, deviceId }: Omit<Extract<InterruptTarget, { kind: 'msi' }>, 'kind'>,
  arrived: () => Promise<void>,
): Promise<void> {
  const { msiEvents: own } = vm.interrupts;
  const { msiEvents: others } = await attachInterrupts(vm.interruptsDescriptor());
  assert.ok(own && others);
  using event = EventFd.create();
  const { number } = event.descriptor;
  // Where nobody listens, at first.
  own.connect(number, 0x1000, 0, 0, deviceId);
  const connect = () => others.connect(number, addressLow, addressHigh, data, deviceId);
  assert.equal(connect(), true);
  assert.equal(connect(), true);
  event.signal();
  await arrived();
  own.disconnect(number);
  event.tryRead();
  event.signal();
  assert.equal(event.tryRead(), 1);
  connect();
  event.signal();
  await arrived();
  others.disconnect(number);
  others.disconnect(number);
  event.signal();
  // What nobody has read is not lost.
  connect();
  await arrived();
}
